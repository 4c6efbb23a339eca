"""Splitting by question."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from llmtuner.data.split import question_key, split_by_key
from llmtuner.errors import UserError


@given(st.lists(st.sampled_from("abcdefghij"), min_size=4), st.floats(0.1, 0.6), st.integers(0, 5))
def test_no_question_is_on_both_sides_and_no_row_is_lost(keys, share, seed):
    try:
        training, validation = split_by_key(keys, share, seed)
    except UserError:
        assume(False)
    assert sorted(training + validation) == list(range(len(keys)))
    assert not {keys[row] for row in training} & {keys[row] for row in validation}
    assert len(validation) <= round(share * len(keys))


def test_a_number_above_one_counts_rows():
    training, validation = split_by_key([str(i) for i in range(10)], 3, seed=0)
    assert (len(training), len(validation)) == (7, 3)


def test_the_seed_decides():
    keys = [str(i) for i in range(50)]
    assert split_by_key(keys, 10, seed=1) == split_by_key(keys, 10, seed=1)
    assert split_by_key(keys, 10, seed=1) != split_by_key(keys, 10, seed=2)


def test_case_blanks_and_unicode_form_do_not_make_another_question():
    assert question_key("What  is\nCO₂?") == question_key("ｗｈａｔ is co₂\u200b?")


def test_a_power_makes_another_question():
    """NFKC made one question of 10², 10₂ and 102."""
    assert len({question_key(f"What is half of {number}?") for number in ("10²", "10₂", "102")}) == 3


@pytest.mark.parametrize(("keys", "share"), [(["a", "a"], 0.5), (["a", "b"], 0.001), (["a", "b"], 2)])
def test_an_empty_side_is_an_error_that_says_what_there_is(keys, share):
    with pytest.raises(UserError, match="different questions"):
        split_by_key(keys, share, seed=0)
