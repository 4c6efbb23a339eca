"""The errors that mean "the user can mend this": printed without a traceback, exit status 2."""

from __future__ import annotations


class UserError(ValueError):
    """A user's mistake. The message says what was found and where, what was expected, and the smallest fix.

    `main` prints it as one message and exits with 2; in Python it is an ordinary `ValueError`.
    """


class DataError(UserError):
    """One or more defects of a data file, all of them in one message."""


class RunError(RuntimeError):
    """The run itself failed, although what the user gave was right: exit status 1."""
