"""The prompt's form is stored with a model: it gives the same tokens without the template."""

from __future__ import annotations

import json

import pytest
from transformers import AutoTokenizer

from llmtuner.data.question import Question
from llmtuner.data.tokens.encoder import ENCODERS
from llmtuner.data.tokens.stored import check_form
from llmtuner.errors import UserError

QUESTIONS = [
    Question("1", "Which?", ("a", "bb", "ccc")),
    Question("2", "Which one?", ("a", "bb", "ccc", "d"), context="Some text."),
]


@pytest.fixture(scope="module")
def template(tiny_llama):
    import patches

    patches.install()
    from llamafactory.data.template import TEMPLATES

    return TEMPLATES["llama2"]


@pytest.mark.parametrize("text", ["option", "joint"])
def test_the_same_tokens_come_back_without_the_template(text, tiny_llama, template):
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    encoder = ENCODERS[text, "causal"]
    made = encoder.from_json(tokenizer, {}, cutoff_len=64, template=template)
    stored = made.to_json("llama2", range(2, 11))
    assert json.loads(json.dumps(stored)) == stored, "tuples would be lists after they are read back"
    check_form(stored)  # runs check the form before it is written, too: letters were refused there
    again = encoder.from_json(tokenizer, stored, cutoff_len=64)
    assert again.encode(QUESTIONS) == made.encode(QUESTIONS)
    assert stored["template"] == "llama2"


def test_a_form_that_was_not_stored_needs_the_template(tiny_llama, template):
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    encoder = ENCODERS["joint", "causal"]
    made = encoder.from_json(tokenizer, {}, cutoff_len=64, template=template)
    again = encoder.from_json(tokenizer, made.to_json("llama2", [4]), cutoff_len=64)
    with pytest.raises(UserError, match="pass the `template`"):
        again.encode(QUESTIONS[:1])
