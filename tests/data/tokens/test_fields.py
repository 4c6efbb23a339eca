"""Fields as token ids: the Rust tokenizer, called for ids alone, gives those of the tokenizer's own call."""

from __future__ import annotations

import pytest
from support import wordpiece
from transformers import AutoTokenizer

from llmtuner.data.tokens.fields import encode_fields, runs_of_ids

TEXTS = ["Which gas?", "", "</s> <s> [CLS] text", "neon", "neon", " two  blanks ", "中文 é 🙂", "a\nb\t", "7 + 3"]


@pytest.fixture(scope="module", params=["llama", "bert"])
def tokenizer(request, tiny_llama):
    return wordpiece() if request.param == "bert" else AutoTokenizer.from_pretrained(tiny_llama)


def own_call(tokenizer, texts):
    return [tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"] for text in texts]


def test_the_ids_are_those_of_the_tokenizers_own_call(tokenizer):
    expected = own_call(tokenizer, TEXTS)
    assert encode_fields(tokenizer, TEXTS) == expected
    assert not set(tokenizer.all_special_ids) - {tokenizer.unk_token_id} & {i for ids in expected for i in ids}


def test_an_earlier_call_that_cut_and_padded_changes_no_field(tokenizer):
    """Truncation and padding stay set in the Rust tokenizer after such a call."""
    expected = own_call(tokenizer, TEXTS)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    tokenizer(TEXTS, truncation=True, max_length=2, padding="max_length")
    assert encode_fields(tokenizer, TEXTS) == expected
    assert own_call(tokenizer, TEXTS) == expected, "and the other way round"


def test_a_tokenizer_that_does_more_is_called_as_a_whole(tokenizer):
    """Some classes of transformers change texts before they reach the Rust tokenizer."""

    class Shouting(type(tokenizer)):
        def _encode_plus(self, text, **more):
            assert more["split_special_tokens"] is True
            assert more["add_special_tokens"] is False
            return super()._encode_plus([each.replace("Which", "neon") for each in text], **more)

    expected = own_call(tokenizer, ["neon gas?", "neon"])
    tokenizer.__class__, original = Shouting, type(tokenizer)
    try:
        assert encode_fields(tokenizer, ["Which gas?", "neon"]) == expected
    finally:
        tokenizer.__class__ = original


def test_runs_keep_the_order_of_a_skeleton():
    from llmtuner.data.prompt import Field

    place = Field("question")
    assert runs_of_ids([1, 2, place, 3, place]) == [[1, 2], place, [3], place]
    assert runs_of_ids([]) == []
