"""How many questions a file has, of which shape, and how long their texts are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from llmtuner.data.load import Inspection
from llmtuner.data.question import Question
from llmtuner.data.split import question_key

BINS = 20
_SHOWN = 0.99  # of the option lengths lie within the histogram; the longest few would flatten the rest


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of rows.

    Args:
        questions: rows that could be read.
        unreadable: rows with an error that kept them from being read.
        unread: lines that were not looked at, because reading had ended at an error.
        texts: different question texts, but for case, blanks and Unicode form.
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
    """Count the rows of one file."""
    questions = inspection.questions
    read = {question.line for question in questions}
    return Counts(
        questions=len(questions),
        unreadable=len({problem.line for problem in inspection.errors if problem.line} - read),
        unread=inspection.unread,
        answered=sum(question.answer is not None for question in questions),
        with_context=sum(bool(question.context.strip()) for question in questions),
        texts=len({question_key(question.question) for question in questions}),
        options=dict(sorted(Counter(len(question.options) for question in questions).items())),
    )


@dataclass(frozen=True, slots=True)
class Spread:
    """Lengths of many texts: characters, or words parted by blanks."""

    least: int
    median: float
    mean: float
    percentile_95: float
    most: int


@dataclass(frozen=True, slots=True)
class Histogram:
    """Options by their characters: `right[i]` and `wrong[i]` options lie from `edges[i]` to below `edges[i + 1]`.

    What is longer than the last edge is counted in the last bin.
    """

    edges: tuple[float, ...]
    right: tuple[int, ...]
    wrong: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Lengths:
    """Lengths of a file's texts; a part that no question has is left out.

    Args:
        characters, words: by part: "question", "context", "option", "right option", "wrong option".
    """

    characters: dict[str, Spread]
    words: dict[str, Spread]
    histogram: Histogram | None


def lengths(questions: Sequence[Question]) -> Lengths:
    """Measure every text."""
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

    most = max(1.0, float(np.quantile([*right, *wrong], _SHOWN)))
    edges = np.linspace(0, most, BINS + 1)
    parts = [np.histogram(np.minimum(part, most), edges)[0] for part in (right, wrong)]
    return Histogram(tuple(edges.tolist()), tuple(parts[0].tolist()), tuple(parts[1].tolist()))
