"""Which process speaks, locks and writes for all."""

from __future__ import annotations

import pytest

from llmtuner.cli.process import is_first_process


@pytest.mark.parametrize(
    ("variables", "first"),
    [
        ({}, True),
        ({"RANK": "1"}, True),
        ({"RANK": "none"}, True),
        ({"RANK": "0", "LOCAL_RANK": "0"}, True),
        ({"RANK": "1", "LOCAL_RANK": "0"}, False),
    ],
)
def test_a_rank_without_torchrun_does_not_silence_the_only_process(variables, first, monkeypatch):
    """A job system sets RANK, too: a training without lock, manifest and messages ended with status 0."""
    for name in ("RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert is_first_process() is first
