"""The states of shots are computed once, and every score is that of the whole sequence."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch
from models import ANSWERS, MODELS, SIZES, build, question
from peft import LoraConfig, get_peft_model

from llmtuner.data.question import Question
from llmtuner.data.tokens.joint import JointTokens
from llmtuner.data.tokens.option import OptionTokens
from llmtuner.mcq import predict
from llmtuner.mcq.choices import resolve
from llmtuner.mcq.collate import Collator
from llmtuner.mcq.model import attach_head
from llmtuner.mcq.packing import settle_layout
from llmtuner.mcq.predict import Scoring, predict_questions
from llmtuner.mcq.questions import QuestionSet
from llmtuner.mcq.shot_states import without_shots
from llmtuner.mcq.unwrap import unwrap

SHOTS = 21  # tokens, more than the windows of the narrow models
FAMILIES = ("llama", "llama-gqa", "qwen2", "mistral-narrow", "gemma2", "gemma3", "phi3", "gpt_neox", "gpt2")
HEADS = {
    "likelihood": ("shared_prefix", "per_option"),
    "linear": ("shared_prefix", "per_option", "joint"),
    "duma": ("shared_prefix", "per_option"),
    "letter": ("joint",),
}
CASES = [(head, layout) for head, layouts in HEADS.items() for layout in layouts]


def with_shots(tokens: OptionTokens, ids: list[int]) -> OptionTokens:
    """The same question behind shots."""
    move = lambda span: (span[0] + len(ids), span[1] + len(ids))  # noqa: E731
    return replace(
        tokens,
        sequences=[[*ids, *sequence] for sequence in tokens.sequences],
        context=move(tokens.context),
        question=move(tokens.question),
        options=[move(span) for span in tokens.options],
        characters=[end - begin for begin, end in tokens.options],
        shots=len(ids),
    )


def asked(layout: str) -> QuestionSet:
    """Questions of different lengths behind the same shots; the last one has others."""
    draw = random.Random(1)
    tokens = lambda n: [draw.randrange(3, 200) for _ in range(n)]  # noqa: E731
    shots, others = tokens(SHOTS), tokens(SHOTS)
    shapes = [(20, [3, 9, 1, 6], 0), (12, [4, 4, 5, 2], 5), (15, [4, 4, 4, 4], 0), (9, [2, 7, 3, 3], 0)]
    encoded = []
    for row, (prefix, lengths, shared) in enumerate(shapes):
        before = others if row == 3 else shots
        if layout == "joint":
            encoded.append(JointTokens([*before, *tokens(prefix)], [5, 2], [], [7, 8, 9, 10], 0, 0, len(before)))
        else:
            encoded.append(with_shots(question(draw, prefix, lengths, shared), before))
    texts = [Question(str(row), "?", tuple("abcd"), ANSWERS[row]) for row in range(4)]
    return QuestionSet.ready(texts, encoded)


def family(name: str, **more):
    sizes = {**SIZES, "num_hidden_layers": 2, **more}
    model = build(name, **sizes)
    if name == "gemma2":
        model.set_attn_implementation("eager")
    return model


def prepared(model, head: str, layout: str, lora: bool = False):
    settings = resolve("causal", {"head": head, "layout": layout}, {"hidden_size": 32, "num_attention_heads": 4})
    settings = settings.with_(num_options=4 if (head, layout) == ("linear", "joint") else None)
    attach_head(model, settings)
    if head == "duma":
        with torch.no_grad():
            for parameter in model.mcq_head.parameters():  # it starts as the linear head
                parameter.normal_(std=0.3)
    if lora:
        model = get_peft_model(model, LoraConfig(r=2, target_modules="all-linear", exclude_modules=".*(mcq|head).*"))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_" in name:
                    parameter.normal_(std=0.2)
    questions = asked(layout)
    if layout != "joint":
        settings = settle_layout(model, settings, questions.tokens, 0, required=True)[0]
    return model, questions, Collator.of(settings, 0)


def compared(model, questions, collator, **more):
    """Predictions with the states of shots and without, the lengths of the rows that were computed, and the notices."""
    notices: list[str] = []
    lengths: list[tuple[int, int]] = []
    embeddings = unwrap(model).get_input_embeddings()
    handle = embeddings.register_forward_pre_hook(lambda _, args: lengths.append(tuple(args[0].shape)))
    scoring = Scoring(collator, batch_size=2, notice=notices.append, **more)
    cached = predict_questions(model, questions, scoring)
    handle.remove()
    plain = predict_questions(model, questions, replace(scoring, reuse_shots=False))
    return cached, plain, lengths, notices[:-1]


def assert_equal(cached, plain, atol=1e-5):
    for one, two in zip(cached, plain, strict=True):
        first, second = (torch.tensor(prediction.probabilities) for prediction in (one, two))
        torch.testing.assert_close(first, second, atol=atol, rtol=0)
        if one.loglikelihood is not None:
            assert one.loglikelihood == pytest.approx(two.loglikelihood, rel=max(1e-4, atol / 10), abs=1e-3)


@pytest.mark.parametrize(("head", "layout"), CASES)
@pytest.mark.parametrize("name", FAMILIES)
def test_the_scores_are_those_of_whole_sequences(name, head, layout):
    """Over windows narrower than the shots, padding on both sides, and a question with other shots in the batch."""
    if layout == "shared_prefix" and name == "gpt2" and head == "duma":
        pytest.skip("covered by the other heads")
    model, questions, collator = prepared(family(name), head, layout)
    cached, plain, lengths, notices = compared(model, questions, collator)
    assert notices == []
    assert_equal(cached, plain)
    assert lengths[0] == (1, SHOTS), "the shots, once"
    longest = max(len(sequence) for tokens in questions.tokens for sequence in tokens.sequences)
    behind = [length for _, length in lengths[1:] if length < longest or layout == "shared_prefix"]
    assert len(behind) >= 2, "rows without the shots"


@pytest.mark.parametrize(("head", "layout"), CASES)
def test_adapters_are_at_work_in_them(head, layout):
    model, questions, collator = prepared(family("llama"), head, layout, lora=True)
    cached, plain, _, notices = compared(model, questions, collator)
    assert notices == []
    assert_equal(cached, plain)
    with model.disable_adapter():
        bare = predict_questions(model, questions, Scoring(collator, batch_size=2))
    with pytest.raises(AssertionError):
        assert_equal(cached, bare)


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize(("head", "layout"), [("likelihood", "per_option"), ("letter", "joint")])
def test_half_precision(head, layout, autocast):
    """A mask in fp32 beside states in bf16 stopped sdpa."""
    model = family("llama")
    model, questions, collator = prepared(model if autocast else model.bfloat16(), head, layout)
    precision = lambda: torch.autocast("cpu", torch.bfloat16, enabled=autocast)  # noqa: E731
    cached, plain, _, notices = compared(model, questions, collator, precision=precision)
    assert notices == []
    assert_equal(cached, plain, atol=0.1)


def test_few_tokens_are_computed():
    """The point of it: without the states, each row has its shots."""
    model, questions, collator = prepared(family("llama"), "likelihood", "per_option")
    *_, lengths, _ = compared(model, questions.subset([0, 1, 2]), collator)
    again = lengths[2]  # the first question with its shots, to compare
    assert again[1] == max(map(len, questions.tokens[0].sequences))
    longest = max(len(sequence) for tokens in questions.tokens[:3] for sequence in tokens.sequences) - SHOTS
    assert all(length <= longest for _, length in lengths[3:])


def test_a_model_without_keys_and_values_computes_them_again_and_says_so():
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "vocab_size": 200, "state_size": 4}
    model = build("mamba", **sizes)
    model, questions, collator = prepared(model, "likelihood", "per_option")
    cached, plain, _, notices = compared(model, questions, collator)
    assert_equal(cached, plain)
    assert notices == [
        "shots: their states are computed for each question again, because mamba has no keys and values that could be "
        "put before other rows"
    ]


def test_bloom_measures_distances_itself():
    model = build("bloom", hidden_size=32, n_layer=2, n_head=4, vocab_size=200)
    model, questions, collator = prepared(model, "likelihood", "per_option")
    cached, plain, _, notices = compared(model, questions, collator)
    assert_equal(cached, plain)
    assert "bloom has no keys and values" in notices[0]


def test_a_head_that_reads_the_shots_computes_them_again():
    model, questions, collator = prepared(family("llama"), "linear", "per_option")
    *_, notices = compared(model, questions, replace(collator, pooling="mean"))
    assert "the pooling mean reads them" in notices[0]


def test_scores_that_differ_are_not_used(monkeypatch):
    """A model whose states mean something else behind a cache would rank by noise."""
    model, questions, collator = prepared(family("llama"), "likelihood", "per_option")
    record = predict.ShotStates.record

    def wrong(*args):
        states = record(*args)
        states._states = {layer: (keys * 0, values) for layer, (keys, values) in states._states.items()}
        return states

    monkeypatch.setattr(predict.ShotStates, "record", wrong)
    cached, plain, _, notices = compared(model, questions, collator)
    assert_equal(cached, plain)
    assert "the scores of the first question would be others" in notices[0]


def test_our_own_errors_are_not_blamed_on_the_model(monkeypatch):
    model, questions, collator = prepared(family("llama"), "likelihood", "per_option")
    monkeypatch.setattr(Collator, "masked", None)
    with pytest.raises(TypeError):
        compared(model, questions, collator)


def test_spans_move_with_the_tokens():
    tokens = asked("per_option").tokens[0]
    bare = without_shots(tokens, SHOTS)
    for option in range(4):
        for span, moved in ((tokens.question, bare.question), (tokens.options[option], bare.options[option])):
            assert tokens.sequences[option][slice(*span)] == bare.sequences[option][slice(*moved)]
    assert without_shots(replace(tokens, context=(0, 0)), SHOTS).context == (0, 0)


def test_every_family_of_the_layouts_is_covered():
    assert set(MODELS) - {"qwen3", "mistral-wide"} <= set(FAMILIES)
