"""The whole audit: every question asked of every file, in one result."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from llmtuner.data.audit.checks import CHECKS
from llmtuner.data.audit.counts import counts, lengths
from llmtuner.data.audit.label_errors import LabelErrors, Pair, label_errors, pair_up
from llmtuner.data.audit.model import FEWEST, shortcut_model
from llmtuner.data.audit.positions import positions
from llmtuner.data.audit.quality import form
from llmtuner.data.audit.repeats import Repeats, repeats
from llmtuner.data.audit.result import Audit, FileAudit
from llmtuner.data.audit.shortcuts import shortcut_scores
from llmtuner.data.load import Inspection, inspect_questions
from llmtuner.data.predictions import read_predictions
from llmtuner.data.problems import terminal_path
from llmtuner.data.question import Question
from llmtuner.errors import DataError, UserError

AT_CHANCE = 0.1  # accuracy above chance below which a model's doubts are worth nothing


def audit(
    paths: Sequence[str | os.PathLike[str]],
    *,
    near: bool = True,
    predictions: str | os.PathLike[str] | None = None,
) -> Audit:
    """Audit files together. The same files give the same result.

    Args:
        near: also look for near duplicates, which takes most of the time.
        predictions: a predictions.jsonl of these files, out of fold.

    Raises:
        DataError: files that cannot be read as questions at all (defective rows are in the result).
        UserError: a file given twice, or predictions of other questions.
    """
    _refuse_twice(paths)
    inspections = _inspected(paths)
    questions = [question for inspection in inspections for question in inspection.questions]
    pairs = None
    if predictions is not None:
        pairs = pair_up(questions, read_predictions(predictions), terminal_path(predictions))
    notes: list[str] = []
    files = tuple(_file(inspection, notes) for inspection in inspections)
    again = _repeats(inspections, near, notes)
    doubted = None if pairs is None else _label_errors(questions, pairs, notes)
    found = Audit(files, again, doubted, {}, ())
    hits = {name: count(found) for name, (_, count) in CHECKS.items()}
    for inspection in inspections:
        if inspection.unread:
            name, last = terminal_path(inspection.path), inspection.errors[-1].line
            notes.append(
                f"{name}: {inspection.unread:,} lines behind line {last} were not read; without hits, no check is done"
            )
            hits |= {name: None for name, number in hits.items() if not number}
    return replace(found, checks=hits, notes=tuple(dict.fromkeys(notes)))


def _inspected(paths: Sequence[str | os.PathLike[str]]) -> list[Inspection]:
    """All files, or all that keeps them from being read, in one message."""
    found, errors = [], []
    for path in paths:
        try:
            found.append(inspect_questions(path))
        except DataError as error:
            errors.append(str(error))
    if errors:
        raise DataError("\n".join(errors))
    return found


def _refuse_twice(paths: Sequence[str | os.PathLike[str]]) -> None:
    seen: set[Path] = set()
    for path in paths:
        resolved = Path(path).resolve()
        if resolved in seen:
            raise UserError(f"{terminal_path(path)}: given twice; it would leak into itself")
        seen.add(resolved)


def _file(inspection: Inspection, notes: list[str]) -> FileAudit:
    questions, name = inspection.questions, terminal_path(inspection.path)
    model = None
    try:
        model = shortcut_model(questions)
    except ImportError:
        notes.append("no logistic model of shortcuts: scikit-learn is not installed (pip install scikit-learn)")
    else:
        if model is None:
            notes.append(f"{name}: no logistic model of shortcuts: fewer than {FEWEST} different answered questions")
    return FileAudit(
        file=name,
        columns_form=inspection.form,
        unit=inspection.unit,
        counts=counts(inspection),
        errors=inspection.errors,
        warnings=inspection.warnings,
        form=form(questions),
        lengths=lengths(questions),
        positions=tuple(positions(questions)),
        shortcuts=tuple(shortcut_scores(questions)),
        model=model,
    )


def _repeats(inspections: Sequence[Inspection], near: bool, notes: list[str]) -> Repeats:
    files = [inspection.questions for inspection in inspections]
    names = [terminal_path(inspection.path) for inspection in inspections]
    if not near:
        notes.append("near duplicates were not looked for, as asked")
        return repeats(files, names, near=False)
    try:
        return repeats(files, names)
    except ImportError:
        notes.append("near duplicates were not looked for: datasketch is not installed (pip install datasketch)")
        return repeats(files, names, near=False)


def _label_errors(questions: Sequence[Question], pairs: Sequence[Pair], notes: list[str]) -> LabelErrors | None:
    try:
        found = label_errors(questions, pairs)
    except ImportError:
        notes.append("label errors were not looked for: cleanlab is not installed (pip install cleanlab)")
        return None
    if found.without_prediction:
        notes.append(f"{found.without_prediction:,} answered questions have no prediction and were not looked at")
    if found.accuracy is not None and found.accuracy < (found.chance or 0) + AT_CHANCE:
        notes.append(
            f"the predictions are right on {found.accuracy:.1%}, and chance on {found.chance:.1%}: are they of other "
            "questions? The likely label errors say nothing"
        )
    if found.too_few:
        notes.append(f"{found.too_few:,} predictions were passed over: too few have their number of options")
    return found
