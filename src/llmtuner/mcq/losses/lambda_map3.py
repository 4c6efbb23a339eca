"""RankNet's pairs, each weighted by what swapping it would change in MAP@3."""

from __future__ import annotations

import torch
from torch.nn import functional

from llmtuner.mcq.losses.pairs import against_answer

GAINS = (1.0, 1 / 2, 1 / 3)  # of the right answer at ranks 1, 2, 3


def lambda_map3(scores_QN: torch.Tensor, answers_Q: torch.Tensor, mask_QN: torch.Tensor) -> torch.Tensor:
    """sum over the wrong options j of |g(r_y) - g(r_j)| softplus(s_j - s_y), for each question: [Q].

    g(r) is 1/r up to rank 3 and 0 below; r are the current ranks, and the weights get no gradient.
    Source: LambdaRank (Burges et al., NIPS 2006) in the form of LambdaLoss (Wang et al., CIKM 2018). Prefer it to
    ranknet if only the first three ranks count.

    Traps: a right option at rank 4 or below is pushed only against the first three. Ties: if ranks counted only
    strictly better options, five equal scores would all be first, every weight would be 0, and a head that starts at
    zero would never train. Here the right option ranks below those that tie with it, and wrong options that tie share
    the mean gain of their ranks, so that no order among equals is made up.
    """
    deficits_QN, wrong_QN = against_answer(scores_QN, answers_Q, mask_QN)
    with torch.no_grad():
        gains_QN = _gains_of_wrong(scores_QN, deficits_QN, wrong_QN)
        rank_Q = 1 + ((deficits_QN >= 0) & wrong_QN).sum(-1)
        weights_QN = (_cumulative(rank_Q, scores_QN) - _cumulative(rank_Q - 1, scores_QN))[:, None] - gains_QN
    return (weights_QN.abs() * functional.softplus(deficits_QN)).where(wrong_QN, 0.0).sum(-1)


def _gains_of_wrong(scores_QN: torch.Tensor, deficits_QN: torch.Tensor, wrong_QN: torch.Tensor) -> torch.Tensor:
    """The mean gain of the ranks that each wrong option shares with those that tie with it: [Q, N]."""
    others_QNN = wrong_QN[:, None, :]
    better_QN = ((scores_QN[:, None, :] > scores_QN[:, :, None]) & others_QNN).sum(-1)
    equal_QN = ((scores_QN[:, None, :] == scores_QN[:, :, None]) & others_QNN).sum(-1).clamp(min=1)
    above_QN = better_QN + (deficits_QN < 0)  # the right option, if it is strictly better
    return (_cumulative(above_QN + equal_QN, scores_QN) - _cumulative(above_QN, scores_QN)) / equal_QN


def _cumulative(places: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """The sum of the gains of the first `places` ranks."""
    sums = like.new_tensor([0.0, *GAINS]).cumsum(0)
    return sums[places.clamp(max=len(GAINS))]
