"""The questions of the comparison: what is trained on, what is tuned on, what is scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from llmtuner.data.load import read_questions
from llmtuner.data.question import Question
from llmtuner.data.split import question_key, split_by_key

TUNED_ON = 0.15  # of the training questions, for choosing a learning rate
SEED = 0  # of every split


@dataclass(frozen=True)
class Exam:
    """One set of questions, split by their normalised text.

    Args:
        train: what heads are trained on.
        tune: row numbers of `train` that are held out while a learning rate is chosen.
        test: what is scored.
        seen: for each of `test`, whether its question text also stands in the file that `train` comes from.
    """

    name: str
    train: Sequence[Question]
    tune: frozenset[int]
    test: Sequence[Question]
    seen: Sequence[bool]


def kaggle(folder: Path) -> Exam:
    """Kaggle's 6,000 and 500: 4,900 to train, the rest and the 500 to test."""
    rows = _read(folder / "kaggle" / "6000_train_examples.csv")
    training, rest = split_by_key([question_key(q.question) for q in rows], 1100, SEED)
    more = _read(folder / "kaggle" / "extra_train_set.csv")
    return _exam("kaggle", [rows[i] for i in training], [*(rows[i] for i in rest), *more])


def scienceqa(folder: Path) -> Exam:
    """ScienceQA with hint and lecture as context: the first 2,000 to train, its whole validation file to test."""
    rows = _read(folder / "scienceqa" / "train.parquet")
    return _exam("scienceqa", rows[:2000], _read(folder / "scienceqa" / "validation.parquet"), source=rows)


EXAMS: dict[str, Callable[[Path], Exam]] = {"kaggle": kaggle, "scienceqa": scienceqa}


def _read(path: Path) -> list[Question]:
    return list(read_questions(path, purpose="train").questions)


def _exam(name: str, train: list[Question], test: list[Question], source: Sequence[Question] | None = None) -> Exam:
    keys = [question_key(question.question) for question in train]
    _, tune = split_by_key(keys, TUNED_ON, SEED)
    known = {question_key(question.question) for question in source or train}
    return Exam(name, train, frozenset(tune), test, [question_key(q.question) in known for q in test])
