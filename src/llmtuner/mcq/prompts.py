"""Which prompt and which shots a run has: from given values, or as stored with the model."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from llmtuner.data.collect import read_source
from llmtuner.data.duplicates import exact_key
from llmtuner.data.prompt_file import read_prompt
from llmtuner.data.question import Question, is_blank
from llmtuner.data.registry import PROJECT_DATA, find_source
from llmtuner.data.tokens.fit import listed
from llmtuner.data.tokens.shots import Shots
from llmtuner.data.tokens.stored import form_of, form_to_json
from llmtuner.errors import DataError, FieldError, UserError
from llmtuner.files import sha256_of_json
from llmtuner.mcq.fields import check_field
from llmtuner.spec.flags import FIELDS as FLAGS_BY_FIELD
from llmtuner.spec.prompts import PROMPTS, TEMPLATE, PromptForm

PROMPT_FIELDS = ("prompt", "shots", "shots_from", "shots_seed")


def fresh_prompt(given: Mapping[str, Any], kind: str, dataset_dir: str) -> dict[str, Any]:
    """The form and the shots of a new prompt, without token ids; {} for `template` without shots.

    Args:
        given: values by field.
        kind: of the model.

    Raises:
        FieldError: an encoder's prompt; shots without a file, or a file without shots; no such prompt.
        UserError: the prompt's file is no prompt.
        DataError: the file of shots has too few questions, or defects.
    """
    _check_given(given)
    if kind == "encoder":
        for name in PROMPT_FIELDS:
            if given.get(name):
                reason = "an encoder reads the tokenizer's own pairs of texts, without such a prompt; leave it out"
                raise FieldError(name, given[name], reason)
        return {}
    form = read_prompt(given.get("prompt", "template"), turns=given.get("template") is not None)
    return form_to_json(form) | _given_shots(given, dataset_dir).to_json()


def check_prompt(stored: Mapping[str, Any], given: Mapping[str, Any], kind: str, dataset_dir: str, file: Path) -> None:
    """Check that given values agree with the stored prompt, which is used.

    Args:
        file: where it is stored, for messages.

    Raises:
        FieldError: a given value contradicts it.
    """
    _check_given(given)
    if kind == "encoder":
        fresh_prompt(given, kind, dataset_dir)
        return
    if given.get("prompt") is not None:
        form = read_prompt(given["prompt"], turns=form_of(stored).turns)
        if form != form_of(stored):
            raise FieldError(
                "prompt", given["prompt"], f"contradicts {file}, which says {described(form_of(stored))}; leave it out"
            )
    shots = Shots.from_json(stored)
    if given.get("shots", shots.count) != shots.count:
        raise FieldError("shots", given["shots"], f"contradicts {file}, which says {shots.count}; leave it out")
    if given.get("shots_from") is not None:
        drawn = _given_shots({"shots": shots.count or None, **given}, dataset_dir)
        if _content(drawn) != _content(shots):
            raise FieldError(
                "shots_from",
                given["shots_from"],
                f"contradicts {file}, which has other shots, and they are used; leave it and the seed out",
            )


def described(form: PromptForm) -> str:
    """The name of a form; that of a file is no more known."""
    names = [name for name, prompt in PROMPTS.items() if prompt.form == form]
    return names[0] if names else f"the file's texts {asdict(form)}"


def recorded_prompt(prompt: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the prompts of a training, by field: names of files do not, their content does."""
    shots = Shots.from_json(prompt)
    return {
        "prompt": described(form_of(prompt)),
        "shots": shots.count,
        "shots_from": sha256_of_json(_content(shots))[:16] if shots else None,
    }


def recorded_flags(prompt: Mapping[str, Any]) -> dict[str, Any]:
    """The same for a manifest, by flag. What is not given is None, as before there were such flags."""
    values = recorded_prompt(prompt)
    if form_of(prompt) == TEMPLATE:
        values["prompt"] = None
    return {FLAGS_BY_FIELD[name].name: value or None for name, value in {**values, "shots_seed": None}.items()}


def refuse_scored_shots(questions: Sequence[Question], prompt: Mapping[str, Any]) -> None:
    """Refuse questions to score that are shots: the prompts of the others would show them solved.

    Raises:
        DataError: naming each question and its shot.
    """
    shots = Shots.from_json(prompt)
    pairs = [(question, shots.number_of(question)) for question in questions] if shots else []
    lines = [
        f"{question.where}: id {question.shown_id} is shot {number + 1}, {_place(shots.questions[number])}"
        for question, number in pairs
        if number < shots.count
    ]
    if lines:
        raise DataError(
            "\n".join(
                [
                    f"{len(lines)} of the {len(questions)} scored questions are also shots, so their answers would be "
                    "given; draw the shots from other questions (`shots_from`):",
                    *listed(lines),
                ]
            )
        )


def require_reserve(questions: Sequence[Question], prompt: Mapping[str, Any]) -> None:
    """Refuse training questions that are shots, if no other question could take the shot's place.

    Raises:
        DataError: naming the question.
    """
    shots = Shots.from_json(prompt)
    for question in questions if shots else ():
        shots.before(question, lambda _: [])


def _place(shot: Question) -> str:
    return f"id {shot.shown_id} of {shot.dataset}"


def _check_given(given: Mapping[str, Any]) -> None:
    for name in ("shots", "shots_seed"):
        if given.get(name) is not None:
            check_field(name, given[name])


def _given_shots(given: Mapping[str, Any], dataset_dir: str) -> Shots:
    count, name = given.get("shots") or 0, given.get("shots_from")
    if not count:
        for field in ("shots_from", "shots_seed"):
            # A number of 0 that is given says that there are none: one of a sweep's values, say.
            if given.get(field) is not None and given.get("shots") is None:
                raise FieldError(field, given[field], "says where shots come from; give their number (`shots`), too")
        return Shots()
    if name is None:
        raise FieldError("shots", count, "needs `shots_from`: a file or data set of solved questions to draw from")
    return draw_shots(name, count, dataset_dir or str(PROJECT_DATA), seed=given.get("shots_seed") or 0)


def draw_shots(name: str, count: int, dataset_dir: str, *, seed: int = 0) -> Shots:
    """Draw different questions from a file or data set, and one more as the reserve if there is one.

    Raises:
        UserError: the name is not a multiple-choice data set.
        DataError: defects of the file, answers that are missing, or too few questions.
    """
    source = find_source(name, dataset_dir)
    if source is None:
        raise UserError(f"`shots_from` {name}: no multiple-choice questions; give a file or data set of them")
    try:
        files = read_source(source, purpose="train")
    except DataError as error:  # which speaks of training, also before a prediction
        lines = str(error).splitlines()
        raise DataError(
            "\n".join([f"`shots_from` {name}: shots are read like training data, each row with its answer:", *lines])
        ) from error
    _refuse_blank(name, [question for file in files for question in file.questions])
    questions: dict[Any, Question] = {}
    for file in files:
        for question in file.questions:
            questions.setdefault(exact_key(question), question)
    if len(questions) < count:
        raise DataError(
            f"`shots_from` {name}: {len(questions)} different questions, and `shots` is {count}; give at most "
            f"{len(questions)} shots, or more questions"
        )
    order = list(questions.values())
    random.Random(seed).shuffle(order)
    return Shots(count, tuple(order[: count + 1]))


def _refuse_blank(name: str, questions: Sequence[Question]) -> None:
    """A shot with a blank right option would show that the answer is left out.

    Raises:
        DataError: naming the rows.
    """
    lines = [
        f"{question.where}: id {question.shown_id}"
        for question in questions
        if question.answer is not None and is_blank(question.options[question.answer])
    ]
    if lines:
        start = f"`shots_from` {name}: {len(lines)} rows have a blank right option, which shows no answer; remove them:"
        raise DataError("\n".join([start, *listed(lines)]))


def _content(shots: Shots) -> list[Any]:
    """What the model sees of the shots: the same after a file was renamed."""
    return [[shot.context, shot.question, list(shot.options), shot.answer] for shot in shots.questions]


def is_plain(prompt: Mapping[str, Any]) -> bool:
    """Whether a prompt is text without chat turns, so that it needs no template."""
    return not form_of(prompt).turns


def carried(prompt: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What a fresh head on top takes over of a stored prompt, where nothing is given: form and shots, no token ids."""
    shots = Shots.from_json(prompt)
    shots.ids = {}
    form = form_to_json(form_of(prompt)) if given.get("prompt") is None else {}
    return form | (shots.to_json() if given.get("shots") is None else {})
