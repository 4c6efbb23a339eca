"""The checks by name: what a build may be stopped for. Each counts its hits in a finished audit."""

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
    found = audit.label_errors
    return None if found is None or not found.looked_at else len(found.suspects)


# What is counted; None stands for "was not looked for".
CHECKS: dict[str, tuple[str, Callable[[Audit], int | None]]] = {
    "error": ("errors that a training would stop at", lambda a: sum(len(file.errors) for file in a.files)),
    "warning": ("warnings of the reader", lambda a: sum(len(file.warnings) for file in a.files)),
    "damaged": ("questions of damaged form", lambda a: sum(file.form.damaged for file in a.files)),
    "duplicate": ("rows that repeat a question", lambda a: _more_than_first(a.repeats.same_question)),
    "same_text": ("rows that repeat a question's text", lambda a: _more_than_first(a.repeats.same_text)),
    "near_duplicate": ("rows that are nearly an earlier row", lambda a: _more_than_first(a.repeats.near)),
    "leak": ("question texts that are in more than one file", lambda a: a.repeats.leaked),
    "near_leak": ("rows that are nearly a row of an earlier file", lambda a: a.repeats.near_leaked),
    "conflict": ("questions with more than one answer", lambda a: len(a.repeats.conflicts)),
    "imbalance": (
        "numbers of options whose answers favour a place",
        lambda a: sum(found.unbalanced for file in a.files for found in file.positions),
    ),
    "shortcut": ("shortcuts well above chance", _shortcuts),
    "label_error": ("answers that are likely wrong", _suspects),
}


def check_names(text: str) -> list[str]:
    """The names in `leak,conflict`.

    Raises:
        UserError: one of them is no check.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in CHECKS:
            raise UserError(f"--fail_on {name}: there is no such check.{did_you_mean(name, CHECKS)} Known: {_known()}")
    if not names:
        raise UserError(f"--fail_on needs the name of a check; known: {_known()}")
    return names


def _known() -> str:
    return ", ".join(CHECKS)
