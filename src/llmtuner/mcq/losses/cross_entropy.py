"""Softmax cross-entropy over the options of a question."""

from __future__ import annotations

import torch


def cross_entropy(
    scores_QN: torch.Tensor, answers_Q: torch.Tensor, mask_QN: torch.Tensor, label_smoothing: float = 0.0
) -> torch.Tensor:
    """-log softmax(scores)[answer] of each question: [Q].

    With smoothing e, the target is 1 - e on the answer plus e / n on each of the question's n options. Options that do
    not exist (ragged batches) take part neither in the softmax nor in the smoothing.

    Args:
        scores_QN: fp32.
        answers_Q: indices of the right options.
        mask_QN: true where there is an option.

    Prefer it where probabilities matter, and to start training before any other loss. It is the likelihood of the first
    rank in a Plackett-Luce model (Luce, 1959); ranks two and three count only through the first.
    """
    # A large negative number, not -inf: 0 * -inf would make the smoothing term NaN.
    masked_QN = scores_QN.masked_fill(~mask_QN, torch.finfo(scores_QN.dtype).min)
    log_p_QN = masked_QN.log_softmax(-1)
    of_answer_Q = log_p_QN.gather(1, answers_Q[:, None]).squeeze(1)
    if not label_smoothing:
        return -of_answer_Q
    uniform_Q = (log_p_QN * mask_QN).sum(-1) / mask_QN.sum(-1)
    return -((1 - label_smoothing) * of_answer_Q + label_smoothing * uniform_Q)
