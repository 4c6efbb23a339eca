"""predict_accuracy: 2023's prefix match is added to upstream's figures and does not change them."""

from __future__ import annotations

import numpy as np
import pytest
from transformers import AutoTokenizer, EvalPrediction

import patches
from patches.accuracy_metric import SEAM, prefix_match


@pytest.fixture(scope="module")
def tokenizer(tiny_llama):
    patches.install()
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def as_predictions(tokenizer, predicted: list[str], labels: list[str]) -> EvalPrediction:
    def pad(texts):
        rows = [tokenizer.encode(text, add_special_tokens=False) if text else [] for text in texts]
        width = max(1, *map(len, rows))
        return np.array([row + [-100] * (width - len(row)) for row in rows])

    return EvalPrediction(pad(predicted), pad(labels))


def metric(tokenizer):
    from llamafactory.train.sft import workflow

    return workflow.ComputeSimilarity(tokenizer=tokenizer)


@pytest.mark.parametrize(
    ("predicted", "label", "expected"),
    [("B", "B", 1.0), ("B. carbon", "B", 1.0), ("", "B", 0.0), ("b", "B", 0.0), ("AB", "B", 0.0), ("B", "", 0.0)],
)
def test_the_text_must_begin_with_the_label(predicted, label, expected):
    assert prefix_match(predicted, label) == expected


def test_upstreams_figures_stay_as_they_are(tokenizer):
    pairs = as_predictions(tokenizer, ["B", "the ohm", "A"], ["B", "the volt", ""])
    ours = metric(tokenizer)(pairs)
    theirs = SEAM.original()(tokenizer=tokenizer)(pairs)
    assert ours.pop("accuracy") == pytest.approx(1 / 3)
    assert ours == theirs


def test_batches_give_the_same_as_all_at_once(tokenizer):
    predicted, labels = ["B", "C", "A x", "D"], ["B", "A", "A", "D"]
    whole = metric(tokenizer)(as_predictions(tokenizer, predicted, labels))
    batched = metric(tokenizer)
    assert batched(as_predictions(tokenizer, predicted[:3], labels[:3]), compute_result=False) is None
    assert batched(as_predictions(tokenizer, predicted[3:], labels[3:]), compute_result=True) == whole


def test_unlabelled_questions_do_not_count_as_wrong(tokenizer):
    some = metric(tokenizer)
    some.labelled_only = True
    assert some(as_predictions(tokenizer, ["B", "C"], ["B", ""]))["accuracy"] == 1.0
    none = metric(tokenizer)
    none.labelled_only = True
    assert none(as_predictions(tokenizer, ["B", "C"], ["", ""])) == {}
