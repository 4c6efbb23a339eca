"""The raw folder that most tests of the build start from."""

from __future__ import annotations

from pathlib import Path

import pytest
from planted import HEADER, put, row


@pytest.fixture
def raw(tmp_path) -> Path:
    """All four sources and the test questions, small, with one instance of each possible defect."""
    folder = tmp_path / "raw"
    official = [row(n) for n in range(5)]
    put(folder / "competition" / "train.csv", official)
    put(folder / "competition" / "test.csv", [row(0), row(100)], HEADER[:-1])
    shuffled = {"A": row(1)["C"], "B": row(1)["A"], "C": row(1)["B"]}
    put(
        folder / "a" / "6000_train_examples.csv",
        [
            *(row(n) for n in range(10, 30)),
            row(1, "A", **shuffled),  # an official question with another answer: C is right here
            row(2, prompt=row(2)["prompt"].upper() + "  "),  # the official one in capitals
            row(3, E="something else"),  # the official text, other options
            row(100),  # a test question
            row(10, prompt=f" {row(10)['prompt']}"),  # a duplicate
            row(11, "B"),  # a contradiction
        ],
    )
    put(folder / "a" / "extra_train_set.csv", [row(40), row(41)], ["prompt", "C", "E", "D", "B", "A", "answer"])
    near = row(12)["prompt"].replace("aword12", "zword12")
    put(folder / "15k_gpt3.5-turbo.csv", [row(12, prompt=near), *(row(n) for n in range(50, 60))])
    put(folder / "5900_examples.csv", [row(60), row(61, A=" "), row(62, E="All of the above")])
    put(folder / "6000_all_categories_questions.csv", [row(70)])
    put(folder / "6000_wiki_en_sci_questions.csv", [row(71), row(72)])
    return folder
