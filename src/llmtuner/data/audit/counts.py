"""Numbers of questions in a file by kind, and the lengths of their texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from llmtuner.data.load import Inspection
from llmtuner.data.question import Question
from llmtuner.data.split import question_key

BINS = 20
_HISTOGRAM_SHARE = 0.99  # of the options fit the histogram's range; a few very long ones would flatten the rest


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of rows.

    Args:
        questions: readable rows.
        unreadable: rows that an error made unreadable.
        unread: lines after an error that stopped reading.
        texts: different question texts; case, white space and Unicode form are ignored.
        options: questions by their number of options.
    """

    questions: int
    unreadable: int
    unread: int
    answered: int
    with_context: int
    texts: int
    options: dict[int, int]


def counts(inspection: Inspection) -> Counts:
    """The counts of one file."""
    questions = inspection.questions
    # With the file: in a folder of parts, a row that could not be parsed has the line of its own part.
    readable = {(question.file, question.line) for question in questions}
    unreadable = {(problem.file, problem.line) for problem in inspection.errors if problem.line} - readable
    return Counts(
        questions=len(questions),
        unreadable=len(unreadable),
        unread=inspection.unread,
        answered=sum(question.answer is not None for question in questions),
        with_context=sum(bool(question.context.strip()) for question in questions),
        texts=len({question_key(question.question) for question in questions}),
        options=dict(sorted(Counter(len(question.options) for question in questions).items())),
    )


@dataclass(frozen=True, slots=True)
class Spread:
    """The distribution of text lengths, in characters or in words separated by white space."""

    least: int
    median: float
    mean: float
    percentile_95: float
    most: int


@dataclass(frozen=True, slots=True)
class Histogram:
    """Numbers of options by length in characters.

    Args:
        edges: edges of the bins; bin i goes from `edges[i]` to below `edges[i + 1]`, the last one to any length.
        right, wrong: numbers of right and wrong options in each bin.
    """

    edges: tuple[float, ...]
    right: tuple[int, ...]
    wrong: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Lengths:
    """Lengths of a file's texts. Parts that no question has are omitted.

    Args:
        characters, words: the distribution for each part: "question", "context", "option", "right option" and "wrong
            option".
        histogram: of the options' lengths; None if no question has an answer.
    """

    characters: dict[str, Spread]
    words: dict[str, Spread]
    histogram: Histogram | None


def lengths(questions: Sequence[Question]) -> Lengths:
    """The lengths of all texts."""
    answered = [question for question in questions if question.answer is not None]
    parts = {
        "question": [question.question for question in questions],
        "context": [question.context for question in questions if question.context.strip()],
        "option": [option for question in questions for option in question.options],
        "right option": [q.options[q.answer] for q in answered if q.answer is not None],
        "wrong option": [o for q in answered for place, o in enumerate(q.options) if place != q.answer],
    }
    filled = {name: texts for name, texts in parts.items() if texts}
    characters = {name: list(map(len, texts)) for name, texts in filled.items()}
    return Lengths(
        {name: _spread(numbers) for name, numbers in characters.items()},
        {name: _spread(len(text.split()) for text in texts) for name, texts in filled.items()},
        _histogram(characters["right option"], characters["wrong option"]) if answered else None,
    )


def _spread(numbers: Iterable[int]) -> Spread:
    import numpy as np

    array = np.fromiter(numbers, dtype=np.int64)
    median, percentile_95 = (float(value) for value in np.percentile(array, [50, 95]))
    return Spread(int(array.min()), median, round(float(array.mean()), 2), percentile_95, int(array.max()))


def _histogram(right: Sequence[int], wrong: Sequence[int]) -> Histogram:
    import numpy as np

    longest = max(1.0, float(np.quantile([*right, *wrong], _HISTOGRAM_SHARE)))
    edges = np.linspace(0, longest, BINS + 1)
    bins = [np.histogram(np.minimum(lengths, longest), edges)[0] for lengths in (right, wrong)]
    return Histogram(tuple(edges.tolist()), tuple(bins[0].tolist()), tuple(bins[1].tolist()))
