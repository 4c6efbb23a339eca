"""The errors that mean "the user can mend this": printed without a traceback, exit status 2."""

from __future__ import annotations


class UserError(ValueError):
    """A user's mistake. The message says what was found and where, what was expected, and the smallest fix.

    `main` prints it as one message and exits with 2; in Python it is an ordinary `ValueError`.
    """


class FieldError(UserError):
    """A value that a field of the engine cannot have. `str()` names the field; the command line names its flag.

    Args:
        field: the field's name, as in `llmtuner.spec.flags.FIELDS`.
        value: what was given; None where nothing was.
        problem: what was expected instead, and the smallest fix.
    """

    def __init__(self, field: str, value: object, problem: str) -> None:
        super().__init__(field, value, problem)
        self.field, self.value, self.problem = field, value, problem

    def __str__(self) -> str:
        return self.named(self.field)

    def named(self, name: str) -> str:
        """The message with another name in the field's place."""
        return f"{name}: {self.problem}" if self.value is None else f"{name} {self.value}: {self.problem}"


class DataError(UserError):
    """One or more defects of a data file, all of them in one message."""


class RunError(RuntimeError):
    """The run itself failed, although what the user gave was right: exit status 1."""
