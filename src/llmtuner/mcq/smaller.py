"""The smallest change of flags with which a run that is too large fits into the memory, by an upper bound."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

SHORTEST = 64  # tokens; below this hardly a question is left
_SHARES = (0.75, 0.5, 0.375, 0.25, 0.125)


@dataclass(frozen=True, slots=True)
class Size:
    """What the memory of a step depends on, by the names of the flags.

    Args:
        batch: questions of a batch; None if a number of tokens is given instead.
        tokens: of a batch, padding included.
        longest: tokens of its longest row.
        bits: of a quantised weight; 0 for weights as they are.
        largest: tokens of the largest question, all its rows with their padding, if it can have several; no budget
            divides it.
    """

    batch: int | None
    accumulation: int
    tokens: int
    longest: int
    cutoff_len: int
    checkpointing: bool
    training: bool
    bits: int = 0
    tokens_per_batch: int | None = None
    largest: int = 0


def smaller(size: Size, needed: Callable[[Size], int], available: int, *, quantizes: bool) -> tuple[str, ...]:
    """Flags, and how much memory they need; a line that nothing helps if even the last change is not enough.

    Changes that leave the result as it is come first: a smaller batch with as many more accumulated, then gradient
    checkpointing. Shorter questions and quantised weights give another model.

    Args:
        needed: bytes of a size, an upper bound.
        quantizes: whether weights can be quantised on this machine.
    """
    last = size
    for last in _candidates(size, quantizes=quantizes):
        if needed(last) <= available:
            flags = ", ".join(_flags(size, last))
            return (f"{flags}: about {needed(last) / 2**30:.2f} GiB",)
    tried = ", ".join(_flags(size, last)) or "no flag"
    return (f"even with {tried} it needs about {needed(last) / 2**30:.2f} GiB: use a smaller model or more memory",)


def _candidates(size: Size, *, quantizes: bool) -> Iterator[Size]:
    """Sizes, the smallest change first; each later kind of change keeps the earlier ones at their end."""
    batches = [*_batches(size)]
    yield from batches
    if size.training and not size.checkpointing:
        yield from (replace(each, checkpointing=True) for each in (size, *batches))
    least = replace(batches[-1] if batches else size, checkpointing=size.checkpointing or size.training)
    shorter = [_shorter(least, share) for share in _SHARES if least.cutoff_len * share >= SHORTEST]
    yield from shorter
    if quantizes and not size.bits:
        yield replace(least, bits=4)
        yield from (replace(each, bits=4) for each in shorter)


def _batches(size: Size) -> Iterator[Size]:
    if size.batch is None:
        budget, factor = size.tokens_per_batch or 0, 2
        while budget // factor >= max(size.longest, size.largest):
            tokens = min(size.tokens, budget // factor)
            changed = replace(size, tokens=tokens, tokens_per_batch=budget // factor)
            yield replace(changed, accumulation=size.accumulation * factor) if size.training else changed
            factor *= 2
        return
    for batch in range(size.batch - 1, 0, -1):
        if size.batch % batch == 0:
            factor = size.batch // batch
            changed = replace(size, batch=batch, tokens=-(-size.tokens // factor))
            yield replace(changed, accumulation=size.accumulation * factor) if size.training else changed


def _shorter(size: Size, share: float) -> Size:
    return replace(
        size,
        cutoff_len=int(size.cutoff_len * share),
        tokens=max(1, int(size.tokens * share)),
        longest=max(1, int(size.longest * share)),
        largest=int(size.largest * share),
    )


def _flags(before: Size, after: Size) -> Iterator[str]:
    kind = "train" if before.training else "eval"
    if after.batch != before.batch:
        yield f"--per_device_{kind}_batch_size {after.batch}"
    if after.tokens_per_batch != before.tokens_per_batch:
        yield f"--mcq_tokens_per_batch {after.tokens_per_batch}"
    if after.accumulation != before.accumulation:
        yield f"--gradient_accumulation_steps {after.accumulation}"
    if after.checkpointing and not before.checkpointing:
        yield "--disable_gradient_checkpointing false"
    if after.cutoff_len != before.cutoff_len:
        yield f"--cutoff_len {after.cutoff_len}"
    if after.bits != before.bits:
        yield f"--quantization_bit {after.bits}"
