"""Shortcuts and the model of them: planted give-aways are found, chance scores chance, the answer is never an input."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtuner.data.audit import model
from llmtuner.data.audit.features import features
from llmtuner.data.audit.model import MIN_TEXTS, shortcut_model
from llmtuner.data.audit.shortcuts import SHORTCUTS, score, shortcut_scores
from llmtuner.data.load import read_questions
from llmtuner.data.question import Question
from llmtuner.metrics import map_at_k

OPTIONS = ("a red ox", "the dog runs home now", "none of the above", "a red dog")
CHANCE = (1 + 1 / 2 + 1 / 3) / 4
texts = st.text(max_size=30)
questions = st.builds(
    lambda prompt, options: Question("1", prompt, tuple(options), 0), texts, st.lists(texts, min_size=2, max_size=6)
)


PREFERRED = {  # the option that each shortcut picks, and the question
    "longest option": ("the dog runs home now", "?"),
    "shortest option": ("a red ox", "?"),
    "most like the question": ("the dog runs home now", "Where does the dog sleep now?"),
    "most like the other options": ("a red dog", "?"),
    "all or none of the above": ("none of the above", "?"),
}


@pytest.mark.parametrize("name", SHORTCUTS)
def test_each_shortcut_prefers_the_option_that_it_names(name):
    """A shortcut without a line in PREFERRED fails, so that none is added without a test."""
    best, prompt = PREFERRED[name]
    scores = SHORTCUTS[name](Question("1", prompt, OPTIONS))
    assert OPTIONS[scores.index(max(scores))] == best
    assert scores.count(max(scores)) == 1


@given(questions, st.randoms())
def test_a_shortcut_looks_at_neither_answer_nor_order(question, rng):
    order = list(range(len(question.options)))
    rng.shuffle(order)
    shuffled = replace(question, options=tuple(question.options[place] for place in order), answer=None)
    for rank in SHORTCUTS.values():
        before, after = rank(question), rank(shuffled)
        assert after == pytest.approx([before[place] for place in order])
    before, after = features(question), features(shuffled)
    for row, place in enumerate(order):
        assert after[row] == pytest.approx(before[place])


@given(st.lists(questions, min_size=1, max_size=10))
def test_scores_are_those_of_the_metric(sample):
    for result in shortcut_scores(sample):
        ranking = [SHORTCUTS[result.name](question) for question in sample]
        assert result.map_at_3 == pytest.approx(map_at_k(ranking, [0] * len(sample)), abs=1e-6)
        tied = [[0.0] * len(question.options) for question in sample]
        assert result.chance == pytest.approx(map_at_k(tied, [0] * len(sample)), abs=1e-6)
        if not result.applies:
            assert result.map_at_3 == pytest.approx(result.chance, abs=1e-6)


def exam(number: int, *, seed: int = 0, give_away: bool = False) -> list[Question]:
    """Questions of random words; to give the right option away, it ends with a full stop."""
    rng = random.Random(seed)
    sample = []
    for place in range(number):
        options = [" ".join(rng.choices(["tin", "oak", "sun", "ray", "fog", "ice"], k=4)) for _ in range(4)]
        answer = rng.randrange(4)
        if give_away:
            options[answer] += "."
        sample.append(Question(str(place), f"Question number {place}, is it?", tuple(options), answer))
    return sample


def test_a_rare_shortcut_is_judged_where_it_applies():
    sample = exam(400)
    for place in range(60):
        options = list(sample[place].options)
        options[sample[place].answer] = "all of the above"
        sample[place] = replace(sample[place], options=tuple(options))
    result = {score.name: score for score in shortcut_scores(sample)}["all or none of the above"]
    assert (result.applies, result.map_at_3_where) == (60, 1.0)
    assert result.map_at_3 < CHANCE + 0.1
    assert result.worth_a_warning
    rare = score(
        "rare", sample[:61], [[0.0] * 4] * 60 + [[0.0] * sample[60].answer + [1.0] + [0.0] * (3 - sample[60].answer)]
    )
    assert (rare.applies, rare.map_at_3_where, rare.worth_a_warning) == (1, 1.0, False), "one hit may be luck"


def test_the_model_finds_a_give_away_that_no_shortcut_names_and_nothing_in_chance():
    planted = shortcut_model(exam(300, give_away=True))
    assert planted.score.map_at_3 > 0.99
    assert planted.score.worth_a_warning
    assert planted.weights["ends with a point"] == max(planted.weights.values())
    clean = shortcut_model(exam(300))
    assert abs(clean.score.map_at_3 - CHANCE) < 0.08
    assert not clean.score.worth_a_warning


def test_the_model_is_scored_on_questions_that_it_was_not_fitted_to(monkeypatch):
    """With as many random features as questions, it would be right on every question that it has seen and no other."""
    rng = random.Random(0)
    monkeypatch.setattr(model, "features", lambda question: [[rng.gauss(0, 1) for _ in range(300)] for _ in range(4)])
    monkeypatch.setattr(model, "NAMES", [str(number) for number in range(300)])
    assert abs(shortcut_model(exam(200)).score.map_at_3 - CHANCE) < 0.1


def test_equal_texts_are_held_out_together(monkeypatch):
    """Equal texts have the same random features: with one in the fit, the answer of the other would leak."""
    sample = exam(101)
    rng = random.Random(0)
    known = {q.question: [[rng.gauss(0, 1) for _ in range(300)] for _ in range(4)] for q in sample}
    monkeypatch.setattr(model, "features", lambda question: known[question.question])
    monkeypatch.setattr(model, "NAMES", [str(number) for number in range(300)])
    assert abs(shortcut_model(sample * 2).score.map_at_3 - CHANCE) < 0.1


def test_the_model_is_the_same_each_time():
    assert shortcut_model(exam(120)) == shortcut_model(exam(120))


def test_too_few_questions_have_no_model_and_unanswered_ones_no_score():
    assert shortcut_model(exam(MIN_TEXTS - 1)) is None
    assert shortcut_model(exam(1) * 2 * MIN_TEXTS) is None, "the same text again is no further question"
    assert shortcut_model(exam(MIN_TEXTS)) is not None
    blank = [replace(question, answer=None) for question in exam(60)]
    assert shortcut_model(blank) is None
    assert shortcut_scores(blank) == []


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("file", "ties_by_letter", "ties_shared"),
    [("6000_train_examples.csv", 0.4822, 0.4811), ("extra_train_set.csv", 0.4337, 0.4364)],
)
def test_the_longest_option_of_kaggles_files(real_data, file, ties_by_letter, ties_shared):
    sample = read_questions(real_data / "kaggle" / file, purpose="train").questions
    [longest] = [result for result in shortcut_scores(sample) if result.name == "longest option"]
    assert longest.map_at_3 == pytest.approx(ties_shared, abs=5e-5)
    by_letter = [
        [length - place * 1e-6 for place, length in enumerate(SHORTCUTS["longest option"](question))]
        for question in sample
    ]
    assert map_at_k(by_letter, [question.answer for question in sample]) == pytest.approx(ties_by_letter, abs=5e-5)
