"""Baselines of a prediction: longest option, chance, most frequent place, BM25 with the context."""

from __future__ import annotations

import sys

import pytest

from llmtuner.data.baselines import baselines_of, passage_scores
from llmtuner.data.collect import answer_places
from llmtuner.data.question import Question


def test_the_floor_is_always_the_longest_option():
    """With the shortest option, or lengths in words, it would still be a number between chance and one."""
    asked = [
        Question("1", "?", ("a", "bb", "a b c d"), 2),
        Question("2", "?", ("internationalisation", "a b", "c d"), 0),
        Question("3", "?", ("aaa", "b", "cc"), 1),
        Question("4", "?", ("aaa", "b", "cc")),
    ]
    actual = baselines_of(asked)
    assert actual["floor_longest_accuracy"] == pytest.approx(2 / 3)
    assert actual["floor_longest_map@3"] == pytest.approx((1 + 1 + 1 / 3) / 3)
    assert actual["floor_random_accuracy"] == pytest.approx(1 / 3)
    assert actual["floor_random_map@3"] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    assert baselines_of(asked[3:]) == {}


def asked(*answers: int | None, options: int = 5, context: str = "") -> list[Question]:
    return [
        Question(str(row), f"{row}?", tuple("vwxyz"[:options]), answer, context) for row, answer in enumerate(answers)
    ]


def test_an_answer_that_is_always_at_one_place_is_no_skill():
    """MAP@3 1.0 stood beside baselines of 0.24 and 0.37, where every answer was A."""
    figures = baselines_of(asked(*[0] * 12))
    assert (figures["floor_place_map@3"], figures["floor_place_accuracy"]) == (1.0, 1.0)
    assert figures["floor_random_accuracy"] == pytest.approx(0.2)
    assert figures["floor_place_from"] == "scored"


def test_places_are_ranked_by_their_frequency_in_training():
    """Counted in the scored questions, the baseline would know their answers."""
    questions = asked(0, 1, 2, 3, 4)
    figures = baselines_of(questions, {"B": 5, "A": 3, "C": 1})
    assert figures["floor_place_from"] == "train"
    assert figures["floor_place_accuracy"] == pytest.approx(1 / 5)
    assert figures["floor_place_map@3"] == pytest.approx((1 / 2 + 1 + 1 / 3 + 0 + 0) / 5)
    assert baselines_of(questions)["floor_place_map@3"] == pytest.approx((1 + 1 / 2 + 1 / 3) / 5), "all places tie"
    fewer = baselines_of(asked(0, 1, options=2), {"C": 9})
    assert fewer["floor_place_accuracy"] == 0.5, "the frequent place is not in these questions: chance"


def test_places_are_counted_by_letter_and_unknown_answers_are_not():
    assert answer_places(asked(3, None, 0, 3)) == {"A": 1, "D": 2}


PASSAGES = ("The mitochondria make energy for cells.", "Whales are mammals that nurse their young.")


def with_passages() -> list[Question]:
    return [
        Question("1", "?", ("a whale", "making energy for cells", "the sea"), 1, PASSAGES[0]),
        Question("2", "?", ("a mammal nursing its young", "a fish", "a stone"), 0, PASSAGES[1]),
        Question("3", "?", ("nothing here", "", "their cells"), 0, PASSAGES[0]),
    ]


def test_the_passage_baseline_is_bm25_of_option_and_its_own_context():
    """Read from another row's context, or by token in place of row, the scores would still be numbers."""
    bm25s, stemmer = pytest.importorskip("bm25s"), pytest.importorskip("Stemmer")
    from llmtuner.data.words import words

    questions, stem = with_passages(), stemmer.Stemmer("english").stemWords
    index = bm25s.BM25()
    index.index([stem(words(passage)) for passage in PASSAGES], show_progress=False)
    for question, scores in zip(questions, passage_scores(questions), strict=True):
        for option, score in zip(question.options, scores, strict=True):
            tokens = stem(words(option))
            expected = index.get_scores(tokens)[PASSAGES.index(question.context)] if tokens else 0.0
            assert score == pytest.approx(float(expected))
    figures = baselines_of(questions)
    assert figures["floor_passage_accuracy"] == pytest.approx((1 + 1 + 0) / 3)


def test_one_question_without_a_context_leaves_the_passage_baseline_out():
    """Blank contexts would score 0 and pull the baseline to chance."""
    questions = [*with_passages(), *asked(0)]
    assert passage_scores(questions) is None
    assert "floor_passage_map@3" not in baselines_of(questions)
    unscored = [*with_passages(), *asked(None)]
    assert "floor_longest_map@3" in baselines_of(unscored)


def test_contexts_without_words_are_scored_as_ties():
    pytest.importorskip("bm25s")
    assert passage_scores(asked(0, context="---")) == [[0.0] * 5]


def test_without_the_package_the_passage_baseline_is_skipped_and_named(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "bm25s", None)
    figures = baselines_of(with_passages())
    assert "floor_passage_map@3" not in figures
    assert "floor_place_map@3" in figures
    assert "floor_passage: skipped, bm25s is not installed" in caplog.text


def test_places_are_counted_in_the_training_where_it_is_known():
    """Counted in the scored questions, the baseline has seen their answers."""
    questions = [Question(str(number), "q", ("a", "b"), 0) for number in range(4)]
    scored, trained = baselines_of(questions), baselines_of(questions, {"A": 1, "B": 9})
    assert (scored["floor_place_accuracy"], scored["floor_place_from"]) == (1.0, "scored")
    assert (trained["floor_place_accuracy"], trained["floor_place_from"]) == (0.0, "train")
