"""The exact expected MAP@3 when a ranking is drawn from the scores (Plackett-Luce)."""

from __future__ import annotations

import torch

from llmtuner.mcq.losses.pairs import LOW, against_answer


def expected_map3(scores_QN: torch.Tensor, answers_Q: torch.Tensor, mask_QN: torch.Tensor) -> torch.Tensor:
    """1 - E of each question, E being the expected MAP@3 of a ranking drawn without replacement by softmax: [Q].

    E = P(r=1) + P(r=2) / 2 + P(r=3) / 3 for the rank r of the right option y, with p = softmax(s):
    P(r=1) = p_y; P(r=2) = sum_j p_j p_y / (1 - p_j); P(r=3) = sum_j sum_k p_j p_k/(1 - p_j) p_y / (1 - p_j - p_k).
    With two options there is no third rank.

    Source: PL-Rank (Oosterhuis, SIGIR 2021) samples this value; here it is exact, for three ranks. It is bounded, so a
    wrong label has limited pull; prefer it, after a warm-up, if labels are noisy or a model overfits.

    Traps: its gradient vanishes for a right option that is far behind (1e-7 at 16 below four others), so it must not
    start a training. Its confident scores are not calibrated: mix in cross-entropy if probabilities are averaged.
    """
    return -torch.expm1(log_expected(scores_QN, answers_Q, mask_QN))


def log_expected(scores_QN: torch.Tensor, answers_Q: torch.Tensor, mask_QN: torch.Tensor) -> torch.Tensor:
    """log E, in the log domain throughout, so that scores of +-80 stay finite: [Q]."""
    _, wrong_QN = against_answer(scores_QN, answers_Q, mask_QN)
    scores_QN = scores_QN.masked_fill(~mask_QN, LOW)
    answer_Q = scores_QN.gather(1, answers_Q[:, None]).squeeze(1)
    # Normalisers of what is left after drawing nothing, j, or j and k: never 1 - p, which cancels.
    taken_NN = torch.eye(scores_QN.shape[1], dtype=torch.bool, device=scores_QN.device)
    rest_Q = scores_QN.logsumexp(-1)
    rest_QN = scores_QN[:, None, :].masked_fill(taken_NN, LOW).logsumexp(-1)
    pairs_NNN = taken_NN[:, None, :] | taken_NN[None, :, :]
    rest_QNN = scores_QN[:, None, None, :].masked_fill(pairs_NNN, LOW).logsumexp(-1)

    first_Q = answer_Q - rest_Q
    is_first_QN = scores_QN - rest_Q[:, None]
    second_QN = is_first_QN + answer_Q[:, None] - rest_QN
    is_second_QNN = scores_QN[:, None, :] - rest_QN[:, :, None]
    third_QNN = is_first_QN[:, :, None] + is_second_QNN + answer_Q[:, None, None] - rest_QNN
    two_wrong_QNN = wrong_QN[:, :, None] & wrong_QN[:, None, :] & ~taken_NN
    terms = [
        first_Q[:, None],
        (second_QN - torch.log(scores_QN.new_tensor(2.0))).masked_fill(~wrong_QN, 2 * LOW),
        (third_QNN - torch.log(scores_QN.new_tensor(3.0))).masked_fill(~two_wrong_QNN, 2 * LOW).flatten(1),
    ]
    return torch.cat(terms, -1).logsumexp(-1).clamp(max=0.0)
