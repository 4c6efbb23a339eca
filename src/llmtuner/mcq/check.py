"""Whether a model gives the same in packed rows as in one row an option, seen on the first questions.

The yardstick is the model's own rounding on the same questions: how far the states from which options are scored move
when rows are computed one at a time instead of in a batch. A fixed limit is no yardstick, since models differ a
hundredfold in how they amplify rounding, and so does one model from text to text. Each dimension counts by its own
scale: a few dimensions of a language model are tens to thousands of times larger than the rest, and would be all that
is compared.

Rounding in half precision hides small mistakes. Where it does, the comparison is made in fp32, too.

Shape legend: B rows, T tokens of a row, Q questions, N options, O options of all questions, D hidden width.
"""

from __future__ import annotations

import math
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import pad

from llmtuner.data.tokens.option import OptionTokens
from llmtuner.mcq.collate import Batch, Collator
from llmtuner.mcq.fp32 import half_precision_of, in_fp32
from llmtuner.mcq.layouts.base import PREFIX
from llmtuner.mcq.model import backbone_of, hidden_states, text_config
from llmtuner.mcq.pooling import pool
from llmtuner.mcq.predict import device_of, to_device
from llmtuner.mcq.questions import Example

CHECKED = 2  # questions
MARGIN = 10.0  # times the model's own rounding
VISIBLE = 10.0  # times the bound: a difference that nobody could take for rounding
DEAD = 0.01  # of the dimensions' median scale: smaller ones count as if they were so large
_NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
_READS = ("input_ids", "position_ids", "attention_mask", "segments", "shared")
_PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Distances between computations of the same options' states, the largest of all options.

    The distance of two states is the root mean square over dimensions of their difference, each dimension in units of
    its root mean square over the options: 0 for equal states, about 1.4 for unrelated ones.

    Args:
        precision: "fp32", "bf16" or "fp16".
        difference: packed rows to one row an option.
        rounding: one row at a time to a batch of rows, or what this precision and depth make at least.
        moved: packed rows with every option one position too early, to one row an option: a small mistake.
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
        """Whether packed rows give what one row an option gives; no, where a state is not finite."""
        return self.difference <= self.bound

    @property
    def sees(self) -> bool:
        """Whether a small mistake is far from passing for rounding."""
        return self.moved >= VISIBLE * self.bound


@dataclass(frozen=True, slots=True)
class PackingCheck:
    """What the check says.

    Args:
        defect: why the model cannot take packed rows and what that costs; "" where it can.
        notice: a line about the check itself, or "".
        comparisons: in the model's own precision, then in fp32 where that was needed; none where the model's forward
            refused packed rows.
    """

    defect: str = ""
    notice: str = ""
    comparisons: tuple[Comparison, ...] = ()


class _RefusedError(Exception):
    """The model's own code raised an error."""


def check_packing(model: Any, questions: list[OptionTokens], pooling: str, pad_token_id: int) -> PackingCheck:
    """Compare the states from which options are scored in both layouts.

    Args:
        model: causal, with a head attached; its mode, weights and precision are left as they were.
        questions: the first few; at most `CHECKED` are used.
        pooling: which tokens an option is scored from.

    Raises:
        RuntimeError: out of memory, which says nothing about packed rows.
        Exception: what the model raises for one row an option, and what our own code raises for packed ones.
    """
    subject = _Subject(model, questions[:CHECKED], pooling, pad_token_id)
    own = half_precision_of(backbone_of(model)) or torch.float32
    finer, obstacle = None, ""
    was_training = model.training
    model.eval()
    try:
        first = subject.compare(own)
        if own != torch.float32 and not first.sees:
            finer, obstacle = _in_fp32(subject)
    except _RefusedError as refusal:
        reason = f"its attention does not take the mask of packed rows ({refusal})"
        return PackingCheck(f"{reason}; {_cost(subject.questions)}")
    finally:
        model.train(was_training)
    comparisons = (first,) if finer is None else (first, finer)
    defect = next((_differs(each) for each in reversed(comparisons) if not each.agrees), "")
    if defect:
        return PackingCheck(f"{defect}; {_cost(subject.questions)}", comparisons=comparisons)
    return PackingCheck(notice=_notice(first, finer, obstacle), comparisons=comparisons)


def _in_fp32(subject: _Subject) -> tuple[Comparison | None, str]:
    """The comparison in fp32, or why there is none: that the model cannot compute in it says nothing of packed rows."""
    try:
        with in_fp32(backbone_of(subject.model)):
            return subject.compare(torch.float32, may_fail=True), ""
    except _RefusedError as refusal:
        return None, f" and the model does not compute in fp32 ({refusal})"
    except RuntimeError as error:
        if not _is_about_memory(error):
            raise
        return None, " and there is no memory for fp32"


def _differs(comparison: Comparison) -> str:
    if math.isnan(comparison.difference):
        return f"some of its states are not finite in {comparison.precision}"
    return (
        f"its states differ by {comparison.difference:.1e} of their scale in {comparison.precision} from those of one "
        f"row an option, and {comparison.bound:.1e} would pass for rounding"
    )


def _notice(first: Comparison, finer: Comparison | None, obstacle: str) -> str:
    """Why there is a second comparison, or what the last one cannot see."""
    last = finer or first
    if not last.sees:
        return (
            f"layout: packed rows agree with one row an option, but this comparison is coarse: in {last.precision} "
            f"differences up to {last.bound:.1e} of the states' scale pass for rounding, wrong positions make "
            f"{last.moved:.1e}{obstacle}"
        )
    if finer is None:
        return ""
    return (
        f"layout: packed rows agree with one row an option in fp32, too; in {first.precision} differences up to "
        f"{first.bound:.1e} of the states' scale pass for rounding, wrong positions make {first.moved:.1e}"
    )


def _cost(questions: list[OptionTokens]) -> str:
    """What it costs not to pack them, in tokens."""
    single = sum(len(sequence) for tokens in questions for sequence in tokens.sequences)
    saved = sum(tokens.prefix_length * (len(tokens.sequences) - 1) for tokens in questions)
    return f"one row an option computes {single / (single - saved):.1f} times the tokens"


@dataclass(frozen=True)
class _Subject:
    """A model and the questions on which it is checked."""

    model: Any
    questions: list[OptionTokens]
    pooling: str
    pad_token_id: int

    def compare(self, precision: torch.dtype, *, may_fail: bool = False) -> Comparison:
        """Compute the options' states in both layouts, and in two ways that show rounding and a small mistake.

        Raises:
            _RefusedError: the model's forward fails with packed rows, or with `may_fail` with any.
        """
        packed = self._collated("shared_prefix", self.questions)
        assert_laid_out(packed, self.questions)
        single_OD = self._states([self._collated("per_option", [tokens]) for tokens in self.questions], may_fail)
        one_by_one_OD = self._states(self._one_by_one(packed["input_ids"].shape[1]), may_fail)
        moved = packed | {"position_ids": (packed["position_ids"] - (packed["segments"] >= 0).long()).clamp(min=0)}
        packed_OD, moved_OD = (self._states([batch], may_fail=True) for batch in (packed, moved))
        scale_D = single_OD.square().mean(0).sqrt()
        scale_D = scale_D.clamp(min=DEAD * float(scale_D.median())).clamp(min=torch.finfo(scale_D.dtype).tiny)

        def distance(states_OD: torch.Tensor) -> float:
            return float(((states_OD - single_OD) / scale_D).square().mean(1).sqrt().max())

        # Kernels that do not depend on the batch show no rounding at all, and packed rows still round elsewhere: at
        # least once in each of a layer's two sums, at random.
        least = torch.finfo(precision).eps * (2 * text_config(self.model).num_hidden_layers) ** 0.5
        return Comparison(
            precision=_NAMES[precision],
            difference=distance(packed_OD),
            rounding=max(distance(one_by_one_OD), least),
            moved=distance(moved_OD),
        )

    def _collated(self, layout: str, questions: list[OptionTokens]) -> Batch:
        collator = Collator(layout, self.pooling, self.pad_token_id)
        return collator([Example(tokens, 0, row) for row, tokens in enumerate(questions)])

    def _one_by_one(self, length: int) -> list[Batch]:
        """A batch an option, every second filled up to a packed row's length, since kernels differ by length, too."""
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
        found = []
        for collated in batches:
            batch = to_device(collated, device_of(self.model))
            inputs = {name: batch[name] for name in _READS if name in batch}
            hidden_BTD = _guarded(self.model, inputs) if may_fail else hidden_states(self.model, **inputs)
            found.append(pool(hidden_BTD, batch["pool_rows"], batch["pool_tokens"])[batch["mask"]])
        return torch.cat(found)


def assert_laid_out(packed: Batch, questions: list[OptionTokens]) -> None:
    """Packed rows hold every option's tokens at its own positions: mistakes of ours are not to be blamed on a model."""
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
    """`hidden_states`, with errors of the model's own code told apart from ours.

    Raises:
        _RefusedError: in place of an error that was raised within the model's forward.
    """
    inside: list[nn.Module] = []
    handle = backbone_of(model).register_forward_pre_hook(lambda module, _: inside.append(module))
    try:
        return hidden_states(model, **inputs)
    except (RuntimeError, ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        if not inside or _is_ours(error) or _is_about_memory(error):
            raise
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise _RefusedError(first_line) from error
    finally:
        handle.remove()


def _is_ours(error: Exception) -> bool:
    """Whether a line of this package raised it: our attention function is called from within a model's forward."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return Path(frame.f_code.co_filename).resolve().is_relative_to(_PACKAGE)


def _is_about_memory(error: Exception) -> bool:
    """Whether there was too little memory. On a CPU, and inside cuBLAS, no type of its own says so."""
    return isinstance(error, torch.OutOfMemoryError) or any(
        words in str(error).lower()
        for words in ("out of memory", "not enough memory", "allocate memory", "alloc_failed")
    )


def _only(tokens: OptionTokens, option: int) -> OptionTokens:
    return OptionTokens(
        [tokens.sequences[option]], tokens.context, tokens.question, [tokens.options[option]], tokens.cut, tokens.over
    )
