"""The questions that a model was trained on: their digests find what the questions themselves would find."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtuner.data.question import Question
from llmtuner.data.trained import TrainedQuestions, trained_among

WORDS = st.sampled_from(["water", "Water", "ice ", "\u00b2", "a\nb"])


@st.composite
def questions(draw):
    options = tuple(draw(st.lists(WORDS, min_size=2, max_size=3)))
    weight = draw(st.sampled_from([1.0, 0.0]))
    context = draw(st.sampled_from(["", "ice", "ICE", "snow"]))
    return Question("1", draw(WORDS), options, answer=0, context=context, weight=weight)


def test_text_options_and_context_count_and_their_order_does_not():
    asked = Question("1", "What melts?", ("Ice", "Stone"), answer=0, context="Ice melts.")
    trained = TrainedQuestions.of([asked])
    same = replace(asked, id="2", question="what  MELTS?", options=("Stone", "Ice"), answer=1)
    assert trained.known([same, replace(asked, context="")])[0] == [same, replace(asked, context="")]
    others = [
        replace(asked, question="What burns?"),
        replace(asked, options=("Ice", "Wood")),
        replace(asked, context="Stone does not."),
    ]
    assert trained.known(others) == ([], others[2:])
    assert trained.known([same, *others]) == ([same], others[2:])
    assert TrainedQuestions.of([replace(asked, context="")]).known(others)[0] == others[2:]
    assert TrainedQuestions.of([replace(asked, weight=0.0)]).known([asked]) == ([], []), "it taught nothing"


@given(st.lists(questions(), max_size=8), st.lists(questions(), max_size=8), st.lists(questions(), max_size=8))
def test_a_file_and_a_union_hold_the_same_questions(first, second, scored):
    both = TrainedQuestions.of(first) | TrainedQuestions.of(second)
    assert both == TrainedQuestions.of([*first, *second])
    assert TrainedQuestions.parse(both.text()) == both
    among = trained_among(scored, [*first, *second])
    assert among.lines <= both.lines
    assert both.known(scored) == among.known(scored)


@pytest.mark.parametrize(
    "text", ["0123\n", "0123456789abcdef\n", "0123456789abcdef 0123456789abcdeg\n", "\n", "x" * 33]
)
def test_a_line_of_another_form_is_refused(text):
    with pytest.raises(ValueError, match="line 1: expected two digests"):
        TrainedQuestions.parse(text)
