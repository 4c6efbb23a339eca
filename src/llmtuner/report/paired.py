"""Whether one run is better than another: paired statistics of values per question, for one or several seeds.

An *arm* is a way to train or to predict. It has one run, or several that differ in their seed only.

- Interval: bootstrap, percentile. Each resample draws the questions with replacement, the same ones for both arms, and
  within each arm its seeds.
- p: a permutation test. If the arms are equal, the sign of each question's difference is a coin toss. It works on a
  question's mean over the seeds, so it speaks about these trainings, not about new seeds; the interval does that.
  In simulations of two equally good ways whose seeds scatter 1.4 times as much as their questions' mean, the interval
  leaves out 0 in 7, 5 and 3 % of cases with 2, 3 and 5 seeds, and p is at most 0.05 in 24 %. At 3.5 times: 22, 13 and
  8 %, and p in 60 %. Seeds that do not scatter make the interval wider than needed (1 %).
- Several pairs: p after Holm's correction. It bounds the chance of a single false alarm among all pairs by the level.

Sources: Efron and Tibshirani, "An introduction to the bootstrap" (1993); Owen, "The pigeonhole bootstrap" (Annals of
Applied Statistics 1, 2007) for seeds and questions drawn apart; Holm, "A simple sequentially rejective multiple test
procedure" (Scandinavian Journal of Statistics 6, 1979); Dror et al., "The hitchhiker's guide to testing statistical
significance in natural language processing" (ACL 2018), which recommends paired resampling for such metrics.

Legend: S seeds of an arm, N questions, R resamples, P seeds of all arms, V distinct values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import NormalDist

import numpy as np

RESAMPLES = 10_000  # of a bootstrap, and sign flips of a permutation test
EFFECT, LEVEL, POWER = 0.01, 0.05, 0.8  # of `needed_questions`
_EQUAL = 1e-9  # MAP@3 is a mean of thirds, so equal sums may differ in their last bits
_DRAWN = 2_000_000  # questions that are drawn at a time: 16 MB


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """How the first arm differs from the second.

    Args:
        difference: the mean over questions of the first arm minus the second.
        low, high: its 95 % interval.
        p: of the permutation test, two-sided.
        wins, losses, ties: questions whose mean over the first arm's seeds is above, below, equal to the second's.
        needed: questions that a difference of `EFFECT` would need (`needed_questions`); None if no spread is seen.
    """

    difference: float
    low: float
    high: float
    p: float
    wins: int
    losses: int
    ties: int
    needed: int | None


def paired_difference(
    first_SN: np.ndarray, second_SN: np.ndarray, *, resamples: int = RESAMPLES, seed: int = 0
) -> PairedDifference:
    """The difference of two arms on the same questions. The same values give the same result.

    Args:
        first_SN: [S, N], a value of each seed and question, or [N]. The arms may have different numbers of seeds.
        second_SN: the same of the second arm, with the questions in the same order.

    Raises:
        ValueError: there are no questions or no seeds, the arms have different numbers of questions, or a value is not
            finite.
    """
    arms = {"first": first_SN, "second": second_SN}
    return paired_differences(arms, [("first", "second")], resamples=resamples, seed=seed)[0]


def paired_differences(
    arms: Mapping[str, np.ndarray], pairs: Sequence[tuple[str, str]], *, resamples: int = RESAMPLES, seed: int = 0
) -> list[PairedDifference]:
    """`paired_difference` of each pair of names. The questions are drawn once for all pairs, which changes no result.

    Args:
        arms: [S, N] or [N] of each arm, by its name.

    Raises:
        ValueError: as in `paired_difference`.
    """
    values = _checked(arms)
    means = _resampled_means(values, resamples, seed)
    results = []
    for first, second in pairs:
        drawn_R = _drawn_seeds(means[first], seed, 1) - _drawn_seeds(means[second], seed, 2)
        low, high = np.quantile(drawn_R, [LEVEL / 2, 1 - LEVEL / 2])
        difference_N = values[first].mean(0) - values[second].mean(0)
        wins, losses = int((difference_N > _EQUAL).sum()), int((difference_N < -_EQUAL).sum())
        results.append(
            PairedDifference(
                difference=_rounded(difference_N.mean()),
                low=_rounded(low),
                high=_rounded(high),
                p=sign_flip_p(difference_N, flips=resamples, seed=seed),
                wins=wins,
                losses=losses,
                ties=len(difference_N) - wins - losses,
                needed=needed_questions(difference_N),
            )
        )
    return results


def mean_interval(values_SN: np.ndarray, *, resamples: int = RESAMPLES, seed: int = 0) -> tuple[float, float]:
    """95 % interval of an arm's mean; seeds and questions are drawn.

    Raises:
        ValueError: as in `paired_difference`.
    """
    values = _checked({"values": values_SN})
    drawn_R = _drawn_seeds(_resampled_means(values, resamples, seed)["values"], seed, 1)
    low, high = np.quantile(drawn_R, [LEVEL / 2, 1 - LEVEL / 2])
    return _rounded(low), _rounded(high)


def sign_flip_p(difference_N: np.ndarray, *, flips: int = RESAMPLES, seed: int = 0) -> float:
    """Two-sided p of a permutation test on paired differences: (1 + b) / (1 + m).

    Of m random flips of the signs, b have a sum at least as far from zero as the given one. The smallest possible p
    is therefore 1 / (1 + m). Only a few values occur, so the number of flipped signs of each is drawn from a binomial
    distribution.
    """
    sizes_N = np.abs(np.round(np.asarray(difference_N, dtype=np.float64), 12))
    sizes_V, counts_V = np.unique(sizes_N[sizes_N > 0], return_counts=True)
    plus_RV = np.random.default_rng([seed, 3]).binomial(counts_V, 0.5, size=(flips, len(counts_V)))
    sums_R = np.abs((2 * plus_RV - counts_V) @ sizes_V)
    reached = int((sums_R >= abs(float(np.sum(difference_N))) - _EQUAL).sum())
    return (1 + reached) / (1 + flips)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p values after Holm's step-down correction, in the given order.

    The smallest of K is multiplied by K, the next by K - 1, and so on; none becomes smaller than one before it, and
    none larger than 1. A pair whose corrected p is at most 0.05 differs at that level, whatever the other pairs are.
    """
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = largest
    return corrected


def needed_questions(difference_N: np.ndarray, effect: float = EFFECT) -> int | None:
    """How many questions a true difference of `effect` would need at this spread; None if no spread is seen.

    ((z(0.975) + z(0.8)) / effect)^2 times the variance of the questions' differences: the normal approximation for a
    two-sided test at 5 % that finds the difference with a probability of 80 %. It counts questions only: seeds that
    differ need more seeds, not more questions.
    Source: Cohen, "Statistical power analysis for the behavioral sciences" (1988).
    """
    if len(difference_N) < 2:
        return None
    variance = float(np.var(difference_N, ddof=1))
    if variance <= _EQUAL**2:
        return None
    normal = NormalDist()
    reach = normal.inv_cdf(1 - LEVEL / 2) + normal.inv_cdf(POWER)
    return ceil(variance * (reach / effect) ** 2)


def _rounded(value: float) -> float:
    """Without the last bits, which depend on the order of sums: -1e-17 would be printed as -0.000."""
    return round(float(value), 12) + 0.0


def _checked(arms: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The values of each arm as [S, N]."""
    values = {name: np.atleast_2d(np.asarray(array, dtype=np.float64)) for name, array in arms.items()}
    for name, values_SN in values.items():
        if values_SN.ndim != 2 or not values_SN.size:
            raise ValueError(f"{name}: values of shape {values_SN.shape}; expected [seeds, questions], none of them 0")
        if not np.isfinite(values_SN).all():
            raise ValueError(f"{name}: a value is not finite")
    sizes = {name: values_SN.shape[1] for name, values_SN in values.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"the arms have different numbers of questions, so they cannot be paired: {sizes}")
    return values


def _resampled_means(values: Mapping[str, np.ndarray], resamples: int, seed: int) -> dict[str, np.ndarray]:
    """The mean of each seed in each resample of the questions, [R, S] for each arm; all seeds share the resamples."""
    stacked_NP = np.concatenate(list(values.values())).T
    questions = len(stacked_NP)
    draw = np.random.default_rng([seed, 0])
    rows = max(1, min(resamples, _DRAWN // questions))
    parts = []
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        drawn_RN = draw.integers(questions, size=(size, questions))
        drawn_RN += np.arange(size)[:, None] * questions
        times_RN = np.bincount(drawn_RN.ravel(), minlength=size * questions).reshape(size, questions)
        parts.append(times_RN @ stacked_NP / questions)
    ends = np.cumsum([len(values_SN) for values_SN in values.values()])[:-1]
    return dict(zip(values, np.split(np.concatenate(parts), ends, axis=1), strict=True))


def _drawn_seeds(means_RS: np.ndarray, seed: int, place: int) -> np.ndarray:
    """The mean over seeds that are drawn with replacement in each resample, [R]; a single seed is always drawn.

    Args:
        place: of the arm in its pair, so that the arms draw their seeds independently.
    """
    resamples, seeds = means_RS.shape
    if seeds == 1:
        return means_RS[:, 0]
    times_RS = np.random.default_rng([seed, place]).multinomial(seeds, [1 / seeds] * seeds, size=resamples)
    return (times_RS * means_RS).sum(1) / seeds
