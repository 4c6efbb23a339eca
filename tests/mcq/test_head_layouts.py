"""Heads that read tokens give the same in packed rows as with one row per option, on real models."""

from __future__ import annotations

import random

import pytest
import torch
from models import ANSWERS, build, hard_questions, question
from peft import LoraConfig, get_peft_model

from llmtuner.data.tokens.option import OptionTokens
from llmtuner.mcq.attention import choose_attention, keep_soft_cap
from llmtuner.mcq.choices import resolve
from llmtuner.mcq.collate import Collator, Twice
from llmtuner.mcq.heads import HEADS
from llmtuner.mcq.losses import LOSSES
from llmtuner.mcq.model import HEAD, attach_head
from llmtuner.mcq.pooling import PASSAGES
from llmtuner.mcq.questions import Example
from llmtuner.mcq.settings import McqSettings

CASES = [
    *((name, {}) for name in HEADS),
    ("duma", {"duma.layers": 2, "duma.share": False}),
    ("duma", {"duma.preset": "paper"}),
    ("cduma", {"duma.passage": "context"}),
]
QUESTIONS = hard_questions()


def scorer(model_name: str, head: str, given: dict, *, lora: bool = False) -> tuple[torch.nn.Module, McqSettings]:
    """A model with a slightly trained head: none of its weights is zero."""
    model = build(model_name)
    settings = resolve("causal", {"head": head, **given}, model.config.to_dict())
    attach_head(model, settings)
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in getattr(model, HEAD).parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    keep_soft_cap(model)
    choose_attention(model)
    if lora:
        config = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], modules_to_save=[HEAD], init_lora_weights=False)
        model = get_peft_model(model, config)
    return model, settings


def run(model, settings: McqSettings, questions: list[OptionTokens], layout: str):
    examples = [Example(tokens, ANSWERS[row % 4], row) for row, tokens in enumerate(questions)]
    batch = Collator.of(settings.with_(layout=layout), 0)(examples)
    output = model(**{name: value for name, value in batch.items() if name not in ("labels", "rows")})
    return output, batch


def trained(model, settings, layout) -> tuple[torch.Tensor, torch.Tensor]:
    model.zero_grad()
    output, batch = run(model, settings, QUESTIONS, layout)
    LOSSES["cross_entropy"](output.scores, batch["labels"], output.mask).mean().backward()
    scores = output.scores.masked_fill(~output.mask, float("-inf"))
    return scores.softmax(-1).detach(), torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("model_name", ["llama-gqa", "mistral-narrow"])
@pytest.mark.parametrize(("head", "given"), CASES, ids=lambda value: "-".join(map(str, value)) if value else "default")
def test_both_layouts_agree(head, given, model_name, lora):
    model, settings = scorer(model_name, head, given, lora=lora)
    packed, packed_gradient = trained(model, settings, "shared_prefix")
    single, single_gradient = trained(model, settings, "per_option")
    torch.testing.assert_close(packed, single, atol=1e-5, rtol=0)
    assert single_gradient.norm() > 1e-2, "nothing to compare"
    assert (packed_gradient - single_gradient).norm() < 1e-4 * single_gradient.norm()


@pytest.mark.parametrize("layout", ["shared_prefix", "per_option"])
@pytest.mark.parametrize("head", HEADS)
def test_neighbours_in_a_batch_change_nothing(head, layout):
    model, settings = scorer("llama-gqa", head, {})
    together, _ = run(model, settings, QUESTIONS, layout)
    for row, tokens in enumerate(QUESTIONS):
        alone, _ = run(model, settings, [tokens], layout)
        options = len(tokens.sequences)
        torch.testing.assert_close(together.scores[row, :options], alone.scores[0], atol=1e-5, rtol=1e-5)


def words(batch, name: str, row: int, option: int) -> list[int]:
    """The token ids that a head reads as passage or answer."""
    rows = batch["passage_rows" if name == "passage" else "pool_rows"]
    option = min(option, rows.shape[1] - 1)
    places = batch[f"{name}_tokens"][row, option]
    return batch["input_ids"][rows[row, option], places[places >= 0]].tolist()


@pytest.mark.parametrize("layout", ["shared_prefix", "per_option"])
def test_spans_follow_the_text_where_the_common_prefix_runs_into_the_options(layout):
    """Five tokens of option text are stored with the prefix there, but they still belong to the options."""
    tokens = QUESTIONS[1]
    assert tokens.prefix_length > tokens.question[1]
    for passage in PASSAGES:
        batch = Collator(layout, "last", 0, passage)([Example(tokens, 0, 0)])
        for option, sequence in enumerate(tokens.sequences):
            of_context, of_question = sequence[slice(*tokens.context)], sequence[slice(*tokens.question)]
            of_option = sequence[slice(*tokens.options[option])]
            if passage == "context":
                expected = of_context, of_question + of_option
            else:
                expected = of_context + of_question, of_option
            assert words(batch, "passage", 0, option) == expected[0]
            assert words(batch, "answer", 0, option) == expected[1]


@pytest.mark.parametrize("passage", PASSAGES)
def test_without_a_context_the_question_is_the_passage_and_a_blank_option_has_its_last_token(passage):
    tokens = question(random.Random(1), 8, [3, 2])
    bare = OptionTokens(tokens.sequences, (0, 0), (2, 8), [(8, 11), (8, 8)], 0, 0)
    batch = Collator("shared_prefix", "last", 0, passage)([Example(bare, 0, 0)])
    assert words(batch, "passage", 0, 0) == tokens.sequences[0][2:8]
    assert words(batch, "answer", 0, 0) == tokens.sequences[0][8:11]
    assert words(batch, "answer", 0, 1) == tokens.sequences[1][-1:]


def test_twice_is_the_batch_and_the_same_batch_behind_it():
    examples = [Example(tokens, 0, row) for row, tokens in enumerate(QUESTIONS)]
    collator = Collator("per_option", "last", 0)
    once, twice = collator(examples), Twice(collator)(examples)
    for name in ("input_ids", "labels", "rows", "mask"):
        first, second = twice[name].chunk(2)
        assert torch.equal(first, once[name])
        assert torch.equal(second, once[name])
