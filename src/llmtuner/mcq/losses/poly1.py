"""Cross-entropy with a larger first term of its polynomial series."""

from __future__ import annotations

import torch

from llmtuner.mcq.losses.cross_entropy import cross_entropy

EPSILON = 1.0


def poly1(
    scores_QN: torch.Tensor, answers_Q: torch.Tensor, mask_QN: torch.Tensor, label_smoothing: float = 0.0
) -> torch.Tensor:
    """Cross-entropy + epsilon (1 - p_y) of each question, with epsilon = 1: [Q].

    Source: Leng et al., "PolyLoss" (ICLR 2022). Prefer it to plain cross-entropy on small sets with some wrong labels:
    the added term is bounded, as expected_map3 is, and costs nothing.

    Traps: like every bounded term it pushes confident answers further; the probabilities come out sharper.
    """
    p_answer_Q = torch.exp(-cross_entropy(scores_QN, answers_Q, mask_QN))
    smoothed_Q = cross_entropy(scores_QN, answers_Q, mask_QN, label_smoothing)
    return smoothed_Q + EPSILON * (1 - p_answer_Q)
