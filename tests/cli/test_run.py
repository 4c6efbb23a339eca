"""Errors of packages that are not ours."""

from __future__ import annotations

import pytest

from llmtuner.cli.flags import Flags
from llmtuner.cli.run import _errors_of_packages
from llmtuner.cli.words import Words
from llmtuner.errors import UserError


def test_a_tracker_that_is_not_installed_is_the_users_to_install():
    """--report_to wandb ended in a traceback."""
    flags = Flags.of(Words({"output_dir": ["out"]}))
    missing = pytest.raises(UserError, match="package that this run needs is missing: WandbCallback")
    with missing, _errors_of_packages(flags):
        raise RuntimeError("WandbCallback requires wandb to be installed. Run `pip install wandb`.")
