"""The real parser of upstream, for the tests that compare our tables with it."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def upstream_parser():
    """Upstream's parser of training arguments; its argument classes alone import without torchaudio."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HF_HUB_OFFLINE", "1")
        environment.delenv("DISABLE_VERSION_CHECK", raising=False)  # the versions installed must be ones it takes
        from llamafactory.hparams.parser import _TRAIN_ARGS
        from transformers import HfArgumentParser

        return HfArgumentParser(_TRAIN_ARGS)


@pytest.fixture(scope="session")
def upstream_actions(upstream_parser) -> dict:
    """Its flags, without dashes and in their spelling with underscores, each with argparse's action."""
    options = upstream_parser._option_string_actions
    return {name.removeprefix("--"): action for name, action in options.items() if "-" not in name.removeprefix("--")}
