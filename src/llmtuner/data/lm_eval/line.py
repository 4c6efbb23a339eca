"""One line of a samples file of lm-evaluation-harness, checked."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llmtuner.data.problems import quoted
from llmtuner.data.question import LETTERS, MIN_OPTIONS

NORMS = {"sum": "acc", "char": "acc_norm"}  # of our scores, and the harness's metric that ranks in the same way
DOC_ID = "doc_id"
EXPECTED = "expected a sample of a multiple_choice task, as --log_samples of lm_eval 0.4 writes it"


class SampleError(ValueError):
    """What is wrong with one line."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A line of a samples file.

    Args:
        doc: the row of the data set.
        context: the text before the options.
        options: the continuations as the model got them, the delimiter included.
        sums: log-probability of each; minus infinity is possible.
        target: the right answer as the file has it: the number of an option from 0, or its text.
        figures: acc and acc_norm, those that the task has.
    """

    line: int
    doc_id: int
    doc: Mapping[str, Any]
    context: str
    options: tuple[str, ...]
    sums: tuple[float, ...]
    target: str
    figures: Mapping[str, float]


def parse_sample(line: str, number: int) -> Sample:
    """The sample of a line.

    Args:
        number: of the line, from 1.

    Raises:
        SampleError: what is wrong with it, and what was expected.
    """
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise SampleError(f"not JSON: {error}; {EXPECTED}") from error
    if not isinstance(record, dict):
        raise SampleError(f"{quoted(record)}; {EXPECTED}")
    missing = [key for key in (DOC_ID, "doc", "target", "arguments", "filtered_resps") if key not in record]
    if missing:
        raise SampleError(f"no {', '.join(missing)}; {EXPECTED}")
    doc_id, doc = record[DOC_ID], record["doc"]
    if type(doc_id) is not int or doc_id < 0:
        raise SampleError(f"{DOC_ID} {quoted(doc_id)}; expected a row number from 0")
    requests = _requests(record["arguments"])
    sums = _sums(record["filtered_resps"])
    if len(requests) != len(sums):
        raise SampleError(f"{len(requests)} arguments, but {len(sums)} filtered_resps; expected one for each option")
    requests, sums = _conditional(requests, sums)
    if not MIN_OPTIONS <= len(sums) <= len(LETTERS):
        raise SampleError(f"{len(sums)} options; expected {MIN_OPTIONS} to {len(LETTERS)}")
    if not any(map(math.isfinite, sums)):
        raise SampleError("no option has a finite log-probability")
    contexts, options = zip(*requests, strict=True)
    if len(set(contexts)) > 1:
        raise SampleError(
            "the options differ in their context, not in their continuation (as in winogrande); the file does not say "
            "which is right"
        )
    target = record["target"]
    if isinstance(target, bool) or not isinstance(target, str | int):
        raise SampleError(f"target {quoted(target)}; expected the number or the text of one right option")
    figures = {name: record[name] for name in NORMS.values() if isinstance(record.get(name), int | float)}
    row = doc if isinstance(doc, dict) else {}
    return Sample(number, doc_id, row, contexts[0], options, sums, str(target), figures)


def _requests(stored: object) -> list[tuple[str, str]]:
    """Context and continuation of each option; newer versions write objects, older ones lists."""
    listed = stored
    if isinstance(stored, dict):
        listed = [stored.get(f"gen_args_{place}") for place in range(len(stored))]
    if not isinstance(listed, list) or not listed:
        raise SampleError(f"arguments {quoted(stored)}; {EXPECTED}")
    requests = []
    for each in listed:
        pair = [each.get("arg_0"), each.get("arg_1")] if isinstance(each, dict) else each
        if not isinstance(pair, list) or len(pair) < 2 or not all(isinstance(text, str) for text in pair[:2]):
            raise SampleError(
                f"arguments {quoted(each)}: no context with a continuation, so not of a multiple_choice task; "
                "generated texts have no score for each option"
            )
        requests.append((pair[0], pair[1]))
    return requests


def _sums(stored: object) -> tuple[float, ...]:
    """The log-probabilities: [[number, is_greedy], ...]; newer versions write them as text."""
    if not isinstance(stored, list):
        raise SampleError(f"filtered_resps {quoted(stored)}; expected one for each option")
    sums = []
    for each in stored:
        value = each[0] if isinstance(each, list) and len(each) == 2 else None
        try:
            number = math.nan if value is None or isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if math.isnan(number) or number == math.inf:
            raise SampleError(f"filtered_resps {quoted(each)}; expected [log-probability, is_greedy]")
        sums.append(number)
    return tuple(sums)


def _conditional(
    requests: list[tuple[str, str]], sums: tuple[float, ...]
) -> tuple[list[tuple[str, str]], tuple[float, ...]]:
    """Without the second half that acc_mutual_info adds: the same continuations after no context."""
    half, odd = divmod(len(requests), 2)
    if odd or not any(context for context, _ in requests) or any(context for context, _ in requests[half:]):
        return requests, sums
    # Older versions of the harness left out the blank between the context and the continuation there.
    same = [
        text in (first, first.removeprefix(" "))
        for (_, first), (_, text) in zip(requests[:half], requests[half:], strict=True)
    ]
    return (requests[:half], sums[:half]) if all(same) else (requests, sums)
