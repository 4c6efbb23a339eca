"""Tokens on the command line: moved into the environment, where the hub's client reads them.

transformers stores its arguments in training_args.bin, in every checkpoint, and uploads that file with the model.
"""

from __future__ import annotations

import os

from llmtuner.cli.flags import Flags
from llmtuner.errors import UserError

HUB_TOKEN = "HF_TOKEN"
HUB_TOKEN_FLAGS = ("hub_token", "hf_hub_token")  # to upload, and to download


def move_tokens(flags: Flags) -> Flags:
    """The flags without the hub's tokens, which are now in this process's environment, and its children's.

    Raises:
        UserError: two different tokens; the environment has one.
    """
    given = [name for name in HUB_TOKEN_FLAGS if name in flags and flags.given[name].words]
    tokens = {flags.given[name].words[0] for name in given}
    if len(tokens) > 1:
        both = " and ".join(f"--{name}" for name in given)
        raise UserError(f"{both} are different tokens, and a run has one; give the token that may read and write")
    if tokens:
        os.environ[HUB_TOKEN] = tokens.pop()
    return flags.without(*given)
