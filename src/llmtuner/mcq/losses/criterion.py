"""An objective as a function of scores: weighted losses, a warm-up with cross-entropy alone, and R-Drop."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from llmtuner.mcq.losses import LOSSES
from llmtuner.mcq.losses.rdrop import rdrop
from llmtuner.mcq.objective import START, LossTerm, Objective
from llmtuner.spec import losses as spec


class LossMixture:
    """The weighted sum of losses, one number per question: [Q].

    Args:
        terms: names and weights.
        label_smoothing: for the terms that take it.
    """

    def __init__(self, terms: Sequence[LossTerm], label_smoothing: float = 0.0) -> None:
        smoothing = {"label_smoothing": label_smoothing}
        self._terms = [
            (term.weight, LOSSES[term.name], smoothing if spec.LOSSES[term.name].smoothed else {}) for term in terms
        ]

    def __call__(self, scores_QN: torch.Tensor, answers_Q: torch.Tensor, mask_QN: torch.Tensor) -> torch.Tensor:
        """The losses of questions, each with at least two options."""
        losses = [weight * loss(scores_QN, answers_Q, mask_QN, **more) for weight, loss, more in self._terms]
        return torch.stack(losses).sum(0)


class Criterion:
    """One number per question from scores ``[Q, N]``; with R-Drop, a batch's second half repeats its first.

    Args:
        objective: what is minimised.

    Raises:
        FieldError: a loss needs a package that is not installed.
    """

    def __init__(self, objective: Objective) -> None:
        objective.require_packages()
        self.objective = objective
        self._start = LossMixture([LossTerm(START)], objective.label_smoothing)
        self._mixture = LossMixture(objective.terms, objective.label_smoothing)
        self._unsmoothed = LossMixture(objective.terms)

    def __call__(
        self, scores_QN: torch.Tensor, answers_Q: torch.Tensor, mask_QN: torch.Tensor, progress: float = 1.0
    ) -> torch.Tensor:
        """The losses of a training batch: [Q].

        Args:
            progress: the share of the steps that are done.
        """
        loss = self._start if progress < self.objective.warmup_ratio else self._mixture
        losses_Q = loss(scores_QN, answers_Q, mask_QN)
        if not self.objective.rdrop_alpha:
            return losses_Q
        (first, second), (mask, _) = scores_QN.chunk(2), mask_QN.chunk(2)
        return losses_Q + self.objective.rdrop_alpha * rdrop(first, second, mask).repeat(2)

    def evaluate(self, scores_QN: torch.Tensor, answers_Q: torch.Tensor, mask_QN: torch.Tensor) -> torch.Tensor:
        """The losses of evaluation questions, without smoothing, warm-up and R-Drop: [Q]."""
        return self._unsmoothed(scores_QN, answers_Q, mask_QN)
