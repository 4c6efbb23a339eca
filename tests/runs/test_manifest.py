"""Manifests: what is written is read again, and every kind of damage to a listed file is noticed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtuner.errors import UserError
from llmtuner.runs.manifest import (
    DataDigest,
    Manifest,
    defect_of,
    digest_files,
    read_manifest,
    write_manifest,
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "weights").write_bytes(bytes(range(256)))
    (tmp_path / "deep" / "state").write_bytes(b"state")
    manifest = Manifest(
        stage="mcq",
        step=4,
        max_steps=8,
        epoch=0.5,
        files=digest_files(tmp_path, ["weights", "deep/state"]),
        data=DataDigest("ab", 12),
        base="cd",
        settings={"learning_rate": 1e-4, "lora_rank": 8},
        answer_places={"A": 3},
    )
    write_manifest(manifest, tmp_path / "checkpoint.json")
    return tmp_path


def test_a_manifest_is_read_as_it_was_written_and_verifies(folder):
    manifest = read_manifest(folder / "checkpoint.json")
    assert manifest is not None
    assert (manifest.step, manifest.data, manifest.settings["lora_rank"]) == (4, DataDigest("ab", 12), 8)
    assert defect_of(folder, manifest) == ""
    assert [path.name for path in folder.glob(".*")] == [], "no temporary file stays"


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "zeroed": lambda path: path.write_bytes(bytes(len(path.read_bytes()))),
    "one bit": flip,
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"x"),
}


@pytest.mark.parametrize("name", ["weights", "deep/state"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_every_damage_of_a_listed_file_is_noticed(folder, name, damage):
    DAMAGES[damage](folder / name)
    assert name in defect_of(folder, read_manifest(folder / "checkpoint.json"))


def test_a_file_that_is_not_listed_changes_nothing(folder):
    (folder / "later.png").write_bytes(b"x")
    assert defect_of(folder, read_manifest(folder / "checkpoint.json")) == ""


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_no_changed_bit_of_a_manifest_changes_what_it_says(tmp_path_factory, place, bit):
    """A flipped bit in a setting went unnoticed, or was a setting that differs."""
    path = tmp_path_factory.mktemp("bit") / "checkpoint.json"
    manifest = Manifest(stage="mcq", step=4, max_steps=8, epoch=0.5, settings={"a": 1.5, "b": "text", "c": None})
    write_manifest(manifest, path)
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    path.write_bytes(content)
    try:
        read = read_manifest(path)
    except UserError:
        return
    assert read == manifest, "only the layout or the name of the digest may have changed"


def test_no_manifest_is_no_error(tmp_path):
    assert read_manifest(tmp_path / "run.json") is None
    assert read_manifest(tmp_path / "nowhere" / "run.json") is None


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"format": 1}', '{"format": 2}', "[" * 100_000])
def test_a_damaged_manifest_is_named(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(UserError, match=r"run\.json"):
        read_manifest(tmp_path / "run.json")


@pytest.mark.parametrize("name", ["step", "files", "settings", "stage", "epoch"])
def test_a_field_of_another_type_is_named(folder, name):
    stored = json.loads((folder / "checkpoint.json").read_text())
    stored[name] = ["x"]
    del stored["digest"]
    (folder / "checkpoint.json").write_text(json.dumps(stored))
    with pytest.raises(UserError, match="damaged"):
        read_manifest(folder / "checkpoint.json")


@pytest.mark.parametrize("name", ["/dev/zero", "../weights", "deep/../../weights"])
def test_a_file_outside_the_folder_is_refused(folder, name):
    stored = json.loads((folder / "checkpoint.json").read_text())
    stored["files"][name] = {"size": 1, "sha256": "ab"}
    (folder / "checkpoint.json").write_text(json.dumps(stored))
    with pytest.raises(UserError, match="outside the folder"):
        read_manifest(folder / "checkpoint.json")
