"""The logarithm of the exact expected MAP@3."""

from __future__ import annotations

import torch

from llmtuner.mcq.losses.expected_map3 import log_expected


def log_expected_map3(scores_QN: torch.Tensor, answers_Q: torch.Tensor, mask_QN: torch.Tensor) -> torch.Tensor:
    """-log E of each question, with E as in `expected_map3`: [Q].

    It is cross-entropy minus a bonus for being second or third, so that 1 - E <= -log E <= cross-entropy. Its gradient
    does not vanish for hopeless questions; prefer it to expected_map3 if a training must start with a loss for MAP@3.

    Traps: it is not convex. A right option at rank 5 is pushed towards rank 3 first, not rank 1. In synthetic
    comparisons it was never the best loss.
    """
    return -log_expected(scores_QN, answers_Q, mask_QN)
