"""Exact search over vectors, and both retrievers together."""

from __future__ import annotations

import numpy as np
import pytest

from llmtuner.errors import UserError
from llmtuner.retrieval.encoder import Encoder
from llmtuner.retrieval.encoder_folder import encoder_folder
from llmtuner.retrieval.queries import merged
from llmtuner.retrieval.retrievers import dense, vector_parts
from llmtuner.retrieval.retrievers.base import BuildSource
from llmtuner.retrieval.retrievers.bm25 import Bm25
from llmtuner.retrieval.retrievers.dense import Dense
from llmtuner.retrieval.retrievers.hybrid import Hybrid


@pytest.fixture(scope="module")
def encoder(tiny_bert):
    return Encoder(encoder_folder(tiny_bert), "cpu")


@pytest.fixture(scope="module")
def texts():
    words = ["light", "water", "leaf", "sugar", "liver", "blood", "iron", "force", "stone", "metal", "plant", "cell"]
    return [f"{words[n % 12]} {words[n // 12]} {words[(n * 5 + n // 12) % 12]}" for n in range(144)]


def source(folder, texts, encoder, **settings):
    parts = [texts[start : start + 50] for start in range(0, len(texts), 50)]
    return BuildSource(
        rows=len(texts), parts=lambda: iter(parts), folder=folder, parts_folder=folder, encoder=encoder, **settings
    )


@pytest.fixture
def opened(tmp_path, texts, encoder):
    Dense.build(source(tmp_path, texts, encoder))
    return Dense.open(tmp_path, len(texts), encoder)


QUERIES = ["light and water", "an iron stone", "cell"]


def test_the_nearest_are_those_of_the_whole_product(opened, texts, encoder, monkeypatch):
    """Blocks lost rows at their borders, or gave rows of the block instead of the index."""
    products = encoder.encode(QUERIES).astype(np.float64) @ encoder.encode(texts).astype(np.float64).T
    for block in (1, 7, 65_536):
        monkeypatch.setattr(dense, "_BLOCK", block)
        for hits, scores in zip(opened.search(QUERIES, 9), products, strict=True):
            np.testing.assert_allclose([score for _, score in hits], np.sort(scores)[::-1][:9], atol=2e-6)
            np.testing.assert_allclose([scores[row] for row, _ in hits], [score for _, score in hits], atol=2e-6)


def test_equal_vectors_go_by_row_whatever_else_is_asked(tmp_path, encoder, monkeypatch):
    texts = ["light and water"] * 40 + ["iron"] + ["light and water"] * 40
    Dense.build(source(tmp_path, texts, encoder))
    opened = Dense.open(tmp_path, len(texts), encoder)
    expected = [row for row in range(81) if row != 40][:60]
    for block in (3, 65_536):
        monkeypatch.setattr(dense, "_BLOCK", block)
        assert [row for row, _ in opened.search(["light and water", *QUERIES], 60)[0]] == expected
        assert [row for row, _ in opened.search(["light and water"], 60)[0]] == expected


def test_a_large_k_gives_all_and_a_text_that_says_nothing_none(opened, texts):
    assert sorted(row for row, _ in opened.search(["light"], 1000)[0]) == list(range(len(texts)))
    assert opened.search(["...", "the of", ""], 3) == [[], [], []]


def test_too_many_chunks_are_refused_with_their_size(tmp_path, texts, encoder):
    with pytest.raises(UserError, match=r"144 chunks are more than --ann_from 143: vectors.npy would take 0\.0 GB"):
        Dense.build(source(tmp_path, texts, encoder, ann_from=143))
    assert not list(tmp_path.iterdir())
    assert "1,536.0 GB" in dense.too_many(1_000_000_000, 1_000_000, 384)


def test_finished_parts_are_not_encoded_again(tmp_path, texts, encoder, monkeypatch):
    Dense.build(source(tmp_path, texts, encoder))
    whole = (tmp_path / "vectors.npy").read_bytes()
    (tmp_path / "vectors-00001.npy").write_bytes(b"cut")  # its digest differs
    encoded = []
    encode = encoder.encode
    monkeypatch.setattr(encoder, "encode", lambda part: encoded.append(len(part)) or encode(part))
    Dense.build(source(tmp_path, texts, encoder))
    assert encoded == [50]
    assert (tmp_path / "vectors.npy").read_bytes() == whole


def test_a_part_of_another_shape_or_half_written_counts_as_missing(tmp_path):
    vectors = np.eye(3, dtype=np.float32)
    vector_parts.write_part(tmp_path, 0, vectors)
    np.testing.assert_array_equal(vector_parts.finished_part(tmp_path, 0, (3, 3)), vectors)
    assert vector_parts.finished_part(tmp_path, 0, (2, 3)) is None
    (tmp_path / "vectors-00000.json").write_text("")
    assert vector_parts.finished_part(tmp_path, 0, (3, 3)) is None
    assert vector_parts.finished_part(tmp_path, 1, (3, 3)) is None


def test_vectors_of_another_number_of_chunks_are_remerged(opened, tmp_path, texts, encoder):
    with pytest.raises(UserError, match=r"has float32 \[144, 32\], expected float32 \[145, 32\]"):
        Dense.open(tmp_path, 145, encoder)
    (tmp_path / "vectors.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(UserError, match="build the index again"):
        Dense.open(tmp_path, 144, encoder)


def test_hybrid_is_the_fusion_of_both(tmp_path, texts, encoder):
    Hybrid.build(source(tmp_path, texts, encoder))
    hybrid = Hybrid.open(tmp_path, len(texts), encoder)
    parts = [Bm25.open(tmp_path, len(texts)), Dense.open(tmp_path, len(texts), encoder)]
    for query, hits in zip(QUERIES, hybrid.search(QUERIES, 5), strict=True):
        rankings = [[row for row, _ in part.search([query], 100)[0]] for part in parts]
        assert hits == merged(rankings, 5)
    assert hybrid.search(["the of"], 5) == [[]]
    assert len(hybrid.search(["light"], 144)[0]) == 144
