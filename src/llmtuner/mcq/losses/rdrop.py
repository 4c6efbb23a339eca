"""R-Drop: two passes of the same questions under dropout shall agree."""

from __future__ import annotations

import torch
from torch.nn import functional


def rdrop(first_QN: torch.Tensor, second_QN: torch.Tensor, mask_QN: torch.Tensor) -> torch.Tensor:
    """(KL(p1 || p2) + KL(p2 || p1)) / 2 of each question, p being softmax over the options that exist: [Q].

    Added with weight alpha (`rdrop_alpha`) to the mean of both passes' losses.
    Source: Liang et al., "R-Drop: regularized dropout for neural networks" (NeurIPS 2021), as the third place of
    Kaggle's MAP competition (2025) used it. Prefer it where a model over-fits and twice the computing is at hand.

    Traps: without any dropout both passes are the same and it does nothing.
    """
    log_p_QN, log_q_QN = (
        scores_QN.masked_fill(~mask_QN, torch.finfo(scores_QN.dtype).min).log_softmax(-1)
        for scores_QN in (first_QN, second_QN)
    )
    each_QN = functional.kl_div(log_q_QN, log_p_QN, reduction="none", log_target=True)
    back_QN = functional.kl_div(log_p_QN, log_q_QN, reduction="none", log_target=True)
    return (each_QN + back_QN).where(mask_QN, 0.0).sum(-1) / 2
