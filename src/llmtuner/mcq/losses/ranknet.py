"""Pairs of the right option and each wrong one."""

from __future__ import annotations

import torch
from torch.nn import functional

from llmtuner.mcq.losses.pairs import against_answer


def ranknet(scores_QN: torch.Tensor, answers_Q: torch.Tensor, mask_QN: torch.Tensor) -> torch.Tensor:
    """The mean over the wrong options j of softplus(s_j - s_y), for each question, 0 without any: [Q].

    Source: Burges et al., "Learning to rank using gradient descent" (ICML 2005). Prefer it if the whole order
    matters (MRR); all pairs have the same weight.

    Traps: it does not favour the top: a move from rank 5 to 4, which MAP@3 ignores, earns as much as from 2 to 1.
    """
    deficits_QN, wrong_QN = against_answer(scores_QN, answers_Q, mask_QN)
    return functional.softplus(deficits_QN).where(wrong_QN, 0.0).sum(-1) / wrong_QN.sum(-1).clamp(min=1)
