"""One sequence per option: tokens, spans and cutting are the same in every layout."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_joint import QUESTION, Llama2Like
from transformers import AutoTokenizer

from llmtuner.data.tokens.fields import encode_fields
from llmtuner.data.tokens.option import OptionEncoder


@pytest.fixture(scope="module")
def tokenizer(tiny_llama):
    return AutoTokenizer.from_pretrained(tiny_llama)


def encode(tokenizer, question=QUESTION, cutoff_len=10_000):
    return OptionEncoder(tokenizer, Llama2Like(), cutoff_len).encode([question])[0]


def test_a_sequence_holds_its_option_and_no_other_and_no_letter(tokenizer):
    tokens = encode(tokenizer)
    for option, sequence in zip(QUESTION.options, tokens.sequences, strict=True):
        text = tokenizer.decode(sequence)
        assert option in text
        assert not any(other in text for other in QUESTION.options if other != option and other not in option)
        assert "letter" not in text
        assert sequence[-1] == tokenizer.eos_token_id, "the last token is the template's end"


def test_spans_follow_the_text(tokenizer):
    tokens = encode(tokenizer)
    context, asked, *options = encode_fields(tokenizer, [QUESTION.context, QUESTION.question, *QUESTION.options])
    for sequence, option, (begin, end) in zip(tokens.sequences, options, tokens.options, strict=True):
        assert sequence[slice(*tokens.context)] == context
        assert sequence[slice(*tokens.question)] == asked
        assert sequence[begin:end] == option


def test_the_prefix_may_run_into_option_text_and_leaves_each_option_a_token(tokenizer):
    common = encode(tokenizer, replace(QUESTION, options=("carbon dioxide", "carbon monoxide")))
    assert common.prefix_length > common.options[0][0]
    equal = encode(tokenizer, replace(QUESTION, options=("argon", "argon")))
    assert equal.prefix_length == len(equal.sequences[0]) - 1
    begins = encode(tokenizer, replace(QUESTION, options=("carbon", "carbon dioxide")))
    assert begins.prefix_length < min(map(len, begins.sequences))


def test_a_blank_option_still_has_its_closing_tokens(tokenizer):
    tokens = encode(tokenizer, replace(QUESTION, options=("", "argon")))
    begin, end = tokens.options[0]
    assert begin == end
    assert tokens.sequences[0][-1] == tokenizer.eos_token_id


@given(limit=st.integers(5, 160), context=st.integers(0, 50))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_all_options_see_the_same_cut_context(tokenizer, limit, context):
    """If the context were cut per option, long options would be judged with less context than short ones."""
    question = replace(QUESTION, context=" ".join(f"word{i}" for i in range(context)))
    whole, cut = encode(tokenizer, question), encode(tokenizer, question, limit)
    contexts = {tuple(sequence[slice(*cut.context)]) for sequence in cut.sequences}
    assert len(contexts) == 1
    [ids] = encode_fields(tokenizer, [question.context])
    assert list(contexts.pop()) == ids[: len(ids) - cut.cut]
    if not cut.over:
        assert max(map(len, cut.sequences)) <= limit
    for whole_ids, cut_ids, (begin, end) in zip(whole.sequences, cut.sequences, cut.options, strict=True):
        assert cut_ids[begin:] == whole_ids[len(whole_ids) - (len(cut_ids) - begin) :], (
            "option and closing tokens are whole"
        )
        assert end >= begin
