"""The likelihood head against lm-evaluation-harness, an independent implementation, on the same token ids."""

from __future__ import annotations

import random

import pytest
from transformers import AutoTokenizer

from llmtuner.data.question import Question
from llmtuner.data.tokens.option import OptionTokens

pytest.importorskip("lm_eval", reason="lm_eval is not installed; to run this: pip install -e '.[bench]'")

import lm_eval_check as check  # imports lm_eval only when it is used

WORDS = "water boils on a high mountain at lower temperature since the pressure of air is less".split()  # noqa: SIM905


@pytest.fixture(scope="module")
def questions() -> list[Question]:
    """Options of different length and number, so that both norms choose differently; some with a context."""
    draw = random.Random(0)

    def text(low: int, high: int) -> str:
        return " ".join(draw.choices(WORDS, k=draw.randrange(low, high)))

    made = []
    for number in range(24):
        options = tuple(f"{text(1, 9)} {letter}" for letter in "ABCDE"[: 2 + number % 4])
        context = text(5, 30) if number % 3 else ""
        made.append(Question(str(number), text(3, 9), options, number % len(options), context))
    return made


@pytest.fixture(scope="module")
def harness(tiny_llama):
    return check.harness_of(tiny_llama, AutoTokenizer.from_pretrained(tiny_llama), batch_size=5)


@pytest.fixture(scope="module")
def both(tiny_llama, harness, questions):
    """For each form of the prompt, our predictions and the harness's result on the same ids."""
    tokenizer, model = harness.tokenizer, check.with_head(tiny_llama)
    results = {}
    for form, encode in (("plain", check.plain_tokens), ("chat", check.chat_tokens)):
        tokens = encode(tokenizer, questions)
        results[form] = check.ours(model, questions, tokens, 0), check.by_harness(harness, questions, tokens)
    return results


@pytest.mark.parametrize("form", ["plain", "chat"])
def test_every_options_sum_is_the_harnesss(both, form):
    predictions, given = both[form]
    for prediction, row in zip(predictions, given.sums, strict=True):
        assert len(prediction.loglikelihood) == len(row)
        for total, other in zip(prediction.loglikelihood, row, strict=True):
            assert abs(total - other) <= check.TOLERANCE * (1 + abs(other))


@pytest.mark.parametrize("form", ["plain", "chat"])
def test_acc_is_the_norm_sum_and_acc_norm_is_char(both, questions, form):
    predictions, given = both[form]
    report = check.compared(questions, predictions, given)
    assert (report["acc"], report["acc_norm"]) == (report["sum"], report["char"])
    assert report["other_choices_sum"] == report["other_choices_char"] == 0
    assert given.choices(questions, by_characters=True) != given.choices(questions, by_characters=False)


def read_by_harness(harness, question: Question) -> OptionTokens:
    """The ids of its own tokenisation."""
    pairs = [harness._encode_pair(check.prompt_text(question), f" {text}") for text in question.options]
    spans = [(len(context), len(context) + len(option)) for context, option in pairs]
    lengths = [len(text) for text in question.options]
    return OptionTokens([[*context, *option, 2] for context, option in pairs], (0, 0), (0, 1), spans, 0, 0, 0, lengths)


def test_its_own_tokenisation_is_scored_where_ids_differ(harness, questions):
    """A question of which no id differs has the sums that are known."""
    tokens = check.plain_tokens(harness.tokenizer, questions)
    tokens[::2] = [read_by_harness(harness, question) for question in questions[::2]]
    assert check.other_ids(harness, questions, tokens) == [*range(1, len(questions), 2)]
    own = check.own_tokenisation(harness, questions, tokens, check.by_harness(harness, questions, tokens))
    every = check.by_harness(harness, questions)
    for row, expected in zip(own.sums, every.sums, strict=True):
        assert row == pytest.approx(expected, abs=1e-3)
    assert (own.acc, own.acc_norm) == (every.acc, every.acc_norm)
