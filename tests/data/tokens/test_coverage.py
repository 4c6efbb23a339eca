"""A tokenizer that cannot read the questions is noticed, and one that can is not accused."""

from __future__ import annotations

import pytest
from support import DEMO, byte_level, wordpiece

from llmtuner.data.load import read_questions
from llmtuner.data.question import Question
from llmtuner.data.tokens.coverage import SAMPLE, check_tokenizer
from llmtuner.errors import DataError

ENGLISH = Question("7", "Why is the sky blue in the morning?", ("the air", "the light", "water 25"), file="rows.csv")
CHINESE = Question("8", "植物在光合作用中吸收哪种气体？", ("氧气", "二氧化碳"), file="rows.csv")
ACCENTS = Question("9", "The NAÏVE Café in the morning, half full", ("the ａｉｒ", "Água"), file="rows.csv")
DEMO_QUESTIONS = read_questions(DEMO, purpose="train").questions


@pytest.fixture(scope="module")
def bert():
    return wordpiece()


@pytest.fixture(scope="module")
def llama(tiny_llama):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_llama)


def test_each_space_as_the_end_token_is_noticed():
    """SmolLM2's tokenizer, saved from a GGUF file: training "worked", MAP@3 was chance, and nothing said why."""
    with pytest.raises(DataError) as refused:
        check_tokenizer(byte_level(broken=True), DEMO_QUESTIONS)
    message = str(refused.value)
    assert "of the tokens are unknown" in message
    assert message.count("is read as") == 3
    assert "<|endoftext|>" in message
    assert "`allow_unknown_tokens`" in message
    assert "tokenizer_config.json" in message


def test_the_same_tokenizer_in_its_right_form_reads_everything():
    assert check_tokenizer(byte_level(), [*DEMO_QUESTIONS, ENGLISH, CHINESE, ACCENTS]) == []


def test_byte_fallback_is_no_loss(llama):
    """Llama's tokenizer has no word for Chinese, but its bytes give the text back."""
    assert check_tokenizer(llama, [*DEMO_QUESTIONS, ENGLISH, CHINESE, ACCENTS]) == []


def test_lower_case_and_accents_are_no_loss(bert):
    """BERT drops both on purpose."""
    assert check_tokenizer(bert, [*DEMO_QUESTIONS, ENGLISH]) == []
    readable = Question("1", "NAÏVE café", ("Ágil", "El Niño"))
    assert check_tokenizer(bert, [readable]) == []


def test_chinese_on_an_english_vocabulary_is_a_loss(bert):
    with pytest.raises(DataError, match=r"rows\.csv:0: id '8': '植物在光合作用中吸收哪种气体？' is read as '\[UNK\]"):
        check_tokenizer(bert, [CHINESE] * 3)


def test_options_count_for_themselves(bert):
    """Options in another script vanish in the share of a long English context."""
    question = Question(
        "1", "Which of these is the word for water?", ("氧", "水"), context="the water or the air " * 99
    )
    with pytest.raises(DataError, match=r"checked\): options: 100\.0 % of the tokens are unknown"):
        check_tokenizer(bert, [question] * 20)


def test_one_lost_digit_is_too_much(bert):
    """WordPiece makes one unknown token of "25℃": the number that was asked for is gone."""
    many = [ENGLISH] * 150
    assert check_tokenizer(bert, many) == []
    with pytest.raises(DataError, match=r"1 of 151 texts lose letters a-z or digits[^']*'10'[^']*'[^']*25℃"):
        check_tokenizer(bert, [*many, Question("10", "The water is at 25℃ now", ("the air", "the light"))])


def test_the_unknown_tokens_own_letters_do_not_count(bert):
    """Decoded as text, "[UNK]" has the letters of a lost "unk"."""
    with pytest.raises(DataError, match="1 of 151 texts lose letters"):
        check_tokenizer(bert, [ENGLISH] * 150 + [Question("10", "The water is unk℃ now", ("the air", "the light"))])


def test_a_few_unknown_symbols_are_only_a_warning(bert):
    """A symbol of its own that the vocabulary lacks: the text stays readable, and the user is told."""
    lines = check_tokenizer(bert, [ENGLISH] * 6 + [Question("2", "the water ⇌ the air ?", ("the air", "water"))])
    assert "below 0.1 %" not in lines[0]
    assert "⇌" in "\n".join(lines)
    assert check_tokenizer(bert, [ENGLISH] * 199 + [Question("2", "the water ⇌ air", ("the air", "water"))]) == []


def test_an_option_of_unknown_tokens_alone_is_named(bert):
    """However rare: such options cannot be told apart."""
    lines = check_tokenizer(bert, [ENGLISH] * 199 + [Question("2", "the water or the air", ("⇌", "⇄"))])
    assert "2 texts consist of unknown tokens only" in lines[0]


def test_allowing_it_turns_the_refusal_into_a_warning(bert):
    lines = check_tokenizer(bert, [CHINESE], allow=True)
    assert "of the tokens are unknown" in lines[0]
    assert not any("allow_unknown_tokens" in line for line in lines)


def test_only_the_first_questions_are_read(bert):
    assert check_tokenizer(bert, [ENGLISH] * SAMPLE + [CHINESE]) == []
    assert check_tokenizer(bert, [ENGLISH] * (SAMPLE - 1) + [CHINESE]) != []


def test_text_that_is_dropped_without_an_unknown_token_is_noticed():
    """A BPE without unknown token and without bytes drops what it does not know, in silence."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    letters = {letter: number for number, letter in enumerate("abcdefghijklmnopqrstuvwxyz ?")}
    silent = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE(vocab=letters, merges=[])))
    readable = Question("1", "why is the sky blue?", ("air", "light"))
    assert check_tokenizer(silent, [readable]) == []
    with pytest.raises(DataError, match="decoding loses"):
        check_tokenizer(silent, [readable, Question("1", "почему небо синее?", ("воздух", "свет"))])
    with pytest.raises(DataError, match="lose letters a-z or digits"):
        check_tokenizer(silent, [readable, Question("1", "why is it 25?", ("air", "light"))])


def test_words_that_look_like_control_tokens_are_text(llama, bert):
    """Special tokens in a question are split into plain text; none of that is unknown."""
    assert check_tokenizer(llama, [Question("1", "Is </s> or <s> or [UNK] the end?", ("<unk>", "</s>"))]) == []
    assert check_tokenizer(byte_level(), [Question("1", "What is <|endoftext|>?", ("<|im_end|>", "the end"))]) == []
