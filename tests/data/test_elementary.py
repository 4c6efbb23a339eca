"""The elementary exam that ships with the project is as its data card says."""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from llmtuner.data.audit.model import shortcut_model
from llmtuner.data.duplicates import near_groups
from llmtuner.data.load import read_questions
from llmtuner.data.registry import PROJECT_DATA, find_source
from llmtuner.metrics import map_at_k

ELEMENTARY = PROJECT_DATA / "elementary"
PARTS = {"train": 120, "validation": 40, "test": 160}
NAMES = {"train": "train", "valid": "validation", "test": "test"}  # end of the registered name: file
LETTERS = "ABCD"
SUBJECTS = {
    *("life", "body", "matter", "energy", "forces", "earth"),
    *("space", "weather", "materials", "tools", "environment", "measurement"),
}
# Words that carry no content: sharing one of them with the question gives nothing away.
FUNCTION_WORDS = set(
    re.findall(
        r"\w+",
        "a an and are as at be by can do does for from her his how in is it its not of on one or that the their them"
        " they this to was what when which why with",
    )
)


def read(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.casefold())


def share_of_words(option: str, fact: str) -> float:
    """The share of the option's words that stand in the fact."""
    return sum(word in set(words(fact)) for word in words(option)) / len(words(option))


@pytest.fixture(scope="module")
def parts() -> dict[str, list[dict[str, str]]]:
    return {name: read(ELEMENTARY / f"{name}.jsonl") for name in PARTS}


@pytest.fixture(scope="module")
def questions(parts) -> list[dict[str, str]]:
    return [row for rows in parts.values() for row in rows]


@pytest.fixture(scope="module")
def corpus() -> list[dict[str, str]]:
    return read(ELEMENTARY / "corpus.jsonl")


def test_the_parts_are_as_large_as_the_card_says_and_read_without_a_warning():
    card = (ELEMENTARY / "README.md").read_text(encoding="utf-8")
    for name, file in NAMES.items():
        source = find_source(f"llmscience_elementary_{name}", str(PROJECT_DATA))
        assert source is not None
        assert [Path(path).name for path in source.files] == [f"{file}.jsonl"]
        reading = read_questions(ELEMENTARY / f"{file}.jsonl", purpose="train")
        assert not reading.warnings
        assert len(reading.questions) == PARTS[file]
        assert all(question.context and len(question.options) == 4 for question in reading.questions)
        assert f"`{file}.jsonl` | {PARTS[file]} questions" in card
    whole = find_source("llmscience_elementary", str(PROJECT_DATA))
    assert whole is not None
    assert len(whole.files) == 3


def test_questions_have_four_different_options_a_subject_and_a_fact(questions):
    assert {row["subject"] for row in questions} == SUBJECTS
    assert set(Counter(row["subject"] for row in questions).values()) == {26, 27}
    for row in questions:
        assert list(row) == ["id", "prompt", *LETTERS, "answer", "context", "subject"]
        assert len({" ".join(words(row[letter])) for letter in LETTERS}) == 4, row["id"]
        assert not any("of the above" in row[letter].casefold() for letter in LETTERS)
        assert row["prompt"].endswith("?"), row["id"]
    assert len({row["id"] for row in questions}) == len(questions) == sum(PARTS.values())


def test_the_corpus_holds_every_fact_once_and_as_many_that_answer_nothing(questions, corpus):
    facts = {row["context"] for row in questions}
    texts = [row["text"] for row in corpus]
    assert len(facts) == len(questions), "two questions share a fact"
    assert facts < set(texts)
    assert len(set(texts)) == len(texts) == 2 * len(questions)
    assert all(list(row) == ["id", "title", "text"] for row in corpus)
    assert len({row["title"] for row in corpus}) == len(corpus)


def test_neither_ids_nor_order_nor_length_tell_which_fact_belongs_to_a_question(questions, corpus):
    facts = {row["context"] for row in questions}
    belongs = [row["text"] in facts for row in corpus]
    assert not {row["id"] for row in corpus} & {row["id"] for row in questions}
    first, second = sum(belongs[: len(belongs) // 2]), sum(belongs[len(belongs) // 2 :])
    assert abs(first - second) < 0.15 * len(facts)
    changes = sum(left != right for left, right in pairwise(belongs))
    assert 0.4 < changes / (len(belongs) - 1) < 0.6, "the facts of the questions stand together"
    for field in ("title", "text"):
        belonging = [len(words(row[field])) for row in corpus if row["text"] in facts]
        neighbouring = [len(words(row[field])) for row in corpus if row["text"] not in facts]
        assert 0.85 < (sum(belonging) / len(belonging)) / (sum(neighbouring) / len(neighbouring)) < 1.15


def test_the_right_option_stands_in_the_fact_almost_word_for_word(parts):
    """A reader must be able to find it: a fact that only hints at the answer would test knowledge again."""
    for rows in parts.values():
        right = [share_of_words(row[row["answer"]], row["context"]) for row in rows]
        assert sum(right) / len(right) >= 0.6
        wrong = [
            max(share_of_words(row[letter], row["context"]) for letter in LETTERS if letter != row["answer"])
            for row in rows
        ]
        assert sum(r > w for r, w in zip(right, wrong, strict=True)) >= 0.95 * len(rows)


def test_every_place_is_right_equally_often(parts):
    for rows in parts.values():
        assert Counter(row["answer"] for row in rows) == dict.fromkeys(LETTERS, len(rows) // 4)


def test_neither_the_longest_nor_the_shortest_option_is_a_good_guess(parts, questions):
    for rows in (*parts.values(), questions):
        lengths = [[len(row[letter]) for letter in LETTERS] for row in rows]
        answers = [LETTERS.index(row["answer"]) for row in rows]
        assert map_at_k(lengths, answers) <= 0.50
        assert map_at_k([[-length for length in row] for row in lengths], answers) <= 0.50


def test_no_option_is_the_only_one_that_repeats_a_word_of_the_question(questions):
    """Such an option draws a guess, whether it is right or wrong."""
    for row in questions:
        asked = set(words(row["prompt"])) - FUNCTION_WORDS
        repeating = [letter for letter in LETTERS if asked & set(words(row[letter]))]
        assert len(repeating) != 1, (row["id"], repeating)


def test_prompts_are_varied_and_no_question_says_nearly_the_same_as_another(questions):
    first_words = Counter(row["prompt"].split()[0] for row in questions)
    assert first_words.most_common(1)[0][1] < 0.2 * len(questions)
    assert sum(row["prompt"].startswith("Which of the following") for row in questions) <= 0.1 * len(questions)
    everything = [q for name in PARTS for q in read_questions(ELEMENTARY / f"{name}.jsonl", purpose="train").questions]
    assert len(set(near_groups(everything))) == len(questions)


def test_a_model_that_knows_nothing_stays_near_chance():
    """The audit's logistic model on lengths, similarity and places; chance is 0.458."""
    of_part = {n: read_questions(ELEMENTARY / f"{n}.jsonl", purpose="train").questions for n in PARTS}
    for rows in (of_part["train"], of_part["test"], [question for part in of_part.values() for question in part]):
        reading = shortcut_model(rows)
        assert reading is not None
        assert not reading.score.worth_a_warning
        assert reading.score.map_at_3 < 0.52
