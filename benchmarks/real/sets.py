"""The sets of questions, written once to a folder: training questions, and files of scored questions.

A training question whose text is among the scored ones is left out.
"""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from llmtuner.data.load import read_questions
from llmtuner.data.question import LETTERS, Question
from llmtuner.data.split import question_key

ROOT = Path(__file__).resolve().parents[2]
SEED = 0  # of every draw
Row = Mapping[str, object]


@dataclass(frozen=True)
class Sizes:
    """How many questions of a set are trained on and scored."""

    train: int
    test: int


# By set: on two CPU cores, and where a GPU can be had.
CORES = {
    "arc_easy": Sizes(2000, 1500),
    "qasc": Sizes(2000, 1500),
    "kaggle": Sizes(1000, 500),
    "scienceqa": Sizes(1000, 1000),
    "dream": Sizes(1500, 1000),
    "rates": Sizes(600, 400),
    "openbookqa": Sizes(0, 500),
    "qasc_dev": Sizes(0, 463),
    "mmlu_stem": Sizes(0, 1500),
    "exam": Sizes(0, 126),
    "kaggle_passages": Sizes(700, 500),
    "cleaning": Sizes(2000, 500),
}
TABLE = CORES | {
    "kaggle": Sizes(3000, 500),
    "scienceqa": Sizes(2000, 1500),
    "dream": Sizes(3000, 2040),
    "cleaning": Sizes(6000, 500),
}


@dataclass(frozen=True)
class Pool:
    """The questions that a set is drawn from.

    Args:
        test: None if they come from the training questions.
        by_context: whether the same text about another context is another question.
        parts: further files of scored questions, as the ids of each.
    """

    train: Sequence[Question] = ()
    test: Sequence[Question] | None = None
    by_context: bool = False
    parts: Mapping[str, Collection[str]] = field(default_factory=dict)

    def key(self, question: Question) -> str:
        """Questions with equal keys are the same."""
        return question_key(f"{question.context if self.by_context else ''} {question.question}")

    def drawn(self, questions: Iterable[Question], size: int) -> list[Question]:
        """Some of the questions, each once, in a random order that depends on SEED alone."""
        different = list({self.key(question): question for question in questions}.values())
        random.Random(SEED).shuffle(different)
        return different[:size]


def arc_easy(data: Path) -> Pool:
    """ARC-Easy: training split and test split; "Question: " is no part of a question."""
    test = [
        replace(question, question=question.question.removeprefix("Question: "))
        for question in _read(data / "arc" / "arc_easy.jsonl")
    ]
    return Pool(_read(data / "arc" / "arc_easy_train.jsonl"), test)


def qasc(data: Path) -> Pool:
    """QASC's training questions of four options, with their two facts."""
    return Pool([q for q in _read(data / "qasc" / "train.jsonl") if len(q.options) == 4])


def kaggle(data: Path) -> Pool:
    """The 6,000 without the questions of `rates`, and the 500."""
    rows = _kaggle_6000(data)
    pool = Pool()
    used = {pool.key(question) for question in rates(data).train}
    train = [question for question in rows if pool.key(question) not in used]
    return Pool(train, _read(data / "kaggle" / "extra_train_set.csv"))


def rates(data: Path) -> Pool:
    """Questions of the 6,000 that no other set has, for choosing learning rates."""
    return Pool(Pool().drawn(_kaggle_6000(data), _RATES))


def scienceqa(data: Path) -> Pool:
    """ScienceQA with hint and lecture as context."""
    return Pool(*(_read(data / "scienceqa" / f"{part}.parquet") for part in ("train", "validation")))


def dream(data: Path) -> Pool:
    """DREAM: questions about dialogues."""
    train, test = (_read(data / "dream" / f"{part}.jsonl") for part in ("train", "dev"))
    return Pool(train, test, by_context=True)


def kaggle_passages(data: Path) -> Pool:
    """Kaggle's questions with passages of Wikipedia that somebody's search found."""
    folder = data / "kaggle"
    scored = folder / "extra_train_set_retrieved.csv"
    with scored.open(encoding="utf-8", newline="") as file:
        useful = {row["id"] for row in csv.DictReader(file) if row["useful"] == "TRUE"}
    test = _read(scored)
    parts = {"test_useful": useful, "test_not_useful": {q.id for q in test} - useful}
    return Pool(_read(folder / "stem_700_retrieved.csv"), test, parts=parts)


def _scored(*path: str) -> Callable[[Path], Pool]:
    return lambda data: Pool((), _read(data.joinpath(*path)))


POOLS: dict[str, Callable[[Path], Pool]] = {
    "arc_easy": arc_easy,
    "qasc": qasc,
    "kaggle": kaggle,
    "rates": rates,
    "scienceqa": scienceqa,
    "dream": dream,
    "kaggle_passages": kaggle_passages,
    "openbookqa": _scored("openbookqa", "dev.jsonl"),
    "qasc_dev": _scored("qasc", "dev.jsonl"),
    "mmlu_stem": _scored("mmlu_stem", "test_part.jsonl"),
    "exam": lambda _: Pool((), _read(ROOT / "data" / "exam" / "test.jsonl")),
}
_RATES = 1000  # training and scored questions of `rates`


def _kaggle_6000(data: Path) -> list[Question]:
    return _read(data / "kaggle" / "6000_train_examples.csv")


def _read(path: Path) -> list[Question]:
    return list(read_questions(path, purpose="predict").questions)


def write_set(name: str, data: Path, out: Path, sizes: Sizes) -> dict[str, int]:
    """Write OUT/NAME/train.jsonl, test.jsonl, and the same without contexts and with those of other questions.

    Returns:
        The number of questions in each file.
    """
    pool = POOLS[name](data)
    scored = pool.drawn(pool.train if pool.test is None else pool.test, sizes.test)
    texts = {pool.key(question) for question in scored}
    train = pool.drawn([question for question in pool.train if pool.key(question) not in texts], sizes.train)
    rows = {"train": train, "test": scored}
    rows["test_300"] = scored[:300]
    rows |= {part: [q for q in scored if q.id in ids] for part, ids in pool.parts.items()}
    if any(question.context for question in scored):
        rows |= {f"{part}_closed": [replace(q, context="") for q in rows[part]] for part in ("train", "test")}
        rows["test_other"] = with_contexts_of_others(scored)
    written = {part: list(questions) for part, questions in rows.items() if questions}
    for part, questions in written.items():
        write_rows(out / name / f"{part}.jsonl", map(as_row, questions))
    return {part: len(questions) for part, questions in written.items()}


def with_contexts_of_others(questions: Sequence[Question]) -> list[Question]:
    """Each question with a context that belongs to another one and is a different text."""
    contexts = [question.context for question in questions]
    order = list(range(len(contexts)))
    random.Random(SEED).shuffle(order)
    moved: dict[int, str] = {}
    for place, row in enumerate(order):
        following = (order[(place + step) % len(order)] for step in range(1, len(order)))
        moved[row] = next(contexts[other] for other in following if contexts[other] != contexts[row])
    return [replace(question, context=moved[row]) for row, question in enumerate(questions)]


def as_row(question: Question) -> Row:
    """A question as a row of a JSONL file."""
    options = dict(zip(LETTERS, question.options, strict=False))
    answer = {} if question.answer is None else {"answer": LETTERS[question.answer]}
    context = {"context": question.context} if question.context else {}
    return {"id": question.id, "prompt": question.question, **context, **options, **answer}


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write a JSONL file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
