"""The figures of a report: scores, calibration, groups of questions, places of the answers, differences of runs.

Legend: Q questions, B bins, N options.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from llmtuner.data.predictions import Prediction
from llmtuner.data.question import LETTERS
from llmtuner.metrics import ECE_BINS, Calibration, Ranks, figures
from llmtuner.report.paired import paired_differences
from llmtuner.report.run_report.runs import Run
from llmtuner.report.run_report.texts import Texts

Interval = tuple[float, float]
_PARTS = 4  # groups of questions by their length


@dataclass(frozen=True, slots=True)
class Score:
    """A figure with its 95 % interval; None where there is none."""

    value: float
    interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """The questions with a known answer, by their places in the report, and the ranks that a run gives the answers."""

    places: tuple[int, ...]
    answers: tuple[int, ...]
    scores: tuple[tuple[float, ...], ...]
    ranks: Ranks

    @classmethod
    def of(cls, predictions: Sequence[Prediction], answers: Sequence[int | None]) -> Answered:
        """From all predictions of a run; questions without an answer are left out."""
        known = [(place, answer) for place, answer in enumerate(answers) if answer is not None]
        places, rights = tuple(place for place, _ in known), tuple(answer for _, answer in known)
        scores = tuple(predictions[place].scores for place in places)
        return cls(places, rights, scores, Ranks.of(scores, rights))

    def score(self, k: int, rows: Sequence[int] | None = None) -> Score:
        """MAP@k (accuracy for k = 1) with its interval, of all answered questions or of some.

        Args:
            rows: indices into `places`.
        """
        ranks = self.ranks if rows is None else Ranks(self.ranks.above_Q[rows], self.ranks.tied_Q[rows])
        return Score(ranks.mean_reciprocal(k), ranks.interval(k))


@dataclass(frozen=True, slots=True)
class RunScores:
    """The scores of a run; `others` holds every declared metric by name."""

    name: str
    map3: Score
    accuracy: Score
    others: Mapping[str, float]


def run_scores(name: str, answered: Answered) -> RunScores:
    """The scores of a run that has at least one answered question."""
    return RunScores(name, answered.score(3), answered.score(1), figures(answered.scores, answered.answers))


@dataclass(frozen=True, slots=True)
class Bin:
    """The questions of one part of the confidences: how many, their mean confidence, their accuracy."""

    questions: int
    confidence: float
    accuracy: float


def calibration_bins(answered: Answered) -> list[Bin]:
    """The bins that `ece` compares, without the empty ones, by confidence."""
    calibration = Calibration.of(answered.scores, answered.answers)
    bin_Q = calibration.bin_of(ECE_BINS)
    questions_B = np.bincount(bin_Q, minlength=ECE_BINS)
    confidence_B = np.bincount(bin_Q, calibration.confidence_Q, minlength=ECE_BINS)
    right_B = np.bincount(bin_Q, calibration.right_Q, minlength=ECE_BINS)
    return [
        Bin(int(n), float(confidence / n), float(right / n))
        for n, confidence, right in zip(questions_B, confidence_B, right_B, strict=True)
        if n
    ]


def confusion(run: Run, answers: Sequence[int | None]) -> list[list[int]]:
    """Numbers of questions by place of the answer (rows) and place that the run ranks first (columns)."""
    most = max(len(prediction.scores) for prediction in run.predictions)
    counts = [[0] * most for _ in range(most)]
    for prediction, answer in zip(run.predictions, answers, strict=True):
        if answer is not None:
            counts[answer][LETTERS.index(prediction.ranking[0])] += 1
    return counts


def chosen_places(run: Run) -> list[int]:
    """How often the run ranks each place first, with or without known answers."""
    most = max(len(prediction.scores) for prediction in run.predictions)
    first = [prediction.ranking[0] for prediction in run.predictions]
    return [first.count(letter) for letter in LETTERS[:most]]


@dataclass(frozen=True, slots=True)
class Group:
    """Questions that have something in common, and the scores of each run on them."""

    name: str
    questions: int
    accuracies: tuple[Score, ...]
    map3s: tuple[Score, ...]


@dataclass(frozen=True, slots=True)
class Grouping:
    """A way to sort the questions into groups; `title` begins with a capital letter."""

    title: str
    groups: tuple[Group, ...]
    of_the_file: bool = False


def groupings(runs: Sequence[Answered], predictions: Sequence[Prediction], texts: Texts | None) -> Iterator[Grouping]:
    """The accuracy of each group of answered questions, for each way to sort them that gives two groups or more.

    Args:
        predictions: those of one run, with all questions.
    """
    ways: list[tuple[str, Callable[[int], str], bool]] = [
        ("Number of options", lambda place: f"{len(predictions[place].scores)} options", False),
        ("Place of the answer", _place_of(runs[0]), False),
        ("Data set", lambda place: predictions[place].dataset, False),
    ]
    if texts is not None:
        ways = [*_ways_of(texts, runs[0].places), *ways]
    for title, group_of, of_the_file in ways:
        rows_by_group: dict[str, list[int]] = {}
        for row, place in enumerate(runs[0].places):
            rows_by_group.setdefault(group_of(place), []).append(row)
        rows_by_group.pop("", None)
        if len(rows_by_group) > 1:
            groups = tuple(_group(name, rows_by_group[name], runs) for name in _sorted(rows_by_group))
            yield Grouping(title, groups, of_the_file)


def _place_of(answered: Answered) -> Callable[[int], str]:
    answer_by_place = dict(zip(answered.places, answered.answers, strict=True))
    return lambda place: LETTERS[answer_by_place[place]]


def _ways_of(texts: Texts, places: Sequence[int]) -> list[tuple[str, Callable[[int], str], bool]]:
    """The ways that need the texts or further columns of the file."""

    def value_in(column: str) -> Callable[[int], str]:
        return lambda place: text.values.get(column, "") if (text := texts.texts[place]) is not None else ""

    def passage(place: int) -> str:
        text = texts.texts[place]
        return "" if text is None else "with a passage" if text.question.context.strip() else "without a passage"

    of_the_file = [(column[:1].upper() + column[1:], value_in(column), True) for column in texts.columns]
    return [*of_the_file, ("Passage", passage, False), ("Characters of the question", _length_of(texts, places), False)]


def _length_of(texts: Texts, places: Sequence[int]) -> Callable[[int], str]:
    """Quarters of the questions by their number of characters."""
    known = {place: len(text.question.question) for place in places if (text := texts.texts[place]) is not None}
    if not known:
        return lambda place: ""
    shares = [part / _PARTS for part in range(1, _PARTS)]
    limits = sorted({int(limit) for limit in np.quantile(list(known.values()), shares, method="higher")})
    starts = [min(known.values()), *(limit + 1 for limit in limits)]
    ends = [*limits, max(known.values())]
    names = [f"{start:,} to {end:,}" if start < end else f"{end:,}" for start, end in zip(starts, ends, strict=True)]
    return lambda place: names[int(np.searchsorted(limits, known[place]))] if place in known else ""


def _sorted(groups: Mapping[str, Sequence[int]]) -> list[str]:
    """The names by their numbers if they begin with one (2 options, 10 options), else by the alphabet."""

    def key(name: str) -> tuple[float, str]:
        digits = name.split(" ")[0].replace(",", "")
        return (float(digits) if digits.isdecimal() and len(digits) < 16 else float("inf"), name.casefold())

    return sorted(groups, key=key)


def _group(name: str, rows: list[int], runs: Sequence[Answered]) -> Group:
    accuracies = tuple(answered.score(1, rows) for answered in runs)
    return Group(name, len(rows), accuracies, tuple(answered.score(3, rows) for answered in runs))


@dataclass(frozen=True, slots=True)
class Difference:
    """The second run minus the first, on the same questions.

    Args:
        first, second: indices of the runs.
        gained, lost: numbers of questions that the second run alone, or the first alone, answers right.
    """

    first: int
    second: int
    map3: Score
    accuracy: Score
    gained: int
    lost: int


def differences(runs: Sequence[Answered]) -> list[Difference]:
    """Every pair of runs."""
    order = list(combinations(range(len(runs)), 2))
    scores: list[list[Score]] = []
    for k in (3, 1):
        arms = {str(place): run.ranks.reciprocal(k) for place, run in enumerate(runs)}
        pairs_of_k = paired_differences(arms, [(str(second), str(first)) for first, second in order])
        scores.append([Score(each.difference, (each.low, each.high)) for each in pairs_of_k])
    pairs = []
    for (first, second), map3, accuracy in zip(order, *scores, strict=True):
        right_one, right_other = _alone_first(runs[first].ranks), _alone_first(runs[second].ranks)
        gained, lost = int((right_other & ~right_one).sum()), int((right_one & ~right_other).sum())
        pairs.append(Difference(first, second, map3, accuracy, gained, lost))
    return pairs


def _alone_first(ranks: Ranks) -> np.ndarray:
    """Whether the right option has a higher score than every other one, [Q]."""
    alone: np.ndarray = (ranks.above_Q == 0) & (ranks.tied_Q == 1)
    return alone
