"""The text of --mcq_loss: what it means, and what is wrong with it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtuner.errors import UserError
from llmtuner.mcq.loss_terms import LOSS_NAMES, LossTerm, check_smoothing, loss_text, parse_loss


def test_names_alone_weigh_one_and_blanks_mean_nothing():
    assert parse_loss(" cross_entropy : 0.5 + expected_map3") == (
        LossTerm("cross_entropy", 0.5),
        LossTerm("expected_map3", 1.0),
    )
    assert loss_text(parse_loss("cross_entropy:1.0")) == "cross_entropy", "one spelling: a resume compares"


@given(
    st.lists(
        st.tuples(st.sampled_from(LOSS_NAMES), st.floats(1e-300, 1e300)), min_size=1, unique_by=lambda term: term[0]
    )
)
def test_the_text_of_terms_gives_the_terms_again(pairs):
    terms = tuple(LossTerm(name, weight) for name, weight in pairs)
    assert parse_loss(loss_text(terms)) == terms


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cross_entropi", "Did you mean cross_entropy?"),
        ("expected_map", "Did you mean expected_map3?"),
        ("", "a name is missing"),
        ("cross_entropy+", "a name is missing"),
        ("cross_entropy:", "'' is no weight"),
        ("cross_entropy:half", "'half' is no weight"),
        ("cross_entropy:1:2", "'1:2' is no weight"),
        ("cross_entropy:-0.5+binary", "above 0"),
        ("cross_entropy:0+binary", "above 0"),
        ("cross_entropy:nan", "above 0"),
        ("binary:inf", "above 0"),
        ("binary+binary:2", "binary stands there twice"),
    ],
)
def test_mistakes_are_named(text, message):
    with pytest.raises(UserError) as caught:
        parse_loss(text)
    assert message in str(caught.value)
    assert f"--mcq_loss {text}" in str(caught.value)


@given(st.text(max_size=30))
def test_any_text_is_terms_or_a_user_error(text):
    try:
        terms = parse_loss(text)
    except UserError:
        return
    assert all(term.weight > 0 for term in terms)


def test_label_smoothing_needs_a_term_that_takes_it():
    check_smoothing(parse_loss("ranknet+poly1"), 0.1)
    check_smoothing(parse_loss("ranknet"), 0.0)
    with pytest.raises(UserError, match="--label_smoothing_factor"):
        check_smoothing(parse_loss("ranknet+binary"), 0.1)
