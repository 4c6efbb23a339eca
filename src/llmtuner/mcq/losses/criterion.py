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

    def __call__(
        self,
        scores_QN: torch.Tensor,
        answers_Q: torch.Tensor,
        mask_QN: torch.Tensor,
        targets_QN: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The losses of questions, each with at least two options.

        Args:
            targets_QN: probabilities of the options, with sum 1. The loss is then its mean over right options that are
                drawn from them, sum over k of t_k loss(k); for cross-entropy that is -sum over k of t_k log p_k.
                Source: Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network" (2015).
        """
        if targets_QN is None:
            losses = [weight * loss(scores_QN, answers_Q, mask_QN, **more) for weight, loss, more in self._terms]
            return torch.stack(losses).sum(0)
        expected_Q = scores_QN.new_zeros(len(scores_QN))
        for option in range(targets_QN.shape[1]):
            shares_Q = targets_QN[:, option].to(scores_QN)
            # An option of probability 0 may not exist: 0 times its loss could be NaN.
            drawn_Q = answers_Q.masked_fill(shares_Q > 0, option)
            expected_Q = expected_Q + shares_Q * self(scores_QN, drawn_Q, mask_QN)
        return expected_Q


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
        self,
        scores_QN: torch.Tensor,
        answers_Q: torch.Tensor,
        mask_QN: torch.Tensor,
        progress: float = 1.0,
        targets_QN: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The losses of a training batch: [Q].

        Args:
            progress: the share of the steps that are done.
            targets_QN: probabilities of the options, to train on in place of the answers.
        """
        loss = self._start if progress < self.objective.warmup_ratio else self._mixture
        losses_Q = loss(scores_QN, answers_Q, mask_QN, targets_QN)
        if not self.objective.rdrop_alpha:
            return losses_Q
        (first, second), (mask, _) = scores_QN.chunk(2), mask_QN.chunk(2)
        return losses_Q + self.objective.rdrop_alpha * rdrop(first, second, mask).repeat(2)

    def evaluate(self, scores_QN: torch.Tensor, answers_Q: torch.Tensor, mask_QN: torch.Tensor) -> torch.Tensor:
        """The losses of evaluation questions, without smoothing, warm-up and R-Drop: [Q]."""
        return self._unsmoothed(scores_QN, answers_Q, mask_QN)
