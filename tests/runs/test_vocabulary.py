"""Tokens added for a training are read from flags as upstream reads them, and stored as they were."""

from __future__ import annotations

import json

import pytest

from llmtuner.cli.flags import Flags
from llmtuner.cli.record import settings_of
from llmtuner.cli.words import Words
from llmtuner.errors import FieldError
from llmtuner.runs.vocabulary import Vocabulary


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, Vocabulary()),
        ({"resize_vocab": ["false"]}, Vocabulary()),
        ({"resize_vocab": []}, Vocabulary(resize_vocab=True)),
        ({"resize_vocab": True, "add_tokens": "kJ/mol, mol/L"}, Vocabulary(True, ("kJ/mol", "mol/L"))),
        ({"resize_vocab": "true", "add_tokens": None}, Vocabulary(True)),
        ({"add_tokens": 42.0}, Vocabulary(add_tokens=("42",))),
        ({"add_tokens": 1234567.0}, Vocabulary(add_tokens=("1234567",))),
        ({"add_tokens": True}, Vocabulary(add_tokens=("true",))),
        ({"add_tokens": "007,1.0"}, Vocabulary(add_tokens=("007", "1.0"))),
        ({"add_special_tokens": ["<a>,<b>"]}, Vocabulary(add_special_tokens=("<a>", "<b>"))),
        ({"new_special_tokens_config": {"<a,b>": "two"}}, Vocabulary(add_special_tokens=("<a,b>",))),
        ({"add_special_tokens": ["<a>", "<b>"]}, Vocabulary(add_special_tokens=("<a>", "<b>"))),
    ],
)
def test_flags_are_read_in_each_form_that_stores_them(settings, expected):
    assert Vocabulary.from_flags(settings) == expected
    assert Vocabulary.from_json(expected.to_json()) == expected
    assert bool(expected) == (expected != Vocabulary())


@pytest.mark.parametrize("stored", [{"add_tokens": "a"}, {"resize_vocab": 1}, {"tokens": []}, {"add_tokens": [1]}])
def test_a_damaged_vocabulary_is_refused(stored):
    with pytest.raises(FieldError, match="vocabulary"):
        Vocabulary.from_json(stored)


@pytest.mark.parametrize("token", ["1234567", "007", "1e5", "nan", "1_000", "true", "<x>,42"])
def test_a_token_that_looks_like_a_number_is_stored_as_it_was_given(token):
    """A prediction added 1.23457e+06 for 1234567, and --add_tokens true ended in a TypeError."""
    flags = Flags.of(Words.from_argv(["--stage", "sft", "--resize_vocab", "--add_tokens", token]))
    stored = json.loads(json.dumps(settings_of(flags, None)))
    assert Vocabulary.from_flags(stored) == Vocabulary(True, tuple(token.split(",")))
