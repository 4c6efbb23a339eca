"""An adapter and its base model: another base of equal shapes is refused, a moved one is found, no hub is asked."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from llmtuner.errors import UserError
from llmtuner.runs.base import below_of, check_lower_adapters, check_same_base, merging_advised, stored_base
from llmtuner.runs.manifest import RUN_MANIFEST, Manifest, write_manifest
from llmtuner.runs.weights import base_fingerprint, vocabulary_digest


def model(folder, value=1.0):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    save_file({"weight": torch.full((8, 8), value)}, folder / "model.safetensors")
    return folder


def adapter(folder, base, *, manifest_of=None, name=RUN_MANIFEST):
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}))
    if manifest_of is not None:
        digest = base_fingerprint(manifest_of)
        write_manifest(Manifest(stage="mcq", step=1, max_steps=1, epoch=1.0, base=digest), folder / name)
    return folder


@pytest.mark.parametrize("name", ["run.json", "checkpoint.json"])
def test_another_base_of_equal_shapes_is_refused(tmp_path, name):
    """Its scores were printed like any others."""
    base, other = model(tmp_path / "base"), model(tmp_path / "other", 2.0)
    trained = adapter(tmp_path / "trained", base, manifest_of=base, name=name)
    check_same_base(trained, str(base))
    with pytest.raises(UserError) as caught:
        check_same_base(trained, str(other))
    message = str(caught.value)
    for part in (
        str(base),
        str(other),
        base_fingerprint(base)[:12],
        base_fingerprint(other)[:12],
        "`allow_other_base`",
    ):
        assert part in message
    check_same_base(trained, str(other), allow_other=True)


def test_a_copy_of_the_base_is_the_same_base(tmp_path):
    base = model(tmp_path / "base")
    trained = adapter(tmp_path / "trained", base, manifest_of=base)
    shutil.move(base, tmp_path / "moved")
    check_same_base(trained, str(tmp_path / "moved"))


def test_a_folder_from_before_manifests_is_not_compared(tmp_path):
    check_same_base(adapter(tmp_path / "old", "x"), str(model(tmp_path / "other")))


def cached(monkeypatch, folder):
    import huggingface_hub

    monkeypatch.setattr(
        huggingface_hub, "try_to_load_from_cache", lambda *_, **__: folder and str(folder / "config.json")
    )


def test_a_base_on_the_hub_is_compared_once_it_is_in_the_cache(tmp_path, monkeypatch):
    base, other = model(tmp_path / "base"), model(tmp_path / "other", 2.0)
    trained = adapter(tmp_path / "trained", "owner/model", manifest_of=base)
    cached(monkeypatch, None)
    check_same_base(trained, "owner/model")
    cached(monkeypatch, other)
    with pytest.raises(UserError, match="trained on another base model"):
        check_same_base(trained, "owner/model")


@pytest.mark.parametrize("where", [".", "runs", "runs/deep"])
def test_a_relative_base_is_found_from_another_folder(tmp_path, monkeypatch, where):
    """ "models/tiny" became a name on the hub from any other working directory."""
    base = model(tmp_path / "models" / "tiny")
    trained = adapter(tmp_path / where / "trained", "models/tiny")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert stored_base(trained) == str(base)


@pytest.mark.parametrize("name", ["models/tiny", "./tiny", "/models/tiny", "a/b/c", "tiny"])
def test_a_base_that_is_gone_is_not_looked_up_on_the_hub(tmp_path, monkeypatch, name):
    cached(monkeypatch, None)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"its base model was the local folder .*; pass `base_model`"):
        stored_base(adapter(tmp_path / "trained", name))


@pytest.mark.parametrize(
    ("advice", "flag"),
    [
        ("pass `base_model` with its path now", "base_model"),
        ("names no base model; pass `base_model`", "base_model"),
        ("copy that file again, or pass `allow_other_base` to use this one", "allow_other_base"),
        ("pass the base model that it was trained on, or `allow_other_base` to use this one", "allow_other_base"),
    ],
)
def test_a_command_without_flags_for_bases_advises_to_merge(advice, flag):
    message = merging_advised(advice)
    assert message.endswith(
        f"merge it with its base model first (scripts/merge.py --{flag}) and give the merged folder"
    )
    assert "`" not in message
    assert "pass merge" not in message


def test_a_name_on_the_hub_stays_one(tmp_path, monkeypatch):
    base = model(tmp_path / "snapshot")
    cached(monkeypatch, base)
    assert stored_base(adapter(tmp_path / "cached", "owner/model")) == "owner/model"
    cached(monkeypatch, None)
    assert stored_base(adapter(tmp_path / "new", "owner/model", manifest_of=base)) == "owner/model"


def test_another_tokenizer_beside_the_same_weights_is_refused(tmp_path):
    """Every score changed without a word: the fingerprint covers the weights alone."""
    base = model(tmp_path / "base")
    (base / "tokenizer.json").write_text("{}")
    trained = adapter(tmp_path / "trained", base)
    manifest = Manifest(stage="mcq", step=1, max_steps=1, epoch=1.0, base=base_fingerprint(base))
    write_manifest(replace(manifest, tokenizer=vocabulary_digest(base)), trained / RUN_MANIFEST)
    check_same_base(trained, str(base))
    (base / "tokenizer.json").write_text('{"model": {}}')
    with pytest.raises(UserError, match=r"another tokenizer: tokenizer\.json of"):
        check_same_base(trained, str(base))
    check_same_base(trained, str(base), allow_other=True)


def test_other_weights_in_an_adapter_below_are_refused(tmp_path):
    """The folder of the lower adapter was replaced, and training and prediction went on with other weights."""
    lower, top = adapter(tmp_path / "lower", "base"), adapter(tmp_path / "top", "base")
    save_file({"lora_A": torch.ones(2, 8)}, lower / "adapter_model.safetensors")
    manifest = Manifest(stage="mcq", step=1, max_steps=1, epoch=1.0, adapters=(base_fingerprint(lower),))
    write_manifest(manifest, top / RUN_MANIFEST)
    check_lower_adapters([str(lower), str(top)])
    check_lower_adapters([str(top)])
    save_file({"lora_A": torch.zeros(2, 8)}, lower / "adapter_model.safetensors")
    with pytest.raises(UserError, match=r"on top of other weights of .*lower"):
        check_lower_adapters([str(lower), str(top)])
    check_lower_adapters([str(lower), str(top)], allow_other=True)


@pytest.mark.parametrize("lower", ["first", "first/checkpoint-4"])
@pytest.mark.parametrize("upper", ["second", "second/checkpoint-4"])
def test_an_adapter_below_that_moved_together_with_the_upper_one_is_found(tmp_path, lower, upper):
    """Folders of STEP1 and STEP2 that were moved together were refused, and could not be merged at all."""
    before, now = tmp_path / "before", tmp_path / "now"
    base = model(tmp_path / "base")
    below, above = (adapter(now / name, base, manifest_of=base) for name in (lower, upper))
    stored = str(before / lower)
    save_file({"lora": torch.ones(2, 2)}, below / "adapter_model.safetensors")
    for each in (below, above):
        manifest = Manifest(stage="mcq", step=1, max_steps=1, epoch=1.0, adapters=(base_fingerprint(below),))
        write_manifest(manifest, each / RUN_MANIFEST)
    assert below_of(stored, above, absolute=True) == str(below)
    save_file({"lora": torch.zeros(2, 2)}, below / "adapter_model.safetensors")
    with pytest.raises(UserError, match=f"is not there; restore it, or copy it beside {above.name} as {below.name}"):
        below_of(stored, above, absolute=True)
