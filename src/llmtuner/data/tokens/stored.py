"""Checks the stored form of a prompt before it is used: a damaged one would silently make different prompts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, get_args, get_type_hints

from llmtuner.data.prompt import Field
from llmtuner.data.question import MAX_OPTIONS, MIN_OPTIONS
from llmtuner.data.tokens.shots import Shots
from llmtuner.errors import FieldError
from llmtuner.spec.entry import choose_from
from llmtuner.spec.prompts import TEMPLATE, TEXTS, PromptForm

KEYS = ("template", "form", "shots", "option", "neutral", "joint", "letters")
FIELD_NAMES = get_args(get_type_hints(Field)["name"])


def check_form(stored: Mapping[str, Any]) -> None:
    """Check what an encoder's `to_json` has written.

    Raises:
        FieldError: an unknown key, or a value that no encoder writes.
    """
    for key in stored:
        if key not in KEYS:
            raise FieldError(f"prompt.{key}", None, choose_from(key, KEYS))
    template = stored.get("template")
    if template is not None and not isinstance(template, str):
        raise FieldError("prompt.template", template, "expected text, or null")
    if "form" in stored:
        form_from_json(stored["form"])
    Shots.from_json(stored)
    for key, names in (("option", ("context", "form")), ("joint", ("options", "context", "form"))):
        for number, entry in enumerate(_list(stored, key)):
            _check_entry(f"prompt.{key}[{number}]", entry, names)
    if "neutral" in stored:
        _check_form("prompt.neutral", stored["neutral"])
    letters = stored.get("letters", {})
    if not isinstance(letters, dict):
        raise FieldError("prompt.letters", None, "expected an object")
    for count, tokens in letters.items():
        pair = isinstance(tokens, list) and len(tokens) == 2 and all(_are_ids(part) for part in tokens)
        if not (
            count.isdecimal() and MIN_OPTIONS <= int(count) <= MAX_OPTIONS and pair and len(tokens[1]) == int(count)
        ):
            raise FieldError("prompt.letters", count, "expected a number of options, and token ids for each letter")


def form_from_json(stored: Any) -> PromptForm:
    """The texts of a prompt, as `dataclasses.asdict` gives them.

    Raises:
        FieldError: an unknown or missing text, or one that is no text.
    """
    if not isinstance(stored, dict) or set(stored) != {*TEXTS, "turns"}:
        raise FieldError("prompt.form", None, f"expected an object of {', '.join((*TEXTS, 'turns'))}")
    if not all(isinstance(stored[name], str) for name in TEXTS) or type(stored["turns"]) is not bool:
        raise FieldError("prompt.form", None, "expected texts, and true or false for the turns")
    return PromptForm(**stored)


def form_of(stored: Mapping[str, Any]) -> PromptForm:
    """The texts of a stored prompt; those of `template` are not stored."""
    return form_from_json(stored["form"]) if "form" in stored else TEMPLATE


def form_to_json(form: PromptForm) -> dict[str, Any]:
    """What a stored prompt holds of its texts: nothing for `template`."""
    return {} if form == TEMPLATE else {"form": asdict(form)}


def require_form(stored: Mapping[str, Any], text: str, where: str) -> None:
    """Refuse a stored model without the form of its prompts: another template would make different prompts.

    Args:
        text: the layout's text, "option" or "joint".
        where: the file, for the message.

    Raises:
        FieldError: the form is missing.
    """
    if not stored.get(text):
        raise FieldError(
            "prompt", None, f"{where} has no prompts for this layout; copy the file from the training again"
        )


def _list(stored: Mapping[str, Any], key: str) -> list[Any]:
    entries = stored.get(key, [])
    if not isinstance(entries, list):
        raise FieldError(f"prompt.{key}", None, f"expected a list, found {type(entries).__name__}")
    return entries


def _check_entry(field: str, entry: Any, names: tuple[str, ...]) -> None:
    if not isinstance(entry, dict) or set(entry) != set(names):
        raise FieldError(field, None, f"expected an object of {', '.join(names)}")
    _check_form(f"{field}.form", entry["form"])
    if type(entry["context"]) is not bool or type(entry.get("options", MIN_OPTIONS)) is not int:
        raise FieldError(field, None, "expected true or false for the context, and a number of options")


def _check_form(field: str, form: Any) -> None:
    parts = isinstance(form, dict) and set(form) == {"prompt", "response"}
    if not parts or not all(isinstance(form[name], list) and all(map(_is_part, form[name])) for name in form):
        raise FieldError(field, None, 'expected lists of token ids and ["field", index] pairs')


def _is_part(part: Any) -> bool:
    if isinstance(part, list):
        lead = part[2:]
        blank = not lead or (len(lead) == 1 and isinstance(lead[0], str) and lead[0] and not lead[0].strip(" "))
        return len(part) >= 2 and part[0] in FIELD_NAMES and type(part[1]) is int and part[1] >= 0 and bool(blank)
    return type(part) is int and part >= 0


def _are_ids(part: Any) -> bool:
    return isinstance(part, list) and all(type(token) is int and token >= 0 for token in part)
