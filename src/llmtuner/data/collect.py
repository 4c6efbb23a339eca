"""The questions of the data sets that a run names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Literal

from llmtuner.data.load import Inspection, QuestionFile, read_questions
from llmtuner.data.problems import terminal_path
from llmtuner.data.question import Question
from llmtuner.data.registry import DataSource, find_source
from llmtuner.data.split import NO_SPLIT, question_key, split_by_key
from llmtuner.errors import DataError, UserError


def collect(names: Sequence[str], dataset_dir: str, *, max_samples: int | None = None) -> dict[str, list[Question]]:
    """The questions of each data set, by its name or path.

    Args:
        max_samples: the most questions from each data set, taken from its start.

    Raises:
        UserError: a name is not a multiple-choice data set.
        DataError: defects of a file.
    """
    questions_by_name: dict[str, list[Question]] = {}
    for name in names:
        source = find_source(name, dataset_dir)
        if source is None:
            raise UserError(f"data set {name!r} has no multiple-choice questions, which --stage mcq needs")
        questions_by_name[name] = questions_of(source)[:max_samples]
    return questions_by_name


def read_source(source: DataSource, *, purpose: Literal["train", "predict"]) -> list[QuestionFile]:
    """The files of a data set. In files without ids, rows are counted on from one file to the next.

    Raises:
        DataError: defects of a file.
    """
    files = [
        read_questions(path, purpose=purpose, dataset=source.name, read_as=read_as) for path, read_as in source.parts
    ]
    return [replace(file, questions=of_file) for file, of_file in zip(files, _counted_on(files), strict=True)]


def with_predicted_ids(files: Sequence[QuestionFile | Inspection], ids: Iterable[str]) -> list[Question]:
    """The questions of files, with the ids that a prediction of them has.

    If the files were predicted as one data set, rows without ids were counted on from one file to the next.
    """
    questions = [question for file in files for question in file.questions]
    if {*ids} <= {question.id for question in questions}:
        return questions
    return [question for of_file in _counted_on(files) for question in of_file]


def _counted_on(files: Sequence[QuestionFile | Inspection]) -> Iterator[tuple[Question, ...]]:
    """The questions of each file; where ids are row numbers, they go on from one file to the next."""
    rows = 0
    for file in files:
        if file.numbered and rows:
            yield tuple(replace(each, id=str(int(each.id) + rows)) for each in file.questions)
        else:
            yield file.questions
        rows += len(file.questions)


def check_ids(name: str, files: Sequence[QuestionFile]) -> None:
    """Refuse a data set of several files that share an id: its predictions could not be told apart.

    Raises:
        DataError: with the first such ids.
    """
    file_by_id: dict[str, QuestionFile] = {}
    shared: dict[str, tuple[QuestionFile, QuestionFile]] = {}
    for file in files:
        for question in file.questions:
            first = file_by_id.setdefault(question.id, file)
            if first is not file:
                shared.setdefault(question.shown_id, (first, file))
    if shared:
        first, second = next(iter(shared.values()))
        raise DataError(
            f"data set {name!r}: {terminal_path(first.path)} and {terminal_path(second.path)} have ids in common: "
            f"{', '.join(list(shared)[:5])}{', ...' if len(shared) > 5 else ''}; name the files one by one in "
            "--eval_dataset, and the predictions say which file each is from"
        )


def all_questions(source: DataSource) -> list[Question]:
    """The questions of all files of a data set, without the registry's random sample of them.

    Raises:
        DataError: defects of a file.
    """
    return [question for file in read_source(source, purpose="predict") for question in file.questions]


def questions_of(source: DataSource) -> list[Question]:
    """A source's questions: all of them, or a random sample of `num_samples` if the registry sets it.

    Raises:
        DataError: defects of a file.
    """
    questions = all_questions(source)
    if source.num_samples is None:
        return questions
    return [questions[row] for row in _sample(len(questions), source.num_samples)]


def questions_in(names: Sequence[str], dataset_dir: str, *, max_samples: int | None = None) -> list[Question]:
    """The questions in the files of data sets, to look at: without the registry's random sample of them.

    Data sets in upstream's own formats have none.

    Raises:
        UserError: an unknown name.
        DataError: defects of a file.
    """
    sources = [source for name in names if (source := find_source(name, dataset_dir)) is not None]
    return [question for source in sources for question in all_questions(source)[:max_samples]]


def trained_and_held_out(
    names: Sequence[str], dataset_dir: str, *, max_samples: int | None, val_size: float, seed: int
) -> tuple[list[Question], list[Question]]:
    """The questions that a training uses, and those that `val_size` holds out, as the stages split them.

    Raises:
        UserError: an unknown name, or `val_size` leaves no question on one side.
        DataError: defects of a file.
    """
    questions = questions_in(names, dataset_dir, max_samples=max_samples)
    # With data of other forms among it, the part that is held out is drawn from all of it.
    if val_size <= NO_SPLIT or not questions or not all(find_source(name, dataset_dir) for name in names):
        return questions, []
    return split_questions(questions, val_size, seed)


def split_questions(questions: Sequence[Question], val_size: float, seed: int) -> tuple[list[Question], list[Question]]:
    """The training and the validation part, each in the order of the input; copies of a question stay together.

    Args:
        val_size, seed: as `split_by_key`.

    Raises:
        UserError: one of the parts would be empty.
    """
    parts = split_by_key([question_key(question.question) for question in questions], val_size, seed)
    training, validation = ([questions[row] for row in rows] for rows in parts)
    return training, validation


def _sample(available: int, num_samples: int) -> list[int]:
    """Row numbers by upstream's rule: a random subset; if too few rows are available, all plus random repeats."""
    import numpy as np

    rows = np.random.permutation(available)[:num_samples].tolist()
    return rows + np.random.choice(available, max(num_samples - available, 0)).tolist()


def require_answers(questions: Sequence[Question], purpose: str) -> None:
    """Reject questions without an answer.

    Args:
        purpose: subject and verb for the message, such as "training needs".

    Raises:
        DataError: at least one question has no answer.
    """
    unanswered = [question.where for question in questions if question.answer is None]
    if unanswered:
        raise DataError(
            f"{len(unanswered)} questions have no answer, the first at {unanswered[0]}; {purpose} one for each "
            "(prediction with --do_predict does not)"
        )


def answer_places(questions: Iterable[Question]) -> dict[str, int]:
    """How often each place is the right answer, by letter; questions without an answer do not count."""
    counts = Counter(question.answer_letter for question in questions if question.answer is not None)
    return {str(letter): counts[letter] for letter in sorted(counts, key=str)}
