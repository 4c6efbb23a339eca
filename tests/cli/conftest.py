"""Upstream's real parser, for the tests that compare our tables with it."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def upstream_parser():
    """Upstream's parser of training arguments; only its argument classes import without torchaudio."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HF_HUB_OFFLINE", "1")
        environment.delenv("DISABLE_VERSION_CHECK", raising=False)  # upstream must accept the installed versions
        from llamafactory.hparams.parser import _TRAIN_ARGS
        from transformers import HfArgumentParser

        return HfArgumentParser(_TRAIN_ARGS)


@pytest.fixture(scope="session")
def upstream_actions(upstream_parser) -> dict:
    """Its flags, without dashes and spelled with underscores, each with argparse's action."""
    options = upstream_parser._option_string_actions
    return {name.removeprefix("--"): action for name, action in options.items() if "-" not in name.removeprefix("--")}
