"""The fields that this project adds to upstream's argument classes."""

from __future__ import annotations

import dataclasses

from llmtuner.spec.flags import own
from patches.arguments import _with_flags


def test_help_all_points_to_help_for_the_names_that_it_does_not_list():
    """--help_all has no table of heads or losses, but its texts said "names below"."""
    added = dataclasses.fields(_with_flags(dataclasses.make_dataclass("Upstream", []), "finetuning", []))
    texts = {field.name: field.metadata["help"] for field in added}
    assert not [name for name, text in texts.items() if "below" in text]
    pointing = {flag.name for flag in own("finetuning") if "names below" in flag.help}
    assert pointing
    assert all("names: --help" in texts[name] for name in pointing)
