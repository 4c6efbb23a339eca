"""Checks that the options' texts have a likelihood, before any model runs: all problems in one message."""

from __future__ import annotations

from collections.abc import Sequence

from llmtuner.data.question import Question
from llmtuner.data.tokens.fit import listed
from llmtuner.data.tokens.option import OptionTokens
from llmtuner.errors import DataError

Pairs = Sequence[tuple[Question, OptionTokens]]


def check_texts(pairs: Pairs, *, training: bool) -> list[str]:
    """Lines for the user about blank options, which are ranked last.

    Args:
        pairs: questions and their tokens.
        training: whether the answers are learnt.

    Raises:
        DataError: an option that is not blank gives no tokens, or has no token before it that could predict it; all
            options of a question are blank; a blank option is to be learnt.
    """
    problems = [*_unread(pairs), *_without_predictor(pairs), *_all_blank(pairs)]
    if training:
        problems += _blank_targets(pairs)
    if problems:
        raise DataError("\n".join(problems))
    places = [
        f"{question.where}: id {question.shown_id}: option {question.letters[option]}"
        for question, tokens in pairs
        for option, characters in enumerate(tokens.characters)
        if not characters
    ]
    if not places:
        return []
    return [f"{len(places)} options are blank: they have no likelihood, and are ranked last:", *listed(places)]


def _unread(pairs: Pairs) -> list[str]:
    places = [
        f"{question.where}: id {question.shown_id}: option {question.letters[option]}"
        for question, tokens in pairs
        for option, ((begin, end), characters) in enumerate(zip(tokens.options, tokens.characters, strict=True))
        if begin == end and characters
    ]
    return _problem(
        places, "options give no tokens, so they have no likelihood; write them in characters that the tokenizer has"
    )


def _without_predictor(pairs: Pairs) -> list[str]:
    places = [
        f"{question.where}: id {question.shown_id}"
        for question, tokens in pairs
        if any(b == 0 for b, _ in tokens.options)
    ]
    return _problem(
        places,
        "questions have no token before their options, from which the first could be predicted; use a `template`, or a "
        "larger `cutoff_len`",
    )


def _all_blank(pairs: Pairs) -> list[str]:
    places = [f"{question.where}: id {question.shown_id}" for question, tokens in pairs if not any(tokens.characters)]
    return _problem(places, "questions have only blank options, of which none can be ranked; remove these rows")


def _blank_targets(pairs: Pairs) -> list[str]:
    places = [
        f"{question.where}: id {question.shown_id}: option {question.letters[option]}"
        for question, tokens in pairs
        if any(tokens.characters)
        for option in _learnt(question)
        if not tokens.characters[option]
    ]
    return _problem(
        places, "blank options are right, or have a probability above 0, and no text could be learnt; remove these rows"
    )


def _learnt(question: Question) -> list[int]:
    """The options that a training makes likelier."""
    if question.probabilities is not None:
        return [option for option, share in enumerate(question.probabilities) if share > 0]
    return [] if question.answer is None else [question.answer]


def _problem(places: list[str], text: str) -> list[str]:
    return [f"{len(places)} {text}:", *listed(places)] if places else []
