"""Whether a submission for Kaggle's LLM Science Exam would be accepted, and scored as it was meant.

Kaggle says only that a submission is wrong, and only after it was sent. Some defects are never reported: an id that a
spreadsheet turned into a float is another row, and a repeated letter scores nothing.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmtuner.data.predictions import BEST, Prediction, submission_ids
from llmtuner.data.problems import Problem, quoted, terminal_path
from llmtuner.data.question import LETTERS, Question
from llmtuner.data.submission_rows import SubmissionFile, SubmissionRow, read_submission, sample_ids
from llmtuner.errors import DataError, RunError

LISTED = 5  # problems of one kind in a message
_DEFAULT_LETTERS = LETTERS[:5]
_SPACED = re.compile(r"\S( \S)*")
_FLOAT = re.compile(r"(\d+)\.0*")
_EXPONENT = re.compile(r"\d+(\.\d*)?[eE]\+?\d{1,2}")


@dataclass(frozen=True, slots=True)
class ExpectedRow:
    """A row that a submission must have.

    Args:
        letters: those of the question.
        place: `file:line` of the id, "" if it comes from no file.
    """

    id: str
    letters: str = _DEFAULT_LETTERS
    place: str = ""


@dataclass(frozen=True, slots=True)
class SubmissionCheck:
    """What is wrong with a submission.

    Args:
        problems: for which it would be refused, or scored as something else than was meant; with the kind of each.
        warnings: what Kaggle accepts.
    """

    file: str
    rows: int
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """How many problems there are of each kind, in the order of their first lines."""
        return dict(Counter(problem.kind for problem in self.problems))

    def lines(self) -> list[str]:
        """The result as text: a verdict, and at most `LISTED` problems of each kind."""
        total, counts = len(self.problems), self.counts
        kinds = f"{total:,} problem{'s' * (total != 1)}" + (f" of {len(counts)} kinds" if len(counts) > 1 else "")
        verdict = kinds if total else "clean" + (", with a warning" if self.warnings else "")
        lines = [f"{self.file}: {self.rows:,} rows, {verdict}"]
        for kind, count in counts.items():
            lines += [f"  {problem}" for problem in self._of(kind)[:LISTED]]
            if count > LISTED:
                lines.append(f"  and {count - LISTED:,} more of this kind ({kind})")
        return [*lines, *(f"  warning: {problem}" for problem in self.warnings)]

    def _of(self, kind: str) -> list[Problem]:
        return [problem for problem in self.problems if problem.kind == kind]

    def record(self) -> dict[str, Any]:
        """The result for JSON, with every problem."""
        return {
            "file": self.file,
            "rows": self.rows,
            "clean": not self.problems,
            "counts": self.counts,
            "problems": [_problem_record(problem) for problem in self.problems],
            "warnings": [_problem_record(problem) for problem in self.warnings],
        }


def _problem_record(problem: Problem) -> dict[str, Any]:
    names = ("line", "kind", "what", "expected", "fix")
    return {name: getattr(problem, name) for name in names}


def check_submission(
    path: str | os.PathLike[str],
    *,
    questions: Sequence[Question] | None = None,
    sample: str | os.PathLike[str] | None = None,
) -> SubmissionCheck:
    """Check a submission.

    Args:
        questions: those that it answers: their ids and letters. Without them every question has the letters A to E.
        sample: a sample submission with the expected ids, whose order is compared, too. Without it and without
            questions, ids are compared only with each other.

    Raises:
        DataError: a file cannot be read, or sample and questions have different ids.
    """
    file = read_submission(Path(path))
    of_questions = None if questions is None else [ExpectedRow(q.id, q.letters, q.where) for q in questions]
    of_sample = None if sample is None else _sample_rows(Path(sample))
    if of_questions is not None and of_sample is not None:
        _check_same_ids(of_questions, of_sample)
    return _checked(file, terminal_path(path), of_questions or of_sample, of_sample)


def require_sound(path: str | os.PathLike[str], predictions: Sequence[Prediction]) -> None:
    """Check a submission that was just written from predictions.

    Raises:
        RunError: it has a defect, which is one of this project; the file stays as it is.
    """
    pairs = zip(submission_ids(predictions), predictions, strict=True)
    expected = [ExpectedRow(name, LETTERS[: len(prediction.scores)]) for name, prediction in pairs]
    result = _checked(read_submission(Path(path)), terminal_path(path), expected, expected)
    if result.problems or result.warnings:
        listed = "\n".join(result.lines())
        raise RunError(f"the submission was written with a defect; this is an error of the program:\n{listed}")


def _sample_rows(path: Path) -> list[ExpectedRow]:
    return [ExpectedRow(name, place=f"{terminal_path(path)}:{line}") for line, name in sample_ids(path)]


def _check_same_ids(questions: Sequence[ExpectedRow], sample: Sequence[ExpectedRow]) -> None:
    counts = [Counter(row.id for row in rows) for rows in (questions, sample)]
    for name, (left, right), rows in (
        ("the questions", counts, questions),
        ("the sample", (counts[1], counts[0]), sample),
    ):
        extra = [row for row in rows if row.id in left - right]
        if extra:
            raise DataError(
                f"{extra[0].place}: id {quoted(extra[0].id)} is only in {name} (and {len(extra) - 1} more); sample and "
                "questions must have the same ids: name the files that belong together"
            )


def _checked(
    file: SubmissionFile, name: str, expected: Sequence[ExpectedRow] | None, order: Sequence[ExpectedRow] | None
) -> SubmissionCheck:
    problems = list(file.problems)
    if expected is None:
        letters: Mapping[int, str] = {}
        problems += _loose_ids(file.rows, name)
    else:
        letters, defects = _matched(file.rows, expected, name)
        problems += defects
    longest = max((row.letters for row in expected or ()), key=len, default=_DEFAULT_LETTERS)
    for row in file.rows:
        problems += _prediction_defects(row, letters.get(row.line, longest), name)
    problems.sort(key=lambda problem: problem.line or 1 << 60)  # missing ids have no line, and come last
    return SubmissionCheck(name, len(file.rows), tuple(problems), tuple(_order(file.rows, order, name)))


def _matched(
    rows: Sequence[SubmissionRow], expected: Sequence[ExpectedRow], name: str
) -> tuple[dict[int, str], list[Problem]]:
    """The letters of each row's question by the row's line, and the defects of the ids."""
    open_rows: dict[str, list[ExpectedRow]] = {}
    for wanted in expected:
        open_rows.setdefault(wanted.id, []).append(wanted)
    by_number = {wanted.id.lstrip("0") or "0": wanted.id for wanted in expected if _is_number(wanted.id)}
    letters: dict[int, str] = {}
    problems: list[Problem] = []
    first_lines: dict[str, int] = {}
    for row in rows:
        meant = row.id
        if row.id not in open_rows:
            meant, problem = _unknown_id(row, open_rows, by_number, name)
            problems.append(problem)
        if not open_rows.get(meant):
            if row.id in open_rows:
                problems.append(_repeated(row, first_lines[row.id], name))
            continue
        letters[row.line] = open_rows[meant].pop(0).letters
        first_lines.setdefault(meant, row.line)
    missing = [wanted for rest in open_rows.values() for wanted in rest]
    for wanted in missing:
        place = f" ({wanted.place})" if wanted.place else ""
        problems.append(Problem(name, 0, f"no row for id {quoted(wanted.id)}{place}", kind="missing id"))
    return letters, problems


def _unknown_id(
    row: SubmissionRow, known: Mapping[str, object], by_number: Mapping[str, str], name: str
) -> tuple[str, Problem]:
    """The id that was probably meant, or "", and the problem."""
    text = row.id.strip()
    if not text:
        return "", Problem(name, row.line, "the id is blank", fix="write the question's id", kind="blank id")
    if text in known:
        return text, _spaced(row, name)
    as_float = _whole(text)
    meant = by_number.get((as_float if as_float is not None else text).lstrip("0") or "0", "")
    shown = f"id {quoted(row.id)}"
    if meant and as_float is not None:
        return meant, _float_id(row, name, meant)
    if meant and _is_number(text):
        defect = f"{shown}: its leading zeros differ from those of the question"
        fix = "read ids as text (pandas: dtype={'id': str})"
        return meant, Problem(name, row.line, defect, f"expected {quoted(meant)}", fix, kind="leading zeros")
    return "", Problem(name, row.line, f"{shown} belongs to no question", fix="leave the row out", kind="unknown id")


def _loose_ids(rows: Sequence[SubmissionRow], name: str) -> Iterator[Problem]:
    """Defects of ids that can be seen without the questions."""
    first_lines: dict[str, int] = {}
    for row in rows:
        if not row.id.strip():
            yield Problem(name, row.line, "the id is blank", fix="write the question's id", kind="blank id")
            continue
        if row.id in first_lines:
            yield _repeated(row, first_lines[row.id], name)
        first_lines.setdefault(row.id, row.line)
        if row.id != row.id.strip():
            yield _spaced(row, name)
        elif (whole := _whole(row.id)) is not None:
            yield _float_id(row, name, whole)


def _repeated(row: SubmissionRow, first: int, name: str) -> Problem:
    defect = f"id {quoted(row.id)} has a row already, in line {first}"
    return Problem(name, row.line, defect, "expected one row for each id", kind="duplicate id")


def _spaced(row: SubmissionRow, name: str) -> Problem:
    defect = f"blanks around id {quoted(row.id)}"
    return Problem(name, row.line, defect, f"expected {quoted(row.id.strip())}", kind="blanks")


def _float_id(row: SubmissionRow, name: str, meant: str) -> Problem:
    fix = "read ids as text (pandas: dtype={'id': str})"
    return Problem(name, row.line, f"id {quoted(row.id)} is a float", f"expected {quoted(meant)}", fix, kind="float id")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _whole(text: str) -> str | None:
    """The digits of a whole number that was written as a float: "12" for 12.0 and 1.2e1; else None."""
    if plain := _FLOAT.fullmatch(text):
        return plain[1]
    if _EXPONENT.fullmatch(text) and float(text).is_integer():
        return str(int(float(text)))
    return None


def _prediction_defects(row: SubmissionRow, letters: str, name: str) -> Iterator[Problem]:
    """What is wrong with a row's letters: at first their form, then which ones they are."""
    cell = row.prediction
    if cell is None:
        return
    count = min(BEST, len(letters))
    expected = f"expected {count} different letters of {' '.join(letters)}, separated by one blank"
    shown = f"prediction {quoted(cell) if cell.isascii() else ascii(cell[:60])}"
    if not cell.strip():
        yield Problem(name, row.line, "the prediction is blank", expected, kind="blank prediction")
        return
    if cell != cell.strip():
        yield Problem(name, row.line, f"blanks around {shown}", expected, "remove them", kind="blanks")
    if not _SPACED.fullmatch(cell.strip()):
        fix = f"such as {' '.join(letters[:count])}"
        yield Problem(name, row.line, f"{shown}: not single letters between blanks", expected, fix, kind="form")
        return
    given = cell.strip().split(" ")
    unknown = [letter for letter in given if letter not in letters]
    if unknown:
        fix = "write capitals" if all(letter.upper() in letters for letter in unknown) else ""
        defect = f"{shown}: {', '.join(map(ascii, unknown))} is no letter of the question"
        yield Problem(name, row.line, defect, expected, fix, kind="letters")
    if len(set(given)) < len(given):
        yield Problem(name, row.line, f"{shown}: a letter is repeated", expected, kind="repeated letter")
    elif len(given) != count:
        defect = f"{shown}: {len(given)} letter{'s' * (len(given) != 1)}"
        yield Problem(name, row.line, defect, expected, kind="number of letters")


def _order(rows: Sequence[SubmissionRow], order: Sequence[ExpectedRow] | None, name: str) -> Iterator[Problem]:
    """A warning if the rows have the sample's ids in another order."""
    if order is None or Counter(row.id for row in rows) != Counter(row.id for row in order):
        return
    for row, wanted in zip(rows, order, strict=True):
        if row.id != wanted.id:
            defect = f"from here on the order is not that of the sample: id {quoted(row.id)}"
            expected = f"expected {quoted(wanted.id)}{f' ({wanted.place})' if wanted.place else ''}"
            yield Problem(name, row.line, defect, expected, "Kaggle goes by the ids", kind="order")
            return
