"""What is minimised: the notation for a mixture of losses, and numbers that contradict it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtuner.errors import FieldError, UserError
from llmtuner.mcq.objective import LossTerm, Objective, loss_text, parse_loss
from llmtuner.spec.losses import LOSSES


def test_names_alone_weigh_one_and_blanks_mean_nothing():
    assert parse_loss(" cross_entropy : 0.5 + expected_map3") == (
        LossTerm("cross_entropy", 0.5),
        LossTerm("expected_map3", 1.0),
    )
    assert loss_text(parse_loss("cross_entropy:1.0")) == "cross_entropy", "one spelling: a resume compares"


@given(
    st.lists(
        st.tuples(st.sampled_from([*LOSSES]), st.floats(1e-300, 1e300)), min_size=1, unique_by=lambda term: term[0]
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
        ("cross_entropy:", "'' is not a weight"),
        ("cross_entropy:half", "'half' is not a weight"),
        ("cross_entropy:1:2", "'1:2' is not a weight"),
        ("cross_entropy:-0.5+binary", "above 0"),
        ("cross_entropy:0+binary", "above 0"),
        ("cross_entropy:nan", "above 0"),
        ("binary:inf", "above 0"),
        ("binary+binary:2", "binary is listed twice"),
    ],
)
def test_mistakes_are_named(text, message):
    with pytest.raises(UserError) as caught:
        parse_loss(text)
    assert message in str(caught.value)
    assert f"loss {text}" in str(caught.value)


@given(st.text(max_size=30))
def test_any_text_is_terms_or_a_user_error(text):
    try:
        terms = parse_loss(text)
    except UserError:
        return
    assert all(term.weight > 0 for term in terms)


def test_label_smoothing_needs_a_term_that_takes_it():
    Objective("ranknet+poly1", label_smoothing=0.1)
    Objective("ranknet", label_smoothing=0.1, warmup_ratio=0.5)  # a warm-up starts with cross-entropy, which takes it
    with pytest.raises(FieldError, match=r"label_smoothing 0\.1: it is for cross_entropy and poly1"):
        Objective("ranknet+binary", label_smoothing=0.1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"label_smoothing": 1.0}, "label_smoothing 1.0: expected a number of at least 0 and below 1"),
        ({"warmup_ratio": -0.1, "loss": "ranknet"}, "warmup_ratio -0.1: expected a number"),
        ({"warmup_ratio": 0.1}, "uses cross_entropy, which is the loss"),
        ({"rdrop_alpha": float("nan")}, "rdrop_alpha nan: expected a number of at least 0"),
        ({"dropout": 1}, "dropout 1: expected a number of at least 0 and below 1"),
        ({"dropout": "0.1"}, "dropout '0.1': expected a number"),
        ({"loss": 3}, "loss 3: expected text"),
    ],
)
def test_a_value_that_is_not_possible_is_named_by_its_field(values, message):
    with pytest.raises(FieldError) as caught:
        Objective(**values)
    assert message in str(caught.value)


def test_the_numbers_come_back_from_the_file_by_their_flags_names():
    objective = Objective("poly1+ranknet:2", 0.1, 0.25, 1.0, 0.0)
    stored = objective.to_json()
    assert stored == {
        "label_smoothing_factor": 0.1,
        "mcq_loss_warmup_ratio": 0.25,
        "mcq_rdrop_alpha": 1.0,
        "mcq_dropout": 0.0,
    }
    assert Objective.from_json(objective.loss, stored) == objective
    assert Objective().to_json() == {}
    with pytest.raises(FieldError, match="Did you mean mcq_dropout"):
        Objective.from_json("poly1", {"mcq_dropuot": 0.1})


def test_rdrop_without_dropout_is_refused_with_what_to_add():
    Objective(rdrop_alpha=1.0).require_dropout(True, lora=True)
    Objective().require_dropout(False, lora=True)
    with pytest.raises(FieldError, match=r"add `lora_dropout` 0\.1 or `dropout` 0\.1"):
        Objective(rdrop_alpha=1.0).require_dropout(False, lora=True)
