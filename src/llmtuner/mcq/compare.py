"""How much the states that options are scored from differ between the layouts, and how much rounding alone explains.

The yardstick is the model's own rounding error on the same questions, since models differ a thousandfold in how much
they amplify rounding, and so do texts. In fp32 it is how far the states move when rows are computed one at a time
instead of in a batch, from embeddings whose last bits are changed. (Batching alone shows too little: rows are often
equal to the last bit, and a model that amplifies rounding a thousandfold seems to have none.) In half precision it is
the distance from fp32.

Each dimension is divided by its own scale: a few dimensions of a language model are tens to thousands of times larger
than the rest, and would dominate the comparison.

Shape legend: T tokens of a row, O options of all questions, D hidden width.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import pad

from llmtuner.data.tokens.option import OptionTokens
from llmtuner.mcq.collate import Batch, Collator
from llmtuner.mcq.device import device_of, to_device
from llmtuner.mcq.layouts.base import PREFIX
from llmtuner.mcq.model import backbone_of, hidden_states
from llmtuner.mcq.pooling import pool
from llmtuner.mcq.questions import Example

MARGIN = 5.0  # times the model's own rounding
VISIBLE = 10.0  # times the bound: a difference that cannot be rounding
DEAD = 0.01  # of the dimensions' median scale: smaller scales are raised to this
# Units in the last place by which embeddings are changed. Four in fp32: with one, once in 90 trials, a model that
# amplifies rounding flipped a near tie in packed rows but not here, and seemed broken.
STEPS = {torch.float32: 4, torch.bfloat16: 1, torch.float16: 1}
NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
_READS = ("input_ids", "position_ids", "attention_mask", "segments", "shared")
_PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Distances between computations of the same options' states, the largest of all options.

    The distance of two states is the root mean square over dimensions of their difference, each dimension in units of
    its root mean square over the options: 0 for equal states, about 1.4 for unrelated ones.

    Args:
        precision: "fp32", "bf16" or "fp16".
        difference: between packed rows and one row per option.
        rounding: what rounding alone can cause.
        moved: between packed rows with every option one position too early and one row per option: a small mistake.
    """

    precision: str
    difference: float
    rounding: float
    moved: float

    @property
    def bound(self) -> float:
        """The largest difference that passes for rounding."""
        return MARGIN * self.rounding

    @property
    def agrees(self) -> bool:
        """Whether packed rows give the same as one row per option; false if a state is not finite."""
        return self.difference <= self.bound

    @property
    def sees(self) -> bool:
        """Whether a small mistake clearly exceeds rounding."""
        return self.moved >= VISIBLE * self.bound


class RefusedError(Exception):
    """The model's own code raised an error."""


@dataclass(frozen=True)
class Subject:
    """A model and the questions on which it is checked."""

    model: Any
    questions: list[OptionTokens]
    pooling: str
    pad_token_id: int

    def single(self, *, may_fail: bool = False) -> torch.Tensor:
        """The states with one row per option and one batch per question: [O, D]."""
        return self._states([self._collated("per_option", [tokens]) for tokens in self.questions], may_fail)

    def packed(self, *, early: int = 0) -> torch.Tensor:
        """The states of packed rows, with options `early` positions too early: [O, D].

        Raises:
            RefusedError: the model does not take packed rows.
        """
        batch = self._collated("shared_prefix", self.questions)
        assert_laid_out(batch, self.questions)
        positions = batch["position_ids"] - early * (batch["segments"] >= 0)
        return self._states([batch | {"position_ids": positions.clamp(min=0)}], may_fail=True)

    def compare(
        self, precision: torch.dtype, single_OD: torch.Tensor, packed_OD: torch.Tensor, *, may_fail: bool = False
    ) -> Comparison:
        """Compare both layouts' states in the model's current precision, with its rounding error as the yardstick.

        Raises:
            RefusedError: with `may_fail`, the model's forward fails.
        """
        length = self._collated("shared_prefix", self.questions)["input_ids"].shape[1]
        with _last_bits_changed(self.model, precision):
            rounded_OD = self._states(self._one_by_one(length), may_fail)
        return Comparison(
            precision=NAMES[precision],
            difference=distance(packed_OD, single_OD),
            rounding=max(distance(rounded_OD, single_OD), torch.finfo(precision).eps),
            moved=distance(self.packed(early=1), single_OD),
        )

    def _collated(self, layout: str, questions: list[OptionTokens]) -> Batch:
        collator = Collator(layout, self.pooling, self.pad_token_id)
        return collator([Example(tokens, 0, row) for row, tokens in enumerate(questions)])

    def _one_by_one(self, length: int) -> list[Batch]:
        """One batch per option, every second padded to a packed row's length, since kernels also depend on length."""
        batches = []
        for tokens in self.questions:
            for option in range(len(tokens.sequences)):
                batch = self._collated("per_option", [_only(tokens, option)])
                missing = length - batch["input_ids"].shape[1] if option % 2 else 0
                for name in ("input_ids", "position_ids", "attention_mask"):
                    batch[name] = pad(batch[name], (0, missing))
                batches.append(batch)
        return batches

    @torch.no_grad()
    def _states(self, batches: list[Batch], may_fail: bool) -> torch.Tensor:
        """The pooled states of all options in order, [O, D] in fp32."""
        states = []
        for collated in batches:
            batch = to_device(collated, device_of(self.model))
            inputs = {name: batch[name] for name in _READS if name in batch}
            hidden_BTD = _guarded(self.model, inputs) if may_fail else hidden_states(self.model, **inputs)
            states.append(pool(hidden_BTD, batch["pool_rows"], batch["pool_tokens"])[batch["mask"]])
        return torch.cat(states)


def distance(states_OD: torch.Tensor, single_OD: torch.Tensor) -> float:
    """The largest distance of all options; NaN if a state is."""
    scale_D = single_OD.square().mean(0).sqrt()
    scale_D = scale_D.clamp(min=DEAD * float(scale_D.median())).clamp(min=torch.finfo(scale_D.dtype).tiny)
    return float(((states_OD - single_OD) / scale_D).square().mean(1).sqrt().max())


@contextmanager
def _last_bits_changed(model: Any, precision: torch.dtype) -> Iterator[None]:
    """Change each number of a token's embedding by a few units in the last place, up or down at random."""
    generator = torch.Generator().manual_seed(0)
    step = STEPS[precision] * torch.finfo(precision).eps

    def change(_module: nn.Module, _inputs: Any, embeddings: torch.Tensor) -> torch.Tensor:
        signs = torch.randint(0, 2, embeddings.shape, generator=generator).to(embeddings.device) * 2 - 1
        return (embeddings.float() * (1 + step * signs)).to(embeddings.dtype)

    handle = backbone_of(model).get_input_embeddings().register_forward_hook(change)
    try:
        yield
    finally:
        handle.remove()


def assert_laid_out(packed: Batch, questions: list[OptionTokens]) -> None:
    """Assert that packed rows hold each option's tokens at its own positions: our bugs are not the model's."""
    ids, positions, segments = (packed[name].tolist() for name in ("input_ids", "position_ids", "segments"))
    for row, tokens in enumerate(questions):
        shared = tokens.prefix_length
        columns = list(zip(ids[row], positions[row], segments[row], strict=True))
        assert all(column[2] == PREFIX for column in columns[:shared]), f"row {row}: the prefix is not marked as such"
        for option, sequence in enumerate(tokens.sequences):
            own = [(token, position) for token, position, segment in columns if segment == option]
            prefix = [(token, position) for token, position, segment in columns if segment == PREFIX]
            assert [*prefix, *own] == [(token, position) for position, token in enumerate(sequence)], (
                f"row {row}: option {option} is not its tokens at its own positions"
            )


def _guarded(model: Any, inputs: Batch) -> torch.Tensor:
    """`hidden_states`, with errors of the model's own code separated from ours.

    Raises:
        RefusedError: replaces an error that was raised within the model's forward.
    """
    inside: list[nn.Module] = []
    handle = backbone_of(model).register_forward_pre_hook(lambda module, _: inside.append(module))
    try:
        return hidden_states(model, **inputs)
    except (RuntimeError, ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        if not inside or is_ours(error) or is_about_memory(error):
            raise
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise RefusedError(first_line) from error
    finally:
        handle.remove()


def is_ours(error: Exception) -> bool:
    """Whether this package raised it: our attention function is called from within a model's forward."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return Path(frame.f_code.co_filename).resolve().is_relative_to(_PACKAGE)


def is_about_memory(error: Exception) -> bool:
    """Whether memory ran out. A CPU and cuBLAS have no exception type for this."""
    return isinstance(error, torch.OutOfMemoryError) or any(
        words in str(error).lower()
        for words in ("out of memory", "not enough memory", "allocate memory", "alloc_failed")
    )


def _only(tokens: OptionTokens, option: int) -> OptionTokens:
    characters = tokens.characters[option : option + 1]
    return replace(
        tokens, sequences=[tokens.sequences[option]], options=[tokens.options[option]], characters=characters
    )
