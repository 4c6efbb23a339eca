"""The questions of a run's data sets: how many of each, and which."""

from __future__ import annotations

import json

import numpy as np
import pytest

from llmtuner.data.collect import check_ids, collect, with_predicted_ids
from llmtuner.data.load import read_questions
from llmtuner.errors import DataError

ROWS = 8


@pytest.fixture
def folder(tmp_path):
    """A registry that lists the same file with and without a number of samples."""
    rows = [f"{row},What is number {row}?,a,b,A" for row in range(ROWS)]
    (tmp_path / "exam.csv").write_text("\n".join(["id,prompt,A,B,answer", *rows]) + "\n")
    entry = {"formatting": "mcq", "file_name": "exam.csv"}
    numbers = {"whole": {}, "three": {"num_samples": 3}, "twelve": {"num_samples": 12}}
    (tmp_path / "dataset_info.json").write_text(json.dumps({name: entry | more for name, more in numbers.items()}))
    return tmp_path


def ids(folder, name: str, **more) -> list[int]:
    np.random.seed(0)
    return [int(question.id) for question in collect([name], str(folder), **more)[name]]


def test_num_samples_of_the_registry_is_respected(folder):
    """If num_samples is ignored, a data set that should be part of a mixture is used whole."""
    drawn = ids(folder, "three")
    assert len(set(drawn)) == len(drawn) == 3
    assert ids(folder, "whole") == list(range(ROWS)), "without it, every row in the order of the file"


def test_more_samples_than_rows_are_every_row_and_some_again(folder):
    """As in upstream: no row is repeated before every row is used once."""
    drawn = ids(folder, "twelve")
    assert len(drawn) == 12
    assert sorted(drawn[:ROWS]) == list(range(ROWS))
    assert set(drawn[ROWS:]) <= set(range(ROWS))


def test_max_samples_takes_the_first_of_each_set(folder):
    """--max_samples 5 with two sets means five of each, not five in total."""
    actual = collect(["whole", "three"], str(folder), max_samples=5)
    assert [int(question.id) for question in actual["whole"]] == [0, 1, 2, 3, 4]
    assert len(actual["three"]) == 3


def test_files_of_a_data_set_that_share_an_id_are_not_predicted_together(tmp_path):
    for name, number in (("a.csv", 1), ("b.csv", 1), ("c.csv", 2)):
        (tmp_path / name).write_text(f"id,prompt,A,B\n{number},Q?,a,b\n")
    a, b, c = (read_questions(tmp_path / name, purpose="predict") for name in ("a.csv", "b.csv", "c.csv"))
    check_ids("exam", [a, c])
    with pytest.raises(DataError, match=r"a\.csv and .*b\.csv have ids in common: 1; name the files one by one"):
        check_ids("exam", [a, c, b])


def parts(tmp_path, *names: str, numbered: bool = True):
    """Files of three questions each."""
    for name in names:
        rows = [{"prompt": f"{name} {row}?", "A": "x", "B": "y", "answer": "AB"[row % 2]} for row in range(3)]
        rows = rows if numbered else [row | {"id": f"{name}{place}"} for place, row in enumerate(rows)]
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [read_questions(tmp_path / name, purpose="predict") for name in names]


def test_predictions_of_one_data_set_fit_its_files(tmp_path):
    """An audit and a blend refused the files that were predicted: their rows began at 0 in each."""
    files = parts(tmp_path, "part-0.jsonl", "part-1.jsonl")
    predicted = [q.id for q in collect([str(tmp_path / "part-*.jsonl")], str(tmp_path)).popitem()[1]]
    assert predicted == list("012345")
    assert [q.id for q in with_predicted_ids(files, predicted)] == predicted
    assert [q.question for q in with_predicted_ids(files, predicted)][3] == "part-1.jsonl 0?"
    assert [q.id for q in with_predicted_ids(files, list("012012"))] == list("012012"), "named one by one"


def test_ids_of_files_are_never_counted_on(tmp_path):
    files = parts(tmp_path, "a.jsonl", "b.jsonl", numbered=False)
    own = [q.id for file in files for q in file.questions]
    assert [q.id for q in with_predicted_ids(files, ["of another file"])] == own
