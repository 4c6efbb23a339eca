"""What a training minimises: losses by weight, a start with cross-entropy alone, and R-Drop beside them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch

from llmtuner.errors import UserError
from llmtuner.mcq.loss_terms import LossTerm, check_smoothing, parse_loss
from llmtuner.mcq.losses.mixture import LossMixture
from llmtuner.mcq.losses.rdrop import rdrop
from llmtuner.mcq.losses.topk_ce import require_package


@dataclass(frozen=True)
class Objective:
    """One number a question from scores ``[Q, N]``; with R-Drop, a batch's second half repeats its first one.

    Args:
        loss: names and weights, as in --mcq_loss.
        label_smoothing: of the losses that take it, and of the cross-entropy that a warm-up begins with.
        warmup_ratio: share of the steps, from the first on, whose loss is cross-entropy (and R-Drop, if there is any).
        rdrop_alpha: weight of R-Drop; 0 for none.

    Raises:
        UserError: a value that is not possible.
    """

    loss: str = "cross_entropy"
    label_smoothing: float = 0.0
    warmup_ratio: float = 0.0
    rdrop_alpha: float = 0.0

    def __post_init__(self) -> None:
        terms = parse_loss(self.loss)
        if not self.warmup_ratio:  # which begins with cross-entropy, and that takes smoothing
            check_smoothing(terms, self.label_smoothing)
        if any(term.name == "topk_ce" for term in terms):
            require_package()
        if not 0 <= self.label_smoothing < 1:
            raise UserError(f"--label_smoothing_factor {self.label_smoothing}: a share from 0 to below 1 is needed")
        if self.warmup_ratio and terms == (LossTerm("cross_entropy"),):
            raise UserError("--mcq_loss_warmup_ratio begins with cross-entropy, which is the loss anyway; leave it out")
        if not 0 <= self.warmup_ratio < 1:
            raise UserError(
                f"--mcq_loss_warmup_ratio {self.warmup_ratio}: a share of the steps is needed, from 0 to below 1"
            )
        if not 0 <= self.rdrop_alpha < float("inf"):
            raise UserError(f"--mcq_rdrop_alpha {self.rdrop_alpha}: a number of at least 0 is needed")

    @cached_property
    def _start(self) -> LossMixture:
        return LossMixture([LossTerm("cross_entropy")], self.label_smoothing)

    @cached_property
    def _mixture(self) -> LossMixture:
        return LossMixture(parse_loss(self.loss), self.label_smoothing)

    @property
    def copies(self) -> int:
        """How often a batch holds each of its questions."""
        return 2 if self.rdrop_alpha else 1

    def __call__(
        self, scores_QN: torch.Tensor, answers_Q: torch.Tensor, mask_QN: torch.Tensor, progress: float = 1.0
    ) -> torch.Tensor:
        """The losses of a training batch: [Q].

        Args:
            progress: the share of the steps that are done.
        """
        loss = self._start if progress < self.warmup_ratio else self._mixture
        losses_Q = loss(scores_QN, answers_Q, mask_QN)
        if not self.rdrop_alpha:
            return losses_Q
        (first, second), (mask, _) = scores_QN.chunk(2), mask_QN.chunk(2)
        return losses_Q + self.rdrop_alpha * rdrop(first, second, mask).repeat(2)

    def evaluate(self, scores_QN: torch.Tensor, answers_Q: torch.Tensor, mask_QN: torch.Tensor) -> torch.Tensor:
        """The losses of questions that are not trained on, without smoothing: [Q]."""
        return LossMixture(parse_loss(self.loss))(scores_QN, answers_Q, mask_QN)
