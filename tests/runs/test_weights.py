"""Weight files read without torch: a fingerprint that follows the weights and not the folder, and damaged files."""

from __future__ import annotations

import json
import struct

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from llmtuner.errors import UserError
from llmtuner.runs.weights import base_fingerprint, stored_tensors, weight_files


def save(folder, tensors, name="model.safetensors"):
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / name)
    return folder


@pytest.fixture
def tensors():
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(64, 64, generator=generator) for name in ("a.weight", "b.weight")}


def test_a_copy_and_other_shards_have_the_same_fingerprint(tmp_path, tensors):
    one = save(tmp_path / "one", tensors)
    shards = save(tmp_path / "shards", {"a.weight": tensors["a.weight"]}, "model-00001-of-00002.safetensors")
    save(shards, {"b.weight": tensors["b.weight"]}, "model-00002-of-00002.safetensors")
    assert len(base_fingerprint(one)) == 64
    assert base_fingerprint(one) == base_fingerprint(shards)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t | {"a.weight": t["a.weight"] + 1},
        lambda t: t | {"a.weight": t["a.weight"].half()},
        lambda t: t | {"a.weight": t["a.weight"].reshape(32, 128)},
        lambda t: {"c.weight": t["a.weight"], "b.weight": t["b.weight"]},
        lambda t: {"b.weight": t["b.weight"]},
    ],
    ids=["values", "dtype", "shape", "name", "a tensor less"],
)
def test_other_weights_have_another_fingerprint(tmp_path, tensors, change):
    first, second = save(tmp_path / "first", tensors), save(tmp_path / "second", change(tensors))
    assert base_fingerprint(first) != base_fingerprint(second)


def test_files_of_a_replaced_run_do_not_count(tmp_path, tensors):
    folder = save(tmp_path / "model", tensors)
    before = base_fingerprint(folder)
    save(folder, {"c": torch.ones(1)}, "replaced-model.safetensors")
    assert [path.name for path in weight_files(folder)] == ["model.safetensors"]
    assert base_fingerprint(folder) == before


@given(length=st.integers(0, 2000))
def test_a_cut_file_is_named(tmp_path_factory, length):
    folder = save(tmp_path_factory.mktemp("cut"), {"weight": torch.ones(400)})
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: min(length, len(whole) - 1)])
    with pytest.raises(UserError, match="cut off"):
        list(stored_tensors(path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 7\n", "Git LFS pointer"),
        (struct.pack("<Q", 2) + b"[]", "no object"),
        (struct.pack("<Q", 3) + b"{x}", "not JSON"),
        (struct.pack("<Q", 2**60), "no safetensors file"),
        (struct.pack("<Q", 12) + json.dumps({"a": {}}).encode().ljust(12), "no place for 'a'"),
    ],
)
def test_a_damaged_header_is_named(tmp_path, content, message):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        list(stored_tensors(path))
