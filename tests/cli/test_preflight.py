"""What the checks before a run decide without a model: whether the network is left out."""

from __future__ import annotations

import pytest

from llmtuner.cli.flags import Flags
from llmtuner.cli.preflight import OFFLINE, offline_environment
from llmtuner.cli.words import Words


@pytest.mark.parametrize(
    ("more", "offline"),
    [
        ({}, True),
        ({"dataset": "llmscience_sample"}, True),
        ({"push_to_hub": "true"}, False),
        ({"adapter_name_or_path": "somebody/adapter"}, False),
        ({"dataset_dir": "ONLINE", "dataset": "somebody/data"}, False),
    ],
)
def test_the_network_is_left_out_where_nothing_needs_it(more, offline, tmp_path):
    """It was decided after transformers had been imported for the model's configuration, which was too late."""
    words = Words({"model_name_or_path": [str(tmp_path)], **{name: [word] for name, word in more.items()}})
    assert offline_environment(Flags.of(words)) == (OFFLINE if offline else {})


def test_a_model_on_the_hub_needs_the_network():
    assert offline_environment(Flags.of(Words({"model_name_or_path": ["somebody/model"]}))) == {}
    assert offline_environment(Flags()) == {}
