"""What a training minimises: mixtures, a warm-up, R-Drop and smoothing, each by its formula."""

from __future__ import annotations

import pytest
import torch

from llmtuner.mcq.losses import LOSSES
from llmtuner.mcq.losses.criterion import Criterion
from llmtuner.mcq.losses.rdrop import rdrop
from llmtuner.mcq.objective import Objective

SCORES = torch.randn(6, 5, generator=torch.Generator().manual_seed(0)) * 2
MASK = torch.arange(5) < torch.tensor([5, 4, 3, 5, 4, 3])[:, None]
ANSWERS = torch.tensor([0, 3, 2, 0, 3, 2])  # the second half repeats the questions of the first


def minimised(progress: float, **settings) -> torch.Tensor:
    return Criterion(Objective(**settings))(SCORES, ANSWERS, MASK, progress)


def loss(name: str, **more) -> torch.Tensor:
    return LOSSES[name](SCORES, ANSWERS, MASK, **more)


@pytest.mark.parametrize(
    ("progress", "name"), [(0.0, "cross_entropy"), (0.49, "cross_entropy"), (0.5, "ranknet"), (1.0, "ranknet")]
)
def test_a_warm_up_ends_at_its_share_of_the_steps(progress, name):
    """With the comparison inverted, training starts with the bounded loss, which does not learn from a fresh head."""
    assert torch.equal(minimised(progress, loss="ranknet", warmup_ratio=0.5), loss(name))


def test_without_a_warm_up_the_loss_is_the_one_that_was_named_from_the_first_step_on():
    """A warm-up of 0 that lasts one step would go unnoticed in a long training."""
    assert torch.equal(minimised(0.0, loss="binary:2+poly1:0.5"), 2 * loss("binary") + 0.5 * loss("poly1"))


def test_rdrop_compares_the_two_passes_of_a_question():
    """If the halves are paired differently, R-Drop compares different questions."""
    divergence = rdrop(SCORES[:3], SCORES[3:], MASK[:3])
    assert divergence.min() > 0.01
    expected = loss("cross_entropy") + 0.7 * torch.cat([divergence, divergence])
    torch.testing.assert_close(minimised(1.0, rdrop_alpha=0.7), expected)


@pytest.mark.parametrize("more", [{}, {"warmup_ratio": 0.5}, {"rdrop_alpha": 0.5}])
def test_an_evaluation_is_the_loss_itself(more):
    """Smoothing, a warm-up and R-Drop are for training only: with them, evaluation losses are not comparable."""
    criterion = Criterion(Objective("poly1", label_smoothing=0.2, **more))
    assert torch.equal(criterion.evaluate(SCORES, ANSWERS, MASK), loss("poly1"))
    assert not torch.allclose(criterion(SCORES, ANSWERS, MASK), loss("poly1"))
