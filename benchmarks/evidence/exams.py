"""The questions of the comparison: training, tuning and test questions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from llmtuner.data.load import read_questions
from llmtuner.data.question import Question
from llmtuner.data.split import question_key, split_by_key

# Questions for choosing learning rates; no head on frozen states is trained on them. With 300 of them, chance chose
# rates that were 0.03 MAP@3 apart.
TUNED_ON = {"kaggle": 1000, "scienceqa": 1500}
SEED = 0  # of every split


@dataclass(frozen=True)
class Exam:
    """A set of questions, split by their normalised text.

    Args:
        train: training questions.
        tune: rows of `train` for choosing learning rates; heads on frozen states are not trained on them.
        test: questions that are scored.
        seen: for each test question, whether its text is in ScienceQA's whole train file or in Kaggle's training part.
    """

    name: str
    train: Sequence[Question]
    tune: frozenset[int]
    test: Sequence[Question]
    seen: Sequence[bool]


def kaggle(folder: Path) -> Exam:
    """Kaggle's 6,000 and 500: 4,900 for training, the rest and the 500 for testing."""
    rows = _read(folder / "kaggle" / "6000_train_examples.csv")
    training, rest = split_by_key([question_key(q.question) for q in rows], 1100, SEED)
    more = _read(folder / "kaggle" / "extra_train_set.csv")
    train = [rows[i] for i in training]
    _, tune = split_by_key([question_key(q.question) for q in train], TUNED_ON["kaggle"], SEED)
    return _exam("kaggle", train, tune, [*(rows[i] for i in rest), *more], source=train)


def scienceqa(folder: Path) -> Exam:
    """ScienceQA with hint and lecture as context: the first 2,000 for training, then new texts for tuning.

    The whole validation file is the test.
    """
    rows = _read(folder / "scienceqa" / "train.parquet")
    train, keys = rows[:2000], {question_key(q.question) for q in rows[:2000]}
    train += [q for q in rows[2000:] if question_key(q.question) not in keys][: TUNED_ON["scienceqa"]]
    test = _read(folder / "scienceqa" / "validation.parquet")
    return _exam("scienceqa", train, range(2000, len(train)), test, source=rows)


EXAMS: dict[str, Callable[[Path], Exam]] = {"kaggle": kaggle, "scienceqa": scienceqa}


def _read(path: Path) -> list[Question]:
    return list(read_questions(path, purpose="train").questions)


def _exam(
    name: str, train: list[Question], tune: Iterable[int], test: list[Question], source: Sequence[Question]
) -> Exam:
    known = {question_key(question.question) for question in source}
    return Exam(name, train, frozenset(tune), test, [question_key(q.question) in known for q in test])
