"""How fit a single question is for training, by its form alone: 1.0 for a clean one, less for each thing amiss.

Whether the answer is right is not asked here; `label_errors` and `repeats` look for that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llmtuner.data.audit.wording import body, has_letters, needs_passage, of_the_above
from llmtuner.data.duplicates import plain
from llmtuner.data.question import Question
from llmtuner.data.words import words

SHORT_PROMPT = 3  # words; fewer ask nothing that could be answered
LONG_PROMPT = 3_000  # characters; the longest of Kaggle's 6,500 has fewer than 1,000
LONG_OPTION = 1_000  # characters
BY_FAR = 2.0  # times as long as the next longest option ...
AT_LEAST = 15  # ... and that many characters longer: "Ti" before "I" gives nothing away


@dataclass(frozen=True, slots=True)
class Quality:
    """A question's score and what was deducted.

    Args:
        score: from 0.0 to 1.0, 1.0 where nothing is amiss.
        reasons: keys of `DEDUCTIONS`, in its order.
    """

    score: float
    reasons: tuple[str, ...]


def _no_text(question: Question) -> bool:
    return not words(body(question.question))


def _short_prompt(question: Question) -> bool:
    return 0 < len(words(body(question.question))) < SHORT_PROMPT


def _blank_option(question: Question) -> bool:
    return any(not option.strip() for option in question.options)


def _equal_options(question: Question) -> bool:
    filled = [text for option in question.options if (text := plain(option))]
    return len(set(filled)) < len(filled)


def _of_the_above(question: Question) -> bool:
    return any(map(of_the_above, question.options))


def _lettered(question: Question) -> bool:
    return has_letters(question.options)


def _passage_is_missing(question: Question) -> bool:
    return not question.context.strip() and needs_passage(question.question)


def _repeats_prompt(question: Question) -> bool:
    asked = plain(body(question.question)).casefold()
    return len(words(asked)) >= SHORT_PROMPT and any(asked in plain(option).casefold() for option in question.options)


def _long_answer(question: Question) -> bool:
    if question.answer is None:
        return False
    lengths = [len(option.strip()) for option in question.options]
    answer = lengths.pop(question.answer)
    return answer >= BY_FAR * max(lengths) and answer >= max(lengths) + AT_LEAST


def _extreme_length(question: Question) -> bool:
    return len(question.question) > LONG_PROMPT or max(map(len, question.options)) > LONG_OPTION


# What is deducted, and when. Half a point or more: the row is damaged. Less: it can be answered, but teaches to guess.
DEDUCTIONS: dict[str, tuple[float, Callable[[Question], bool]]] = {
    "no question": (1.0, _no_text),  # no word in the prompt, or only a label such as "Question:"
    "blank option": (0.5, _blank_option),
    "equal options": (0.5, _equal_options),
    "short prompt": (0.3, _short_prompt),
    "option repeats the prompt": (0.3, _repeats_prompt),
    "of the above": (0.3, _of_the_above),  # "all of the above" and the like: right far more often than by chance
    "letters in options": (0.2, _lettered),  # "A) ..." contradicts the letter once options are shuffled
    "answer by far the longest": (0.2, _long_answer),
    "extreme length": (0.2, _extreme_length),
    "passage is missing": (0.1, _passage_is_missing),  # "according to the excerpt", and there is no context
}


def quality(question: Question) -> Quality:
    """The score of one question: 1.0 less the deductions that apply, not below 0.0."""
    reasons = tuple(name for name, (_, applies) in DEDUCTIONS.items() if applies(question))
    return Quality(max(0.0, round(1.0 - sum(DEDUCTIONS[name][0] for name in reasons), 6)), reasons)


@dataclass(frozen=True, slots=True)
class Form:
    """The scores of a file's questions together.

    Args:
        mean: of the scores; 1.0 for a file without questions.
        clean: questions with a score of 1.0.
        damaged: questions with a score of `DAMAGED` or less.
        reasons: the lines of the questions that each reason applies to, by reason; reasons without a line are left out.
    """

    mean: float
    clean: int
    damaged: int
    reasons: dict[str, tuple[int, ...]]


DAMAGED = 0.5


def form(questions: Sequence[Question]) -> Form:
    """The quality of every question, summed up."""
    found = [quality(question) for question in questions]
    reasons: dict[str, list[int]] = {name: [] for name in DEDUCTIONS}
    for question, its in zip(questions, found, strict=True):
        for name in its.reasons:
            reasons[name].append(question.line)
    return Form(
        mean=round(sum(its.score for its in found) / len(found), 4) if found else 1.0,
        clean=sum(its.score == 1.0 for its in found),
        damaged=sum(its.score <= DAMAGED for its in found),
        reasons={name: tuple(lines) for name, lines in reasons.items() if lines},
    )
