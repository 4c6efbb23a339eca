"""Shots: solved examples in front of every question, as token ids.

A shot is written like the question, with its answer: with a template as an earlier turn, else as text before it. All
questions of a run have the same shots, in the same order. Only a question that is itself a shot, which happens if a
training draws its shots from its own questions, sees the reserve shot in that place.

Source: in-context learning, Brown et al., 2020 (docs/sources.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from llmtuner.data.duplicates import exact_key
from llmtuner.data.normal_form import normal_form
from llmtuner.data.prompt import Turn, build_pieces, question_text
from llmtuner.data.question import Question
from llmtuner.data.tokens.fields import Skeleton, Template, TurnPart, build_turns, encode_fields, without_turns
from llmtuner.errors import DataError, FieldError
from llmtuner.spec.prompts import PromptForm

_KEYS = ("id", "dataset", "question", "options", "answer", "context")


@dataclass
class Shots:
    """The shots of a run.

    Args:
        count: the number of shots in front of a question.
        questions: `count` of them, and one more as the reserve if there is one; all have answers.
        ids: the token ids of all shots up to the end of the last answer's text, by the number of the shot that the
            reserve replaces; `count` for none.
    """

    count: int = 0
    questions: tuple[Question, ...] = ()
    ids: dict[int, list[int]] = field(default_factory=dict)
    _numbers: dict[Any, list[int]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for number, shot in enumerate(self.questions[: self.count]):
            self._numbers.setdefault(exact_key(shot), []).append(number)

    def __bool__(self) -> bool:
        return self.count > 0

    def chosen(self, replaced: int | None = None) -> list[Question]:
        """The shots, with the reserve in one's place."""
        shots = list(self.questions[: self.count])
        if replaced is not None and replaced < self.count:
            shots[replaced] = self.questions[self.count]
        return shots

    def number_of(self, question: Question) -> int:
        """The number of the shot that is the same question; `count` if none is.

        Text and options are the same in normal form, and the contexts do not differ.
        """
        if not self.count:
            return self.count
        for number in self._numbers.get(exact_key(question), ()):
            contexts = {normal_form(question.context), normal_form(self.questions[number].context)} - {""}
            if len(contexts) < 2:
                return number
        return self.count

    def before(self, question: Question, encode: Callable[[list[Question]], list[int]]) -> list[int]:
        """The token ids in front of a question.

        Args:
            encode: makes them for some shots.

        Raises:
            DataError: the question is a shot, and there is no reserve.
        """
        number = self.number_of(question)
        if number < self.count == len(self.questions):
            raise DataError(
                f"{question.where}: id {question.shown_id}: the question is itself one of the {self.count} shots, and "
                "`shots_from` has no other question to take its place; give a smaller `shots`, or more questions"
            )
        if number not in self.ids:
            self.ids[number] = encode(self.chosen(number))
        return self.ids[number]

    @property
    def places(self) -> range:
        """The keys that `ids` can have."""
        return range(0 if len(self.questions) > self.count else self.count, self.count + 1)

    def to_json(self) -> dict[str, Any]:
        """The shots for mcq_config.json; {} if there are none."""
        if not self.count:
            return {}
        stored: dict[str, Any] = {
            "count": self.count,
            "questions": [
                {**{name: getattr(shot, name) for name in _KEYS}, "options": list(shot.options)}
                for shot in self.questions
            ],
        }
        if self.ids:
            stored["ids"] = [self.ids[number] for number in self.places]
        return {"shots": stored}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Shots:
        """The shots of a stored prompt; a prompt without shots has none.

        Raises:
            FieldError: they are damaged.
        """
        if "shots" not in stored:
            return cls()
        content = stored["shots"]
        try:
            questions = tuple(Question(**{**row, "options": tuple(row["options"])}) for row in content["questions"])
            shots = cls(int(content["count"]), questions)
            rows = content.get("ids", [])
            sound = all(_is_shot(shot) for shot in questions) and 0 < shots.count <= len(questions) <= shots.count + 1
            sound = sound and len(rows) in (0, len(shots.places))
            sound = sound and all(type(token) is int and token >= 0 for row in rows for token in row)
        except (TypeError, KeyError, ValueError, AttributeError):
            sound = False
        if not sound:
            raise FieldError("prompt.shots", None, "expected a count, solved questions, and their token ids")
        shots.ids = {number: list(row) for number, row in zip(shots.places, rows, strict=False)}
        return shots


def _is_shot(shot: Question) -> bool:
    texts = (shot.id, shot.dataset, shot.question, shot.context, *shot.options)
    return all(isinstance(text, str) for text in texts) and shot.answer in range(len(shot.options))


def encode_turns(
    tokenizer: Any, template: Template | None, form: PromptForm, before: Sequence[Turn], asked: Turn
) -> tuple[list[TurnPart], Skeleton]:
    """The parts of the turns before a question, up to their last field, and the skeleton of what follows."""
    prompt, response = build_turns(tokenizer, template, [*before, asked], form.system or None)
    solved = [place for place, part in enumerate(prompt) if not isinstance(part, int) and part[0] < len(before)]
    end = solved[-1] + 1 if solved else 0
    return prompt[:end], Skeleton(without_turns(prompt[end:]), without_turns(response))


def filled_turns(tokenizer: Any, form: PromptForm, parts: Sequence[TurnPart], shots: Sequence[Question]) -> list[int]:
    """The token ids of turns with the texts of their questions.

    Args:
        shots: the question of each turn; its options are those that the turn names by number.
    """
    pieces = [build_pieces(replace(shot, question=question_text(form, shot.question))) for shot in shots]
    texts = [part[1].lead + pieces[part[0]].text(part[1]) for part in parts if not isinstance(part, int)]
    encoded = iter(encode_fields(tokenizer, texts))
    ids: list[int] = []
    for part in parts:
        ids += [part] if isinstance(part, int) else next(encoded)
    return ids


def require_room(shots: Shots, before: list[int], length: int, cutoff_len: int) -> None:
    """Refuse shots that leave no token for a question: they are never cut.

    Args:
        before: their token ids.
        length: tokens of the prompt itself.

    Raises:
        DataError: with the numbers of tokens.
    """
    if len(before) + length >= cutoff_len:
        raise DataError(
            f"the {shots.count} shots take {len(before)} tokens and the prompt itself {length}, which leaves no room "
            f"for a question in `cutoff_len` {cutoff_len}; give fewer or shorter `shots`, or a larger `cutoff_len`"
        )
