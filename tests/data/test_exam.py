"""The exam that ships with the project is as its data card says."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from llmtuner.data.audit.model import shortcut_model
from llmtuner.data.duplicates import near_groups
from llmtuner.data.load import read_questions
from llmtuner.data.registry import PROJECT_DATA, find_source
from llmtuner.metrics import map_at_k

EXAM = PROJECT_DATA / "exam"
PARTS = {"train": 182, "validation": 56, "test": 126}
SUBJECTS = {"physics", "chemistry", "biology", "astronomy", "earth science", "mathematics", "computing"}


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def parts() -> dict[str, list[dict]]:
    return {name: read(EXAM / f"{name}.jsonl") for name in PARTS}


@pytest.fixture(scope="module")
def questions(parts) -> list[dict]:
    return [row for rows in parts.values() for row in rows]


@pytest.fixture(scope="module")
def passages() -> dict[str, dict]:
    return {row["passage_id"]: row for row in read(EXAM / "passages.jsonl")}


def test_the_parts_are_as_large_as_the_card_says_and_read_without_a_warning(parts):
    card = (EXAM / "README.md").read_text()
    for name, count in PARTS.items():
        reading = read_questions(EXAM / f"{name}.jsonl", purpose="train")
        assert not reading.warnings
        assert len(reading.questions) == count
        assert f"`{name}.jsonl` | {count} questions" in card
    assert len(find_source("llmscience_demo", str(PROJECT_DATA)).files) == 3


def test_questions_have_five_options_a_subject_and_their_passage(questions, passages):
    assert {row["subject"] for row in questions} == SUBJECTS
    for row in questions:
        assert list(row) == ["id", "prompt", "context", *"ABCDE", "answer", "subject", "passage_id"]
        assert row["context"] == passages[row["passage_id"]]["text"]
        assert passages[row["passage_id"]]["supports"]
        assert len({re.sub(r"\W+", " ", row[letter].casefold()).strip() for letter in "ABCDE"}) == 5, row["id"]
        assert not any("of the above" in row[letter].casefold() for letter in "ABCDE")
        assert not re.search(r"\bpassage\b|according to the text|mentioned above", row["prompt"].casefold()), row["id"]
    assert len({row["id"] for row in questions}) == len(questions) == sum(PARTS.values())


def test_passages_are_of_the_stated_length_and_enough_of_each_kind(passages, questions):
    assert all(80 <= len(row["text"].split()) <= 150 for row in passages.values())
    supporting = {name for name, row in passages.items() if row["supports"]}
    assert supporting == {row["passage_id"] for row in questions}
    assert len(supporting) >= 150
    assert len(passages) - len(supporting) >= 300
    assert len({row["text"] for row in passages.values()}) == len(passages)


def test_no_passage_and_no_question_is_on_two_sides(parts, questions):
    of_part = {name: {row["passage_id"] for row in rows} for name, rows in parts.items()}
    assert not of_part["train"] & of_part["validation"]
    assert not (of_part["train"] | of_part["validation"]) & of_part["test"]
    everything = [q for name in PARTS for q in read_questions(EXAM / f"{name}.jsonl", purpose="train").questions]
    assert len(set(near_groups(everything))) == len(questions), "no question says nearly the same as another"


def test_neither_length_nor_letter_gives_the_answer_away(parts, questions):
    for rows in (*parts.values(), questions):
        lengths = [[len(row[letter]) for letter in "ABCDE"] for row in rows]
        answers = ["ABCDE".index(row["answer"]) for row in rows]
        assert 0.30 < map_at_k(lengths, answers) < 0.44
        assert 0.30 < map_at_k([[-length for length in row] for row in lengths], answers) < 0.44
        assert max(Counter(row["answer"] for row in rows).values()) <= 0.24 * len(rows)


def test_prompts_are_varied(questions):
    words = Counter(row["prompt"].split()[0] for row in questions)
    assert words.most_common(1)[0][1] < 0.3 * len(questions)


def test_a_model_that_knows_nothing_stays_near_chance():
    """The audit's logistic model on lengths, similarity and places; chance is 0.367."""
    of_part = {name: read_questions(EXAM / f"{name}.jsonl", purpose="train").questions for name in PARTS}
    for questions in (*of_part.values(), [question for part in of_part.values() for question in part]):
        reading = shortcut_model(questions)
        assert reading is not None
        assert reading.score.map_at_3 < 0.45
