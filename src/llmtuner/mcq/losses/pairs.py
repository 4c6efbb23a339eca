"""The right option against each of the others: what every ranking loss starts from."""

from __future__ import annotations

import torch

LOW = -1e4  # replaces a score that does not exist: below any real one, and finite, so that no gradient is NaN


def against_answer(
    scores_QN: torch.Tensor, answers_Q: torch.Tensor, mask_QN: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """d_j = s_j - s_y, and which j are wrong options that exist: both [Q, N]; d is 0 for all other j."""
    is_answer_QN = torch.arange(scores_QN.shape[1], device=scores_QN.device) == answers_Q[:, None]
    wrong_QN = mask_QN & ~is_answer_QN
    deficits_QN = scores_QN - scores_QN.gather(1, answers_Q[:, None])
    return deficits_QN.masked_fill(~wrong_QN, 0.0), wrong_QN
