"""Vectors of texts, and the folders of encoders."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from llmtuner.errors import UserError
from llmtuner.retrieval.encoder import Encoder
from llmtuner.retrieval.encoder_folder import encoder_folder

TEXTS = ["light", "green plants make sugar with light and water", "", "the liver stores vitamins " * 40, "iron"]


@pytest.fixture(scope="module")
def encoder(tiny_bert):
    return Encoder(encoder_folder(tiny_bert), "cpu")


def test_a_vector_is_the_mean_of_the_tokens_at_unit_length(encoder, tiny_bert):
    tokenizer, model = AutoTokenizer.from_pretrained(tiny_bert), AutoModel.from_pretrained(tiny_bert).eval()
    vectors = encoder.encode(TEXTS)
    for text, vector in zip(TEXTS, vectors, strict=True):
        tokens = tokenizer(text, truncation=True, max_length=96, return_tensors="pt")
        with torch.no_grad():
            mean = model(**tokens).last_hidden_state[0].mean(0).numpy()
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-5)


def test_batches_change_nothing(encoder, monkeypatch):
    """Vectors came back in the order of the lengths, or padding was averaged, too."""
    expected = np.concatenate([encoder.encode([text]) for text in TEXTS])
    for texts, tokens in ((64, 8192), (2, 8192), (64, 100)):
        monkeypatch.setattr("llmtuner.retrieval.encoder._TEXTS_PER_BATCH", texts)
        monkeypatch.setattr("llmtuner.retrieval.encoder._TOKENS_PER_BATCH", tokens)
        np.testing.assert_allclose(encoder.encode(TEXTS), expected, atol=1e-5)
    assert encoder.encode([]).shape == (0, encoder.dimensions)


def test_texts_that_are_too_long_are_counted(tiny_bert):
    encoder = Encoder(encoder_folder(tiny_bert), "cpu")
    encoder.encode(TEXTS)
    assert encoder.cut == 1
    assert encoder.count_tokens(TEXTS[3]) > encoder.folder.max_tokens == 96


def test_half_a_character_is_no_traceback(encoder):
    assert np.isfinite(encoder.encode(["a \ud800 b"])).all()


@pytest.fixture
def broken(tiny_bert, tmp_path):
    return shutil.copytree(tiny_bert, tmp_path / "bert")


def test_folders_that_are_no_encoders_are_refused(tmp_path, broken):
    with pytest.raises(UserError, match="no such folder"):
        encoder_folder(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"no config\.json"):
        encoder_folder(tmp_path / "empty")
    weights = (broken / "model.safetensors").read_bytes()
    (broken / "model.safetensors").write_bytes(weights[:-100])
    with pytest.raises(UserError, match="cut off"):
        encoder_folder(broken)
    (broken / "model.safetensors").rename(broken / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"only as pickle.*to_safetensors\.py"):
        encoder_folder(broken)
    (broken / "pytorch_model.bin").unlink()
    with pytest.raises(UserError, match="no weights in it"):
        encoder_folder(broken)
    (broken / "config.json").write_text("[]")
    with pytest.raises(UserError, match="damaged"):
        encoder_folder(broken)


def test_an_encoder_without_tokenizer_is_refused(broken):
    for name in ("tokenizer.json", "vocab.txt"):
        (broken / name).unlink(missing_ok=True)
    with pytest.raises(UserError, match="it has no tokenizer"):
        encoder_folder(broken)


def test_missing_weights_are_refused_and_not_drawn_at_random(broken):
    from safetensors.torch import load_file, save_file

    tensors = load_file(broken / "model.safetensors")
    lost = next(name for name in tensors if "attention.self.query.weight" in name)
    save_file({name: tensor for name, tensor in tensors.items() if name != lost}, broken / "model.safetensors")
    with pytest.raises(UserError, match=r"lack .*query\.weight"):
        Encoder(encoder_folder(broken), "cpu")


def test_a_decoder_without_padding_token_is_refused(tiny_llama, tmp_path):
    folder = shutil.copytree(tiny_llama, tmp_path / "llama")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config.pop("pad_token", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="no padding token"):
        Encoder(encoder_folder(folder), "cpu")


def test_nan_weights_are_refused(broken):
    from safetensors.torch import load_file, save_file

    tensors = load_file(broken / "model.safetensors")
    tensors["embeddings.word_embeddings.weight"].fill_(float("nan"))
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="NaN or Inf"):
        Encoder(encoder_folder(broken), "cpu")


def test_files_of_sentence_transformers_are_read(broken):
    (broken / "1_Pooling").mkdir()
    (broken / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": 32, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False})
    )
    (broken / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 7}))
    folder = encoder_folder(broken)
    assert (folder.pooling, folder.max_tokens) == ("cls", 7)
    first = AutoModel.from_pretrained(broken).eval()
    tokens = AutoTokenizer.from_pretrained(broken)("light and iron", return_tensors="pt")
    with torch.no_grad():
        state = first(**tokens).last_hidden_state[0, 0].numpy()
    np.testing.assert_allclose(
        Encoder(folder, "cpu").encode(["light and iron"])[0], state / np.linalg.norm(state), atol=1e-5
    )
    (broken / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_max_tokens": True}))
    with pytest.raises(UserError, match="max_tokens; supported are mean and cls"):
        encoder_folder(broken)


def test_the_same_weights_with_other_layers_are_another_encoder(broken):
    """Fewer layers in config.json gave other vectors, which were searched in an index of the whole model's."""
    folder = broken
    before, config = encoder_folder(folder).fingerprint, json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "transformers_version": "9.9"}))
    assert encoder_folder(folder).fingerprint == before
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 1}))
    assert encoder_folder(folder).fingerprint != before
