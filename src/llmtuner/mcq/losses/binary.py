"""Each option judged on its own, right or wrong."""

from __future__ import annotations

import torch
from torch.nn import functional


def binary(scores_QN: torch.Tensor, answers_Q: torch.Tensor, mask_QN: torch.Tensor) -> torch.Tensor:
    """-1/n [log sigmoid(s_y) + sum over j != y of log sigmoid(-s_j)] of each question: [Q].

    The loss of the winners of Kaggle's LLM Science Exam (2023), who sorted a binary classifier's scores. Prefer it
    if scores must be comparable across questions, as for a threshold or a filter.

    Traps: options compete only through the shared weights, so the order within a question is learnt indirectly; with n
    options, one target in n is positive; and the softmax of its scores is not calibrated.
    """
    is_answer_QN = torch.arange(scores_QN.shape[1], device=scores_QN.device) == answers_Q[:, None]
    each_QN = functional.binary_cross_entropy_with_logits(scores_QN, is_answer_QN.to(scores_QN), reduction="none")
    return each_QN.where(mask_QN, 0.0).sum(-1) / mask_QN.sum(-1)
