"""Sort the raw rows into the data sets, and record why the remaining rows are removed."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from llmtuner.data.audit.quality import quality
from llmtuner.data.duplicates import answer_key, contradictions, exact_key, near_groups
from llmtuner.data.forms.rules import MIXED_PERCENT
from llmtuner.data.normal_form import normal_form
from llmtuner.data.prepare.sources import OFFICIAL, SOURCES, TEST
from llmtuner.data.problems import terminal_path
from llmtuner.data.question import Question
from llmtuner.errors import UserError
from llmtuner.suggest import did_you_mean

CLEAN = 0.8  # quality from which a question may be in llmscience_hq
SETS = (
    "llmscience",
    "llmscience_raw_all",
    "llmscience_hq",
    "llmscience_official",
    "llmscience_valid",
    "llmscience_test",
)
FIVE = 5  # options of the exam; a file has more columns if a question has more
MAX_VALID_SHARE = 0.2  # of llmscience that may be held out


@dataclass(frozen=True, slots=True)
class BuildSettings:
    """The settings of a build.

    Args:
        hq_size: the most questions in llmscience_hq; 10,500 as in the notes' second run.
        valid_size: the most questions in llmscience_valid, which is never more than a fifth of llmscience.
        hold_out: sources that are kept out of all training sets, with every question that repeats them.
        seed: of the validation split.

    Raises:
        UserError: a negative size, or an unknown source.
    """

    hq_size: int = 10_500
    valid_size: int = 1_500
    hold_out: tuple[str, ...] = ()
    seed: int = 42

    def __post_init__(self) -> None:
        if self.hq_size < 0 or self.valid_size < 0:
            raise UserError(f"--hq_size {self.hq_size} and --valid_size {self.valid_size}: expected numbers from 0")
        for name in self.hold_out:
            if name not in SOURCES:
                hint = did_you_mean(name, SOURCES)
                raise UserError(
                    f"--hold_out {terminal_path(name)}: unknown source; choose from: {', '.join(SOURCES)}.{hint}"
                )


@dataclass(frozen=True, slots=True)
class RawRow:
    """A question and its source ("test" for the test questions)."""

    question: Question
    source: str


@dataclass(frozen=True, slots=True)
class Removed:
    """A row that is in no training set.

    Args:
        reason: "blank answer", "duplicate", "conflict", "repeats official", "repeats test" or "held out".
        because_of: the row that it repeats or contradicts, if any.
    """

    row: RawRow
    reason: str
    because_of: RawRow | None = None

    @property
    def contradicts(self) -> bool:
        """Whether `because_of` is the same question with the same options and another answer."""
        if self.because_of is None:
            return False
        return bool(contradictions([self.row.question, self.because_of.question]))


@dataclass
class Built:
    """The data sets by name, the removed rows, and notices for the user."""

    sets: dict[str, list[RawRow]]
    removed: list[Removed]
    notices: list[str] = field(default_factory=list)


def build(rows: Sequence[RawRow], test: Sequence[RawRow], settings: BuildSettings) -> Built:
    """Sort the rows of all sources into the data sets.

    Args:
        rows: in the order of the notes' sources.
        test: the official test questions, whose answers are unknown.

    Raises:
        UserError: a source to hold out is missing, so its repeats cannot be found.
    """
    for name in settings.hold_out:
        if all(row.source != name for row in rows):
            files = ", ".join(SOURCES[name].files)
            raise UserError(
                f"--hold_out {name}: {files} is missing, so the questions that repeat it cannot be found; download it"
            )
    groups = near_groups([row.question for row in (*rows, *test)])
    removal = _Removal(rows)
    removal.remove_blank_answers()
    unreadable = set(removal.removed)
    removal.remove_held_out(groups, settings.hold_out)
    removal.remove_repeats(groups, _by_group(groups, rows, OFFICIAL), "repeats official")
    removal.remove_repeats(groups, _by_group(groups[len(rows) :], test, TEST), "repeats test")
    removal.remove_conflicts()
    removal.remove_duplicates()
    remaining = [index for index in range(len(rows)) if index not in removal.removed]
    valid = _validation_split(remaining, groups, rows, settings)
    training = [index for index in remaining if index not in valid]
    sets = {
        "llmscience": training,
        "llmscience_raw_all": [index for index in range(len(rows)) if index not in unreadable],
        "llmscience_hq": _cleanest(training, groups, rows, settings.hq_size),
        "llmscience_official": [
            index for index, row in enumerate(rows) if row.source == OFFICIAL and index not in unreadable
        ],
        "llmscience_valid": sorted(valid),
    }
    built = Built({name: [rows[index] for index in indices] for name, indices in sets.items()}, removal.listed())
    built.sets["llmscience_test"] = list(test)
    built.notices = _notices(built, rows, test)
    return built


def _by_group(groups: Sequence[int], rows: Sequence[RawRow], source: str) -> dict[int, RawRow]:
    """The first row of a source in each group that has one."""
    first_rows: dict[int, RawRow] = {}
    for group, row in zip(groups, rows, strict=False):
        if row.source == source:
            first_rows.setdefault(group, row)
    return first_rows


class _Removal:
    """Removes rows from the training sets. The first reason to remove a row is the one recorded."""

    def __init__(self, rows: Sequence[RawRow]) -> None:
        self._rows = rows
        self.removed: dict[int, Removed] = {}

    def remove_blank_answers(self) -> None:
        """Remove rows whose right option is blank, with nothing behind it.

        Among rows with fewer options, such an option is one that does not exist, and no set with the row could be read.
        """
        for index, row in enumerate(self._rows):
            answer = row.question.answer
            if answer is not None and not any(option.strip() for option in row.question.options[answer:]):
                self._remove(index, "blank answer", None)

    def remove_held_out(self, groups: Sequence[int], sources: Sequence[str]) -> None:
        """Remove whole sources, and every group that contains one of their rows."""
        for source in sources:
            first_rows = _by_group(groups, self._rows, source)
            for index, row in enumerate(self._rows):
                if row.source == source:
                    self._remove(index, "held out", None)
                elif groups[index] in first_rows:
                    self._remove(index, "held out", first_rows[groups[index]])

    def remove_repeats(self, groups: Sequence[int], originals: dict[int, RawRow], reason: str) -> None:
        """Remove rows of other sources in a group with an official or a test question."""
        for index, row in enumerate(self._rows):
            if row.source != OFFICIAL and groups[index] in originals:
                self._remove(index, reason, originals[groups[index]])

    def remove_conflicts(self) -> None:
        """Remove all rows that contradict each other, because we cannot know which is right.

        Rows that contradict an official row have already been removed, as repeats of it.
        """
        remaining = [index for index in range(len(self._rows)) if index not in self.removed]
        pairs = contradictions([self._rows[index].question for index in remaining])
        for row, contradicting in pairs.items():
            self._remove(remaining[row], "conflict", self._rows[remaining[contradicting]])

    def remove_duplicates(self) -> None:
        """Remove all but one of the rows with the same question, options and answer.

        Official rows are preferred, then rows with a context. Remaining rows with different answers have different
        contexts, so they are different questions.
        """
        copies: dict[object, list[int]] = defaultdict(list)
        for index, row in enumerate(self._rows):
            if index not in self.removed:
                copies[exact_key(row.question), answer_key(row.question)].append(index)
        for indices in copies.values():
            best = min(indices, key=self._preference)
            for index in indices:
                if index != best:
                    self._remove(index, "duplicate", self._rows[best])

    def _preference(self, index: int) -> tuple[bool, bool, int]:
        """A sort key: official rows first, then rows with a context, then by position."""
        row = self._rows[index]
        return row.source != OFFICIAL, not normal_form(row.question.context), index

    def listed(self) -> list[Removed]:
        """The removed rows, in the order of the rows."""
        return [self.removed[index] for index in sorted(self.removed)]

    def _remove(self, index: int, reason: str, because_of: RawRow | None) -> None:
        self.removed.setdefault(index, Removed(self._rows[index], reason, because_of))


def _validation_split(
    remaining: list[int], groups: Sequence[int], rows: Sequence[RawRow], settings: BuildSettings
) -> set[int]:
    """Whole groups without official questions, drawn at random until the split is full."""
    target_size = min(settings.valid_size, int(MAX_VALID_SHARE * len(remaining)))
    members: dict[int, list[int]] = defaultdict(list)
    for index in remaining:
        members[groups[index]].append(index)
    order = [group for group in members.values() if all(rows[index].source != OFFICIAL for index in group)]
    random.Random(settings.seed).shuffle(order)
    valid: set[int] = set()
    for group in order:
        if len(valid) + len(group) <= target_size:
            valid.update(group)
    return valid


def _cleanest(training: list[int], groups: Sequence[int], rows: Sequence[RawRow], size: int) -> list[int]:
    """The rows of highest quality, one from each group of near duplicates, in the order of the rows.

    Of equally good near duplicates, a row with a context is preferred.
    """
    scores = {index: quality(rows[index].question).score for index in training}
    ranks = {index: (score, bool(normal_form(rows[index].question.context))) for index, score in scores.items()}
    best: dict[int, int] = {}
    for index in training:
        best_so_far = best.setdefault(groups[index], index)
        if ranks[index] > ranks[best_so_far]:
            best[groups[index]] = index
    clean = [index for index in best.values() if scores[index] >= CLEAN]
    return sorted(sorted(clean, key=lambda index: (-scores[index], index))[:size])


def _notices(built: Built, rows: Sequence[RawRow], test: Sequence[RawRow]) -> list[str]:
    notices = []
    official_keys = {exact_key(row.question) for row in rows if row.source == OFFICIAL}
    shared_count = sum(exact_key(row.question) in official_keys for row in test)
    if shared_count:
        notices.append(
            f"test.csv: {shared_count} of its {len(test)} questions are in train.csv, so the published file is no test "
            "set (the hidden one has about 4,000 questions); score with --hold_out official instead"
        )
    contradiction_count = sum(removed.contradicts for removed in built.removed)
    if contradiction_count:
        notices.append(
            f"{contradiction_count:,} removed rows have another answer than the row that they repeat: see removed.jsonl"
        )
    for name, set_rows in built.sets.items():
        counts = [len(row.question.options) for row in set_rows]
        short = sum(count < max(FIVE, *counts) for count in counts)
        if 0 < 100 * short < MIXED_PERCENT * len(counts):
            notices.append(
                f"{name}: {short:,} of {len(counts):,} questions have fewer options than the file has columns; because "
                "they are so few, they will be read as questions with blank last options"
            )
    for reason, count in sorted(Counter(removed.reason for removed in built.removed).items()):
        notices.append(f"{count:,} rows are in no training set: {reason}")
    return notices
