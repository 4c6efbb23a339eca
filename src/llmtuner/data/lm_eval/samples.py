"""Samples of lm-evaluation-harness (0.4, `--log_samples`, tasks of the type multiple_choice) as predictions.

Each line has the log-probabilities of a question's options, and the figures that the harness made of them. Both are
compared, so that a file that is read in another way than it was written is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from llmtuner.data.forms.row import is_formula
from llmtuner.data.lm_eval.line import DOC_ID, EXPECTED, NORMS, Sample, SampleError, parse_sample
from llmtuner.data.predictions import Prediction
from llmtuner.data.problems import Problem, quoted, render_problems, terminal_path
from llmtuner.data.question import Question
from llmtuner.data.sniff import read_text
from llmtuner.errors import DataError, UserError

DELIMITER = " "  # what the harness puts before an option, unless a task says otherwise; not part of its length


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
            sample = parse_sample(line, number)
            if sample.doc_id in lines:
                raise SampleError(
                    f"{DOC_ID} {sample.doc_id} is also in line {lines[sample.doc_id]}; expected one line for each "
                    "question: the samples of one run with one filter"
                )
            lines[sample.doc_id] = number
            samples.append(sample)
        except SampleError as error:
            problems.append(Problem(terminal_path(file), number, str(error)))
    _raise(problems)
    if not samples:
        raise DataError(f"{terminal_path(file)}: no samples; {EXPECTED}")
    return samples


def _raise(problems: Sequence[Problem]) -> None:
    if problems:
        raise DataError(render_problems(problems))


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
        fix = f"choose another column, or --id {DOC_ID} for the row number"
        if is_formula(each):
            defect = f"{name} {quoted(each)} would run as a formula when the submission is opened in a spreadsheet"
            problems.append(Problem(terminal_path(file), sample.line, defect, fix=fix))
        if each in lines:
            defect = f"{name} {quoted(each)} is also in line {lines[each]}"
            problems.append(Problem(terminal_path(file), sample.line, defect, fix=fix))
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
                f"{name} is {quoted(sample.figures[name])}, but log-probabilities and target give {value:g}; expected "
                "a task with one right option that is scored by them",
            )
            for name, sample, value in wrong
        ]
    )
