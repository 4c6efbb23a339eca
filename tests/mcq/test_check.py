"""The check of packed rows: correct models stay far below its bound, and mistakes are far above it."""

from __future__ import annotations

import random

import pytest
import torch
from breaks import BREAKS, QUESTIONS, broken, changes_nothing
from models import MODELS, build, question
from peft import LoraConfig, get_peft_model

from llmtuner.errors import FieldError, UserError
from llmtuner.mcq import attention, check, compare
from llmtuner.mcq import model as model_module
from llmtuner.mcq.attention import choose_attention, keep_soft_cap
from llmtuner.mcq.check import PackingCheck, check_packing, known_defect
from llmtuner.mcq.choices import resolve
from llmtuner.mcq.collate import Collator
from llmtuner.mcq.compare import MARGIN, VISIBLE, distance
from llmtuner.mcq.layouts.base import PADDING
from llmtuner.mcq.model import HEAD, attach_head
from llmtuner.mcq.packing import settle_layout
from llmtuner.mcq.questions import Example

# Gemma3's first five layers all use a sliding window; the test needs both kinds of layers.
MIXED = {"gemma3": {"layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}}
WEAKEST = ["one token ahead", "positions one late", "window one wider"]


def ready(model: torch.nn.Module) -> torch.nn.Module:
    attach_head(model, resolve("causal"))
    keep_soft_cap(model)
    choose_attention(model)
    return model.eval()


def family(name: str) -> torch.nn.Module:
    return ready(build(name, **MIXED.get(name, {})))


def checked(model: torch.nn.Module, questions=QUESTIONS, pooling: str = "last") -> PackingCheck:
    return check_packing(model, questions, pooling, 0)


def ratio(result: PackingCheck) -> float:
    """The difference divided by the bound, in the precision that shows it best."""
    return max(each.difference / each.bound for each in result.comparisons)


def with_lora(model: torch.nn.Module) -> torch.nn.Module:
    torch.manual_seed(0)
    config = LoraConfig(r=4, target_modules="all-linear", exclude_modules=f".*{HEAD}.*", init_lora_weights=False)
    return get_peft_model(model, config)


def with_outliers() -> torch.nn.Module:
    """A Llama with two dimensions 3,000 times as large as the others, as language models have them."""
    model = build("llama")
    dimensions = [3, 11]
    with torch.no_grad():
        model.model.embed_tokens.weight[:, dimensions] *= 30
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight[dimensions] *= 30
            layer.mlp.down_proj.weight[dimensions] *= 30
        model.model.norm.weight[dimensions] *= 100
    return ready(model)


def with_sharp_attention() -> torch.nn.Module:
    """A deep Llama that amplifies rounding a thousandfold, because its attention decides between near ties."""
    model = build("llama", num_hidden_layers=12)
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.q_proj.weight *= 20
            layer.self_attn.k_proj.weight *= 20
    return ready(model)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        *((name, dtype) for name in MODELS for dtype in (torch.float32, torch.bfloat16)),
        ("llama-gqa", torch.float16),
        ("gemma2", torch.float16),
    ],
)
def test_sound_models_stay_below_a_third_of_the_bound(name, dtype):
    """... and the last comparison, in fp32, would have found a small mistake."""
    result = checked(family(name).to(dtype))
    assert result.defect == ""
    assert ratio(result) < 1 / 3
    assert result.comparisons[-1].precision == "fp32"
    assert result.comparisons[-1].sees
    assert ("compared in fp32, too: in" in result.notice) == (dtype != torch.float32)


@pytest.mark.parametrize("name", list(MODELS))
def test_every_mistake_exceeds_the_bound_a_hundredfold_in_fp32(name):
    """... and a mistake that is skipped for a family really has no effect there."""
    model = family(name)
    for mistake in BREAKS:
        excluded = changes_nothing(mistake, model)
        with broken(mistake):
            result = checked(model)
        assert bool(result.defect) != bool(excluded), mistake
        assert excluded or ratio(result) >= 100, mistake


@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3", "mistral-narrow", "gemma2", "gemma3", "phi3", "gpt_neox"])
def test_mistakes_in_half_precision_are_seen_in_fp32(name):
    model = family(name).to(torch.bfloat16)
    for mistake in WEAKEST:
        if not changes_nothing(mistake, model):
            with broken(mistake):
                result = checked(model)
            assert result.defect, mistake
            assert ratio(result) >= 100, mistake


def test_a_window_in_indices_of_the_row_needs_no_comparison():
    """GPT-Neo's passed on short questions, and longer ones got wrong scores in silence."""
    model = build("gpt_neo", attention_types=[[["global", "local", "local"], 1]], window_size=64)
    attach_head(model, resolve("causal"))
    for sharded in (False, True):
        settled, notices = settle_layout(model, resolve("causal"), QUESTIONS, 0, sharded=sharded)
        assert settled.layout == "per_option"
        assert "gpt_neo cannot take shared_prefix: some of its layers have a window" in notices[-1]
    with pytest.raises(FieldError, match="leave it out to use per_option"):
        settle_layout(model, resolve("causal"), QUESTIONS, 0, required=True)
    everywhere = build("gpt_neo", attention_types=[[["global"], 3]])
    assert known_defect(everywhere, QUESTIONS) == ""


def test_without_fp32_a_mistake_would_pass_for_rounding():
    with broken("positions one late"):
        half, full = checked(family("gpt_neox").to(torch.bfloat16)).comparisons
    assert half.agrees
    assert not full.agrees


@pytest.mark.parametrize(
    ("pooling", "dtype"), [("last", torch.bfloat16), ("option", torch.float32), ("mean", torch.float32)]
)
def test_with_adapters_and_every_pooling(pooling, dtype):
    model = with_lora(family("llama-gqa").to(dtype))
    result = checked(model, pooling=pooling)
    assert (result.defect, ratio(result) < 1 / 3) == ("", True)
    with broken("positions one late"):
        assert ratio(checked(model, pooling=pooling)) >= 100


@pytest.mark.parametrize("make", [with_outliers, with_sharp_attention])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_models_that_round_badly_pass_and_their_mistakes_do_not(make, dtype):
    model = make().to(dtype)
    result = checked(model)
    assert result.defect == ""
    assert ratio(result) < 1 / 3
    with broken("positions one late"):
        assert ratio(checked(model)) >= (100 if make is with_outliers else 10)


def test_rounding_may_exceed_any_fixed_limit():
    """A limit of 1e-4 refused this model. So would a bound from batching alone, which shows none of its rounding."""
    comparison = checked(with_sharp_attention()).comparisons[-1]
    assert comparison.difference > 1e-4
    assert checked(family("llama")).comparisons[-1].rounding < 1e-5


def test_large_dimensions_do_not_hide_the_others():
    torch.manual_seed(0)
    single, changed = torch.randn(2, 6, 50)
    units = torch.logspace(-3, 3, 50)
    assert distance(changed * units, single * units) == pytest.approx(distance(changed, single), rel=0.3)
    one_large = torch.ones(50)
    one_large[7] = 1e6
    assert distance(changed * one_large, single * one_large) == pytest.approx(distance(changed, single), rel=1e-5)


def test_dimensions_that_are_dead_do_not_count():
    """Their rounding errors are as large as their values."""
    torch.manual_seed(0)
    single = torch.randn(6, 50)
    single[:, :3] *= 1e-9
    changed = single.clone()
    changed[:, :3] *= -1
    assert distance(changed, single) < 1e-6


def test_models_of_which_positions_say_nothing_are_passed_with_a_word_about_it(monkeypatch):
    """The comparison cannot detect wrong positions there, and reports that it is coarse."""
    from transformers.models.llama import modeling_llama

    model = family("llama")
    monkeypatch.setattr(modeling_llama, "apply_rotary_pos_emb", lambda query, key, *_, **__: (query, key))
    result = checked(model)
    assert result.defect == ""
    assert "the comparison is coarse: in fp32" in result.notice


def test_states_that_are_not_finite_are_no_agreement():
    model = family("llama")
    with torch.no_grad():
        model.model.norm.weight[:] = 3e38  # finite, and the states overflow
    assert "not finite in fp32" in checked(model).defect


def test_weights_that_are_not_finite_are_no_matter_of_the_layout():
    """The run went on with one row an option, and failed at the first step."""
    model = family("llama")
    with torch.no_grad():
        model.model.norm.weight[1] = float("nan")
    with pytest.raises(UserError, match=r"model\.norm\.weight"):
        checked(model)


@pytest.mark.parametrize("lora", [False, True])
def test_the_model_is_left_as_it_was(lora):
    model = family("llama").to(torch.bfloat16)
    model = (with_lora(model) if lora else model).train()
    before = {name: (tensor.dtype, tensor.clone()) for name, tensor in model.state_dict().items()}
    checked(model)
    assert model.training
    for name, tensor in model.state_dict().items():
        assert tensor.dtype == before[name][0], name
        assert torch.equal(tensor, before[name][1]), name


def refusing(error: Exception):
    """A hook that raises if a layer gets the mask of packed rows; transformers' own masks are boolean."""

    def forward(*_, attention_mask=None, **__):
        if attention_mask is not None and attention_mask.is_floating_point():
            raise error

    return lambda module, args, kwargs: forward(*args, **kwargs)


def test_a_model_that_raises_for_packed_rows_cannot_take_them():
    model = family("llama")
    model.model.layers[1].register_forward_pre_hook(refusing(KeyError("causal_mask")), with_kwargs=True)
    result = checked(model)
    assert "its attention does not take the mask of packed rows ('causal_mask')" in result.defect
    assert "times the tokens" in result.defect


@pytest.mark.parametrize("error", [KeyError, IndexError, AttributeError, RuntimeError])
@pytest.mark.parametrize("place", [(model_module, "packed_mask"), (attention, "tree_mask")], ids=["mask", "tree"])
def test_our_own_errors_are_not_taken_for_the_models(error, place, monkeypatch):
    def fail(*_, **__):
        raise error("ours")

    monkeypatch.setattr(*place, fail)
    with pytest.raises(error, match="ours"):
        checked(family("llama"))


def test_nor_are_those_of_our_attention_function_which_the_model_calls(monkeypatch):
    """The shared prefix's states lack a head, so they cannot be joined with the others."""
    original = attention.sdpa_attention_forward

    def one_head_less(*args, **settings):
        states, weights = original(*args, **settings)
        return (states[:, :, 1:], weights) if "is_causal" in settings else (states, weights)

    monkeypatch.setattr(attention, "sdpa_attention_forward", one_head_less)
    with pytest.raises(RuntimeError, match="Sizes of tensors must match"):
        checked(family("llama"))


def test_what_one_row_an_option_raises_says_nothing_about_packed_rows():
    model = family("llama")
    model.model.layers[1].register_forward_pre_hook(lambda *_: {}["missing"])
    with pytest.raises(KeyError, match="missing"):
        checked(model)


def test_a_batch_of_ours_that_is_wrong_is_noticed_before_the_model_is_asked(monkeypatch):
    class Wrong(Collator):
        def __call__(self, examples):
            batch = super().__call__(examples)
            if self.layout == "shared_prefix":
                batch["position_ids"][:, -1] += 1
            return batch

    monkeypatch.setattr(compare, "Collator", Wrong)
    with pytest.raises(AssertionError, match="option 2 is not its tokens at its own positions"):
        checked(family("llama"))


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=["cuda", "cpu", "cublas"])
def test_too_little_memory_is_not_taken_for_a_model_that_cannot(error):
    model = family("llama")
    model.model.layers[1].register_forward_pre_hook(refusing(error), with_kwargs=True)
    with pytest.raises(RuntimeError, match=str(error)[:20].replace("[", r"\[")):
        checked(model)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OUT_OF_MEMORY[0], "not enough memory for fp32"),
        (TypeError("half only"), "does not compute in fp32 (half only)"),
    ],
)
def test_a_model_that_cannot_be_compared_in_fp32_is_compared_as_it_is(error, words, monkeypatch):
    """Half a check with a warning, instead of stopping a run that would have worked."""
    model = family("llama").to(torch.bfloat16)

    def refuse_fp32(_module, _args, kwargs):
        if kwargs["position_embeddings"][0].dtype == torch.float32:
            raise error

    model.model.layers[1].register_forward_pre_hook(refuse_fp32, with_kwargs=True)
    result = checked(model)
    assert result.defect == ""
    assert "the comparison is coarse: in bf16" in result.notice
    assert words in result.notice
    assert [each.precision for each in result.comparisons] == ["bf16"]
    with broken("no prefix"):
        assert checked(model).defect


def test_a_fallback_says_what_it_costs():
    """In tokens of the given questions, without padding."""
    examples = [Example(tokens, 0, row) for row, tokens in enumerate(QUESTIONS)]
    single = Collator("per_option", "last", 0)(examples)["attention_mask"].sum()
    packed = (Collator("shared_prefix", "last", 0)(examples)["segments"] != PADDING).sum()
    with broken("no mask"):
        defect = checked(family("llama")).defect
    assert defect.endswith(f"; one row per option computes {single / packed:.1f} times the tokens")
    assert single / packed > 1.5


def test_no_more_than_the_first_questions_are_read():
    draw = random.Random(1)
    many = [*QUESTIONS, *(question(draw, 400, [90] * 5) for _ in range(20))]
    assert len(QUESTIONS) == check.CHECKED
    assert checked(family("llama"), many) == checked(family("llama"))


def test_the_bound_leaves_room_between_rounding_and_mistakes():
    each = checked(family("llama")).comparisons[0]
    assert each.bound == MARGIN * each.rounding
    assert each.moved >= VISIBLE * each.bound
