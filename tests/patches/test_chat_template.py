"""Predictions without --template, of a model whose folder has the chat template of its training."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from llmtuner.errors import UserError
from tests.support import byte_level


@pytest.fixture
def parse_template():
    import patches

    patches.install()
    from llamafactory.data import template

    return template.parse_template


def test_the_template_of_a_training_without_template_is_read_back(parse_template):
    """Merged or fully tuned without --template, a model could not be scored: "A placeholder is required"."""
    from llamafactory.data.template import TEMPLATES

    tokenizer = byte_level()
    tokenizer.chat_template = None
    TEMPLATES["empty"].fix_jinja_template(tokenizer)
    assert tokenizer.chat_template
    assert parse_template(tokenizer) is TEMPLATES["empty"]


def test_a_chat_template_that_cannot_be_taken_apart_asks_for_a_name(parse_template):
    """Llama-2's, saved with a start token, ended in a traceback."""
    tokenizer = SimpleNamespace(
        chat_template="llama2",
        encode=lambda _: [1],
        decode=lambda _: "<s>",
        apply_chat_template=lambda messages, **_: "".join(message["content"] for message in messages),
    )
    from llamafactory.data.template import TEMPLATES

    tokenizer.bos_token_id = tokenizer.eos_token_id = None
    assert tokenizer.chat_template != TEMPLATES["empty"]._get_jinja_template(tokenizer)
    with pytest.raises(UserError, match="add --template NAME"):
        parse_template(tokenizer)
