"""What both stages tell of a dry run: prompts, lengths, steps, memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from llmtuner.data.question import Question
from llmtuner.data.tokens.encoder import Tokens
from llmtuner.mcq.memory import activation_bytes, parameters
from llmtuner.mcq.probe import Footprint, Timed
from llmtuner.mcq.smaller import Size, smaller
from llmtuner.report.dry_run import Memory, Prompt, Speed, Steps, Token
from llmtuner.runs.position import Position

_SHOWN = 3  # prompts
_PART, _BYTES = "\ufffd", 4  # how a tokenizer decodes a part of a character, and the bytes that a character has at most
TRAINING, PREDICTION = "training", "prediction"
# Of upstream's flags: what a dry run does not write or send.
QUIET: dict[str, Any] = {
    "save_strategy": "no",
    "logging_strategy": "no",
    "report_to": ["none"],
    "plot_loss": False,
    "push_to_hub": False,
    "disable_tqdm": True,
}


def shown_rows(lengths: Sequence[int]) -> list[tuple[int, str]]:
    """Three rows to show, fewer if there are no more, and why: the first, one of median length, the longest."""
    order = sorted(range(len(lengths)), key=lambda row: lengths[row])
    reasons = [(0, "the first"), (order[-1], "the longest"), (order[len(order) // 2], "of median length")]
    chosen: dict[int, str] = {}
    for row, why in (*reasons, (order[0], "the shortest"), *((row, "another one") for row in order)):
        if len(chosen) < _SHOWN:
            chosen.setdefault(row, why)
    return [*chosen.items()]


def full_length(tokens: Tokens) -> int:
    """Tokens of the longest sequence before anything was cut."""
    return max(map(len, tokens.sequences)) + tokens.cut + tokens.over


Labelled = tuple[list[int], list[str], set[int]]  # token ids, their roles, and the places that are scored


def shown_prompt(question: Question, tokens: Tokens, why: str, tokenizer: Any, sequences: Sequence[Labelled]) -> Prompt:
    """A prompt of the report."""
    shown = []
    for ids, roles, scored in sequences:
        rows = enumerate(zip(ids, _texts(tokenizer, ids, roles), roles, strict=True))
        shown.append(tuple(Token(id, text, role, place in scored) for place, (id, text, role) in rows))
    length = max(len(ids) for ids, _, _ in sequences)
    return Prompt(question.id, question.where, why, length, tokens.cut, tokens.over, tuple(shown))


def _texts(tokenizer: Any, ids: Sequence[int], roles: Sequence[str]) -> list[str]:
    """The text of each token. A character that several tokens spell byte by byte stands at the last of them."""
    texts = [_text(tokenizer, id) for id in ids]
    start = 0
    for place, role in list(enumerate(roles))[1:]:
        if role != roles[start] or place - start == _BYTES or not texts[start].endswith(_PART):
            start = place
            continue
        whole = str(tokenizer.decode(list(ids[start : place + 1]), clean_up_tokenization_spaces=False))
        if not whole.endswith(_PART):
            texts[start : place + 1] = [*[""] * (place - start), whole]
            start = place
    return texts


def _text(tokenizer: Any, token: int) -> str:
    """The text of one token, with the space that it begins with."""
    piece = tokenizer.convert_ids_to_tokens(token)
    if isinstance(piece, str) and "▁" in piece:  # SentencePiece: decoding drops the first space
        return piece.replace("▁", " ")
    return str(tokenizer.decode([token], clean_up_tokenization_spaces=False))


class _Sized:
    """A loader of a number of batches: all that counting steps needs."""

    def __init__(self, batches: int) -> None:
        self._batches = batches

    def __len__(self) -> int:
        return self._batches


def steps_of(
    trainer: Any, args: Any, *, batches: int, questions: int, processes: int, position: Position | None
) -> Steps:
    """The steps that transformers' Trainer would make.

    Args:
        args: the training arguments of the run.
        batches: of each process and epoch.
        position: of the checkpoint that it resumes from.
    """
    values = trainer.set_initial_training_values(args, _Sized(batches))
    per_epoch, surplus = values[1], 0
    if position is not None and not args.ignore_data_skip:  # as the run's own trainer, `KeptTraining`
        values = position.resized(values, by_steps=args.max_steps > 0)
        surplus = position.surplus(per_epoch)
    total, done = values[-1], 0 if position is None else position.step
    return Steps(questions, batches, per_epoch, round((total - surplus) / per_epoch, 3), total, done, processes)


@dataclass(frozen=True, slots=True)
class Bound:
    """Upper bounds of what a size of steps needs.

    Args:
        trained: bytes of the parameters that are trained.
        itemsize: bytes of a weight.
        scale: by which the bound of the activations is corrected after a measurement.
    """

    config: Any
    weights: int
    trained: int
    itemsize: int
    logits: bool
    scale: float = 1.0

    @classmethod
    def before_loading(cls, config: Any, values: Mapping[str, Any], *, logits: bool) -> Bound:
        """By the configuration alone; no weight counts as trained."""
        bits = values.get("quantization_bit") or (16 if any(map(values.get, ("bf16", "fp16", "pure_bf16"))) else 32)
        try:
            count = parameters(config)
        except AttributeError:  # remote code that names its widths otherwise
            count = 0
        return cls(config, count * bits // 8, 0, max(1, bits // 8), logits)

    def activations(self, size: Size) -> int:
        """Bytes beside weights, gradients and optimizer; 0 if the configuration does not state its widths."""
        try:
            bound = activation_bytes(
                self.config,
                size.tokens,
                size.longest,
                logits=self.logits,
                checkpointing=size.checkpointing,
                backward=size.training,
            )
            return int(self.scale * bound)
        except AttributeError:
            return 0

    def footprint(self, size: Size) -> Footprint:
        """The bound, with AdamW's two moments for each trained weight."""
        weights = self.weights * size.bits // (8 * self.itemsize) if size.bits else self.weights
        trained = self.trained if size.training else 0
        return Footprint(weights, trained, 2 * trained, self.activations(size))

    def needed(self, size: Size) -> int:
        """All of it in bytes."""
        return self.footprint(size).needed


@dataclass(frozen=True, slots=True)
class Examined:
    """The memory of a kind of steps, their times if they were made, and what would make them fit."""

    memory: Memory
    timed: Timed | None = None
    advice: tuple[str, ...] = ()


def examine(purpose: str, size: Size, bound: Bound, available: int, measure: Callable[[], Timed] | None) -> Examined:
    """Make the steps if they can fit, and compare what they need with what is available.

    On a CPU, steps whose bound is too large are not tried: the system would end the process.

    Args:
        available: bytes that were free before the model was loaded.
        measure: makes the steps; None if the model itself is too large.
    """
    import torch

    on_gpu = torch.cuda.is_available()
    timed, footprint = None, bound.footprint(size)
    if measure is not None and (on_gpu or footprint.needed <= available):
        try:
            timed = measure()
            footprint = timed.footprint
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
    fits = timed is not None and footprint.needed <= available
    memory = Memory(
        purpose=purpose,
        device=torch.cuda.get_device_name() if on_gpu else "CPU",
        available=available,
        weights=footprint.weights,
        gradients=footprint.gradients,
        optimizer=footprint.optimizer,
        activations=footprint.activations,
        needed=footprint.needed,
        checkpointing=size.checkpointing,
        measured=timed is not None,
        fits=fits,
    )
    if fits:
        return Examined(memory, timed)
    # A step that failed, or needed more than the bound, says that the bound is too low.
    known = footprint.activations if timed is not None else max(footprint.activations, available - footprint.weights)
    estimate = bound.activations(size)
    corrected = replace(bound, scale=max(1.0, known / estimate) if estimate and on_gpu else bound.scale)
    return Examined(memory, timed, smaller(size, corrected.needed, available, quantizes=on_gpu))


def speed_of(purpose: str, timed: Timed, tokens: tuple[int, int], *, batches_per_step: int, steps: int) -> Speed:
    """Times of steps and of the run.

    Args:
        tokens: of the longest and of the typical batch.
        batches_per_step: accumulated ones.
    """
    longest, typical = timed.longest * batches_per_step, timed.typical * batches_per_step
    unit = "step" if purpose == TRAINING else "batch"
    return Speed(purpose, unit, *tokens, longest, typical, steps, typical * steps)
