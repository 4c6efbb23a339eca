"""A real model's likelihoods: both layouts compute the same, and what is left between them is the model's rounding."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch
from support import ROOT, load_script
from torch.nn import functional
from transformers import AutoModelForCausalLM, AutoTokenizer

from llmtuner.data.load import read_questions
from llmtuner.data.tokens.option import OptionEncoder
from llmtuner.data.tokens.templates import template_of
from llmtuner.gguf_files import smollm2
from llmtuner.mcq import likelihood
from llmtuner.mcq.attention import choose_attention
from llmtuner.mcq.choices import resolve
from llmtuner.mcq.collate import Collator
from llmtuner.mcq.model import attach_head
from llmtuner.mcq.predict import NOT_READ
from llmtuner.mcq.questions import QuestionSet

pytestmark = pytest.mark.slow
LAYOUTS = ("shared_prefix", "per_option")
SETTINGS = resolve("causal", {"head": "likelihood", "likelihood_norm": "sum"})
QUESTIONS = 8
# How far probabilities of both layouts may be apart in fp32. With pmi, the rounding of two sums counts, undivided.
LIMITS = {"sum": 1e-5, "token": 1e-5, "char": 1e-5, "pmi": 3e-5}
Sums = dict[str, list[torch.Tensor]]


@pytest.fixture(scope="module")
def folder():
    """The converted model; the script prints its folder."""
    if find_spec(smollm2.PACKAGE) is None:
        pytest.skip(f"SmolLM2 is not installed: {smollm2.INSTALL}")
    return load_script("smollm2")._in_cache("float32")


@pytest.fixture(scope="module")
def questions(folder) -> QuestionSet:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    encoder = OptionEncoder(tokenizer, template_of(tokenizer), 2048, likelihood=True)
    every = read_questions(ROOT / "data" / "elementary" / "test.jsonl", purpose="predict").questions
    return QuestionSet(every[:QUESTIONS], encoder)


def load(folder, dtype: torch.dtype):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    choose_attention(attach_head(model, SETTINGS))
    return model.eval()


@torch.no_grad()
def sums_of(model, layout: str, questions: QuestionSet) -> list[torch.Tensor]:
    """The sums of each question's options, in the precision of the model."""
    collator = Collator.of(SETTINGS.with_(layout=layout), 2)
    batches = [collator([questions[row]]) for row in range(len(questions))]
    return [
        model(**{name: value for name, value in batch.items() if name not in NOT_READ}).sums[0].double()
        for batch in batches
    ]


def probabilities(sums: list[torch.Tensor], neutral: list[torch.Tensor], questions: QuestionSet) -> Sums:
    """The probabilities of each norm."""
    tokens = [torch.tensor([end - begin for begin, end in each.options]) for each in questions.tokens]
    characters = [torch.tensor([len(text) for text in question.options]) for question in questions.questions]
    scores = {
        "sum": sums,
        "token": [row / divisor for row, divisor in zip(sums, tokens, strict=True)],
        "char": [row / divisor for row, divisor in zip(sums, characters, strict=True)],
        "pmi": [row - base for row, base in zip(sums, neutral, strict=True)],
    }
    return {norm: [row.softmax(-1) for row in rows] for norm, rows in scores.items()}


def both_layouts(model, questions: QuestionSet) -> dict[str, Sums]:
    neutral = questions.neutral()
    return {
        layout: probabilities(sums_of(model, layout, questions), sums_of(model, layout, neutral), questions)
        for layout in LAYOUTS
    }


def furthest(first: list[torch.Tensor], second: list[torch.Tensor]) -> float:
    return max(float((a - b).abs().max()) for a, b in zip(first, second, strict=True))


def exact(model, _make_output, _head_forward, states_RD, targets_R):
    """Log-probabilities in fp64, which the head otherwise computes in fp32."""
    logits_RV = states_RD.double() @ model.get_output_embeddings().weight.double().T
    return -functional.cross_entropy(logits_RV, targets_R, reduction="none")


def test_in_fp64_both_layouts_are_the_same_and_in_fp32_each_is_its_rounding_away(folder, questions, monkeypatch):
    """pmi differed by 1.03e-5 between the layouts, and nothing said whether one of them was wrong."""
    rounded = both_layouts(load(folder, torch.float32), questions)
    monkeypatch.setattr(likelihood, "_log_probabilities", exact)
    whole = both_layouts(load(folder, torch.float64), questions)
    for norm, limit in LIMITS.items():
        one, two = (whole[layout][norm] for layout in LAYOUTS)
        assert furthest(one, two) <= 1e-12, f"{norm}: both layouts compute the same"
        assert furthest(*(rounded[layout][norm] for layout in LAYOUTS)) <= limit, norm
        for layout in LAYOUTS:
            assert furthest(rounded[layout][norm], one) <= limit, f"{norm}, {layout}: more than rounding"
