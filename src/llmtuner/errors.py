"""The error classes of all modules, and the exit status of each."""

from __future__ import annotations


class UserError(ValueError):
    """A mistake that the user can correct. The message says where, what was given, what was expected, and the fix.

    `main` prints the message without a traceback and exits with status 2. In Python it is an ordinary `ValueError`.
    """


class FieldError(UserError):
    """A value that a field of the engine cannot have. `str()` names the field; the command line names its flag.

    Args:
        field: the field's name, as in `llmtuner.spec.flags.FIELDS`.
        value: what was given; None if nothing was.
        problem: what was expected instead, and the smallest fix; it names other fields in `backticks`.
    """

    def __init__(self, field: str, value: object, problem: str) -> None:
        super().__init__(field, value, problem)
        self.field, self.value, self.problem = field, value, problem

    def __str__(self) -> str:
        return self.named(self.field)

    def named(self, name: str) -> str:
        """The message with another name instead of the field's."""
        return f"{name}: {self.problem}" if self.value is None else f"{name} {self.value}: {self.problem}"


class DataError(UserError):
    """One or more defects of a data file, all in one message."""


class RunError(RuntimeError):
    """The run failed although the input was valid: exit status 1."""
