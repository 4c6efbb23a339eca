"""Recall of the passages that belong to questions: what counts as found, and that finished pieces are used again."""

from __future__ import annotations

import json
import sys

import pytest
import retrieval_recall
from retrieval_recall import figures_of, hits_at, holders, places_of, write_corpus

from llmtuner.retrieval.passages import Document
from llmtuner.spec.retrievers import QUERY_KINDS, RETRIEVERS

SPEED = " ".join(f"An object in step {step} moves and its speed is counted." for step in range(12))
DOCUMENTS = [
    Document("a", "", "frost forms."),
    Document("b", "", "frost  forms. It melts."),
    Document("c", "", SPEED + " A mile is long."),
    Document("d", "", SPEED + " A kilometer is long."),
    Document("e", "", "Permafrost forms."),
]


def test_a_place_is_that_of_the_first_accepted_document():
    """Ids of documents may hold the sign in front of the chunk's number."""
    found = [["a#0", "b#3", "b#0"], ["c#1#0"], ["a#0"], []]
    assert places_of(found, [{"b"}, {"c#1", "x"}, {"b"}, {"b"}]) == [2, 1, 0, 0]


def test_a_place_of_0_is_no_hit():
    assert [hits_at(k, [0, 1, 5, 6, 10]) for k in (1, 5, 10)] == [[0, 1, 0, 0, 0], [0, 1, 1, 0, 0], [0, 1, 1, 1, 1]]


def test_what_holds_the_whole_passage_or_replaces_a_near_duplicate_counts_as_the_passage():
    """Lectures about miles and kilometers are near duplicates, and the index keeps only one of them."""
    accepted = holders(["a", "b", "d"], DOCUMENTS, kept={"a", "b", "c", "e"})
    assert accepted == {"a": {"a", "b"}, "b": {"b"}, "d": {"c"}}


def test_a_corpus_has_each_text_once(tmp_path):
    path = write_corpus(tmp_path / "new" / "corpus.jsonl", ["b", "a", " ", "b"])
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"id": "p0", "text": "b"},
        {"id": "p1", "text": "a"},
    ]


def test_questions_of_one_passage_are_drawn_together():
    """The interval of 30 questions on three lectures was that of 30 independent ones."""
    places = [1] * 20 + [0] * 10
    keys = ("counts", "build_cpu_seconds", "index_megabytes", "peak_megabytes", "notices", "gold_refused")
    piece = {
        **dict.fromkeys([*keys, "gold_left_out"], 0),
        "queries": {kind: {"places": places} for kind in QUERY_KINDS},
    }

    def recall(gold):
        rows = figures_of("toy", {"bm25": {**piece, "gold": gold}})["recall"]
        return rows[0]["recall"]["1"]

    alone, together = recall(list(range(30))), recall([number // 10 for number in range(30)])
    assert alone[0] == together[0] == pytest.approx(2 / 3, abs=1e-4)
    assert 0.4 < alone[1] < alone[2] < 0.9
    assert together[1:] == [0, 1]


def test_pieces_are_used_again_for_the_same_questions_only(monkeypatch, tmp_path):
    monkeypatch.setattr(retrieval_recall, "RETRIEVERS", {"bm25": RETRIEVERS["bm25"]})
    monkeypatch.setattr(retrieval_recall.os, "environ", dict(retrieval_recall.os.environ))

    def run(limit):
        words = ["--data", str(tmp_path), "--sets", "elementary", "--limit", str(limit), "--work", str(tmp_path / "w")]
        monkeypatch.setattr(sys, "argv", ["retrieval_recall.py", *words, "--out", str(tmp_path / "out.json")])
        retrieval_recall.main()
        return json.loads((tmp_path / "out.json").read_text())

    first = run(12)
    piece = tmp_path / "w" / "elementary-bm25.json"
    marked = json.loads(piece.read_text()) | {"build_cpu_seconds": 12345.0}
    piece.write_text(json.dumps(marked))
    assert run(12)["indexes"][0]["build_cpu_seconds"] == 12345.0
    assert run(11)["indexes"][0]["build_cpu_seconds"] != 12345.0
    assert first["command"].endswith("--data DATA --sets elementary --limit 12")
    assert [row["query"] for row in first["recall"]] == [*QUERY_KINDS]
    assert len({str(row["recall"]) for row in first["recall"]}) > 1, "each form of the query is searched"
    assert first["sets"] == [
        {"set": "elementary", "questions": 12, "gold_passages": 12, "gold_refused": 0, "gold_left_out": 0}
    ]
    assert all(row["recall"]["10"][0] >= 0.5 for row in first["recall"]), (
        "10 of 640 facts at random hold the right one in 2 % of questions"
    )
    assert all(row["recall"]["1"][0] <= row["recall"]["5"][0] <= row["recall"]["10"][0] for row in first["recall"])
