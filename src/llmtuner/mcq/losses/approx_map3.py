"""MAP@3 of a smooth rank."""

from __future__ import annotations

import torch

from llmtuner.mcq.losses.pairs import against_answer

TEMPERATURE = 0.5
K = 3


def approx_map3(scores_QN: torch.Tensor, answers_Q: torch.Tensor, mask_QN: torch.Tensor) -> torch.Tensor:
    """1 - sigmoid((K + 1/2 - r) / T) / r with the smooth rank r = 1 + sum over j of sigmoid((s_j - s_y) / T): [Q].

    K = 3 and T = 0.5. With K options or fewer no place is cut off, and the loss is 1 - 1/r.
    Source: the smooth rank is of Qin, Liu and Li, "A general approximation framework for direct optimization of
    information retrieval measures" (2010). It is bounded: prefer it where labels are wrong or a model over-fits.

    Traps: its gradient vanishes where the right option lies several T behind or ahead; never start a training with it
    alone (`warmup_ratio`). Not convex, and its scores are no calibrated probabilities.
    """
    deficits_QN, wrong_QN = against_answer(scores_QN, answers_Q, mask_QN)
    rank_Q = 1 + torch.sigmoid(deficits_QN / TEMPERATURE).where(wrong_QN, 0.0).sum(-1)
    counts_Q = torch.sigmoid((K + 0.5 - rank_Q) / TEMPERATURE).where(mask_QN.sum(-1) > K, 1.0)
    return 1 - counts_Q / rank_Q
