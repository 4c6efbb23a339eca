"""Metrics of a ranking with one right answer. Ties count as their expected value.

Equal scores could be ranked in any order, so a question whose right answer ties with others counts as the mean over
those orders. All-equal scores then give exactly the chance level, whatever the position of the answer. (Rankings that
are written to files need one order; there ties are broken by letter.)

Legend: Q questions, N options of one question (it may differ between questions).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from llmtuner.spec.metrics import METRICS

Scores = Sequence[float] | np.ndarray


@dataclass(frozen=True, slots=True)
class RankOfAnswer:
    """The right answer's rank: after `above` better options, in any order among `tied` (itself included)."""

    above: int
    tied: int


def rank_of_answer(scores_N: Scores, answer: int) -> RankOfAnswer:
    """Rank of the right option.

    Args:
        scores_N: one number per option, higher is better; minus infinity for options that cannot be scored.
        answer: 0-based index of the right option.

    Raises:
        ValueError: the answer is not among the options, a score is no such number, or no option is scored.
    """
    scores = np.asarray(scores_N, dtype=np.float64)
    if not 0 <= answer < len(scores):
        raise ValueError(f"answer {answer} is not an index into {len(scores)} options")
    if not _is_rankable(scores).all():
        raise ValueError(f"scores must be finite, or -inf for some of the options, found {scores.tolist()}")
    return RankOfAnswer(int((scores > scores[answer]).sum()), int((scores == scores[answer]).sum()))


def _is_rankable(scores: np.ndarray) -> np.ndarray:
    """Whether the scores along the last axis have an order, the best of them a finite one."""
    highest = scores.max(-1)  # NaN if one of them is
    return np.isfinite(highest)


@dataclass(frozen=True, slots=True)
class Ranks:
    """`RankOfAnswer` of every question, as integer arrays [Q]."""

    above_Q: np.ndarray
    tied_Q: np.ndarray

    @classmethod
    def of(cls, scores: Iterable[Scores], answers: Iterable[int]) -> Ranks:
        """The ranks of all questions; those with equally many options are ranked together, which is faster.

        Raises:
            ValueError: as in `rank_of_answer`, or the numbers of scores and answers differ.
        """
        all_scores, answers_Q = list(scores), np.array(list(answers), dtype=int)
        if len(all_scores) != len(answers_Q):
            raise ValueError(f"{len(all_scores)} questions with scores, but {len(answers_Q)} answers")
        options_Q = np.array([len(scores_N) for scores_N in all_scores], dtype=int)
        above_Q, tied_Q = np.zeros(len(all_scores), dtype=int), np.zeros(len(all_scores), dtype=int)
        for options in set(options_Q.tolist()):
            rows = np.flatnonzero(options_Q == options)
            same = all_scores if len(rows) == len(all_scores) else [all_scores[row] for row in rows]
            scores_RN, answers_R = np.array(same, dtype=np.float64), answers_Q[rows]
            if not _is_rankable(scores_RN).all() or ((answers_R < 0) | (answers_R >= options)).any():
                for scores_N, answer in zip(all_scores, answers_Q.tolist(), strict=True):
                    rank_of_answer(scores_N, answer)  # raises for the first question that is at fault
            right_R1 = scores_RN[np.arange(len(rows)), answers_R][:, None]
            above_Q[rows], tied_Q[rows] = (scores_RN > right_R1).sum(1), (scores_RN == right_R1).sum(1)
        return cls(above_Q, tied_Q)

    def mean_reciprocal(self, k: int) -> float:
        """The mean over the questions of `reciprocal`."""
        return _mean(self.reciprocal(k))

    def reciprocal(self, k: int) -> np.ndarray:
        """1/rank of each question if rank <= k, else 0, [Q]; ties count as their expected value."""
        codes_Q = self.above_Q * (self.tied_Q.max(initial=0) + 1) + self.tied_Q
        _, firsts, places_Q = np.unique(codes_Q, return_index=True, return_inverse=True)
        ranks = [RankOfAnswer(int(self.above_Q[row]), int(self.tied_Q[row])) for row in firsts]
        return np.array([_expected_reciprocal(rank, k) for rank in ranks])[places_Q] if ranks else np.zeros(0)

    def interval(self, k: int, resamples: int = 10_000) -> tuple[float, float]:
        """95 % bootstrap interval of `mean_reciprocal` over the questions. The same ranks give the same interval.

        A question's value is one of a few (1, 1/2, 1/3, 0, and those of ties), so how often each value is drawn follows
        a multinomial distribution: nothing is resampled question by question.
        Source: Efron and Tibshirani, "An introduction to the bootstrap" (1993), percentile interval.

        Raises:
            ValueError: there are no questions.
        """
        values_V, counts_V = np.unique(self.reciprocal(k), return_counts=True)
        if not len(values_V):
            raise ValueError("no questions to score")
        questions = int(counts_V.sum())
        drawn_RV = np.random.default_rng(0).multinomial(questions, counts_V / questions, size=resamples)
        low, high = np.quantile(drawn_RV @ values_V / questions, [0.025, 0.975])
        return float(low), float(high)


def _expected_reciprocal(rank: RankOfAnswer, k: int) -> float:
    places = range(rank.above + 1, rank.above + rank.tied + 1)
    return sum(1.0 / place for place in places if place <= k) / rank.tied


def map_at_k(scores: Iterable[Scores], answers: Iterable[int], k: int = 3) -> float:
    """Mean average precision at k with one right answer per question: 1/rank if rank <= k, else 0.

    Nothing is rescaled if there are fewer than k options. With k = 3 it is Kaggle's metric.
    """
    return Ranks.of(scores, answers).mean_reciprocal(k)


def accuracy(scores: Iterable[Scores], answers: Iterable[int]) -> float:
    """Share of questions whose right option has the highest score."""
    return map_at_k(scores, answers, k=1)


def mrr(scores: Iterable[Scores], answers: Iterable[int]) -> float:
    """Mean reciprocal rank of the right option: MAP@k with k the number of options."""
    scores = list(scores)
    return map_at_k(scores, answers, k=max(map(len, scores), default=0))


def nll(scores: Iterable[Scores], answers: Iterable[int]) -> float:
    """Mean negative log likelihood of the right options under a softmax of the scores, in nats.

    Right options that cannot be scored would make it infinite, and are left out; it is infinite if all are such.
    """
    known = [_log_sum_exp(s) - float(s[a]) for s, a in zip(scores, answers, strict=True)]
    return _mean([loss for loss in known if loss < np.inf] or known)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Confidence and accuracy of the top option, question by question.

    Args:
        confidence_Q: the highest softmax probability of each question.
        right_Q: 1 if that option is right, else 0; the expected value if several options tie for the top.
    """

    confidence_Q: np.ndarray
    right_Q: np.ndarray

    @classmethod
    def of(cls, scores: Iterable[Scores], answers: Iterable[int]) -> Calibration:
        """From scores and answers.

        Raises:
            ValueError: as in `rank_of_answer`, or there are no questions.
        """
        confidences, rights = [], []
        for scores_N, answer in zip(scores, answers, strict=True):
            highest = float(np.max(np.asarray(scores_N, dtype=np.float64)))
            confidences.append(float(np.exp(highest - _log_sum_exp(scores_N))))
            rights.append(_expected_reciprocal(rank_of_answer(scores_N, answer), 1))
        if not confidences:
            raise ValueError("no questions to score")
        return cls(np.array(confidences), np.array(rights))

    def bin_of(self, bins: int) -> np.ndarray:
        """The bin of each question by its confidence, [Q]: 0 to `bins` - 1, equal parts of (0, 1]."""
        return np.clip(np.ceil(self.confidence_Q * bins).astype(int) - 1, 0, bins - 1)


ECE_BINS = 15


def ece(scores: Iterable[Scores], answers: Iterable[int], bins: int = ECE_BINS) -> float:
    """Expected calibration error of the top option: the gap between confidence and accuracy.

    The confidence of a question is its highest softmax probability. It sorts questions into `bins` equal parts of
    (0, 1]; the result is the mean of |accuracy - confidence| over the bins, weighted by their questions. If several
    options tie for the top, accuracy counts as its expected value.
    Source: Guo et al., "On calibration of modern neural networks" (ICML 2017).
    """
    calibration = Calibration.of(scores, answers)
    gaps = np.bincount(calibration.bin_of(bins), calibration.right_Q - calibration.confidence_Q, minlength=bins)
    return float(np.abs(gaps).sum() / len(calibration.right_Q))


def _log_sum_exp(scores_N: Scores) -> float:
    scores = np.asarray(scores_N, dtype=np.float64)
    return float(scores.max() + np.log(np.exp(scores - scores.max()).sum()))


def _mean(values: Iterable[float] | np.ndarray) -> float:
    array = values if isinstance(values, np.ndarray) else np.array(list(values))
    if not len(array):
        raise ValueError("no questions to score")
    return float(np.mean(array))


def figures(scores: Sequence[Scores], answers: Sequence[int]) -> dict[str, float]:
    """Every declared metric, by name."""
    return {name: metric.load()(scores, answers) for name, metric in METRICS.items()}


def paired_interval(
    differences: Sequence[float] | np.ndarray, groups_Q: Sequence[Hashable] | None = None, resamples: int = 10_000
) -> tuple[float, float]:
    """95 % bootstrap interval over questions, for the mean of paired differences between two models.

    The same differences give the same interval.
    Source: Efron and Tibshirani, "An introduction to the bootstrap" (1993), percentile interval; for several seeds
    Owen, "The pigeonhole bootstrap" (Annals of Applied Statistics 1, 2007): seeds and questions are both resampled.
    Two equally good ways to train differ by chance with every seed, and no number of questions shows that. If seeds
    matter, two seeds make the interval too narrow (about one false alarm in nine instead of one in twenty); three do
    not.

    Args:
        differences: [Q], or [S, Q] for S pairs of trainings, each pair with its own seed.
        groups_Q: questions of the same group are drawn together, since they are not independent (rows that repeat a
            question with other options).
    """
    values_SQ = np.atleast_2d(np.asarray(differences, dtype=np.float64))
    if not values_SQ.size:
        raise ValueError("no questions to compare")
    seeds, questions = values_SQ.shape
    keys = list(range(questions)) if groups_Q is None else list(groups_Q)
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    group_Q = np.array([numbers[key] for key in keys])
    sums_SG, sizes_G = np.stack([np.bincount(group_Q, values_Q) for values_Q in values_SQ]), np.bincount(group_Q)
    draw = np.random.default_rng(0)
    means = []
    for _ in range(resamples):
        chosen = draw.integers(seeds, size=seeds) if seeds > 1 else [0]
        drawn = draw.integers(len(sizes_G), size=len(sizes_G))
        means.append(sums_SG[chosen].mean(0)[drawn].sum() / sizes_G[drawn].sum())
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def interval_figures(prefix: str, scores: Sequence[Scores], answers: Sequence[int]) -> dict[str, float]:
    """The interval of MAP@3 by its two keys in result files, which begin with `prefix`."""
    low, high = Ranks.of(scores, answers).interval(3)
    return {f"{prefix}_map@3_low": low, f"{prefix}_map@3_high": high}


def scored_figure(scored: int, questions: int, prefix: str = "predict") -> dict[str, int]:
    """How many questions have an answer, by its key in result files; {} if all have one, or none."""
    return {f"{prefix}_scored_questions": scored} if 0 < scored < questions else {}


def baseline(name: str, scores: Sequence[Scores], answers: Sequence[int]) -> dict[str, float]:
    """The figures of a baseline, which needs no model, by their keys in result files."""
    prefix = f"floor_{name}"
    figures = {f"{prefix}_map@3": map_at_k(scores, answers), f"{prefix}_accuracy": accuracy(scores, answers)}
    return figures | interval_figures(prefix, scores, answers)


def baselines(option_lengths: Sequence[Sequence[int]], answers: Sequence[int]) -> dict[str, float]:
    """Two baselines that need only the options' lengths: always the longest option (characters), and chance.

    Args:
        option_lengths: characters of each option, for each question.
    """
    chance = [[0.0] * len(lengths) for lengths in option_lengths]
    random = {"floor_random_map@3": map_at_k(chance, answers), "floor_random_accuracy": accuracy(chance, answers)}
    return baseline("longest", option_lengths, answers) | random  # chance is an expected value, without an interval
