"""The results of a sweep while it runs."""

from __future__ import annotations

import json

from llmtuner.studies import sweep_results
from llmtuner.studies.sweep import Sweep
from llmtuner.studies.sweep_results import read_results, table


def finish(piece, right: int, questions: int = 4) -> None:
    """A done piece that has so many questions right; the answer is always A."""
    piece.folder.mkdir(parents=True)
    rows = [
        {"id": str(n), "ranking": "AB", "scores": {"A": n < right, "B": 0.5}, "answer": "A"} for n in range(questions)
    ]
    for row in rows:
        row["scores"] = {letter: float(value) for letter, value in row["scores"].items()}
        row["probabilities"] = {"A": 0.5, "B": 0.5}
    (piece.folder / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (piece.folder / "predict_results.json").write_text(json.dumps({"predict_map@3": 0.5 + right / questions / 2}))
    piece.finish({}, 3.0)


def test_predictions_are_not_read_again_after_every_piece(tmp_path, monkeypatch):
    """A hundred pieces read five thousand files; a further seed is a new result."""
    read = []
    real = sweep_results.read_predictions
    monkeypatch.setattr(sweep_results, "read_predictions", lambda path: read.append(path.parent.name) or real(path))
    sweep = Sweep(tmp_path, (), {"rate": ("1", "2")}, (1, 2))
    pieces = list(sweep.pieces())
    known: dict = {}
    for piece, right in zip(pieces[:3], (4, 2, 0), strict=True):
        finish(piece, right)
        results = read_results(sweep, known)
    assert read == ["seed-1", "seed-1", "seed-1", "seed-2"]
    assert [(each.seeds, each.map3) for each in results] == [([1, 2], 0.75), ([1], 0.75)]
    assert results == read_results(sweep)


def test_a_table_says_where_its_scores_are_of_different_questions(tmp_path):
    """--max_samples also limits the scored questions: the best of a sweep over it was the one with the easiest ones."""
    sweep = Sweep(tmp_path, (), {"max_samples": ("4", "3")}, (1,))
    first, second = sweep.pieces()
    finish(first, 3)
    assert "warning" not in "\n".join(table(read_results(sweep)))
    finish(second, 3, questions=3)
    assert "different questions (max_samples=4 4, max_samples=3 3)" in table(read_results(sweep))[-1]
