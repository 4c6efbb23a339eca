"""The benchmark of retrieval runs end to end on a few passages; the times are meaningless."""

from __future__ import annotations

import gzip
import json

import retrieval

TEXT = "The liver stores vitamin A. A leaf makes sugar from light and water. Iron rusts where it is wet. Short one."


def test_the_parts_of_the_benchmark_run(tmp_path):
    (tmp_path / "corpus").mkdir()
    with gzip.open(tmp_path / "corpus" / "textbooks_x.jsonl.gz", "wt") as file:
        file.write(json.dumps({"text": TEXT}) + "\n")
    drawn_from = retrieval.sentences(tmp_path)
    assert len(drawn_from) == 3, "sentences of two words say nothing"
    path = tmp_path / "passages.jsonl"
    retrieval.write_corpus(path, drawn_from, 30)
    texts = retrieval.texts_of(path)
    assert len(texts) == 30
    assert all(45 < len(text.split()) <= retrieval.WORDS for text in texts)
    turns = retrieval.in_turns(path, drawn_from)
    assert {name: len(runs) for name, runs in turns["cpu_seconds"].items()} == {"ours": 3, "plain": 3}
    assert retrieval.reading(path)["counts"]["documents"] == 30
    assert set(retrieval.searching(path, drawn_from)["stages"]) == {"read", "store", "index"}
