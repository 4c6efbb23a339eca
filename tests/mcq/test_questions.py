"""Questions as a data set: permuted options keep their answer, and tokens do not include the answer."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
import torch
from transformers import AutoTokenizer

from llmtuner.data.question import Question
from llmtuner.data.tokens.joint import JointEncoder
from llmtuner.data.tokens.option import OptionTokens
from llmtuner.errors import DataError
from llmtuner.mcq.collate import Collator
from llmtuner.mcq.questions import NOT_COUNTED, Pick, QuestionSet, permuted
from patches.mcq_stage.data import fitted

ASKED = Question("7", "Which?", ("one", "two words", "three", "four", "five"), answer=1, dataset="d")


class LineTemplate:
    """A chat template with one line per turn."""

    efficient_eos = False

    def encode_oneturn(self, tokenizer, messages, system=None, tools=None):
        user, answer = (message["content"] for message in messages)
        return [1, *tokenizer.encode(user)], [*tokenizer.encode(answer), 2]


@pytest.fixture
def encoder(tiny_llama) -> JointEncoder:
    return JointEncoder(AutoTokenizer.from_pretrained(tiny_llama), LineTemplate(), 512)


def test_a_permutation_keeps_the_right_text():
    for epoch in range(20):
        moved = permuted(ASKED, f"1/{epoch}")
        assert sorted(moved.options) == sorted(ASKED.options)
        assert moved.options[moved.answer] == "two words"


def test_a_permutation_depends_on_its_key_alone():
    orders = {permuted(ASKED, f"1/{epoch}").options for epoch in range(20)}
    assert len(orders) > 10
    assert permuted(ASKED, "1/3") == permuted(ASKED, "1/3")


def test_options_are_shuffled_by_seed_epoch_and_id(encoder):
    same_text = replace(ASKED, id="8")
    questions = QuestionSet([ASKED, same_text], encoder, shuffle_seed=1)
    ids = lambda row, epoch: tuple(questions[Pick(row, epoch=epoch)].tokens.prompt)  # noqa: E731
    assert ids(0, 0) == ids(0, 0)
    assert len({ids(0, epoch) for epoch in range(8)}) > 4
    assert any(ids(0, epoch) != ids(1, epoch) for epoch in range(8)), "two questions of the same text, shuffled alike"
    labels = {questions[Pick(0, epoch=epoch)].label for epoch in range(20)}
    assert len(labels) > 3, "the answer moves with its option"
    plain = QuestionSet([ASKED], encoder)
    assert {plain[Pick(0, epoch=epoch)].label for epoch in range(5)} == {1}


def test_a_renamed_file_has_its_options_shuffled_alike(encoder):
    """A training that resumed with a moved file, which is accepted as the same data, silently saw other orders."""
    one, two = (QuestionSet([replace(ASKED, dataset=name)], encoder, shuffle_seed=1) for name in ("a.csv", "b/a.csv"))
    for epoch in range(8):
        assert one[Pick(0, epoch=epoch)].tokens == two[Pick(0, epoch=epoch)].tokens


def test_an_answer_is_no_part_of_the_tokens(encoder):
    """Near the limit, training and prediction saw prompts of different lengths."""
    with_answer, without = QuestionSet([ASKED], encoder), QuestionSet([replace(ASKED, answer=None)], encoder)
    assert with_answer[0].tokens == without[0].tokens
    assert (with_answer[0].label, without[0].label) == (1, NOT_COUNTED)
    assert with_answer[Pick(0, counted=False)].label == NOT_COUNTED


def test_a_joint_batch_is_padded_on_the_left(encoder):
    longer = replace(ASKED, question="Which of these, if any, and why? " * 3, options=ASKED.options[:3], answer=0)
    questions = QuestionSet([ASKED, longer], encoder)
    batch = Collator("joint", "none", 9, reads="letters")([questions[0], questions[1]])
    short = len(questions[0].tokens.scored)
    assert batch["input_ids"][0, -short:].tolist() == questions[0].tokens.scored
    assert (batch["input_ids"][0, :-short] == 9).all()
    assert torch.equal(batch["attention_mask"].sum(1), torch.tensor([short, batch["input_ids"].shape[1]]))
    assert batch["position_ids"][0, -short:].tolist() == list(range(short))
    assert batch["mask"].tolist() == [[True] * 5, [True, True, True, False, False]]


def test_sets_are_joined_in_order(encoder):
    second = replace(ASKED, id="8")
    joined = QuestionSet([ASKED], encoder).joined([QuestionSet([second, ASKED], encoder)])
    assert [question.id for question in joined.questions] == ["7", "8", "7"]
    assert len(joined.tokens) == len(joined) == 3


class Silent:
    """An encoder whose tokenizer only knows the option "seen"."""

    cutoff_len = 64
    positions = None

    def encode(self, questions):
        return [
            OptionTokens(
                [[1, 2, 3] if text == "seen" else [1, 2] for text in q.options],
                (0, 0),
                (0, 2),
                [(2, 3) if text == "seen" else (2, 2) for text in q.options],
                cut=0,
                over=0,
            )
            for q in questions
        ]


def test_options_that_give_no_tokens_are_named_by_place(caplog):
    """Characters that a tokenizer drops were silently scored as an empty option."""
    questions = [
        Question("1", "Which?", ("seen", "\u200b", " "), answer=0, file="a.csv", line=2),
        Question("2", "Which?", ("seen", "seen"), answer=0, file="a.csv", line=3),
    ]
    with caplog.at_level(logging.WARNING):
        fitted(QuestionSet(questions, Silent()), "training", 64, training=True, drop=False, speaks=True)
    assert "1 options give no tokens" in caplog.text
    assert "a.csv:2: id 1: option B" in caplog.text
    assert "option C" not in caplog.text, "a blank option, of which the reader has warned"


@pytest.mark.parametrize("count", [1, 11])
def test_a_number_of_options_that_cannot_be_ranked_is_refused(count, encoder):
    """A loss over a single option was checked for each batch, with a read from the device each time."""
    question = replace(ASKED, options=tuple("abcdefghijk"[:count]), answer=0)
    with pytest.raises(DataError, match=rf"question 7: {count} options, expected 2 to 10"):
        QuestionSet([question], encoder)
