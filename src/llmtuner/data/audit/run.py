"""The whole audit: all checks on all files, in one result."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from llmtuner.data.audit.checks import CHECKS
from llmtuner.data.audit.counts import counts, lengths
from llmtuner.data.audit.label_errors import LabelErrors, Pair, label_errors, pair_up
from llmtuner.data.audit.model import MIN_TEXTS, guesses
from llmtuner.data.audit.positions import positions
from llmtuner.data.audit.quality import quality_summary
from llmtuner.data.audit.repeats import Repeats, repeats
from llmtuner.data.audit.result import Audit, FileAudit
from llmtuner.data.audit.shortcuts import shortcut_scores
from llmtuner.data.collect import with_predicted_ids
from llmtuner.data.load import Inspection, inspect_questions
from llmtuner.data.paths import matching_paths
from llmtuner.data.pauses import garbage_collection_paused
from llmtuner.data.predictions import read_predictions
from llmtuner.data.problems import terminal_path
from llmtuner.data.question import Question
from llmtuner.data.read_as import AS_IT_IS, merged_query, split_query
from llmtuner.errors import DataError, UserError

MIN_ABOVE_CHANCE = 0.1  # accuracy above chance below which a model's doubts are meaningless


def audit(
    paths: Sequence[str | os.PathLike[str]],
    *,
    near: bool = True,
    predictions: str | os.PathLike[str] | None = None,
) -> Audit:
    """Audit files together. The same files give the same result.

    Args:
        near: whether to search for near duplicates, which takes most of the time.
        predictions: a predictions.jsonl of these files, out of fold.

    Raises:
        DataError: a file has no readable questions at all (other defects are in the result).
        UserError: a file is given twice, or the predictions are for other questions.
    """
    with garbage_collection_paused():
        return _audit(paths, near, predictions)


def _audit(paths: Sequence[str | os.PathLike[str]], near: bool, predictions: str | os.PathLike[str] | None) -> Audit:
    files = audited_files(paths)
    _reject_repeated(files)
    inspections = _inspected(files)
    questions = [question for inspection in inspections for question in inspection.questions]
    pairs = None
    if predictions is not None:
        predicted = read_predictions(predictions)
        questions = with_predicted_ids(inspections, (each.id for each in predicted))
        pairs = pair_up(questions, predicted, terminal_path(predictions))
    notes: list[str] = []
    result = Audit(
        files=tuple(_file_audit(inspection, notes) for inspection in inspections),
        repeats=_repeats(inspections, near, notes),
        label_errors=None if pairs is None else _label_errors(questions, pairs, notes),
        checks={},
        notes=(),
    )
    hits = {name: count(result) for name, (_, count) in CHECKS.items()}
    for inspection in inspections:
        if inspection.unread:
            file, last_line = terminal_path(inspection.path), inspection.errors[-1].line
            notes.append(
                f"{file}: {inspection.unread:,} lines after line {last_line} were not read, so checks without hits are "
                "skipped"
            )
            hits |= {name: None for name, number in hits.items() if not number}
    return replace(result, checks=hits, notes=tuple(dict.fromkeys(notes)))


def audited_files(paths: Iterable[str | os.PathLike[str]]) -> list[tuple[Path, str]]:
    """The files or folders that are audited, with how each is to be read; a pattern stands for those that match it.

    Raises:
        DataError: nothing matches a pattern.
    """
    files: list[tuple[Path, str]] = []
    for path in paths:
        name, query = split_query(os.fspath(path))
        shown = (
            matching_paths(name) if os.path.isabs(name) else [f.relative_to(Path.cwd()) for f in matching_paths(name)]
        )
        files += [(file, query) for file in shown]
    return files


def _inspected(files: Sequence[tuple[Path, str]]) -> list[Inspection]:
    """All files, or one error for all files that cannot be read."""
    inspections, errors = [], []
    for file, query in files:
        try:
            given = f"{file}?{query}" if query else str(file)
            inspections.append(inspect_questions(file, read_as=merged_query(AS_IT_IS, query, given)))
        except DataError as error:
            errors.append(str(error))
    if errors:
        raise DataError("\n".join(errors))
    return inspections


def _reject_repeated(files: Iterable[tuple[Path, str]]) -> None:
    resolved_paths: set[Path] = set()
    for path, _ in files:
        resolved = path.resolve()
        if resolved in resolved_paths:
            raise UserError(f"{terminal_path(path)}: given twice, so it would leak into itself; name it once")
        resolved_paths.add(resolved)


def _file_audit(inspection: Inspection, notes: list[str]) -> FileAudit:
    questions, name = inspection.questions, terminal_path(inspection.path)
    model = None
    try:
        shortcuts, model = guesses(questions)
    except ImportError:
        shortcuts = shortcut_scores(questions)
        notes.append("logistic model of shortcuts: skipped, scikit-learn is not installed (pip install scikit-learn)")
    else:
        if model is None:
            notes.append(
                f"{name}: logistic model of shortcuts: skipped, fewer than {MIN_TEXTS} different answered questions"
            )
    return FileAudit(
        file=name,
        columns_form=inspection.form,
        unit=inspection.unit,
        counts=counts(inspection),
        errors=inspection.errors,
        warnings=inspection.warnings,
        form=quality_summary(questions),
        lengths=lengths(questions),
        positions=tuple(positions(questions)),
        shortcuts=tuple(shortcuts),
        model=model,
    )


def _repeats(inspections: Sequence[Inspection], near: bool, notes: list[str]) -> Repeats:
    files = [inspection.questions for inspection in inspections]
    names = [terminal_path(inspection.path) for inspection in inspections]
    if not near:
        notes.append("near duplicates: skipped, as requested")
        return repeats(files, names, near=False)
    try:
        return repeats(files, names)
    except ImportError:
        notes.append("near duplicates: skipped, datasketch is not installed (pip install datasketch)")
        return repeats(files, names, near=False)


def _label_errors(questions: Sequence[Question], pairs: Sequence[Pair], notes: list[str]) -> LabelErrors | None:
    try:
        errors = label_errors(questions, pairs)
    except ImportError:
        notes.append("label errors: skipped, cleanlab is not installed (pip install cleanlab)")
        return None
    if errors.without_prediction:
        notes.append(
            f"label errors: {errors.without_prediction:,} answered questions without a prediction were skipped"
        )
    if errors.accuracy is not None and errors.accuracy < (errors.chance or 0) + MIN_ABOVE_CHANCE:
        notes.append(
            f"label errors: the predictions have an accuracy of {errors.accuracy:.1%}, and chance has "
            f"{errors.chance:.1%}, so the list is meaningless; are the predictions for other questions?"
        )
    if errors.too_few:
        notes.append(
            f"label errors: {errors.too_few:,} predictions were skipped, because too few questions have their number "
            "of options"
        )
    return errors
