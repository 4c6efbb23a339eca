"""What of the raw rows goes into which data set, and why the rest does not."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from llmtuner.data.audit.quality import quality
from llmtuner.data.duplicates import answer_key, contradictions, exact_key, near_groups, plain
from llmtuner.data.forms.rules import MIXED_PERCENT
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
FIVE = 5  # options of the exam; a file has more columns where a question has more
MOST_VALID = 0.2  # of llmscience that may be held out


@dataclass(frozen=True, slots=True)
class Settings:
    """What a build may be told.

    Args:
        hq_size: questions of llmscience_hq at most; 10,500 had the notes' second run.
        valid_size: questions of llmscience_valid at most; never more than a fifth of llmscience.
        hold_out: sources that are kept out of all training sets, with everything that repeats them.
        seed: of the held-out split.
    """

    hq_size: int = 10_500
    valid_size: int = 1_500
    hold_out: tuple[str, ...] = ()
    seed: int = 42

    def __post_init__(self) -> None:
        if self.hq_size < 0 or self.valid_size < 0:
            raise UserError("--hq_size and --valid_size: numbers of at least 0 are needed")
        for name in self.hold_out:
            if name not in SOURCES:
                hint = did_you_mean(name, SOURCES)
                raise UserError(f"--hold_out {terminal_path(name)}: no such source; known: {', '.join(SOURCES)}.{hint}")


@dataclass(frozen=True, slots=True)
class RawRow:
    """A question and the source that it came with ("test" for the test questions)."""

    question: Question
    source: str


@dataclass(frozen=True, slots=True)
class Removed:
    """A row that is in no training set.

    Args:
        reason: "duplicate", "conflict", "repeats official", "repeats test" or "held out".
        because_of: the row that it repeats or contradicts, where there is one.
    """

    row: RawRow
    reason: str
    because_of: RawRow | None = None

    @property
    def contradicts(self) -> bool:
        """Whether the other row asks the same, with the same options, and says that another one is right."""
        if self.because_of is None:
            return False
        return bool(contradictions([self.row.question, self.because_of.question]))


@dataclass
class Built:
    """The data sets by name, what was removed, and what was noticed."""

    sets: dict[str, list[RawRow]]
    removed: list[Removed]
    notices: list[str] = field(default_factory=list)


def build(rows: Sequence[RawRow], test: Sequence[RawRow], settings: Settings) -> Built:
    """Sort the rows of all sources into the data sets.

    Args:
        rows: in the order of the notes' sources.
        test: the official test questions, whose answers are not known.

    Raises:
        UserError: a source that is to be held out is not there, so that nothing could tell what repeats it.
    """
    for name in settings.hold_out:
        if all(row.source != name for row in rows):
            files = ", ".join(SOURCES[name].files)
            raise UserError(f"--hold_out {name}: {files} is not there, so what repeats it cannot be told; download it")
    groups = near_groups([row.question for row in (*rows, *test)])
    taken = _TakenOut(rows)
    taken.held_out(groups, settings.hold_out)
    taken.repeats(groups, _by_group(groups, rows, OFFICIAL), "repeats official")
    taken.repeats(groups, _by_group(groups[len(rows) :], test, TEST), "repeats test")
    taken.conflicting()
    taken.duplicates()
    kept = [place for place in range(len(rows)) if place not in taken.removed]
    valid = _held_out_split(kept, groups, rows, settings)
    training = [place for place in kept if place not in valid]
    sets = {
        "llmscience": training,
        "llmscience_raw_all": list(range(len(rows))),
        "llmscience_hq": _cleanest(training, groups, rows, settings.hq_size),
        "llmscience_official": [place for place, row in enumerate(rows) if row.source == OFFICIAL],
        "llmscience_valid": sorted(valid),
    }
    built = Built({name: [rows[place] for place in places] for name, places in sets.items()}, taken.listed())
    built.sets["llmscience_test"] = list(test)
    built.notices = _notices(built, rows, test)
    return built


def _by_group(groups: Sequence[int], rows: Sequence[RawRow], source: str) -> dict[int, RawRow]:
    """The first row of a source in each group that it has one in."""
    found: dict[int, RawRow] = {}
    for group, row in zip(groups, rows, strict=False):
        if row.source == source:
            found.setdefault(group, row)
    return found


class _TakenOut:
    """Rows that leave the training sets; the first reason counts."""

    def __init__(self, rows: Sequence[RawRow]) -> None:
        self._rows = rows
        self.removed: dict[int, Removed] = {}

    def held_out(self, groups: Sequence[int], sources: Sequence[str]) -> None:
        """Whole sources, and every group that one of their rows is in."""
        for source in sources:
            first = _by_group(groups, self._rows, source)
            for place, row in enumerate(self._rows):
                if row.source == source:
                    self._take(place, "held out", None)
                elif groups[place] in first:
                    self._take(place, "held out", first[groups[place]])

    def repeats(self, groups: Sequence[int], owners: dict[int, RawRow], reason: str) -> None:
        """Rows of other sources in a group with an official or a test question."""
        for place, row in enumerate(self._rows):
            if row.source != OFFICIAL and groups[place] in owners:
                self._take(place, reason, owners[groups[place]])

    def conflicting(self) -> None:
        """Rows that contradict each other: nobody knows which is right, so none is trained on.

        What contradicts an official row has left before, with all that repeats one.
        """
        places = [place for place in range(len(self._rows)) if place not in self.removed]
        found = contradictions([self._rows[place].question for place in places])
        for row, other in found.items():
            self._take(places[row], "conflict", self._rows[places[other]])

    def duplicates(self) -> None:
        """All but one of the rows with the same question, options and answer: an official one, one with a context.

        With another answer, what is left by now asks about another context: it is another question.
        """
        copies: dict[object, list[int]] = defaultdict(list)
        for place, row in enumerate(self._rows):
            if place not in self.removed:
                copies[exact_key(row.question), answer_key(row.question)].append(place)
        for places in copies.values():
            kept = min(places, key=self._worth)
            for place in places:
                if place != kept:
                    self._take(place, "duplicate", self._rows[kept])

    def _worth(self, place: int) -> tuple[bool, bool, int]:
        row = self._rows[place]
        return row.source != OFFICIAL, not plain(row.question.context), place

    def listed(self) -> list[Removed]:
        """In the order of the rows."""
        return [self.removed[place] for place in sorted(self.removed)]

    def _take(self, place: int, reason: str, because_of: RawRow | None) -> None:
        self.removed.setdefault(place, Removed(self._rows[place], reason, because_of))


def _held_out_split(kept: list[int], groups: Sequence[int], rows: Sequence[RawRow], settings: Settings) -> set[int]:
    """Whole groups without official questions, drawn until the split is as large as it should be."""
    wanted = min(settings.valid_size, int(MOST_VALID * len(kept)))
    members: dict[int, list[int]] = defaultdict(list)
    for place in kept:
        members[groups[place]].append(place)
    order = [group for group in members.values() if all(rows[place].source != OFFICIAL for place in group)]
    random.Random(settings.seed).shuffle(order)
    valid: set[int] = set()
    for group in order:
        if len(valid) + len(group) <= wanted:
            valid.update(group)
    return valid


def _cleanest(training: list[int], groups: Sequence[int], rows: Sequence[RawRow], size: int) -> list[int]:
    """The best of each group of near duplicates, the best of these, in the order of the rows.

    Of equally good near duplicates, one with a context goes before one without.
    """
    scores = {place: quality(rows[place].question).score for place in training}
    worth = {place: (score, bool(plain(rows[place].question.context))) for place, score in scores.items()}
    best: dict[int, int] = {}
    for place in training:
        kept = best.setdefault(groups[place], place)
        if worth[place] > worth[kept]:
            best[groups[place]] = place
    clean = [place for place in best.values() if scores[place] >= CLEAN]
    return sorted(sorted(clean, key=lambda place: (-scores[place], place))[:size])


def _notices(built: Built, rows: Sequence[RawRow], test: Sequence[RawRow]) -> list[str]:
    notices = []
    official = {exact_key(row.question) for row in rows if row.source == OFFICIAL}
    same = sum(exact_key(row.question) in official for row in test)
    if same:
        notices.append(
            f"test.csv: {same} of its {len(test)} questions are those of train.csv; as published it is no test set "
            "(the hidden one has about 4,000 questions), so score with --hold_out official instead"
        )
    contradictions = sum(removed.contradicts for removed in built.removed)
    if contradictions:
        notices.append(f"{contradictions:,} of the rows below say that another option is right: see removed.jsonl")
    for name, kept in built.sets.items():
        counts = [len(row.question.options) for row in kept]
        short = sum(count < max(FIVE, *counts) for count in counts)
        if 0 < 100 * short < MIXED_PERCENT * len(counts):
            notices.append(
                f"{name}: {short:,} of {len(counts):,} questions have fewer options than the file has columns; so few "
                "are read again as questions with blank last options"
            )
    for reason, count in sorted(Counter(removed.reason for removed in built.removed).items()):
        notices.append(f"{count:,} rows are in no training set: {reason}")
    return notices
