"""Text pairs for encoders: the tokenizer's own pairs, with the spans of context, question and option."""

from __future__ import annotations

import pytest
from support import DEMO, NAMES, SPECIAL, wordpiece
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from llmtuner.data.question import Question
from llmtuner.data.tokens.pair import PairEncoder


def byte_level() -> PreTrainedTokenizerFast:
    """RoBERTa's form: spaces belong to tokens, two separators, one token type."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=SPECIAL, show_progress=False)
    tokenizer.train([str(DEMO)], trainer)
    pair = {"single": "[CLS] $A [SEP]", "pair": "[CLS] $A [SEP] [SEP] $B [SEP]"}
    tokenizer.post_processor = processors.TemplateProcessing(**pair, special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **NAMES)


ASKED = Question("1", "What boils?", ("water, at 100 degrees", "a rock", ""), context="Liquids turn into gases.")


@pytest.mark.parametrize("make", [wordpiece, byte_level])
@pytest.mark.parametrize("context", ["", "Liquids turn into gases."])
def test_the_ids_are_those_of_the_tokenizers_own_pair(make, context):
    tokenizer = make()
    question = Question("1", ASKED.question, ASKED.options, context=context)
    [tokens] = PairEncoder(tokenizer, None, 128).encode([question])
    # (No blank option here: the tokenizer treats "" as no second text and drops its separator.)
    for option, sequence in zip(question.options[:2], tokens.sequences, strict=False):
        first = f"{context} {question.question}" if context else question.question
        assert sequence == tokenizer(first, option)["input_ids"]


@pytest.mark.parametrize(("make", "typed"), [(wordpiece, True), (byte_level, False)])
def test_the_option_is_of_a_type_of_its_own_where_the_tokenizer_says_so(make, typed):
    tokenizer = make()
    [tokens] = PairEncoder(tokenizer, None, 128).encode([ASKED])
    assert tokens.second == (tokens.options[0][0] if typed else 0)
    if typed:
        types = tokenizer(f"{ASKED.context} {ASKED.question}", ASKED.options[0])["token_type_ids"]
        assert types.index(1) == tokens.second


@pytest.mark.parametrize("make", [wordpiece, byte_level])
def test_spans_follow_the_text(make):
    tokenizer = make()
    [tokens] = PairEncoder(tokenizer, None, 128).encode([ASKED])
    text = lambda option, span: tokenizer.decode(tokens.sequences[option][slice(*span)]).replace(" ", "").lower()  # noqa: E731
    assert text(0, tokens.context) == "liquidsturnintogases."
    assert text(0, tokens.question) == "whatboils?"
    assert text(0, tokens.options[0]) == "water,at100degrees"
    assert tokens.options[2][0] == tokens.options[2][1], "a blank option has no tokens of its own"


def test_only_the_end_of_the_context_is_cut():
    tokenizer = wordpiece()
    whole = PairEncoder(tokenizer, None, 128).encode([ASKED])[0]
    limit = max(map(len, whole.sequences)) - 2
    [tokens] = PairEncoder(tokenizer, None, limit).encode([ASKED])
    assert (tokens.cut, tokens.over) == (2, 0)
    assert max(map(len, tokens.sequences)) == limit
    _, end = whole.context
    assert tokens.sequences[0] == whole.sequences[0][: end - 2] + whole.sequences[0][end:]


def test_special_tokens_in_a_text_stay_text():
    tokenizer = wordpiece()
    [tokens] = PairEncoder(tokenizer, None, 128).encode([Question("1", "Is [SEP] text?", ("[MASK]", "no"))])
    assert tokens.sequences[0].count(tokenizer.sep_token_id) == 2
    assert tokenizer.mask_token_id not in tokens.sequences[0]
