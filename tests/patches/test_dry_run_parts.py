"""The tokens of a dry run's prompts as text."""

from __future__ import annotations

import pytest
from transformers import AutoTokenizer

from patches.dry_run.parts import _texts


@pytest.mark.parametrize("text", ["is Ω in °C \U0001f600 \u65e5\u672c", "\u65e5", "caf\u00e9", "plain"])
def test_a_character_of_several_tokens_is_readable(text, tiny_llama):
    """Token by token, a tokenizer decodes each of its bytes to a replacement character: "日" was "���"."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    ids = tokenizer.encode(text, add_special_tokens=False)
    texts = _texts(tokenizer, ids, ["question"] * len(ids))
    assert len(texts) == len(ids)
    assert "".join(texts).strip() == text


def test_characters_do_not_grow_over_the_end_of_a_role(tiny_llama):
    """Half a character at the end of a field stays where it is."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    half, whole = (tokenizer.encode(text, add_special_tokens=False) for text in ("\u65e5", "a"))
    ids, roles = [*half[:-1], *whole], ["context"] * (len(half) - 1) + ["question"] * len(whole)
    texts = _texts(tokenizer, ids, roles)
    assert "".join(texts[len(half) - 1 :]).strip() == "a"
    assert set("".join(texts[: len(half) - 1]).strip()) == {"\ufffd"}
