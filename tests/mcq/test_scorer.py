"""Scores and gradients of head and backbone: equal in both layouts, for every pooling."""

from __future__ import annotations

import pytest
import torch
from test_layout import build, questions  # noqa: F401

from llmtuner.mcq.heads import HEADS
from llmtuner.mcq.losses import LOSSES
from llmtuner.mcq.pooling import POOLINGS
from llmtuner.mcq.scorer import OptionScorer


def scorer(layout: str, pooling: str, dtype=torch.float32) -> OptionScorer:
    backbone = build("llama-gqa").to(dtype)
    torch.manual_seed(1)
    return OptionScorer(backbone, HEADS["linear"](32), layout=layout, pooling=pooling)


@pytest.mark.parametrize("pooling", list(POOLINGS))
def test_probabilities_and_gradients_are_equal_in_both_layouts(pooling, questions):  # noqa: F811
    found = []
    for layout in ("shared_prefix", "per_option"):
        model = scorer(layout, pooling)
        scores_QN, there_QN = model(questions)
        LOSSES["cross_entropy"](scores_QN, torch.tensor([1, 0, 1, 2]), there_QN).backward()
        gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        found.append((scores_QN.masked_fill(~there_QN, -1e9).softmax(-1), gradient))
    (packed, packed_gradient), (single, single_gradient) = found
    torch.testing.assert_close(packed, single, atol=1e-5, rtol=0)
    difference = (packed_gradient - single_gradient).norm()
    if pooling == "first":  # the same state for every option of a causal model: nothing to learn from
        assert single_gradient.norm() < 1e-5
        assert difference < 1e-5
    else:
        assert difference <= 1e-4 * single_gradient.norm()


@pytest.mark.parametrize("layout", ["shared_prefix", "per_option"])
def test_scores_are_fp32_under_a_half_precision_backbone(layout, questions):  # noqa: F811
    """Scores that are rounded to bf16 tie, and a ranking of ties is arbitrary."""
    scores_QN, _ = scorer(layout, "last", torch.bfloat16)(questions)
    assert scores_QN.dtype == torch.float32
    assert not torch.equal(scores_QN, scores_QN.bfloat16().float())


@pytest.mark.parametrize("arguments", [{"layout": "joined"}, {"pooling": "max"}])
def test_unknown_names_are_refused(arguments):
    with pytest.raises(ValueError, match="known are"):
        OptionScorer(torch.nn.Identity(), torch.nn.Identity(), **arguments)


def test_smoothing_stays_among_the_options_that_exist():
    scores = torch.tensor([[2.0, 1.0, 9.0], [0.5, 0.0, -0.5]], requires_grad=True)
    there = torch.tensor([[True, True, False], [True, True, True]])
    answers = torch.tensor([0, 1])
    loss = LOSSES["cross_entropy"](scores, answers, there, label_smoothing=0.1)
    expected = [
        torch.nn.functional.cross_entropy(scores[:1, :2], answers[:1], label_smoothing=0.1),
        torch.nn.functional.cross_entropy(scores[1:], answers[1:], label_smoothing=0.1),
    ]
    torch.testing.assert_close(loss, torch.stack(expected).mean())
    loss.backward()
    assert scores.grad[0, 2] == 0
    assert torch.isfinite(scores.grad).all()
