"""The likelihood head gives the log-probabilities of a plain loop, in both layouts, from few logits."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
import torch
from models import ANSWERS, SIZES, build, hard_questions, question
from transformers import AutoModelForCausalLM, AutoTokenizer

from llmtuner.data.question import Question
from llmtuner.data.tokens.fields import Skeleton
from llmtuner.data.tokens.option import OPTION, QUESTION, OptionEncoder, OptionTokens
from llmtuner.data.tokens.templates import template_of
from llmtuner.errors import UserError
from llmtuner.mcq import likelihood
from llmtuner.mcq.choices import resolve
from llmtuner.mcq.collate import Collator
from llmtuner.mcq.encoding import make_encoder
from llmtuner.mcq.lm_head import forward_replaced
from llmtuner.mcq.losses.criterion import Criterion
from llmtuner.mcq.model import attach_head
from llmtuner.mcq.objective import Objective
from llmtuner.mcq.packing import settle_layout
from llmtuner.mcq.predict import NOT_READ, UNSCORED, Scoring, figures_of, predict_questions, score_questions
from llmtuner.mcq.questions import Example, QuestionSet
from llmtuner.spec import NORMS

LAYOUTS = ("shared_prefix", "per_option")
# Models that do something to their logits after the head, or whose parts have other names.
FAMILIES = {
    "llama": {"model_type": "llama", "num_key_value_heads": 2},
    "gemma2": {"model_type": "gemma2", "num_key_value_heads": 2, "head_dim": 8, "final_logit_softcapping": 2.0},
    "cohere": {"model_type": "cohere", "num_key_value_heads": 2, "logit_scale": 0.3, "bos_token_id": 1},
    "granite": {"model_type": "granite", "num_key_value_heads": 2, "logits_scaling": 4.0},
    "gpt2": {"model_type": "gpt2"},
    "gpt_neox": {"model_type": "gpt_neox"},
    "mixtral": {
        "model_type": "mixtral",
        "num_key_value_heads": 2,
        "num_local_experts": 2,
        "output_router_logits": True,
    },
}
SIZES_2 = {**SIZES, "num_hidden_layers": 2}


def family(name: str) -> torch.nn.Module:
    return build(name, **SIZES_2, **FAMILIES[name])


def with_texts(questions: list[OptionTokens]) -> list[OptionTokens]:
    """The questions with lengths of their options' texts, which are not those of the tokens."""
    return [replace(q, characters=[3 * (end - begin) + 1 for begin, end in q.options]) for q in questions]


@pytest.fixture(scope="module")
def questions() -> list[OptionTokens]:
    """Ragged options; a prefix that runs into the options' text; equal options; an option that begins another one."""
    return with_texts(hard_questions())


def loop(model: torch.nn.Module, questions: list[OptionTokens]) -> list[torch.Tensor]:
    """The sum of each option, one sequence at a time."""
    sums = []
    for tokens in questions:
        of_question = []
        for sequence, (begin, end) in zip(tokens.sequences, tokens.options, strict=True):
            log_p = model(torch.tensor([sequence])).logits[0].float().log_softmax(-1)
            of_question.append(sum(log_p[place - 1, sequence[place]] for place in range(begin, end)))
        sums.append(torch.stack(of_question))
    return sums


def run(model, questions: list[OptionTokens], layout: str, norm: str = "sum"):
    """The model's output for one batch, and its labels."""
    collator = Collator(layout, "none", 0, reads="option_tokens", norm=norm)
    batch = collator([Example(tokens, ANSWERS[row % 4], row) for row, tokens in enumerate(questions)])
    return model(**{name: value for name, value in batch.items() if name not in NOT_READ}), batch["labels"]


def attached(model, norm: str = "sum"):
    return attach_head(model, resolve("causal", {"head": "likelihood", "likelihood_norm": norm}))


# ---- scores


@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_both_layouts_give_the_sums_of_a_plain_loop(name, questions):
    """Guards against soft-capping (Gemma 2) and scaling (Cohere, Granite) that are left out after the head."""
    model = family(name)
    if name == "gemma2":
        model.set_attn_implementation("eager")
    expected = loop(model, questions)
    ids = torch.tensor([questions[0].sequences[0]])
    raw = model.get_output_embeddings()(model.get_decoder()(ids).last_hidden_state)
    changed = not torch.allclose(raw, model(ids).logits, atol=1e-3)
    assert changed == (name in ("gemma2", "cohere", "granite")), "what is to be tested happens"
    attached(model)
    settings = resolve("causal", {"head": "likelihood"})
    assert settle_layout(model, settings, questions, 0)[0].layout == "shared_prefix"
    for layout in LAYOUTS:
        output, _ = run(model, questions, layout)
        for row, sums_N in enumerate(expected):
            actual_N = output.sums[row][output.mask[row]]
            assert ((actual_N - sums_N).abs() <= 1e-4 * (1 + sums_N.abs())).all(), layout
            torch.testing.assert_close(actual_N.softmax(-1), sums_N.softmax(-1), atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_norm_divides_by_tokens_or_by_the_texts_characters(questions):
    model = family("llama")
    expected = loop(model, questions)
    attached(model)
    for norm, divisor in (("sum", lambda tokens: 1), ("token", lambda tokens: tokens), ("char", lambda t: 3 * t + 1)):
        output, _ = run(model, questions, "shared_prefix", norm)
        for row, tokens in enumerate(questions):
            divisors = torch.tensor([divisor(end - begin) for begin, end in tokens.options])
            torch.testing.assert_close(output.scores[row][output.mask[row]], expected[row] / divisors)


@pytest.mark.parametrize("rows", [1, 3])
@torch.no_grad()
def test_chunks_of_logits_change_no_score(rows, questions, monkeypatch):
    """And none of them has more rows than the limit: the logits of all positions would be the largest tensor."""
    model = attached(family("llama"))
    whole, _ = run(model, questions, "shared_prefix")
    seen = []
    original = likelihood.functional.cross_entropy

    def spy(logits, *args, **kwargs):
        seen.append(logits.shape)
        return original(logits, *args, **kwargs)

    monkeypatch.setattr(likelihood.functional, "cross_entropy", spy)
    monkeypatch.setattr(likelihood, "CHUNK", rows * SIZES["vocab_size"] + 1)
    parts, _ = run(model, questions, "shared_prefix")
    torch.testing.assert_close(parts.sums, whole.sums)
    assert {shape[0] for shape in seen} <= {rows, sum(end - b for q in questions for b, end in q.options) % rows}
    assert sum(shape[0] for shape in seen) == sum(end - begin for q in questions for begin, end in q.options)


@pytest.mark.parametrize("autocast", [False, True])
@torch.no_grad()
def test_logits_are_fp32_in_a_half_precision_model(autocast, questions):
    """In bf16, log-probabilities of a long option are wrong by whole units, and options tie."""
    model = family("llama")
    model = attached(model if autocast else model.bfloat16())
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        sums_N = run(model, questions[:1], "per_option")[0].sums[0]
        batch = Collator("per_option", "mean", 0)([Example(questions[0], 0, 0)])
        states = model.model(batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
    exact = (states.float() @ model.lm_head.weight.float().T).log_softmax(-1)
    for option, (begin, end) in enumerate(questions[0].options):
        targets = questions[0].sequences[option][begin:end]
        expected = sum(exact[option, begin - 1 + place, token] for place, token in enumerate(targets))
        assert float(sums_N[option]) == pytest.approx(float(expected), abs=1e-4)


@torch.no_grad()
def test_batch_size_and_neighbours_change_nothing(questions):
    model = attached(family("llama"))
    whole, _ = run(model, questions, "shared_prefix")
    for row, tokens in enumerate(questions):
        alone, _ = run(model, [tokens], "shared_prefix")
        torch.testing.assert_close(alone.sums[0], whole.sums[row][whole.mask[row]])


def test_the_model_computes_everything_again_afterwards(questions):
    """A forward that another library had put on a module was deleted with ours."""
    model = attached(family("llama"))
    run(model, questions, "shared_prefix")
    assert "forward" not in vars(model.lm_head)
    assert "forward" not in vars(model.model)
    theirs = model.lm_head.forward
    model.lm_head.forward = theirs
    with pytest.raises(KeyError), forward_replaced(model.lm_head, abs):
        raise KeyError
    assert vars(model.lm_head)["forward"] is theirs


# ---- training


def gradients(model, losses_Q: torch.Tensor) -> torch.Tensor:
    model.zero_grad()
    losses_Q.mean().backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


@pytest.mark.parametrize("tied", [False, True])
def test_gradients_are_those_of_a_plain_loop(tied, questions, monkeypatch):
    """Each chunk is computed again in the backward pass, which must run the same code as in the forward pass."""
    monkeypatch.setattr(likelihood, "CHUNK", 7 * SIZES["vocab_size"])
    model = build("llama", **SIZES_2, num_key_value_heads=2, tie_word_embeddings=tied)
    mask = torch.tensor([[n < tokens.count for n in range(5)] for tokens in questions])
    sums = loop(model, questions)
    padded_QN = torch.stack([torch.cat([s, s.new_zeros(5 - len(s))]) for s in sums])
    loss = Criterion(Objective())
    expected = gradients(model, loss(padded_QN / 10, torch.tensor(ANSWERS), mask))
    attached(model)
    for layout in LAYOUTS:
        output, labels_Q = run(model, questions, layout)
        actual = gradients(model, loss(output.sums / 10, labels_Q, output.mask))
        assert (actual - expected).norm() < 1e-4 * expected.norm(), layout


def test_no_chunks_logits_are_stored_for_the_backward_pass(questions):
    model = attached(family("llama"))
    stored = []

    def pack(tensor):
        stored.append(tuple(tensor.shape))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output, _ = run(model, questions, "shared_prefix")
    assert output.scores.requires_grad
    weights = {(SIZES["vocab_size"], SIZES["hidden_size"]), (SIZES["hidden_size"], SIZES["vocab_size"])}
    assert stored
    assert not {shape for shape in stored if SIZES["vocab_size"] in shape} - weights


def test_a_blank_option_takes_no_part_in_the_loss(questions):
    """Its score of minus infinity would make the gradients NaN."""
    blank = replace(questions[0], characters=[0, *questions[0].characters[1:]])
    model = attached(family("llama"))
    output, _ = run(model, [blank], "shared_prefix")
    assert output.mask[0].tolist() == [False, True, True, True, True]
    loss = Criterion(Objective())(output.scores, torch.tensor([1]), output.mask)
    rest = Criterion(Objective())(output.scores[:, 1:], torch.tensor([0]), output.mask[:, 1:])
    torch.testing.assert_close(loss, rest)
    assert gradients(model, loss).isfinite().all()


# ---- whole questions


@pytest.fixture(scope="module")
def reader(tiny_llama):
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    return tokenizer, AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32).eval()


ASKED = (
    Question(
        "1", "What boils at a lower temperature?", ("water", "the open sea", " \u200b"), 2, context="Air is thin."
    ),
    Question("2", "Which one is it?", ("a volt", "an ohm of copper"), 0),
)


def encoded(reader, norm: str) -> tuple[QuestionSet, Scoring]:
    tokenizer, model = reader
    settings = resolve("causal", {"head": "likelihood", "likelihood_norm": norm})
    encoder = make_encoder(settings, tokenizer, model.config, cutoff_len=200, template=template_of(tokenizer))
    attach_head(model, settings)
    return QuestionSet(ASKED, encoder), Scoring(Collator.of(settings, 0), batch_size=2)


def test_pmi_subtracts_the_sum_without_context_and_question(reader):
    """The neutral prompt has the template's own tokens, the answer's mark among them, and the option's own."""
    plain = score_questions(reader[1], *encoded(reader, "sum"))
    questions, scoring = encoded(reader, "pmi")
    scores = score_questions(reader[1], questions, scoring)
    (begin, end), whole = questions.tokens[1].question, questions.tokens[1].sequences
    expected = [[*sequence[:begin], *sequence[end:]] for sequence in whole]
    neutral = questions.neutral().tokens
    assert neutral[1].sequences == expected
    assert end > begin, "something was left out"
    model = AutoModelForCausalLM.from_pretrained(reader[0].name_or_path, dtype=torch.float32)
    with torch.no_grad():
        sums = loop(model, neutral)
    for row, options in ((0, 2), (1, 2)):
        for option in range(options):
            assert scores[row][option] == pytest.approx(plain[row][option] - float(sums[row][option]), abs=1e-3)


def test_the_neutral_prompt_is_stored(reader):
    """Another template, or a stored model without it, would compare with other tokens."""
    tokenizer, model = reader
    questions, _ = encoded(reader, "pmi")
    settings = resolve("causal", {"head": "likelihood", "likelihood_norm": "pmi"})
    stored = settings.with_(prompt=questions._encoder.to_json("some"))
    again = QuestionSet(ASKED, make_encoder(stored, tokenizer, model.config, cutoff_len=200))
    assert again.neutral().tokens == questions.neutral().tokens
    with pytest.raises(UserError, match=r"prompt\.neutral"):
        settings.with_(prompt={**stored.prompt, "neutral": {"prompt": ["x"], "response": []}})


def test_a_template_that_puts_nothing_before_an_option_gets_a_first_token(reader):
    """The option's first token would have no token that predicts it."""
    bare = Skeleton((QUESTION,), (OPTION, 2))
    encoder = OptionEncoder(reader[0], None, 200, {False: bare, True: bare}, likelihood=True)
    assert encoder.encode_neutral(ASKED[1:])[0].options[0][0] == 1
    assert encoder.encode_neutral(ASKED[1:])[0].sequences[0][0] == reader[0].bos_token_id


@pytest.mark.parametrize("norm", NORMS)
def test_a_blank_option_ranks_last_and_the_others_as_without_it(norm, reader):
    predictions = predict_questions(reader[1], *encoded(reader, norm))
    first = predictions[0]
    assert first.scores[2] == UNSCORED == first.loglikelihood[2]
    assert first.option_tokens[2] == 0
    assert min(first.option_tokens[:2]) > 0
    assert first.probabilities[2] == 0.0
    assert first.ranking[2] == "C"
    figures = figures_of(predictions)
    assert figures["map@3"] in (pytest.approx((1 / 3 + 1) / 2), pytest.approx((1 / 3 + 1 / 2) / 2))
    assert math.isfinite(figures["nll"])


def test_every_score_follows_from_the_sums(reader):
    """So that another norm needs no second run."""
    for norm, divisors in (("token", None), ("char", [len(text) for text in ASKED[1].options])):
        second = predict_questions(reader[1], *encoded(reader, norm))[1]
        chosen = second.option_tokens if divisors is None else divisors
        for score, total, divisor in zip(second.scores, second.loglikelihood, chosen, strict=True):
            assert score == pytest.approx(total / divisor)


def test_the_check_of_packed_rows_covers_this_head(questions, monkeypatch):
    """A model that cannot take packed rows falls back, as with a head on pooled states."""
    from llmtuner.mcq import attention

    model = attached(family("llama"))
    settings = resolve("causal", {"head": "likelihood"})
    monkeypatch.setattr(
        attention,
        "tree_mask",
        lambda segments, *_, first=0: torch.ones(
            len(segments), 1, segments.shape[1] - first, segments.shape[1], dtype=torch.bool
        ).tril(first),
    )
    settled, notices = settle_layout(model, settings, questions, 0)
    assert settled.layout == "per_option"
    assert "cannot take shared_prefix" in notices[-1]


def test_random_questions_agree(questions):
    draw = random.Random(1)
    more = with_texts(
        [question(draw, draw.randrange(4, 30), [draw.randrange(1, 9) for _ in range(4)]) for _ in range(6)]
    )
    model = attached(family("llama"))
    with torch.no_grad():
        packed, single = (run(model, more, layout)[0] for layout in LAYOUTS)
    torch.testing.assert_close(packed.sums, single.sums, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_weights_that_are_split_over_processes_are_refused(layout, questions):
    """Processes with different numbers of chunks would wait for each other without end."""
    settings = resolve("causal", {"head": "likelihood", "layout": layout})
    with pytest.raises(UserError, match="use DDP or ZeRO-2"):
        settle_layout(attached(family("llama")), settings, questions, 0, sharded=True)
