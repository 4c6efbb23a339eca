"""Several losses by weight, as one."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from llmtuner.errors import UserError
from llmtuner.mcq.loss_terms import SMOOTHED, LossTerm
from llmtuner.mcq.losses import LOSSES


class LossMixture:
    """The weighted sum of losses, a number a question: [Q].

    Args:
        terms: names and weights.
        label_smoothing: for the terms that take it.
    """

    def __init__(self, terms: Sequence[LossTerm], label_smoothing: float = 0.0) -> None:
        self._terms = [
            (term.weight, LOSSES[term.name], {"label_smoothing": label_smoothing} if term.name in SMOOTHED else {})
            for term in terms
        ]

    def __call__(self, scores_QN: torch.Tensor, answers_Q: torch.Tensor, mask_QN: torch.Tensor) -> torch.Tensor:
        """The losses of questions.

        Raises:
            UserError: a question has one option, which nothing can be ranked against.
        """
        if bool((mask_QN.sum(-1) < 2).any()):
            raise UserError("a loss needs at least two options a question, and one question has fewer")
        losses = [weight * loss(scores_QN, answers_Q, mask_QN, **more) for weight, loss, more in self._terms]
        return torch.stack(losses).sum(0)
