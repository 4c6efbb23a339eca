"""All questions of the data sets that a run names."""

from __future__ import annotations

from collections.abc import Sequence

from llmtuner.data.load import read_questions
from llmtuner.data.question import Question
from llmtuner.data.registry import DataSource, find_source
from llmtuner.errors import DataError, UserError


def collect(names: Sequence[str], dataset_dir: str, *, max_samples: int | None = None) -> dict[str, list[Question]]:
    """The questions of each data set by its name or path.

    Args:
        max_samples: use only the first so many of each.

    Raises:
        UserError: a name that is no multiple-choice data set.
        DataError: defects of a file.
    """
    found: dict[str, list[Question]] = {}
    for name in names:
        source = find_source(name, dataset_dir)
        if source is None:
            raise UserError(f"data set {name!r} has no multiple-choice questions, which --stage mcq needs")
        found[name] = questions_of(source)[:max_samples]
    return found


def questions_of(source: DataSource) -> list[Question]:
    """A source's questions: all, or the random part that its `num_samples` asks for."""
    questions = [
        question
        for file in source.files
        for question in read_questions(file, purpose="predict", dataset=source.name).questions
    ]
    if source.num_samples is None:
        return questions
    return [questions[row] for row in _sample(len(questions), source.num_samples)]


def _sample(available: int, wanted: int) -> list[int]:
    """Row numbers as upstream's `num_samples` means them: a random part, or all and a random rest again."""
    import numpy as np

    rows = np.random.permutation(available)[:wanted].tolist()
    return rows + np.random.choice(available, max(wanted - available, 0)).tolist()


def require_answers(questions: Sequence[Question], purpose: str) -> None:
    """Refuse questions without an answer where one is needed.

    Args:
        purpose: what needs them, for the message.

    Raises:
        DataError: some have none.
    """
    without = [question.where for question in questions if question.answer is None]
    if without:
        raise DataError(
            f"{len(without)} questions have no answer, the first at {without[0]}; {purpose} one for each (prediction "
            "with --do_predict does not)"
        )
