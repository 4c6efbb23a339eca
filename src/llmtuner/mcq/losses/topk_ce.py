"""Top-k cross-entropy through a differentiable sorting network (package difftopk)."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from functools import lru_cache
from typing import Any

import torch

PLACES = (1 / 2, 1 / 6, 1 / 3)  # weights of being among the first 1, 2, 3: they make rank weights of 1, 1/2, 1/3
STEEPNESS = 10.0


def topk_ce(scores_QN: torch.Tensor, answers_Q: torch.Tensor, mask_QN: torch.Tensor) -> torch.Tensor:
    """-log sum over k of p_k P(y among the first k) of each question, p_k = 1/2, 1/6, 1/3: [Q].

    P(first) is the softmax; the others come from an odd-even sorting network with Cauchy relaxation, steepness 10.
    With two options, p_k = 1/2, 1/2, since nobody is behind place 2.
    Source: Petersen et al., "Differentiable top-k classification learning" (ICML 2022), and their package. Prefer it as
    the published rival of expected_map3: the same idea with another model of rankings.

    Traps: the package is an optional extra. The relaxed network compares neighbours, so the loss depends on the order
    in which a question lists its options, as no other loss here does. It works on score differences of the order of
    1 / steepness; beyond, only the softmax part has a gradient to speak of.
    """
    losses_Q = scores_QN.new_zeros(len(scores_QN))
    counts_Q = mask_QN.sum(-1)
    for count in counts_Q.unique().tolist():
        rows = (counts_Q == count).nonzero().squeeze(1)
        # The network is made for one number of options: those that exist, in their order.
        places_RN = mask_QN[rows].nonzero()[:, 1].view(len(rows), count)
        compact_RN = scores_QN[rows].gather(1, places_RN)
        answers_R = (places_RN == answers_Q[rows, None]).long().argmax(-1)
        losses_Q = losses_Q.index_copy(0, rows, _of_one_size(compact_RN, answers_R))
    return losses_Q


def _of_one_size(scores_RN: torch.Tensor, answers_R: torch.Tensor) -> torch.Tensor:
    count = scores_RN.shape[1]
    k = min(len(PLACES), count)
    weights = [*PLACES[: k - 1], sum(PLACES[k - 1 :])]
    _, sorted_RNk = _network(count, k, str(scores_RN.device))(scores_RN.float())  # the last column is the first place
    mass_RN = weights[0] * scores_RN.softmax(-1)
    for place, weight in enumerate(weights[1:], start=2):
        mass_RN = mass_RN + weight * sorted_RNk[:, :, -place:].sum(-1).to(scores_RN)
    mass_of_answer_R = mass_RN.gather(1, answers_R[:, None]).squeeze(1)
    return -torch.log(mass_of_answer_R * (1 - 2e-7) + 1e-7)


@lru_cache
def _network(count: int, k: int, device: str) -> Any:
    with redirect_stdout(io.StringIO()):  # on import it prints that torch-sparse, which is not needed, is missing
        from difftopk import DiffTopkNet
    return DiffTopkNet("odd_even", count, k, device=device, steepness=STEEPNESS, distribution="cauchy")
