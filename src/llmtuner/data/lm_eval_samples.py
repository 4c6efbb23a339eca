"""Samples of lm-evaluation-harness (0.4, `--log_samples`, tasks of the type multiple_choice) as predictions.

Each line has the log-probabilities of a question's options, and the figures that the harness made of them. Both are
compared, so that a file that is read in another way than it was written is refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llmtuner.data.predictions import Prediction
from llmtuner.data.problems import Problem, quoted, render_problems, terminal_path
from llmtuner.data.question import LETTERS, MIN_OPTIONS, Question
from llmtuner.data.sniff import read_text
from llmtuner.errors import DataError, UserError

NORMS = {"sum": "acc", "char": "acc_norm"}  # of our scores, and the harness's metric that ranks in the same way
DOC_ID = "doc_id"
DELIMITER = " "  # what the harness puts before an option, unless a task says otherwise; not part of its length
_EXPECTED = "expected a sample of a multiple_choice task, as --log_samples of lm_eval 0.4 writes it"


class _SampleError(ValueError):
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


@dataclass(frozen=True, slots=True)
class Imported:
    """Questions with their predictions, in the order of `doc_id`."""

    questions: list[Question]
    predictions: list[Prediction]


def read_samples(path: str | Path, *, norm: str = "sum", id_column: str | None = None) -> Imported:
    """The questions and predictions of a samples file.

    Args:
        norm: "sum", or "char": each sum divided by the code points of the option's text, as `acc_norm` does.
        id_column: the column of the data set that has the ids, or "doc_id" for the row number. None for `id` where
            every row has one, else the row number: the ids of this project's own predictions of the same file.

    Raises:
        DataError: lines that cannot be read, or whose figures do not follow from their sums; all in one message.
    """
    file = Path(path)
    samples = _parsed(file)
    ids = _ids(file, samples, id_column)
    answers = _answers(file, samples)
    samples = _bare_options(file, samples, answers, norm)
    scores = _scores(file, samples, norm)
    _check_figure(file, samples, answers, scores, NORMS[norm])
    rows = sorted(range(len(samples)), key=lambda row: samples[row].doc_id)
    where = terminal_path(file)
    return Imported(
        [
            Question(ids[row], each.context, each.options, answers[row], file=where, line=each.line)
            for row in rows
            for each in [samples[row]]
        ],
        [Prediction(ids[row], scores[row], answers[row], loglikelihood=samples[row].sums) for row in rows],
    )


def _parsed(file: Path) -> list[Sample]:
    samples, problems = [], []
    lines: dict[int, int] = {}
    for number, line in enumerate(read_text(file).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            sample = _sample(line, number)
            if sample.doc_id in lines:
                raise _SampleError(
                    f"{DOC_ID} {sample.doc_id} is also in line {lines[sample.doc_id]}; expected one line for each "
                    "question: the samples of one run with one filter"
                )
            lines[sample.doc_id] = number
            samples.append(sample)
        except _SampleError as error:
            problems.append(Problem(terminal_path(file), number, str(error)))
    _raise(problems)
    if not samples:
        raise DataError(f"{terminal_path(file)}: no samples; {_EXPECTED}")
    return samples


def _raise(problems: Sequence[Problem]) -> None:
    if problems:
        raise DataError(render_problems(problems))


def _sample(line: str, number: int) -> Sample:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _SampleError(f"not JSON: {error}; {_EXPECTED}") from error
    if not isinstance(record, dict):
        raise _SampleError(f"{quoted(record)}; {_EXPECTED}")
    missing = [key for key in (DOC_ID, "doc", "target", "arguments", "filtered_resps") if key not in record]
    if missing:
        raise _SampleError(f"no {', '.join(missing)}; {_EXPECTED}")
    doc_id, doc = record[DOC_ID], record["doc"]
    if type(doc_id) is not int or doc_id < 0:
        raise _SampleError(f"{DOC_ID} {quoted(doc_id)}; expected a row number from 0")
    requests = _requests(record["arguments"])
    sums = _sums(record["filtered_resps"])
    if len(requests) != len(sums):
        raise _SampleError(f"{len(requests)} arguments, but {len(sums)} filtered_resps; expected one for each option")
    requests, sums = _conditional(requests, sums)
    if not MIN_OPTIONS <= len(sums) <= len(LETTERS):
        raise _SampleError(f"{len(sums)} options; expected {MIN_OPTIONS} to {len(LETTERS)}")
    if not any(map(math.isfinite, sums)):
        raise _SampleError("no option has a finite log-probability")
    contexts, options = zip(*requests, strict=True)
    if len(set(contexts)) > 1:
        raise _SampleError(
            "the options differ in their context, not in their continuation (as in winogrande); the file does not say "
            "which is right"
        )
    target = record["target"]
    if isinstance(target, bool) or not isinstance(target, str | int):
        raise _SampleError(f"target {quoted(target)}; expected the number or the text of one right option")
    figures = {name: record[name] for name in NORMS.values() if isinstance(record.get(name), int | float)}
    row = doc if isinstance(doc, dict) else {}
    return Sample(number, doc_id, row, contexts[0], options, sums, str(target), figures)


def _requests(stored: object) -> list[tuple[str, str]]:
    """Context and continuation of each option; newer versions write objects, older ones lists."""
    if isinstance(stored, dict):
        stored = [stored.get(f"gen_args_{place}") for place in range(len(stored))]
    if not isinstance(stored, list) or not stored:
        raise _SampleError(f"arguments {quoted(stored)}; {_EXPECTED}")
    requests = []
    for each in stored:
        pair = [each.get("arg_0"), each.get("arg_1")] if isinstance(each, dict) else each
        if not isinstance(pair, list) or len(pair) < 2 or not all(isinstance(text, str) for text in pair[:2]):
            raise _SampleError(
                f"arguments {quoted(each)}: no context with a continuation, so not of a multiple_choice task; "
                "generated texts have no score for each option"
            )
        requests.append((pair[0], pair[1]))
    return requests


def _sums(stored: object) -> tuple[float, ...]:
    """The log-probabilities: [[number, is_greedy], ...]; newer versions write them as text."""
    if not isinstance(stored, list):
        raise _SampleError(f"filtered_resps {quoted(stored)}; expected one for each option")
    sums = []
    for each in stored:
        value = each[0] if isinstance(each, list) and len(each) == 2 else None
        try:
            number = math.nan if value is None or isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if math.isnan(number) or number == math.inf:
            raise _SampleError(f"filtered_resps {quoted(each)}; expected [log-probability, is_greedy]")
        sums.append(number)
    return tuple(sums)


def _conditional(
    requests: list[tuple[str, str]], sums: tuple[float, ...]
) -> tuple[list[tuple[str, str]], tuple[float, ...]]:
    """Without the second half that acc_mutual_info adds: the same continuations after an empty context."""
    half, odd = divmod(len(requests), 2)
    added = requests[half:]
    if not odd and [("", text) for _, text in requests[:half]] == added and any(context for context, _ in requests):
        return requests[:half], sums[:half]
    return requests, sums


def _ids(file: Path, samples: Sequence[Sample], column: str | None) -> list[str]:
    def has(sample: Sample, name: str) -> bool:
        value = sample.doc.get(name)
        if isinstance(value, str):  # half of a pair of UTF-16 is no text that can be written
            return bool(value.strip()) and value.encode("utf-8", "ignore").decode("utf-8") == value
        return type(value) is int

    if column == DOC_ID or (column is None and not all(has(sample, "id") for sample in samples)):
        return [str(sample.doc_id) for sample in samples]
    name = column or "id"
    _raise(
        [
            Problem(terminal_path(file), sample.line, f"doc has no {name}; expected a text or a whole number")
            for sample in samples
            if not has(sample, name)
        ]
    )
    ids, problems = [str(sample.doc[name]) for sample in samples], []
    lines: dict[str, int] = {}
    for each, sample in zip(ids, samples, strict=True):
        if each in lines:
            fix = f"choose another column, or --id {DOC_ID} for the row number"
            what = f"{name} {quoted(each)} is also in line {lines[each]}"
            problems.append(Problem(terminal_path(file), sample.line, what, fix=fix))
        lines.setdefault(each, sample.line)
    _raise(problems)
    return ids


def _answers(file: Path, samples: Sequence[Sample]) -> list[int]:
    """The right options. A target is the option's number or its text; the same in all lines, and as `acc` says.

    Raises:
        DataError: a target is neither, or the figures of the file follow from neither.
    """
    readings = {name: [read(sample) for sample in samples] for name, read in _READINGS.items()}
    whole = {name: answers for name, answers in readings.items() if None not in answers}
    if not whole:
        best = min(readings.values(), key=lambda answers: answers.count(None))
        raise DataError(
            render_problems(
                [
                    Problem(
                        terminal_path(file),
                        sample.line,
                        f"target {quoted(sample.target)}; expected the number (from 0) or the text of one right option",
                    )
                    for sample, answer in zip(samples, best, strict=True)
                    if answer is None
                ]
            )
        )
    agreeing = [answers for answers in whole.values() if not _disagreeing(samples, answers)]
    if not agreeing:
        return _known(next(iter(whole.values())))  # `_check_figure` names the lines
    if any(answers != agreeing[0] for answers in agreeing):
        raise DataError(
            f"{terminal_path(file)}: the targets can be numbers of options and their texts, and no acc in the file "
            "says which; evaluate again with the metric acc"
        )
    return _known(agreeing[0])


def _known(answers: Sequence[int | None]) -> list[int]:
    return [answer for answer in answers if answer is not None]


def _by_number(sample: Sample) -> int | None:
    target = sample.target
    return int(target) if target.isdecimal() and len(target) < 3 and int(target) < len(sample.options) else None


def _by_text(sample: Sample) -> int | None:
    texts = [option.strip() for option in sample.options]
    return texts.index(sample.target.strip()) if sample.target.strip() in texts else None


_READINGS: Mapping[str, Callable[[Sample], int | None]] = {"number": _by_number, "text": _by_text}


def _disagreeing(samples: Sequence[Sample], answers: Sequence[int | None]) -> list[Sample]:
    """The samples whose acc is not what their sums and answers give."""
    return [
        sample
        for sample, answer in zip(samples, answers, strict=True)
        if sample.figures.get("acc", _is_first(sample.sums, answer)) != _is_first(sample.sums, answer)
    ]


def _is_first(scores: Sequence[float], answer: int | None) -> float:
    """The harness's accuracy: of equal scores the first counts as the best."""
    return float(max(range(len(scores)), key=scores.__getitem__) == answer)


def _bare_options(file: Path, samples: Sequence[Sample], answers: Sequence[int], norm: str) -> list[Sample]:
    """The samples with the options' texts without the delimiter, which the file does not state.

    It is one blank if every option begins with one. A task may have no delimiter and options that begin with a blank:
    then `acc_norm` follows from the whole texts only.
    """
    if not all(option.startswith(DELIMITER) for sample in samples for option in sample.options):
        return list(samples)
    bare = [replace(sample, options=tuple(text[len(DELIMITER) :] for text in sample.options)) for sample in samples]
    if norm == "char":
        for candidates in (bare, list(samples)):
            scores = _scores(file, candidates, norm)
            if not _wrong_figures(candidates, answers, scores, NORMS[norm]):
                return candidates
    return bare


def _scores(file: Path, samples: Sequence[Sample], norm: str) -> list[tuple[float, ...]]:
    if norm not in NORMS:
        raise UserError(f"norm {norm}: unknown value; choose from: {', '.join(NORMS)}")
    if norm == "sum":
        return [sample.sums for sample in samples]
    scores = [
        tuple(total / len(text) if text else -math.inf for total, text in zip(sample.sums, sample.options, strict=True))
        for sample in samples
    ]
    _raise(
        [
            Problem(terminal_path(file), sample.line, "no option has a text with a finite log-probability")
            for sample, values in zip(samples, scores, strict=True)
            if not any(map(math.isfinite, values))
        ]
    )
    return scores


def _wrong_figures(
    samples: Sequence[Sample], answers: Sequence[int], scores: Sequence[Sequence[float]], figure: str
) -> list[tuple[Sample, float]]:
    """The samples whose figure does not follow from scores and answer, with what follows."""
    expected = [_is_first(values, answer) for values, answer in zip(scores, answers, strict=True)]
    return [
        (sample, value)
        for sample, value in zip(samples, expected, strict=True)
        if sample.figures.get(figure, value) != value
    ]


def _check_figure(
    file: Path, samples: Sequence[Sample], answers: Sequence[int], scores: Sequence[Sequence[float]], figure: str
) -> None:
    wrong = [("acc", *each) for each in _wrong_figures(samples, answers, [each.sums for each in samples], "acc")]
    if figure != "acc" and not wrong:
        wrong = [(figure, *each) for each in _wrong_figures(samples, answers, scores, figure)]
    _raise(
        [
            Problem(
                terminal_path(file),
                sample.line,
                f"{name} is {sample.figures[name]:g}, but log-probabilities and target give {value:g}; expected a "
                "task with one right option that is scored by them",
            )
            for name, sample, value in wrong
        ]
    )
