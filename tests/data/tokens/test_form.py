"""The prompt's form is kept with a model: the same tokens come back without the template."""

from __future__ import annotations

import json

import pytest
from transformers import AutoTokenizer

from llmtuner.data.question import Question
from llmtuner.data.tokens.form import make_encoder, store_form
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


@pytest.mark.parametrize("joint", [False, True])
def test_the_same_tokens_come_back_without_the_template(joint, tiny_llama, template):
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    made = make_encoder(tokenizer, pairs=False, joint=joint, cutoff_len=64, template=template)
    stored = json.loads(json.dumps(store_form(made, "llama2", range(2, 11))))
    again = make_encoder(tokenizer, pairs=False, joint=joint, cutoff_len=64, stored=stored)
    assert again.encode(QUESTIONS) == made.encode(QUESTIONS)
    assert stored["template"] == "llama2"


def test_a_form_that_was_not_stored_needs_the_template(tiny_llama, template):
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    made = make_encoder(tokenizer, pairs=False, joint=True, cutoff_len=64, template=template)
    again = make_encoder(tokenizer, pairs=False, joint=True, cutoff_len=64, stored=store_form(made, "llama2", [4]))
    with pytest.raises(UserError, match="name the --template"):
        again.encode(QUESTIONS[:1])
