"""What every loss must do, and each loss against an independent implementation."""

from __future__ import annotations

import math
from itertools import permutations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck
from torch.nn import functional

from llmtuner.errors import UserError
from llmtuner.mcq import objective
from llmtuner.mcq.losses import LOSSES
from llmtuner.mcq.losses.criterion import LossMixture
from llmtuner.mcq.losses.rdrop import rdrop
from llmtuner.mcq.objective import LossTerm, Objective, parse_loss
from llmtuner.metrics import map_at_k

EVERY = pytest.mark.parametrize("name", [*LOSSES])
COUNTS = torch.tensor([5, 4, 3, 2, 10, 5])
MASK = torch.arange(10) < COUNTS[:, None]
ANSWERS = torch.tensor([2, 0, 2, 1, 9, 4])


def random_scores(seed: int = 0, dtype=torch.float32) -> torch.Tensor:
    return torch.randn(6, 10, generator=torch.Generator().manual_seed(seed), dtype=dtype) * 2


def one(name: str, scores: list[float], answer: int) -> float:
    """The loss of one question."""
    tensor = torch.tensor([scores])
    return float(LOSSES[name](tensor, torch.tensor([answer]), torch.ones_like(tensor, dtype=torch.bool)))


@EVERY
def test_one_number_a_question_with_a_gradient_for_its_own_options_only(name):
    scores = random_scores().requires_grad_()
    losses = LOSSES[name](scores, ANSWERS, MASK)
    assert losses.shape == (6,)
    for row in range(6):
        (gradient,) = torch.autograd.grad(losses[row], scores, retain_graph=True)
        assert gradient[row][MASK[row]].abs().sum() > 0
        gradient[row][MASK[row]] = 0
        assert not gradient.any(), "a loss reached into another question or an option that does not exist"


@EVERY
def test_what_stands_where_there_is_no_option_changes_nothing(name):
    scores = random_scores()
    expected = LOSSES[name](scores, ANSWERS, MASK)
    torch.testing.assert_close(LOSSES[name](scores.masked_fill(~MASK, 1e6), ANSWERS, MASK), expected)
    for row, count in enumerate(COUNTS):
        alone = LOSSES[name](scores[row : row + 1, :count], ANSWERS[row : row + 1], MASK[row : row + 1, :count])
        torch.testing.assert_close(alone, expected[row : row + 1])


@pytest.mark.parametrize("name", [name for name in [*LOSSES] if name != "topk_ce"])  # see its traps
def test_the_order_of_the_options_means_nothing(name):
    scores, order = random_scores(), torch.randperm(10, generator=torch.Generator().manual_seed(1))
    places = order.argsort()
    scores[0, :3] = scores[0, 0]  # ties too
    expected = LOSSES[name](scores, ANSWERS, MASK)
    torch.testing.assert_close(LOSSES[name](scores[:, order], places[ANSWERS], MASK[:, order]), expected)


@EVERY
@pytest.mark.parametrize("size", [2, 3, 5, 10])
def test_equal_scores_give_a_gradient_that_lifts_the_answer(name, size):
    """LambdaRank with naive ties gives every pair weight 0 there: a head that starts at zero would never train."""
    scores = torch.zeros(1, size, requires_grad=True)
    LOSSES[name](scores, torch.tensor([size - 1]), torch.ones(1, size, dtype=torch.bool)).sum().backward()
    assert scores.grad[0, -1] < -1e-3
    assert (scores.grad[0, :-1] > -1e-6).all() or name == "topk_ce"  # its network compares neighbours only


@EVERY
def test_one_option_alone_has_nothing_to_beat(name):
    """The others are blank: ranknet divided 0 by 0, and the step became NaN."""
    scores = torch.tensor([[1.3, 5.0, -2.0], [0.5, 0.1, 0.2]], requires_grad=True)
    losses = LOSSES[name](scores, torch.tensor([0, 1]), torch.tensor([[True, False, False], [True, True, True]]))
    alone = math.log1p(math.exp(-1.3)) if name == "binary" else 0  # binary judges an option by itself
    assert losses[0].item() == pytest.approx(alone, abs=1e-6)
    losses.sum().backward()
    assert scores.grad.isfinite().all()
    assert not scores.grad[0, 1:].any()


@EVERY
def test_scores_of_80_stay_finite(name):
    scores = torch.tensor(
        [[80.0, -80, 80, 0, -80], [-80, 80, 80, 80, 80], [80, -80, -80, -80, -80]], requires_grad=True
    )
    losses = LOSSES[name](scores, torch.tensor([1, 0, 0]), torch.ones(3, 5, dtype=torch.bool))
    losses.sum().backward()
    assert torch.isfinite(losses).all()
    assert torch.isfinite(scores.grad).all()


@pytest.mark.parametrize("name", [name for name in [*LOSSES] if name != "topk_ce"])  # its network is fp32
def test_gradients_against_differences(name):
    scores = random_scores(dtype=torch.float64).requires_grad_()
    if name == "lambda_map3":  # its weights are detached, but constant between ties, so finite differences still agree
        assert len(scores.unique()) == scores.numel()
    assert gradcheck(lambda s: LOSSES[name](s, ANSWERS, MASK), (scores,))


# ---- each against an independent implementation


def test_binary_is_torchs_over_the_options_that_exist():
    scores = random_scores()
    for row, count in enumerate(COUNTS):
        target = functional.one_hot(ANSWERS[row], int(count)).float()
        expected = functional.binary_cross_entropy_with_logits(scores[row, :count], target)
        torch.testing.assert_close(LOSSES["binary"](scores, ANSWERS, MASK)[row], expected)


def test_ranknet_is_torchs_soft_margin_of_the_differences():
    scores = random_scores()
    for row, count in enumerate(COUNTS):
        answer = int(ANSWERS[row])
        others = [column for column in range(int(count)) if column != answer]
        margins = scores[row, answer] - scores[row, others]
        expected = functional.soft_margin_loss(margins, torch.ones_like(margins))
        torch.testing.assert_close(LOSSES["ranknet"](scores, ANSWERS, MASK)[row], expected)


@pytest.mark.parametrize("seed", range(5))
def test_lambda_weighs_a_pair_by_what_swapping_it_does_to_map3(seed):
    scores = random_scores(seed)
    for row, count in enumerate(COUNTS):
        row_scores, answer = scores[row, :count].tolist(), int(ANSWERS[row])
        expected = 0.0
        for wrong in range(int(count)):
            swapped = list(row_scores)
            swapped[answer], swapped[wrong] = swapped[wrong], swapped[answer]
            weight = abs(map_at_k([swapped], [answer]) - map_at_k([row_scores], [answer]))
            expected += weight * float(functional.softplus(torch.tensor(row_scores[wrong] - row_scores[answer])))
        assert float(LOSSES["lambda_map3"](scores, ANSWERS, MASK)[row]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["approx_map3", "expected_map3"])
@pytest.mark.parametrize("seed", range(5))
def test_far_apart_scores_give_the_metric_itself(name, seed):
    """approx_map3's gate lets an answer ranked 3 or 4 through in part: sigmoid(+-1)."""
    scores = (random_scores(seed).argsort(-1) * 40.0).clone()
    for row, count in enumerate(COUNTS):
        row_scores, answer = scores[row, :count].tolist(), int(ANSWERS[row])
        rank = 1 + sum(value > row_scores[answer] for value in row_scores)
        gate = float(torch.sigmoid(torch.tensor((3.5 - rank) / 0.5))) if name == "approx_map3" and count > 3 else None
        expected = map_at_k([row_scores], [answer]) if gate is None else gate / rank
        assert 1 - one(name, row_scores, answer) == pytest.approx(expected, abs=1e-5)


def enumerated(scores: list[float], answer: int) -> float:
    """The expected MAP@3 over all rankings, each with its Plackett-Luce probability."""
    total = 0.0
    for order in permutations(range(len(scores))):
        chance = 1.0
        for place, option in enumerate(order):
            rest = torch.tensor([scores[later] for later in order[place:]], dtype=torch.float64)
            chance *= float(torch.exp(scores[option] - rest.logsumexp(0)))
        place = order.index(answer)
        total += chance / (place + 1) if place < 3 else 0.0
    return total


@given(st.lists(st.floats(-6, 6, width=32), min_size=2, max_size=5), st.data())
def test_expected_map3_is_the_mean_over_all_rankings(scores, data):
    answer = data.draw(st.integers(0, len(scores) - 1))
    expected = enumerated(scores, answer)
    assert 1 - one("expected_map3", scores, answer) == pytest.approx(expected, abs=1e-5)
    assert one("log_expected_map3", scores, answer) == pytest.approx(-torch.tensor(expected).log().item(), abs=1e-4)


@given(st.lists(st.floats(-20, 20, width=32), min_size=2, max_size=10), st.data())
def test_one_minus_e_is_below_minus_log_e_is_below_cross_entropy(scores, data):
    answer = data.draw(st.integers(0, len(scores) - 1))
    bounded, logarithm, entropy = (
        one(n, scores, answer) for n in ("expected_map3", "log_expected_map3", "cross_entropy")
    )
    assert bounded <= logarithm + 1e-5
    assert logarithm <= entropy + 1e-5


def test_poly1_adds_the_missing_probability():
    scores = random_scores()
    entropy = LOSSES["cross_entropy"](scores, ANSWERS, MASK)
    missing = 1 - scores.masked_fill(~MASK, -torch.inf).softmax(-1).gather(1, ANSWERS[:, None]).squeeze(1)
    torch.testing.assert_close(LOSSES["poly1"](scores, ANSWERS, MASK), entropy + missing)


@pytest.mark.parametrize("size", [4, 5, 8])
def test_topk_ce_is_the_packages_own_loss(size):
    from difftopk import TopKCrossEntropyLoss

    own = TopKCrossEntropyLoss("odd_even", 10.0, [1 / 2, 1 / 6, 1 / 3], size, distribution="cauchy", top1_mode="sm")
    scores = random_scores()[:, :size].clone().requires_grad_()
    answers, mask = ANSWERS % size, torch.ones(6, size, dtype=torch.bool)
    ours, theirs = LOSSES["topk_ce"](scores, answers, mask).mean(), own(scores, answers)
    torch.testing.assert_close(ours, theirs)
    for our_gradient, their_gradient in zip(
        torch.autograd.grad(ours, scores), torch.autograd.grad(theirs, scores), strict=True
    ):
        torch.testing.assert_close(our_gradient, their_gradient)


def test_topk_ce_with_as_many_places_as_options():
    """The package refuses k equal to the number of options; every option is in that top k, so its probability is 1."""
    from difftopk import DiffTopkNet

    scores = random_scores()[:, :3]
    for size in (2, 3):
        few, answers = scores[:, :size], ANSWERS % size
        mass = few.softmax(-1) / 2
        if size == 2:
            mass = mass + 1 / 2
        else:
            network = DiffTopkNet("odd_even", 3, 2, steepness=10.0, distribution="cauchy")
            mass = mass + network(few)[1].sum(-1) / 6 + 1 / 3
        wanted = -mass.gather(1, answers[:, None]).squeeze(1).log()
        actual = LOSSES["topk_ce"](few, answers, torch.ones(6, size, dtype=torch.bool))
        torch.testing.assert_close(actual, wanted, atol=1e-5, rtol=0)


def test_without_its_package_topk_ce_says_what_to_install_before_anything_else(monkeypatch):
    monkeypatch.setattr(objective, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install difftopk"):
        Objective("cross_entropy+topk_ce").require_packages()


# ---- mixtures and R-Drop


def test_a_mixture_is_the_weighted_sum():
    mixture = LossMixture(parse_loss("cross_entropy:0.5+expected_map3:2"))
    scores = random_scores()
    parts = [LOSSES[name](scores, ANSWERS, MASK) for name in ("cross_entropy", "expected_map3")]
    torch.testing.assert_close(mixture(scores, ANSWERS, MASK), 0.5 * parts[0] + 2 * parts[1])


def test_smoothing_reaches_the_terms_that_take_it():
    scores = random_scores()
    smoothed = LossMixture([LossTerm("cross_entropy"), LossTerm("ranknet")], label_smoothing=0.1)
    parts = LOSSES["cross_entropy"](scores, ANSWERS, MASK, 0.1) + LOSSES["ranknet"](scores, ANSWERS, MASK)
    torch.testing.assert_close(smoothed(scores, ANSWERS, MASK), parts)


def test_rdrop_is_torchs_symmetric_divergence_and_zero_for_equal_passes():
    first, second = random_scores(0), random_scores(1)
    divergences = rdrop(first, second, MASK)
    for row, count in enumerate(COUNTS):
        p, q = (torch.distributions.Categorical(logits=scores[row, :count]) for scores in (first, second))
        both = torch.distributions.kl_divergence(p, q) + torch.distributions.kl_divergence(q, p)
        torch.testing.assert_close(divergences[row], both / 2)
    torch.testing.assert_close(rdrop(first, first, MASK), torch.zeros(6))
    scores = random_scores(dtype=torch.float64).requires_grad_()
    assert gradcheck(lambda s: rdrop(s, second.double(), MASK), (scores,))
