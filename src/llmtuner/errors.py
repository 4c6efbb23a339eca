"""The error classes of all modules, and the exit status that each one leads to."""

from __future__ import annotations


class UserError(ValueError):
    """A mistake that the user can correct. The message has place, finding, expectation and the smallest fix.

    `main` prints the message without a traceback and exits with status 2. In Python it is an ordinary `ValueError`.
    """


class DataError(UserError):
    """One or more defects of a data file, all of them in one message."""


class RunError(RuntimeError):
    """The run failed although the input was right: exit status 1."""
