"""The checks by name, for --fail_on. Each counts its hits in a finished audit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from llmtuner.data.audit.result import Audit
from llmtuner.errors import UserError
from llmtuner.suggest import did_you_mean


def _more_than_first(groups: Iterable[Sequence[object]] | None) -> int | None:
    return None if groups is None else sum(len(group) - 1 for group in groups)


def _shortcuts(audit: Audit) -> int:
    return sum(score.worth_a_warning for file in audit.files for score in file.scores)


def _suspects(audit: Audit) -> int | None:
    errors = audit.label_errors
    return None if errors is None or not errors.looked_at else len(errors.suspects)


# For each check its meaning, and the function that counts its hits: None if the check was skipped.
CHECKS: dict[str, tuple[str, Callable[[Audit], int | None]]] = {
    "error": ("errors for which a training rejects the file", lambda a: sum(len(file.errors) for file in a.files)),
    "warning": ("warnings of the reader", lambda a: sum(len(file.warnings) for file in a.files)),
    "damaged": ("questions with a damaged form", lambda a: sum(file.form.damaged for file in a.files)),
    "duplicate": ("rows that repeat a question", lambda a: _more_than_first(a.repeats.same_question)),
    "same_text": ("rows that repeat a question's text", lambda a: _more_than_first(a.repeats.same_text)),
    "near_duplicate": ("rows that are near duplicates of an earlier row", lambda a: _more_than_first(a.repeats.near)),
    "leak": ("question texts in more than one file", lambda a: a.repeats.leaked),
    "near_leak": ("rows that are near duplicates of a row of an earlier file", lambda a: a.repeats.near_leaked),
    "conflict": ("questions with more than one answer", lambda a: len(a.repeats.conflicts)),
    "imbalance": (
        "numbers of options for which some letters are right too often",
        lambda a: sum(positions.unbalanced for file in a.files for positions in file.positions),
    ),
    "shortcut": ("shortcuts well above chance", _shortcuts),
    "label_error": ("answers that are likely wrong", _suspects),
}


def parse_checks(text: str) -> list[str]:
    """The names in a list such as `leak,conflict`.

    Raises:
        UserError: an unknown name, or an empty list.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in CHECKS:
            raise UserError(f"--fail_on {name}: unknown check; choose from: {_names()}.{did_you_mean(name, CHECKS)}")
    if not names:
        raise UserError(f"--fail_on: no check is named; choose from: {_names()}")
    return names


def _names() -> str:
    return ", ".join(CHECKS)
