"""What has no likelihood is refused or reported before a model runs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from llmtuner.data.question import Question, is_blank
from llmtuner.data.tokens.option import OptionTokens
from llmtuner.errors import DataError
from llmtuner.mcq.option_texts import check_texts


def pair(texts: tuple[str, ...], tokens: tuple[int, ...] = (1, 1), answer: int | None = 0, begin: int = 3):
    question = Question("7", "Which?", texts, answer, file="rows.csv", line=2)
    spans = [(begin, begin + count) for count in tokens]
    characters = [0 if is_blank(text) else len(text) for text in texts]
    sequences = [[5] * end for _, end in spans]
    return question, OptionTokens(sequences, (0, 0), (0, begin), spans, 0, 0, characters=characters)


def soft(probabilities: tuple[float, float]):
    """A blank option before one that is not."""
    question, tokens = pair((" ", "a"), answer=1)
    return replace(question, probabilities=probabilities), tokens


@pytest.mark.parametrize("text", ["", " ", "\t\n", "\u00a0", "\u3000", "\u200b", "\ufeff", "\u00ad", "\u2060\u200d "])
def test_a_text_without_a_visible_character_is_blank(text):
    assert is_blank(text)


@pytest.mark.parametrize("text", [".", "0", " x", "\u200b-", "\U0001f600", "\ue000", "\u0301"])
def test_a_text_with_one_is_not(text):
    assert not is_blank(text)


def test_blank_options_are_reported_with_their_places():
    lines = check_texts([pair(("a", " ")), pair(("a", "b"))], training=True)
    assert lines == [
        "1 options are blank: they have no likelihood, and are ranked last:",
        "  rows.csv:2: id 7: option B",
    ]


@pytest.mark.parametrize(
    ("wrong", "training", "message"),
    [
        (pair(("a", "b"), (1, 0)), False, r"1 options give no tokens.*\n  rows\.csv:2: id 7: option B"),
        (pair(("a", "b"), begin=0), False, r"no token before their options.*`template`"),
        (pair((" ", "")), False, r"1 questions have only blank options.*remove these rows"),
        (pair((" ", "a")), True, r"1 blank options are right.*\n  rows\.csv:2: id 7: option A"),
        (soft((0.1, 0.9)), True, r"1 blank options .* probability above 0.*\n  rows\.csv:2: id 7: option A"),
    ],
)
def test_what_cannot_be_scored_is_refused(wrong, training, message):
    with pytest.raises(DataError, match=message):
        check_texts([pair(("a", "b")), wrong], training=training)


def test_a_blank_option_of_probability_0_is_not_learnt():
    """One with a probability gave a loss of 1e37."""
    assert check_texts([soft((0.0, 1.0))], training=True)


def test_a_blank_answer_ranks_last_in_a_prediction():
    assert check_texts([pair((" ", "a"))], training=False)


def test_all_problems_come_in_one_message():
    with pytest.raises(DataError, match=r"(?s)give no tokens.*only blank options"):
        check_texts([pair(("a", "b"), (1, 0)), pair(("", ""))], training=False)
