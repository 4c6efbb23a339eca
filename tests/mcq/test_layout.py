"""Packed rows: what they contain, and that every token sees only its own past."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models import hard_questions

from llmtuner.data.tokens.option import OptionTokens
from llmtuner.mcq.attention import tree_mask
from llmtuner.mcq.collate import Collator
from llmtuner.mcq.layouts import layout_of
from llmtuner.mcq.layouts.base import PADDING
from llmtuner.mcq.layouts.shared_prefix import SharedPrefix
from llmtuner.mcq.questions import Example
from llmtuner.spec.layouts import LAYOUTS


@pytest.fixture(scope="module")
def questions() -> list[OptionTokens]:
    return hard_questions()


OF_OPTIONS = [name for name in LAYOUTS if layout_of(name).text == "option"]


def collated(layout: str, questions) -> dict:
    """A batch of a layout; the labels are meaningless."""
    return Collator(layout, "last", 0)([Example(tokens, 0, row) for row, tokens in enumerate(questions)])


def test_a_packed_row_is_shorter_by_the_prefix(questions):
    assert collated("shared_prefix", questions[:1])["input_ids"].shape[1] == 20 + (3 + 9 + 1 + 6 + 4) + 5
    assert collated("per_option", questions[:1])["input_ids"].numel() == 5 * (20 + 9 + 1)


@pytest.mark.parametrize("layout", OF_OPTIONS)
def test_the_planned_shape_is_the_real_one(layout, questions):
    for question in questions:
        assert layout_of(layout).shape(question) == tuple(collated(layout, [question])["input_ids"].shape)


def test_the_stored_prefix_runs_into_common_option_text(questions):
    assert questions[1].prefix_length == 12 + 5


def test_equal_options_each_keep_a_token_of_their_own(questions):
    assert questions[2].prefix_length == len(questions[2].sequences[0]) - 1
    rows = SharedPrefix.rows(questions[2:3])
    assert [place.index(place.length - 1) for place in rows.places[0]] == [19, 20]


def test_no_option_sees_another_and_padding_sees_itself(questions):
    batch = collated("shared_prefix", questions)
    segments, positions = batch["segments"], batch["position_ids"]
    mask = tree_mask(segments, positions)[:, 0]
    for row in range(len(questions)):
        for i in range(mask.shape[1]):
            for j in range(mask.shape[1]):
                query, key = segments[row, i].item(), segments[row, j].item()
                if PADDING in (query, key):
                    assert mask[row, i, j] == (i == j and query == PADDING)
                elif query >= 0 and key >= 0 and query != key:
                    assert not mask[row, i, j]
                else:
                    assert mask[row, i, j] == (positions[row, j] <= positions[row, i] and not (query < 0 <= key))


def test_a_mask_of_later_queries_is_the_end_of_the_whole_one(questions):
    batch = collated("shared_prefix", questions)
    segments, positions = batch["segments"], batch["position_ids"]
    whole = tree_mask(segments, positions, window=9)
    assert torch.equal(tree_mask(segments, positions, window=9, first=7), whole[:, :, 7:])


def test_a_token_that_leaves_its_sequence_is_an_error(questions):
    """In a packed row the next tokens belong to another option."""
    place = SharedPrefix.rows(questions[:1]).places[0][0]
    with pytest.raises(IndexError):
        place.index(place.length)


@st.composite
def token_questions(draw) -> OptionTokens:
    token = st.integers(3, 6)  # few values, so that options share prefixes
    prefix = draw(st.lists(token, min_size=1, max_size=6))
    options = draw(st.lists(st.lists(token, max_size=5), min_size=2, max_size=10))
    begin = len(prefix)
    return OptionTokens(
        sequences=[[*prefix, *option, 2] for option in options],
        context=(0, 0),
        question=(0, begin),
        options=[(begin, begin + len(option)) for option in options],
        cut=0,
        over=0,
    )


@settings(max_examples=150)
@given(st.lists(token_questions(), min_size=1, max_size=4))
def test_every_sequence_is_found_again_in_its_row(questions):
    """Ids, positions and visible tokens are those of the option on its own, in both layouts, for any options."""
    for layout in OF_OPTIONS:
        rows, batch = layout_of(layout).rows(questions), collated(layout, questions)
        mask = tree_mask(batch["segments"], batch["position_ids"])[:, 0] if layout_of(layout).packed else None
        for question, places in zip(questions, rows.places, strict=True):
            for sequence, place in zip(question.sequences, places, strict=True):
                index = [place.index(token) for token in range(len(sequence))]
                assert batch["input_ids"][place.row, index].tolist() == sequence
                assert batch["position_ids"][place.row, index].tolist() == list(range(len(sequence)))
                if mask is None:
                    continue
                for token, at in enumerate(index):
                    assert mask[place.row, at].nonzero().flatten().tolist() == sorted(index[: token + 1])
