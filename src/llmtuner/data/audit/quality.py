"""The quality of a single question by form alone: 1.0 without a defect, less for each defect.

Whether the answer is right is not checked here; see `label_errors` and `repeats`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from llmtuner.data.audit.wording import body, needs_passage, of_the_above
from llmtuner.data.normal_form import normal_form
from llmtuner.data.option_letters import compared_forms, has_letters
from llmtuner.data.question import Question
from llmtuner.data.words import words

SHORT_PROMPT = 3  # words; fewer are no question
LONG_PROMPT = 3_000  # characters; the longest of Kaggle's 6,500 has fewer than 1,000
LONG_OPTION = 1_000  # characters
LONG_FACTOR = 2.0  # an answer is far the longest if it is at least this many times the next longest option ...
LONG_EXCESS = 15  # ... and this many characters longer: "Ti" among "I" and "O" gives nothing away


@dataclass(frozen=True, slots=True)
class Quality:
    """A question's score and the reasons for deductions.

    Args:
        score: from 0.0 to 1.0; 1.0 without a defect.
        reasons: keys of `DEDUCTIONS`, in its order.
    """

    score: float
    reasons: tuple[str, ...]


@lru_cache(maxsize=8)  # several defects of a question are looked for one after the other
def _prompt_words(prompt: str) -> int:
    return len(words(body(prompt)))


def _no_text(question: Question) -> bool:
    return not _prompt_words(question.question)


def _short_prompt(question: Question) -> bool:
    return 0 < _prompt_words(question.question) < SHORT_PROMPT


def _blank_option(question: Question) -> bool:
    return not all(compared_forms(question.options))


def _equal_options(question: Question) -> bool:
    filled = [text for text in compared_forms(question.options) if text]
    return len(set(filled)) < len(filled)


def _of_the_above(question: Question) -> bool:
    return any(map(of_the_above, question.options))


def _lettered(question: Question) -> bool:
    return has_letters(question.options)


def _passage_is_missing(question: Question) -> bool:
    return not question.context.strip() and needs_passage(question.question)


def _repeats_prompt(question: Question) -> bool:
    prompt = normal_form(body(question.question)).casefold()
    # One text of all options, a line each: no prompt has a line break any more.
    options = "\n".join(compared_forms(question.options)).casefold()
    return _prompt_words(question.question) >= SHORT_PROMPT and prompt in options


def _long_answer(question: Question) -> bool:
    if question.answer is None:
        return False
    lengths = [len(option.strip()) for option in question.options]
    answer = lengths.pop(question.answer)
    return answer >= LONG_FACTOR * max(lengths) and answer >= max(lengths) + LONG_EXCESS


def _extreme_length(question: Question) -> bool:
    return len(question.question) > LONG_PROMPT or max(map(len, question.options)) > LONG_OPTION


# Points deducted for each defect. At half a point the row is damaged; below that it still teaches guessing.
DEDUCTIONS: dict[str, tuple[float, Callable[[Question], bool]]] = {
    "no question": (1.0, _no_text),  # no word in the prompt, or only a label such as "Question:"
    "blank option": (0.5, _blank_option),
    "equal options": (0.5, _equal_options),
    "short prompt": (0.3, _short_prompt),
    "option repeats the prompt": (0.3, _repeats_prompt),
    "of the above": (0.3, _of_the_above),  # "all of the above" and similar are right far more often than by chance
    "letters in options": (0.2, _lettered),  # "A) ..." contradicts the letter once options are shuffled
    "answer by far the longest": (0.2, _long_answer),
    "extreme length": (0.2, _extreme_length),
    "passage is missing": (0.1, _passage_is_missing),  # "according to the excerpt" without a context
}


def quality(question: Question) -> Quality:
    """The score of one question: 1.0 minus the deductions that apply, at least 0.0."""
    reasons = tuple(name for name, (_, applies) in DEDUCTIONS.items() if applies(question))
    return Quality(max(0.0, round(1.0 - sum(DEDUCTIONS[name][0] for name in reasons), 6)), reasons)


@dataclass(frozen=True, slots=True)
class QualitySummary:
    """The quality of a file's questions.

    Args:
        mean: of the scores; 1.0 for a file without questions.
        clean: number of questions with a score of 1.0.
        damaged: number of questions with a score of `DAMAGED` or less.
        reasons: the lines of the affected questions for each reason; reasons without a line are omitted.
    """

    mean: float
    clean: int
    damaged: int
    reasons: dict[str, tuple[int, ...]]


DAMAGED = 0.5


def quality_summary(questions: Sequence[Question]) -> QualitySummary:
    """The quality of all questions together."""
    qualities = [quality(question) for question in questions]
    lines_by_reason: dict[str, list[int]] = {name: [] for name in DEDUCTIONS}
    for question, rating in zip(questions, qualities, strict=True):
        for name in rating.reasons:
            lines_by_reason[name].append(question.line)
    scores = [rating.score for rating in qualities]
    return QualitySummary(
        mean=round(sum(scores) / len(scores), 4) if scores else 1.0,
        clean=sum(score == 1.0 for score in scores),
        damaged=sum(score <= DAMAGED for score in scores),
        reasons={name: tuple(lines) for name, lines in lines_by_reason.items() if lines},
    )
