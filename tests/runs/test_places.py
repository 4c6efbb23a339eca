"""The answer places that a training's manifest stores."""

from __future__ import annotations

import pytest

from llmtuner.runs.manifest import CHECKPOINT_MANIFEST, RUN_MANIFEST, Manifest, write_manifest
from llmtuner.runs.places import trained_places


def trained(folder, places, name=RUN_MANIFEST):
    folder.mkdir(exist_ok=True)
    write_manifest(Manifest(stage="mcq", step=1, max_steps=1, epoch=1.0, answer_places=places), folder / name)
    return str(folder)


def test_the_last_training_counts_and_a_checkpoint_has_its_own_manifest(tmp_path):
    model = trained(tmp_path / "model", {"A": 5})
    adapter = trained(tmp_path / "adapter", {"B": 7}, CHECKPOINT_MANIFEST)
    assert trained_places([adapter, model]) == {"B": 7}
    assert trained_places([str(tmp_path / "before manifests"), model]) == {"A": 5}
    assert trained_places([str(tmp_path / "nowhere"), None]) is None
    assert trained_places([trained(tmp_path / "other data", {})]) is None


@pytest.mark.parametrize("content", [b"{", b"\xff", b'{"format": 9}', b"[1]"])
def test_a_damaged_manifest_costs_the_baseline_and_not_the_run(tmp_path, caplog, content):
    """It is read after hours of prediction."""
    (tmp_path / RUN_MANIFEST).write_bytes(content)
    assert trained_places([tmp_path]) is None
    assert "counted in the scored questions" in caplog.text


def test_counts_that_are_no_numbers_are_left_out(tmp_path):
    assert trained_places([trained(tmp_path / "run", {"A": "many", "B": 2})]) == {"B": 2}
