"""--val_size keeps the same question on one side, and leaves other data to upstream."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from datasets import Dataset

import patches
from patches.dataset_files import COLUMN


@pytest.fixture(scope="module")
def split():
    patches.install()
    from llamafactory.data import loader

    return loader.split_dataset


def arguments(val_size, streaming=False):
    return SimpleNamespace(val_size=val_size, streaming=streaming, buffer_size=10)


def questions(prompts: list[str | None]) -> Dataset:
    return Dataset.from_list(
        [{"row": i, COLUMN: None if p is None else {"question": p}} for i, p in enumerate(prompts)]
    )


def test_a_repeated_question_stays_on_one_side(split):
    """Kaggle's sources repeat about 6,000 of 39,600 prompts."""
    prompts = [f"Question {i % 10}?" + " " * (i // 10) for i in range(40)]
    for seed in range(5):
        train, held_out = split(questions(prompts), None, arguments(0.25), seed)
        sides = [{row % 10 for row in part["row"]} for part in (train["train"], held_out["validation"])]
        assert not sides[0] & sides[1]
        assert sorted([*train["train"]["row"], *held_out["validation"]["row"]]) == list(range(40))


def test_rows_of_other_data_stand_alone(split):
    train, held_out = split(questions(["A?", "A?", None, None, None, None]), None, arguments(3), 0)
    assert len(train["train"]) + len(held_out["validation"]) == 6


def test_data_without_questions_is_split_as_upstream_does(split):
    data = Dataset.from_list([{"row": i} for i in range(20)])
    ours = split(data, None, arguments(0.2), 1)
    theirs = split.__upstream__(data, None, arguments(0.2), 1)
    assert ours[0]["train"]["row"] == theirs[0]["train"]["row"]


def test_two_validation_sets_are_still_refused(split):
    with pytest.raises(ValueError, match="val_size"):
        split(questions(["A?", "B?"]), questions(["C?"]), arguments(0.5), 0)
