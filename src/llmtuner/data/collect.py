"""The questions of the data sets that a run names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from llmtuner.data.load import read_questions
from llmtuner.data.question import Question
from llmtuner.data.registry import DataSource, find_source
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


def questions_of(source: DataSource) -> list[Question]:
    """A source's questions: all of them, or a random sample of `num_samples` if the registry sets it.

    Raises:
        DataError: defects of a file.
    """
    questions = [
        question
        for file in source.files
        for question in read_questions(file, purpose="predict", dataset=source.name).questions
    ]
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
    of_each = [
        [
            question
            for file in source.files
            for question in read_questions(file, purpose="predict", dataset=source.name).questions
        ]
        for source in sources
    ]
    return [question for questions in of_each for question in questions[:max_samples]]


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
