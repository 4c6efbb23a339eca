"""Opening and searching an index."""

from __future__ import annotations

import json
import shutil

import pytest

from llmtuner.errors import UserError
from llmtuner.retrieval import encoder_of
from llmtuner.retrieval.index import manifest as manifests
from llmtuner.retrieval.index.build import BuildSettings, build_index
from llmtuner.retrieval.search import Index


@pytest.fixture
def index(tmp_path, corpus):
    build_index([str(corpus)], tmp_path / "index")
    return Index.open(tmp_path / "index")


def best(index, *texts):
    return [hits[0].chunk_id if hits else None for hits in index.search(texts, 3)]


def test_letters_charges_and_chinese_are_found(index):
    """A search that drops one-letter words cannot tell vitamin A from vitamin K."""
    assert best(
        index, "Where is vitamin A stored?", "vitamin\nk", "What is Fe2+ of iron?", "Fe³⁺", "CO2", "化合物", "-5"
    ) == [
        "liver#0",
        "blood#0",
        "rust#0",
        "iron#0",
        "leaf#0",
        "water#0",
        "force#0",
    ]


def test_a_hit_has_row_id_and_score_and_titles_are_searched(index):
    (hits,) = index.search(["vitamins"], 1000)
    assert [hit.chunk_id for hit in hits] == ["blood#0", "liver#0"]  # equal scores
    assert all(index.chunk(hit.row).chunk_id == hit.chunk_id and hit.score > 0 for hit in hits)
    assert hits[0].score >= hits[1].score


def test_texts_that_find_nothing_and_half_characters(index):
    assert index.search(["", "the of", "?!", "\ud800", "quux"], 5) == [[]] * 5
    assert index.search([], 5) == []
    assert best(index, "liver \ud800") == ["liver#0"]
    with pytest.raises(UserError, match="--k 0: expected at least 1"):
        index.search(["liver"], 0)


def test_the_text_around_a_chunk_is_that_of_its_document(tmp_path):
    """Text of the neighbouring documents was read, too, or sentences of two chunks stood twice."""
    sentences = [f"Sentence number {n} is about {'abcdefghij'[n % 10]} and x{n}." for n in range(120)]
    documents = {"before": "Other text here.", "long": " ".join(sentences), "behind": "More other text."}
    path = tmp_path / "c.jsonl"
    path.write_text("".join(json.dumps({"id": name, "text": text}) + "\n" for name, text in documents.items()))
    build_index([str(path)], tmp_path / "index", BuildSettings(words=30, overlap=2))
    index = Index.open(tmp_path / "index")
    rows = [row for row in range(len(index)) if index.chunk(row).document_id == "long"]
    assert len(rows) > 50
    middle = rows[len(rows) // 2]
    for row, words in ((rows[0], 500), (rows[-1], 500), (middle, 40), (middle, 10_000)):
        before, after = index.text_around(row, words)
        whole = " ".join(f"{before} {index.chunk(row).text} {after}".split())
        assert whole in documents["long"]
        assert len(before.split()) >= words or documents["long"].startswith(whole)
        assert len(after.split()) >= words or documents["long"].endswith(whole)
    assert index.text_around(0) == ("", "")


def edited(folder, **changes):
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shutil.rmtree, "no such folder; give the --out"),
        (lambda f: (f / "manifest.json").unlink(), "is no index: it has no manifest.json"),
        (lambda f: (f / "manifest.json").write_text("{"), "cannot be read .*build the index again"),
        (lambda f: (f / "manifest.json").write_text("[1]"), "is no manifest of an index"),
        (lambda f: edited(f, format=2), "in format 2 .*this version reads format 1 .*build the index again"),
        (lambda f: edited(f, term_rules=0, version="0.0"), "version 0.0 .*search terms 0.*build the index again"),
        (lambda f: edited(f, retriever="bm52"), "retriever bm52.*choose from: bm25"),
        (lambda f: edited(f, retriever="dense"), "damaged: expected the keys"),
        (lambda f: edited(f, retriever=["bm25"]), "choose from: bm25"),
        (lambda f: edited(f, counts={"chunks": 3}), "damaged: expected the keys"),
        (lambda f: edited(f, files={"x": 1}), "damaged: expected the keys"),
        (lambda f: (f / "chunks.parquet").unlink(), "chunks.parquet: is missing"),
        (lambda f: (f / "bm25" / "vocab.index.json").write_text("{}"), "vocab.index.json: has 2 bytes"),
        (lambda f: flip(f / "bm25" / "data.csc.index.npy"), "differs from what was written"),
    ],
    ids=range(14),
)
def test_what_is_no_whole_index_of_this_version_is_refused(tmp_path, corpus, damage, message):
    build_index([str(corpus)], tmp_path / "index")
    damage(tmp_path / "index")
    with pytest.raises(UserError, match=message):
        Index.open(tmp_path / "index")


def flip(path):
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def test_large_files_are_compared_by_size_unless_thorough(tmp_path, corpus, monkeypatch):
    build_index([str(corpus)], tmp_path / "index")
    flip(tmp_path / "index" / "bm25" / "data.csc.index.npy")
    monkeypatch.setattr(manifests, "_HASHED", 1)
    Index.open(tmp_path / "index")
    with pytest.raises(UserError, match="differs from what was written"):
        Index.open(tmp_path / "index", thorough=True)


def test_another_encoder_is_refused_and_the_same_one_elsewhere_taken(
    tmp_path, corpus, tiny_bert, other_bert, monkeypatch
):
    """Vectors of two encoders have the same form, and their products mean nothing."""
    here = shutil.copytree(tiny_bert, tmp_path / "encoder")
    build_index([str(corpus)], tmp_path / "index", BuildSettings(retriever="dense", encoder=here))
    hits = Index.open(tmp_path / "index").search(["vitamin A"], 3)
    with pytest.raises(UserError, match=r"is another encoder than that of .*weights_sha256.* differ"):
        Index.open(tmp_path / "index", encoder=other_bert)
    here.rename(tmp_path / "moved")
    assert Index.open(tmp_path / "index", encoder=tmp_path / "moved").search(["vitamin A"], 3) == hits
    with pytest.raises(UserError, match=r"its encoder is not where it was .*pass --encoder"):
        Index.open(tmp_path / "index")
    monkeypatch.setattr(encoder_of, "minilm_folder", lambda: tmp_path / "moved")
    assert Index.open(tmp_path / "index").search(["vitamin A"], 3) == hits
    shutil.copytree(other_bert, here)
    monkeypatch.setattr(encoder_of, "minilm_folder", lambda: other_bert)
    with pytest.raises(UserError, match="is another encoder"):
        Index.open(tmp_path / "index")


def test_equal_scores_go_by_id_whatever_the_order_of_the_corpus(tmp_path):
    """Of equal passages those that the corpus had first were found, so another order of files gave other contexts."""
    words = {"b": "air", "a": "water", "10": "salt", "9": "acid", "c": "sea"}
    for name, ids in (("one", [*words]), ("two", [*words][::-1])):
        corpus = tmp_path / f"{name}.jsonl"
        corpus.write_text("".join(json.dumps({"id": i, "text": f"iron rusts in {words[i]}"}) + "\n" for i in ids))
        build_index([str(corpus)], tmp_path / name)
        (hits,) = Index.open(tmp_path / name).search(["does iron rust"], 3)
        assert [hit.chunk_id for hit in hits] == ["10#0", "9#0", "a#0"]
        assert len({hit.score for hit in hits}) == 1
