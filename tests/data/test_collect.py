"""The questions of the data sets that a run names: how many of each, and which."""

from __future__ import annotations

import json

import numpy as np
import pytest

from llmtuner.data.collect import collect

ROWS = 8


@pytest.fixture
def folder(tmp_path):
    """A registry in which the same file stands without and with a number of samples."""
    rows = [f"{row},What is number {row}?,a,b,A" for row in range(ROWS)]
    (tmp_path / "exam.csv").write_text("\n".join(["id,prompt,A,B,answer", *rows]) + "\n")
    entry = {"formatting": "mcq", "file_name": "exam.csv"}
    numbers = {"whole": {}, "three": {"num_samples": 3}, "twelve": {"num_samples": 12}}
    (tmp_path / "dataset_info.json").write_text(json.dumps({name: entry | more for name, more in numbers.items()}))
    return tmp_path


def ids(folder, name: str, **more) -> list[int]:
    np.random.seed(0)
    return [int(question.id) for question in collect([name], str(folder), **more)[name]]


def test_num_samples_of_the_registry_is_kept_to(folder):
    """Passed over, a data set that is meant as a part of a mixture comes whole."""
    drawn = ids(folder, "three")
    assert len(set(drawn)) == len(drawn) == 3
    assert ids(folder, "whole") == list(range(ROWS)), "without it, every row in the order of the file"


def test_more_samples_than_rows_are_every_row_and_some_again(folder):
    """As upstream means it: no row is left out before another one comes twice."""
    drawn = ids(folder, "twelve")
    assert len(drawn) == 12
    assert sorted(drawn[:ROWS]) == list(range(ROWS))
    assert set(drawn[ROWS:]) <= set(range(ROWS))


def test_max_samples_takes_the_first_of_each_set(folder):
    """--max_samples 5 of two sets is five of each, not five in all."""
    found = collect(["whole", "three"], str(folder), max_samples=5)
    assert [int(question.id) for question in found["whole"]] == [0, 1, 2, 3, 4]
    assert len(found["three"]) == 3
