"""Packed rows compute what one row an option computes: states and gradients, for every family of models."""

from __future__ import annotations

import random

import pytest
import torch
from transformers import AutoConfig, AutoModel

from llmtuner.data.option import OptionTokens
from llmtuner.mcq.attention import attention_inputs, tree_mask
from llmtuner.mcq.layout import PADDING, gather_last, gather_span, per_option, shared_prefix

SIZES = {
    "vocab_size": 200,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
}
MODELS = {
    "llama": {"model_type": "llama", "num_key_value_heads": 4},
    "llama-gqa": {"model_type": "llama", "num_key_value_heads": 2},
    "qwen2": {"model_type": "qwen2", "num_key_value_heads": 2},
    "qwen3": {"model_type": "qwen3", "num_key_value_heads": 2, "head_dim": 8},
    "mistral-wide": {"model_type": "mistral", "num_key_value_heads": 2, "sliding_window": 400},
    "mistral-narrow": {"model_type": "mistral", "num_key_value_heads": 2, "sliding_window": 9},
    "gemma2": {
        "model_type": "gemma2",
        "num_key_value_heads": 2,
        "head_dim": 8,
        "sliding_window": 9,
        "attn_implementation": "eager",
    },
    "gemma3": {"model_type": "gemma3_text", "num_key_value_heads": 2, "head_dim": 8, "sliding_window": 9},
    "phi3": {"model_type": "phi3", "num_key_value_heads": 2},
    "gpt_neox": {"model_type": "gpt_neox"},
}


def question(draw: random.Random, prefix: int, lengths: list[int], shared: int = 0) -> OptionTokens:
    """Random tokens; `shared` tokens of option text are equal in all options."""
    tokens = lambda n: [draw.randrange(3, 200) for _ in range(n)]  # noqa: E731
    start, common = tokens(prefix), tokens(shared)
    options = [common + tokens(length) for length in lengths]
    return OptionTokens(
        sequences=[[*start, *option, 2] for option in options],
        context=(1, prefix // 2),
        question=(prefix // 2, prefix),
        options=[(prefix, prefix + len(option)) for option in options],
        cut=0,
        over=0,
    )


@pytest.fixture(scope="module")
def questions() -> list[OptionTokens]:
    """Ragged options, options with a common first half, equal options, one option that begins another."""
    draw = random.Random(0)
    ragged = question(draw, 20, [3, 9, 1, 6, 4])
    common = question(draw, 12, [4, 4, 5], shared=5)
    equal = question(draw, 15, [4, 4])
    equal.sequences[1][:] = equal.sequences[0]
    begins = question(draw, 10, [6, 6, 6, 6])
    begins.sequences[2][:] = [*begins.sequences[0][:13], 2]
    begins.options[2] = (10, 13)
    return [ragged, common, equal, begins]


def build(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    settings = {**SIZES, **MODELS[name]}
    kind = settings.pop("model_type")
    implementation = settings.pop("attn_implementation", "sdpa")
    model = AutoModel.from_config(AutoConfig.for_model(kind, **settings), attn_implementation=implementation)
    with torch.no_grad():
        for parameter in model.parameters():  # larger than at initialisation, so that attention matters
            if parameter.dim() > 1:
                parameter.mul_(4)
    return model.eval()


def states(model: torch.nn.Module, rows) -> torch.Tensor:
    inputs = attention_inputs(rows, model, torch.float32)
    return model(input_ids=rows.input_ids_BT, use_cache=False, **inputs).last_hidden_state


@pytest.mark.parametrize("name", list(MODELS))
def test_every_option_has_the_states_that_it_has_alone(name, questions):
    model = build(name)
    packed, single = shared_prefix(questions, 0), per_option(questions, 0)
    packed_BTD, single_BTD = states(model, packed), states(model, single)
    torch.testing.assert_close(gather_last(packed_BTD, packed), gather_last(single_BTD, single), atol=1e-4, rtol=1e-4)
    for question, together, alone in zip(questions, packed.places, single.places, strict=True):
        for index, (one, other) in enumerate(zip(together, alone, strict=True)):
            for span in (question.context, question.question, question.options[index]):
                torch.testing.assert_close(
                    gather_span(packed_BTD, one, span), gather_span(single_BTD, other, span), atol=1e-4, rtol=1e-4
                )


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("name", list(MODELS))
def test_gradients_are_equal(name, checkpointing, questions):
    """Training through a key-value cache gives right states and wrong gradients; this way must give both."""
    gradients = []
    for layout in (shared_prefix, per_option):
        model = build(name)
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
            model.train()  # dropout is 0 in all of these
        rows = layout(questions, 0)
        last_QND, there_QN = gather_last(states(model, rows), rows)
        weights_D = torch.linspace(-1, 1, last_QND.shape[-1])
        scores_QN = (last_QND @ weights_D).masked_fill(~there_QN, float("-inf"))
        torch.nn.functional.cross_entropy(scores_QN, torch.tensor([1, 0, 1, 2])).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    difference = (gradients[0] - gradients[1]).norm() / gradients[1].norm()
    assert gradients[1].norm() > 1e-3, "nothing to compare"
    assert difference < 1e-4


def test_neighbours_in_the_batch_change_nothing(questions):
    model = build("llama-gqa")
    together, there = gather_last(states(model, rows := shared_prefix(questions, 0)), rows)
    for place, alone in enumerate(questions):
        one = shared_prefix([alone], 0)
        last = gather_last(states(model, one), one)[0][0]
        torch.testing.assert_close(together[place][there[place]], last, atol=1e-5, rtol=1e-5)


def test_the_order_of_options_permutes_their_states(questions):
    model = build("llama")
    order = [3, 0, 4, 1, 2]
    asked = questions[0]
    moved = OptionTokens(
        [asked.sequences[i] for i in order], asked.context, asked.question, [asked.options[i] for i in order], 0, 0
    )
    one, other = (gather_last(states(model, rows := shared_prefix([q], 0)), rows)[0][0] for q in (asked, moved))
    torch.testing.assert_close(one[order], other, atol=1e-5, rtol=1e-5)


def test_a_packed_row_is_shorter_by_the_prefix(questions):
    rows = shared_prefix(questions[:1], 0)
    assert rows.input_ids_BT.shape[1] == 20 + (3 + 9 + 1 + 6 + 4) + 5
    assert per_option(questions[:1], 0).input_ids_BT.numel() == 5 * (20 + 9 + 1)


def test_the_stored_prefix_runs_into_common_option_text(questions):
    assert questions[1].prefix_length == 12 + 5


def test_equal_options_each_keep_a_token_of_their_own(questions):
    assert questions[2].prefix_length == len(questions[2].sequences[0]) - 1
    rows = shared_prefix(questions[2:3], 0)
    assert [place.index(place.length - 1) for place in rows.places[0]] == [19, 20]


def test_no_option_sees_another_and_padding_sees_itself(questions):
    rows = shared_prefix(questions, 0)
    mask = tree_mask(rows)[:, 0]
    segments, positions = rows.segment_BT, rows.position_ids_BT
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


def test_a_span_that_leaves_its_sequence_is_an_error(questions):
    """In a packed row the next tokens are another option's."""
    rows = shared_prefix(questions[:1], 0)
    with pytest.raises(IndexError):
        gather_span(torch.zeros(1, 100, 4), rows.places[0][0], (20, 25))
