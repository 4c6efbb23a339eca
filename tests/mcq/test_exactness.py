"""shared_prefix gives the same probabilities and gradients as per_option, for every family of models."""

from __future__ import annotations

import pytest
import torch
from models import ANSWERS, MODELS, build, hard_questions, question
from peft import LoraConfig, get_peft_model

from llmtuner.data.tokens.option import OptionTokens
from llmtuner.mcq.attention import SPLIT, choose_attention, finite_gradients, keep_soft_cap
from llmtuner.mcq.check import check_packing
from llmtuner.mcq.choices import resolve
from llmtuner.mcq.collate import Collator
from llmtuner.mcq.losses import LOSSES
from llmtuner.mcq.model import HEAD, attach_head
from llmtuner.mcq.questions import Example
from llmtuner.spec.poolings import POOLINGS as DECLARED

POOLINGS = [name for name, pooling in DECLARED.items() if "causal" in pooling.kinds]


@pytest.fixture(scope="module")
def questions() -> list[OptionTokens]:
    return hard_questions()


def scorer(name: str, pooling: str = "last", lora: bool = False, **more) -> torch.nn.Module:
    """A model with a head as the stage builds it, with adapters if requested."""
    model = attach_head(build(name, **more), resolve("causal", {"pooling": pooling}))
    keep_soft_cap(model)
    choose_attention(model)
    if lora:
        linear = {
            n.split(".")[-1] for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and HEAD not in n
        }
        targets = sorted(linear - {"lm_head"})
        config = LoraConfig(r=4, target_modules=targets, modules_to_save=[HEAD], init_lora_weights=False)
        torch.manual_seed(2)
        model = get_peft_model(model, config)
    return model


def score(model, questions, layout: str, pooling: str = "last", answers=ANSWERS):
    examples = [Example(tokens, answers[row % len(answers)], row) for row, tokens in enumerate(questions)]
    batch = Collator(layout, pooling, 0)(examples)
    output = model(**{name: value for name, value in batch.items() if name not in ("labels", "rows")})
    return output, batch


def probabilities(output) -> torch.Tensor:
    return output.scores.masked_fill(~output.mask, float("-inf")).softmax(-1)


def trained(model, questions, layout: str, pooling: str = "last") -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities, and all gradients of one step in one vector."""
    model.zero_grad()
    output, batch = score(model, questions, layout, pooling)
    LOSSES["cross_entropy"](output.scores, batch["labels"], output.mask).mean().backward()
    return probabilities(output).detach(), torch.cat(
        [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    )


@pytest.mark.parametrize("checkpointing", ["", "non-reentrant", "reentrant"])
@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("name", list(MODELS))
def test_both_layouts_agree(name, lora, checkpointing, questions):
    """Training through a key-value cache gives correct states but wrong gradients; here both must be correct."""
    model = scorer(name, lora=lora)
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": checkpointing == "reentrant"})
        if lora:
            model.enable_input_require_grads()
        model.train()  # dropout is 0 in all of these models
    packed, packed_gradient = trained(model, questions, "shared_prefix")
    single, single_gradient = trained(model, questions, "per_option")
    torch.testing.assert_close(packed, single, atol=1e-5, rtol=0)
    assert single_gradient.norm() > 1e-2, "nothing to compare"
    assert (packed_gradient - single_gradient).norm() < 1e-4 * single_gradient.norm()


@pytest.mark.parametrize("name", ["llama", "llama-gqa", "qwen3", "gpt_neox", "phi3", "mistral-wide"])
def test_the_common_prefix_is_computed_without_a_mask(name, questions, monkeypatch):
    """The layout's speed depends on it: a dense mask computes attention between options and discards the result."""
    from llmtuner.mcq import attention

    seen = []
    original = attention.sdpa_attention_forward

    def spy(module, query, key, value, mask, **more):
        seen.append((query.shape[2], mask is None))
        return original(module, query, key, value, mask, **more)

    monkeypatch.setattr(attention, "sdpa_attention_forward", spy)
    model = scorer(name)
    assert model.config._attn_implementation == SPLIT
    _, batch = score(model, questions, "shared_prefix")
    shared, length = batch["shared"], batch["input_ids"].shape[1]
    assert shared == min(tokens.prefix_length for tokens in questions)
    layers = model.config.num_hidden_layers
    assert sorted(set(seen)) == sorted({(shared, True), (length - shared, False)})
    assert len(seen) == 2 * layers


def test_a_window_narrower_than_the_row_is_masked_everywhere(questions):
    model = scorer("mistral-narrow")
    packed, single = (probabilities(score(model, questions, layout)[0]) for layout in ("shared_prefix", "per_option"))
    torch.testing.assert_close(packed, single, atol=1e-5, rtol=0)
    wide = scorer("mistral-narrow", sliding_window=400)
    wide.load_state_dict(model.state_dict())
    assert (probabilities(score(wide, questions, "shared_prefix")[0]) - packed).abs().max() > 1e-3, "no window at work"


def test_a_window_that_the_model_never_reads_is_left_out(questions):
    """A Llama with Mistral's key in its config.json had other scores in packed rows than in single ones."""
    model = scorer("llama", sliding_window=9)
    with torch.no_grad():
        packed, single = (score(model, questions, layout)[0].scores for layout in ("shared_prefix", "per_option"))
    torch.testing.assert_close(packed, single, atol=1e-5, rtol=1e-4)


def test_soft_capping_is_not_left_out(questions):
    """sdpa ignores `attn_logit_softcapping` in both layouts, so comparing them shows nothing."""
    model = scorer("gemma2")
    assert model.config._attn_implementation == "eager"
    uncapped = scorer("gemma2", attn_logit_softcapping=1e9, query_pre_attn_scalar=1)
    capped = scorer("gemma2", attn_logit_softcapping=0.5, query_pre_attn_scalar=1)
    uncapped_scores, capped_scores = (
        probabilities(score(m, questions, "shared_prefix")[0]) for m in (uncapped, capped)
    )
    assert (uncapped_scores - capped_scores).abs().max() > 1e-3


@pytest.mark.parametrize("pooling", POOLINGS)
def test_every_pooling_agrees_in_both_layouts(pooling, questions):
    model = scorer("llama-gqa", pooling)
    packed, packed_gradient = trained(model, questions, "shared_prefix", pooling)
    single, single_gradient = trained(model, questions, "per_option", pooling)
    torch.testing.assert_close(packed, single, atol=1e-5, rtol=0)
    difference = (packed_gradient - single_gradient).norm()
    assert difference <= 1e-4 * single_gradient.norm()


@pytest.mark.parametrize("layout", ["shared_prefix", "per_option"])
@pytest.mark.parametrize("pooling", ["last", "option", "mean"])
def test_the_order_of_options_permutes_their_probabilities(layout, pooling, questions):
    model = scorer("llama", pooling)
    order = [3, 0, 4, 1, 2]
    asked = questions[0]
    moved = OptionTokens(
        [asked.sequences[i] for i in order], asked.context, asked.question, [asked.options[i] for i in order], 0, 0
    )
    original_order, permuted_order = (probabilities(score(model, [q], layout, pooling)[0])[0] for q in (asked, moved))
    torch.testing.assert_close(original_order[order], permuted_order, atol=1e-6, rtol=0)
    assert original_order.std() > 1e-3, "equal probabilities show nothing"


@pytest.mark.parametrize("layout", ["shared_prefix", "per_option"])
def test_neighbours_in_the_batch_change_nothing(layout, questions):
    model = scorer("llama-gqa")
    together = probabilities(score(model, questions, layout)[0])
    for row, tokens in enumerate(questions):
        alone = probabilities(score(model, [tokens], layout)[0])[0]
        torch.testing.assert_close(together[row, : len(alone)], alone, atol=1e-5, rtol=0)
        assert (together[row, len(alone) :] == 0).all()


def test_equal_options_have_equal_probabilities(questions):
    actual = probabilities(score(scorer("llama"), [questions[2]], "shared_prefix")[0])[0]
    torch.testing.assert_close(actual, torch.tensor([0.5, 0.5]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("layout", ["shared_prefix", "per_option"])
def test_scores_are_fp32_under_a_half_precision_backbone(layout, questions):
    """Scores that are rounded to bf16 tie, and a ranking of ties is arbitrary."""
    scores = score(scorer("llama").bfloat16(), questions, layout)[0].scores
    assert scores.dtype == torch.float32
    assert not torch.equal(scores, scores.bfloat16().float())


def test_in_bf16_packed_rows_are_no_further_from_fp32_than_single_ones():
    import random

    draw = random.Random(3)
    many = [question(draw, draw.randrange(10, 40), [draw.randrange(1, 12) for _ in range(5)]) for _ in range(128)]
    exact, half = scorer("llama-gqa"), scorer("llama-gqa").bfloat16()
    distance = {}
    for layout in ("shared_prefix", "per_option"):
        pairs = []
        for begin in range(0, len(many), 16):
            part = many[begin : begin + 16]
            with torch.inference_mode():
                wanted, actual = (probabilities(score(m, part, layout)[0]) for m in (exact, half))
            pairs.append((wanted - actual).abs())
        distance[layout] = torch.cat(pairs).mean()
    assert 0 < distance["shared_prefix"] <= 1.1 * distance["per_option"]


@pytest.mark.parametrize("name", ["llama", "qwen3", "mistral-narrow", "gemma2", "gemma3", "gpt_neox"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_models_that_can_take_packed_rows_pass_the_check(name, dtype, questions):
    assert check_packing(scorer(name).to(dtype), questions, "last", 0).defect == ""


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("bloom", {"n_layer": 2, "n_head": 4}),
        ("falcon", {"alibi": True, "new_decoder_architecture": False, "multi_query": False}),
        ("mamba", {"state_size": 4}),
        ("rwkv", {"attention_hidden_size": 32}),
    ],
)
def test_models_that_cannot_are_found_out(name, more, questions):
    """ALiBi uses places in the row, recurrent models read it left to right: both would silently give other scores."""
    model = attach_head(build(name, **more), resolve("causal"))
    choose_attention(model)
    assert check_packing(model, questions, "last", 0).defect


def test_the_check_finds_a_mask_that_is_wrong(questions, monkeypatch):
    """... and not only models that refuse it."""
    model = scorer("llama")
    from llmtuner.mcq import attention

    def sees_all_options(segments_BT, positions_BT, window=None, first=0):
        return (positions_BT[:, first:, None] >= positions_BT[:, None, :])[:, None]

    monkeypatch.setattr(attention, "tree_mask", sees_all_options)
    assert "differ by" in check_packing(model, questions, "last", 0).defect


def test_a_row_with_one_token_behind_the_common_part_is_masked_as_any_other():
    """Its mask has one row and was treated as one for every query."""
    asked = hard_questions()[0]
    alone = OptionTokens(asked.sequences[:1], asked.context, asked.question, asked.options[:1], 0, 0)
    model = scorer("llama")
    packed, _ = score(model, [alone], "shared_prefix")
    single, _ = score(model, [alone], "per_option")
    torch.testing.assert_close(packed.scores, single.scores, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("attention", "enabled"), [(SPLIT, True), ("sdpa", False)])
def test_cudnn_is_left_out_where_it_could_meet_a_mask(attention, enabled):
    """Its gradients are NaN for some lengths (pytorch issue 196678); packed rows choose their own kernels."""
    model = build("llama")
    choose_attention(model)
    model.set_attn_implementation(attention)
    before = torch.backends.cuda.cudnn_sdp_enabled()
    try:
        torch.backends.cuda.enable_cudnn_sdp(True)
        with finite_gradients(model):
            assert torch.backends.cuda.cudnn_sdp_enabled() == enabled
        assert torch.backends.cuda.cudnn_sdp_enabled(), "the switch belongs to the whole process"
    finally:
        torch.backends.cuda.enable_cudnn_sdp(before)
