"""Letter scores do not depend on the batch."""

from __future__ import annotations

import random

import pytest
import torch
from transformers import AutoModelForCausalLM

from llmtuner.data.question import Question
from llmtuner.data.tokens.joint import JointTokens
from llmtuner.errors import UserError
from llmtuner.mcq.collate import Collator
from llmtuner.mcq.letter import plain_letter_scores
from llmtuner.mcq.predict import Scoring, score_questions
from llmtuner.mcq.questions import QuestionSet
from llmtuner.spec.heads import LETTERS


@pytest.fixture(scope="module")
def model(tiny_llama):
    return AutoModelForCausalLM.from_pretrained(tiny_llama).eval()


@pytest.fixture(scope="module")
def rows():
    draw = random.Random(0)
    return [
        JointTokens(
            [draw.randrange(5, 499) for _ in range(draw.randrange(3, 40))], [], [], draw.sample(range(5, 500), n), 0, 0
        )
        for n in (5, 2, 4, 10, 5, 3, 5)
    ]


def score(model, rows, batch_size=4):
    """As in stage sft: a language model as loaded, and questions with known tokens."""
    questions = [Question(str(i), "Which?", tuple("abcdefghij"[: row.count])) for i, row in enumerate(rows)]
    scoring = Scoring(Collator("joint", "none", 0, reads=LETTERS), batch_size=batch_size, forward=plain_letter_scores)
    return score_questions(model, QuestionSet.ready(questions, rows), scoring)


def test_scores_are_the_models_logits_at_the_last_token(model, rows):
    for row, scores in zip(rows, score(model, rows), strict=True):
        with torch.no_grad():
            logits = model(torch.tensor([row.scored])).logits[0, -1]
        assert scores == pytest.approx(logits[row.letter_ids].tolist(), abs=1e-5)


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_batch_size_and_neighbours_change_nothing(model, rows, batch_size):
    """Padding without position ids shifted every shorter row of a batch."""
    alone = [score(model, [row])[0] for row in rows]
    for one, batched in zip(alone, score(model, rows, batch_size), strict=True):
        assert batched == pytest.approx(one, abs=1e-5)


def test_padding_moves_no_position(rows):
    """Models with absolute positions see where a row starts; rotary ones only see distances."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    absolute = GPT2LMHeadModel(GPT2Config(vocab_size=500, n_embd=32, n_layer=2, n_head=2, n_positions=64)).eval()
    alone = [score(absolute, [row])[0] for row in rows]
    for one, batched in zip(alone, score(absolute, rows, len(rows)), strict=True):
        assert batched == pytest.approx(one, abs=1e-5)


def test_scores_come_in_the_order_of_the_rows(model, rows):
    backwards = score(model, rows[::-1])[::-1]
    for forward_scores, backward_scores in zip(score(model, rows), backwards, strict=True):
        assert forward_scores == pytest.approx(backward_scores, abs=1e-5)


def test_a_broken_model_is_an_error_not_a_ranking(tiny_llama, rows):
    broken = AutoModelForCausalLM.from_pretrained(tiny_llama).eval()
    with torch.no_grad():
        broken.model.norm.weight.fill_(float("nan"))
    with pytest.raises(UserError, match=r"1 of its weights have NaN or Inf.*model\.norm\.weight"):
        score(broken, rows)


@pytest.mark.parametrize("autocast", [False, True])
def test_letters_are_scored_in_fp32_by_a_half_precision_model(tiny_llama, rows, autocast):
    """In bf16, letters tie, and ties are ranked by letter: A wins for no reason."""
    half = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32 if autocast else torch.bfloat16).eval()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        actual = score(half, rows)
        with torch.no_grad():
            hidden = [half.model(torch.tensor([row.scored])).last_hidden_state[0, -1].float() for row in rows]
    numbers = torch.tensor([number for scores in actual for number in scores])
    assert not torch.equal(numbers, numbers.bfloat16().float()), "these are bf16 numbers"
    for row, scores, state in zip(rows, actual, hidden, strict=True):
        exact = half.lm_head.weight[row.letter_ids].float() @ state
        assert scores == pytest.approx(exact.tolist(), abs=0.03), "the padding of a batch moves bf16 states a little"


def test_the_head_computes_everything_again_afterwards(model, rows):
    score(model, rows)
    assert "forward" not in vars(model.lm_head)
    with torch.no_grad():
        assert model(torch.tensor([[5, 6]])).logits.shape[-1] == model.config.vocab_size


def test_what_a_model_does_to_its_logits_still_happens(rows):
    """Gemma caps its logits after the head."""
    from transformers import Gemma2Config, Gemma2ForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = Gemma2Config(vocab_size=500, num_key_value_heads=1, head_dim=16, final_logit_softcapping=0.01, **sizes)
    capped = Gemma2ForCausalLM(config).eval()
    assert max(abs(number) for scores in score(capped, rows) for number in scores) <= 0.01
