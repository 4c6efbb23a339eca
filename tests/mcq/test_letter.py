"""Letter scores: the same whatever the batch."""

from __future__ import annotations

import random

import pytest
import torch
from transformers import AutoModelForCausalLM

from llmtuner.mcq.letter import LetterRow, score_letters


@pytest.fixture(scope="module")
def model(tiny_llama):
    return AutoModelForCausalLM.from_pretrained(tiny_llama).eval()


@pytest.fixture(scope="module")
def rows():
    draw = random.Random(0)
    return [
        LetterRow([draw.randrange(5, 499) for _ in range(draw.randrange(3, 40))], draw.sample(range(5, 500), n))
        for n in (5, 2, 4, 10, 5, 3, 5)
    ]


def score(model, rows, batch_size=4):
    return score_letters(model, rows, batch_size=batch_size, pad_token_id=0)


def test_scores_are_the_models_logits_at_the_last_token(model, rows):
    for row, scores in zip(rows, score(model, rows), strict=True):
        with torch.no_grad():
            logits = model(torch.tensor([row.input_ids])).logits[0, -1]
        assert scores == pytest.approx(logits[row.letter_ids].tolist(), abs=1e-5)


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_batch_size_and_neighbours_change_nothing(model, rows, batch_size):
    """Padding without position ids moved every shorter row of a batch."""
    alone = [score(model, [row])[0] for row in rows]
    for one, batched in zip(alone, score(model, rows, batch_size), strict=True):
        assert batched == pytest.approx(one, abs=1e-5)


def test_padding_moves_no_position(rows):
    """Models with absolute positions see where a row begins; rotary ones only see distances."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    absolute = GPT2LMHeadModel(GPT2Config(vocab_size=500, n_embd=32, n_layer=2, n_head=2, n_positions=64)).eval()
    alone = [score(absolute, [row])[0] for row in rows]
    for one, batched in zip(alone, score(absolute, rows, len(rows)), strict=True):
        assert batched == pytest.approx(one, abs=1e-5)


def test_the_order_of_the_rows_is_kept(model, rows):
    backwards = score(model, rows[::-1])[::-1]
    for one, other in zip(score(model, rows), backwards, strict=True):
        assert one == pytest.approx(other, abs=1e-5)


def test_a_broken_model_is_an_error_not_a_ranking(tiny_llama, rows):
    broken = AutoModelForCausalLM.from_pretrained(tiny_llama).eval()
    with torch.no_grad():
        broken.model.norm.weight.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="not finite"):
        score(broken, rows)
