"""Checks on the first questions that a model gives the same states in packed rows as with one row per option.

Half precision hides small errors behind its rounding, so such models are compared in fp32 as well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from llmtuner.data.tokens.option import OptionTokens
from llmtuner.mcq.attention import has_windows_in_rows
from llmtuner.mcq.bad_weights import refuse_bad_weights
from llmtuner.mcq.compare import NAMES, Comparison, RefusedError, Subject, distance, is_about_memory
from llmtuner.mcq.fp32 import half_precision_of, in_fp32
from llmtuner.mcq.model import backbone_of, text_config

CHECKED = 2  # questions


@dataclass(frozen=True, slots=True)
class PackingCheck:
    """The result of the check.

    Args:
        defect: why the model cannot take packed rows and what that costs; "" if it can.
        notice: a line about the check itself, or "".
        comparisons: in the model's own precision, then in fp32 if that was needed; none if the model's forward
            refused packed rows.
    """

    defect: str = ""
    notice: str = ""
    comparisons: tuple[Comparison, ...] = ()


def known_defect(model: Any, questions: list[OptionTokens]) -> str:
    """Why a model cannot take packed rows, if its configuration says so, and what that costs; else "".

    A comparison would not show it: questions shorter than the window agree.
    """
    if not has_windows_in_rows(text_config(model)):
        return ""
    return f"some of its layers have a window that is measured in tokens of the row; {_cost(questions[:CHECKED])}"


def check_packing(model: Any, questions: list[OptionTokens], pooling: str, pad_token_id: int) -> PackingCheck:
    """Compare the states from which options are scored in both layouts.

    Args:
        model: causal, with a head attached; its mode, weights and precision are left as they were.
        questions: the first few; at most `CHECKED` are used.
        pooling: which tokens an option is scored from.

    Raises:
        UserError: a state is not finite, since weights are not.
        RuntimeError: out of memory, which says nothing about packed rows.
        Exception: what the model raises with one row per option, and what our own code raises with packed rows.
    """
    subject = Subject(model, questions[:CHECKED], pooling, pad_token_id)
    was_training = model.training
    model.eval()
    try:
        comparisons, obstacle = _comparisons(subject)
    except RefusedError as refusal:
        reason = f"its attention does not take the mask of packed rows ({refusal})"
        return PackingCheck(f"{reason}; {_cost(subject.questions)}")
    finally:
        model.train(was_training)
    if any(math.isnan(each.difference) for each in comparisons):
        refuse_bad_weights(model)
    defect = next((_differs(each) for each in reversed(comparisons) if not each.agrees), "")
    if defect:
        return PackingCheck(f"{defect}; {_cost(subject.questions)}", comparisons=comparisons)
    return PackingCheck(notice=_notice(comparisons, obstacle), comparisons=comparisons)


def _comparisons(subject: Subject) -> tuple[tuple[Comparison, ...], str]:
    """In the model's own precision and, if that is a half precision, in fp32; else why fp32 is missing."""
    half = half_precision_of(backbone_of(subject.model))
    single_OD = subject.single()
    packed_OD = subject.packed()
    if half is None:
        return (subject.compare(torch.float32, single_OD, packed_OD),), ""
    try:
        with in_fp32(backbone_of(subject.model)):
            exact_OD = subject.single(may_fail=True)
            exact = subject.compare(torch.float32, exact_OD, subject.packed(), may_fail=True)
    except RefusedError as refusal:
        obstacle = f"; the model does not compute in fp32 ({refusal})"
    except RuntimeError as error:
        if not is_about_memory(error):
            raise
        obstacle = "; there is not enough memory for fp32"
    else:
        difference, rounding = distance(packed_OD, single_OD), distance(single_OD, exact_OD)
        return (Comparison(NAMES[half], difference, rounding, exact.moved), exact), ""
    return (subject.compare(half, single_OD, packed_OD),), obstacle


def _differs(comparison: Comparison) -> str:
    if math.isnan(comparison.difference):
        return f"some of its states are not finite in {comparison.precision}"
    return (
        f"its states differ by {comparison.difference:.1e} of their scale in {comparison.precision} from those with "
        f"one row per option, and rounding explains at most {comparison.bound:.1e}"
    )


def _notice(comparisons: tuple[Comparison, ...], obstacle: str) -> str:
    """Why there is a comparison in fp32, or what the last comparison cannot see."""
    first, last = comparisons[0], comparisons[-1]
    if not last.sees:
        return (
            "layout: packed rows agree with one row per option, but the comparison is coarse: "
            f"{_passes(last)}{obstacle}"
        )
    if first is last:
        return ""
    return f"layout: packed rows agree with one row per option, and were compared in fp32, too: {_passes(first)}"


def _passes(comparison: Comparison) -> str:
    return (
        f"in {comparison.precision}, differences up to {comparison.bound:.1e} of the states' scale count as rounding, "
        f"and options at wrong positions cause {comparison.moved:.1e}"
    )


def _cost(questions: list[OptionTokens]) -> str:
    """The cost of not packing, in tokens."""
    single = sum(len(sequence) for tokens in questions for sequence in tokens.sequences)
    saved = sum(tokens.prefix_length * (len(tokens.sequences) - 1) for tokens in questions)
    return f"one row per option computes {single / (single - saved):.1f} times the tokens"
