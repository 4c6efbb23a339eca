"""What makes the scores of a run mean less than they seem: questions that leak, places that are never right.

The readers do not warn about these: a file may have them for good reasons, and only a run says which of its files is
scored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from llmtuner.data.collect import answer_places
from llmtuner.data.normal_form import normal_form
from llmtuner.data.option_letters import compared_forms
from llmtuner.data.question import LETTERS, Question
from llmtuner.data.trained import TrainedQuestions, trained_among

ENOUGH = 50  # scored questions with a place, one of which has the right answer there unless something is wrong
ONE_PLACE = 10  # answers that do not fall on one place by chance: 1 in 512 with two options, less with more


def scoring_oddities(
    scored: Sequence[Question],
    training: Sequence[Question] = (),
    *,
    before: TrainedQuestions | None = None,
    places: Mapping[str, int] | None = None,
) -> list[str]:
    """A line for the user about each oddity of a run's questions.

    Args:
        scored: the questions that are evaluated or predicted; those without an answer do not count.
        training: the questions that the run trains on.
        before: those that its model was trained on before.
        places: how often each place was the right answer in the last training, where the run does not train.
    """
    known = [question for question in scored if question.answer is not None]
    last = answer_places(training) if training else places or {}
    lines = [*_one_place(last, "training"), *_one_place(answer_places(known), "scored"), *_never_right(known)]
    return [*lines, *leaks(known, training, before=before), *_without_choice(known)]


def _one_place(places: Mapping[str, int], kind: str) -> Iterator[str]:
    if len(places) == 1 and sum(places.values()) >= ONE_PLACE:
        (letter,) = places
        yield (
            f"all {places[letter]:,} answers of the {kind} questions are {letter}: always ranking that place first "
            "scores 1.0 without reading; compare with the baseline of the most frequent place, and shuffle the options"
        )


def _never_right(known: Sequence[Question]) -> Iterator[str]:
    places = answer_places(known)
    offered = {letter: sum(letter in question.letters for question in known) for letter in LETTERS}
    never = [letter for letter, rows in offered.items() if rows >= ENOUGH and letter not in places]
    if never and len(places) > 1:
        yield (
            f"the right answer is never {' or '.join(never)} in {len(known):,} scored questions: a model that learns "
            "the places gains without reading; compare with the baseline of the most frequent place, and check that "
            "the answers are read as they are meant"
        )


def leaks(
    scored: Sequence[Question], training: Sequence[Question] = (), *, before: TrainedQuestions | None = None
) -> Iterator[str]:
    """A line each about scored questions that were trained on, and about those with another context in the training.

    Args:
        scored, training, before: as in `scoring_oddities`; the scored ones have answers.
    """
    trained = trained_among(scored, training) | (before or TrainedQuestions())
    repeated, others = trained.known(scored)
    if repeated:
        yield (
            f"{len(repeated):,} of {len(scored):,} scored questions are also in the training data, the first at "
            f"{repeated[0].where}: their scores measure memory"
        )
    if others:
        yield (
            f"{len(others):,} of {len(scored):,} scored questions are in the training data with another context, the "
            f"first at {others[0].where}: unless the context decides the answer, their scores measure memory"
        )


def _without_choice(known: Sequence[Question]) -> Iterator[str]:
    equal = [question for question in known if _only_equal(question)]
    if equal:
        yield (
            f"{len(equal):,} of {len(known):,} scored questions have only equal options, the first at "
            f"{equal[0].where}: any ranking of them is chance"
        )
    blank = [q for q in known if q.answer is not None and not normal_form(q.options[q.answer]) and not _only_equal(q)]
    if blank:
        yield (
            f"the answer of {len(blank):,} of {len(known):,} scored questions is a blank option, the first at "
            f"{blank[0].where}: no text says that it is right"
        )


def _only_equal(question: Question) -> bool:
    return len(set(compared_forms(question.options))) == 1
