"""A small corpus, tiny random encoders and a cross-encoder, made once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import wordpiece

FACTS = {
    "leaf": ("Leaves", "Green plants make sugar with the help of light. They take in carbon dioxide, CO₂."),
    "liver": ("Vitamins", "Vitamin A is stored in the liver. Too much of it is harmful."),
    "blood": ("Vitamins", "Vitamin K lets blood clot. It is found in cabbage."),
    "iron": ("", "Fe3+ is reduced to Fe2+ in water."),
    "rust": ("", "Fe2+ is what iron gives away first."),
    "water": ("水", "水是一种化合物。"),
    "force": ("Forces", "A force of 3.5 N acts at -5 °C."),
}


def write_corpus(path: Path, facts: dict[str, tuple[str, str]] = FACTS) -> Path:
    """The facts as a JSONL file."""
    rows = [{"id": name, "title": title, "text": text} for name, (title, text) in facts.items()]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def corpus(tmp_path) -> Path:
    return write_corpus(tmp_path / "facts.jsonl")


@pytest.fixture(scope="session")
def other_bert(tmp_path_factory, tiny_bert) -> Path:
    """An encoder of the same form as `tiny_bert`, with other weights."""
    return _bert(tmp_path_factory.mktemp("models") / "other bert", "AutoModel", seed=1)


@pytest.fixture(scope="session")
def cross_encoder(tmp_path_factory) -> Path:
    """A random model with one output for a pair of texts."""
    return _bert(tmp_path_factory.mktemp("models") / "cross", "AutoModelForSequenceClassification", num_labels=1)


def _bert(folder: Path, loader: str, *, seed: int = 0, **settings: int) -> Path:
    import torch
    import transformers

    tokenizer = wordpiece(vocab_size=800)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    shape = transformers.AutoConfig.for_model(
        "bert", vocab_size=len(tokenizer), max_position_embeddings=96, **sizes, **settings
    )
    getattr(transformers, loader).from_config(shape).save_pretrained(folder)
    return folder
