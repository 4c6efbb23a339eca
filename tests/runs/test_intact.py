"""Weights that a prediction or a new training starts from must be those that a training saved."""

from __future__ import annotations

import pytest

from llmtuner.errors import UserError
from llmtuner.runs.intact import require_intact
from llmtuner.runs.lock import locked
from llmtuner.runs.manifest import Manifest, digest_files, manifest_of, write_manifest

NAMES = ("adapter_config.json", "adapter_model.safetensors", "README.md")


@pytest.fixture(params=["run.json", "checkpoint-4/checkpoint.json"])
def trained(request, tmp_path):
    path = tmp_path / request.param
    path.parent.mkdir(exist_ok=True)
    for name in NAMES:
        (path.parent / name).write_bytes(b"content of " + name.encode())
    with locked(tmp_path, training=True):
        pass
    manifest = Manifest(stage="sft", step=4, max_steps=8, epoch=0.5, files=digest_files(path.parent, NAMES))
    write_manifest(manifest, path)
    return path.parent


def test_what_was_saved_is_used(trained):
    assert require_intact(trained, "--adapter_name_or_path") == ()
    assert manifest_of(trained).step == 4


@pytest.mark.parametrize(
    "damage", [b"", b"content of adapter_model.safetensorz", None], ids=["cut", "one bit", "missing"]
)
def test_damaged_weights_are_refused(trained, damage):
    """A prediction scored with them in silence."""
    path = trained / "adapter_model.safetensors"
    path.unlink() if damage is None else path.write_bytes(damage)
    with pytest.raises(UserError, match=r"--adapter_name_or_path .*adapter_model\.safetensors .*copy the folder again"):
        require_intact(trained, "--adapter_name_or_path")


def test_an_edited_configuration_is_said_and_a_readme_is_not(trained):
    (trained / "adapter_config.json").write_text("{}")
    (trained / "README.md").write_text("mine")
    [line] = require_intact(trained, "--adapter_name_or_path")
    assert line == f"{trained / 'adapter_config.json'}: not the file that was saved"


def test_weights_of_an_interrupted_training_are_refused(trained):
    for name in ("run.json", "checkpoint.json"):
        (trained / name).unlink(missing_ok=True)
    with pytest.raises(UserError, match="interrupted before these weights were complete"):
        require_intact(trained, "--adapter_name_or_path")


def test_folders_from_before_manifests_are_used_as_they_are(tmp_path):
    (tmp_path / "adapter_model.safetensors").write_bytes(b"weights")
    assert require_intact(tmp_path, "--adapter_name_or_path") == ()
    (tmp_path / "checkpoint-3").mkdir()
    (tmp_path / "checkpoint-3" / "adapter_model.safetensors").write_bytes(b"weights")
    assert require_intact(tmp_path / "checkpoint-3", "--adapter_name_or_path") == ()
