"""Tokenizers built from GGUF metadata, against the tokenizers that the metadata describes."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import DEMO, byte_level
from tiny_gguf import DEFINED, byte_level_values, sentencepiece_model, sentencepiece_values

from llmtuner.errors import UserError
from llmtuner.gguf_files.reader import GgufFile
from llmtuner.gguf_files.splits import SPLITS
from llmtuner.gguf_files.tokenizer import build_tokenizer, frame
from llmtuner.gguf_files.vocabulary import TOKENS, TYPES, read_vocabulary

LINES = DEMO.read_text(encoding="utf-8").splitlines()[:40]
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
# SentencePiece's own mark for a space is read as a space.
UNMARKED = TEXT.filter(lambda text: "▁" not in text) | st.text("aabeht  \n\t<h1>é日", max_size=30)


def built(values: dict, **changed):
    given_values = {"general.architecture": "llama", "llama.context_length": 128, **values, **changed}
    return build_tokenizer(GgufFile(Path("a.gguf"), {key: v for key, v in given_values.items() if v is not None}))


@pytest.fixture(scope="module")
def bytes_of_text():
    return built(byte_level_values())


@pytest.fixture(scope="module", params=[False, True], ids=["no prefix", "prefix"])
def pieces(request):
    return built(sentencepiece_values(request.param)), sentencepiece_model(request.param)


def test_a_byte_level_tokenizer_is_the_one_that_was_written(bytes_of_text):
    original = byte_level()
    words = [re.sub(r"\d", "", line) for line in LINES]  # the original does not split digits
    assert bytes_of_text(words).input_ids == original(words).input_ids
    assert len(bytes_of_text) == len(original)
    assert bytes_of_text.special_tokens_map == original.special_tokens_map
    assert bytes_of_text.model_max_length == 128


def test_each_digit_is_a_token_and_a_space_belongs_to_its_word(bytes_of_text):
    """transformers' conversion made the unknown token of each space."""
    assert bytes_of_text.tokenize("a 1234") == ["a", "Ġ", "1", "2", "3", "4"]
    assert bytes_of_text.tokenize(" the")[0].startswith("Ġ")
    assert bytes_of_text.encode("the") == bytes_of_text.encode("the", add_special_tokens=False), "no begin token"


@given(text=TEXT)
def test_byte_level_tokens_give_every_text_back(bytes_of_text, text):
    ids = bytes_of_text.encode(text)
    assert bytes_of_text.decode(ids) == text
    assert bytes_of_text.unk_token_id not in ids


def test_sentencepiece_itself_gives_the_same_tokens(pieces):
    """transformers' conversion merges in another order: "You are" became `You`, `▁a`, `re`."""
    tokenizer, reference = pieces
    for line in LINES:
        assert tokenizer.encode(line, add_special_tokens=False) == reference.encode(line)


@given(text=UNMARKED)
def test_sentencepiece_gives_the_same_tokens_for_any_text(pieces, text):
    tokenizer, reference = pieces
    assert tokenizer.encode(text, add_special_tokens=False) == reference.encode(text)


@given(text=UNMARKED)
def test_sentencepiece_tokens_give_every_text_back(pieces, text):
    tokenizer, _ = pieces
    assert tokenizer.decode(tokenizer.encode(text), skip_special_tokens=True) == text


def test_user_defined_tokens_are_text_and_are_never_split():
    tokenizer = built(sentencepiece_values())
    ids = tokenizer.convert_tokens_to_ids(list(DEFINED))
    assert tokenizer.encode("a  b<h1>", add_special_tokens=False)[1::2] == ids
    assert not set(ids) & set(tokenizer.all_special_ids)


@pytest.mark.parametrize(
    ("begin", "end", "expected"),
    [
        (True, False, ["<s>", "a"]),
        (False, True, ["a", "</s>"]),
        (True, True, ["<s>", "a", "</s>"]),
        (False, False, ["a"]),
        (None, None, ["<s>", "a"]),
    ],
)
def test_begin_and_end_tokens_are_those_of_the_file(begin, end, expected):
    """transformers' conversion never added a begin token."""
    names = {"tokenizer.ggml.add_bos_token": begin, "tokenizer.ggml.add_eos_token": end}
    tokenizer = built(sentencepiece_values(), **names)
    assert tokenizer.convert_ids_to_tokens(tokenizer("a").input_ids) == expected
    assert tokenizer.convert_ids_to_tokens(tokenizer("a", "a").input_ids) == expected * 2


def test_a_byte_level_tokenizer_adds_a_begin_token_only_where_the_file_or_its_split_says(bytes_of_text):
    values = byte_level_values()
    del values["tokenizer.ggml.add_bos_token"]
    begins = {name: built(values, **{"tokenizer.ggml.pre": name})("a").input_ids[0] == 1 for name in SPLITS}
    assert [name for name, adds in begins.items() if adds] == ["llama-bpe", "llama3", "llama-v3"]
    assert built(values, **{"tokenizer.ggml.add_bos_token": True})("a").input_ids[0] == 1


@pytest.mark.parametrize("name", ["<|im_end|>", "<|endoftext|>"])
def test_control_tokens_are_special_and_data_can_keep_them_as_text(bytes_of_text, name):
    number = bytes_of_text.convert_tokens_to_ids(name)
    assert bytes_of_text.encode(f"a{name}") == [*bytes_of_text.encode("a"), number]
    assert number not in bytes_of_text.encode(f"a{name}", split_special_tokens=True)
    assert bytes_of_text.decode([number], skip_special_tokens=True) == ""


def test_a_control_token_without_a_role_is_special_too(bytes_of_text):
    values = byte_level_values()
    values[TYPES] = [*values[TYPES][:-1], 3]
    last = len(values[TYPES]) - 1
    assert built(values).decode([last], skip_special_tokens=True) == ""
    assert bytes_of_text.decode([last], skip_special_tokens=True) != ""


@pytest.mark.parametrize("kind", [3, 4, 5, 6])
def test_only_normal_tokens_are_merged(kind):
    """Text that is spelled like a control token became it, even where data must stay text."""
    values = sentencepiece_values()
    letters = [token for token, own in zip(values[TOKENS], values[TYPES], strict=True) if own == 1 and token.isalpha()]
    first, second = [letter for letter in letters if len(letter) == 1][:2]
    whole = first + second + second + first
    assert whole not in values[TOKENS]
    pairs = [first + second, second + first]
    parts = [pair for pair in pairs if pair not in values[TOKENS]]
    more = {
        TOKENS: [*values[TOKENS], *parts, whole],
        TYPES: [*values[TYPES], *(1 for _ in parts), 1],
        "tokenizer.ggml.scores": [*values["tokenizer.ggml.scores"], *(0.0 for _ in parts), 0.0],
    }
    assert built(values, **more).tokenize(whole) == [whole]
    more[TYPES] = [*more[TYPES][:-1], kind]
    assert len(built(values, **more).tokenize(whole, split_special_tokens=True)) == (1 if kind == 4 else 2)


@pytest.mark.parametrize(("begin", "end"), [(True, False), (False, True), (True, True), (False, False)])
def test_the_frame_is_in_the_tokenizers_own_file(begin, end):
    """transformers 4 makes no frame of its own."""
    file = GgufFile(Path("a.gguf"), sentencepiece_values())
    words, tokenizer = read_vocabulary(file), built(sentencepiece_values()).backend_tokenizer
    tokenizer.post_processor = frame(words, begin=begin, end=end)
    one, two = ([1] * begin + tokenizer.encode(text, add_special_tokens=False).ids + [2] * end for text in "ab")
    assert tokenizer.encode("a").ids == one
    assert tokenizer.encode("a", "b").ids == one + two


SPLIT_TEXT = "Don't we HAVE 12345 things?! \n\n  x=ab_c; naïve e\u0301 日本語、и  "


@pytest.mark.parametrize("name", sorted(SPLITS))
def test_text_is_split_as_the_published_tokenizers_do(name):
    """Against the classes in transformers that have the same expression."""
    from tokenizers import Regex, pre_tokenizers
    from transformers import CohereTokenizer, GPT2Tokenizer, Qwen2Tokenizer
    from transformers.convert_slow_tokenizer import TikTokenConverter

    ours = built(byte_level_values(), **{"tokenizer.ggml.pre": name}).backend_tokenizer
    composed = name in ("command-r", "qwen2", "deepseek-r1-qwen")
    if name.startswith("llama"):
        words = pre_tokenizers.Split(Regex(TikTokenConverter(vocab_file=None).pattern), behavior="isolated")
        as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        expected = pre_tokenizers.Sequence([words, as_bytes])
    else:
        classes = {"gpt-2": GPT2Tokenizer, "qwen2": Qwen2Tokenizer, "deepseek-r1-qwen": Qwen2Tokenizer}
        published = classes.get(name, CohereTokenizer)().backend_tokenizer  # Command R splits like StarCoder and SmolLM
        expected = published.pre_tokenizer
        if composed:
            assert published.normalizer.normalize_str(SPLIT_TEXT) == unicodedata.normalize("NFC", SPLIT_TEXT)
    text = ours.normalizer.normalize_str(SPLIT_TEXT) if ours.normalizer else SPLIT_TEXT
    assert text == (unicodedata.normalize("NFC", SPLIT_TEXT) if composed else SPLIT_TEXT)
    assert ours.pre_tokenizer.pre_tokenize_str(text) == expected.pre_tokenize_str(text)


def test_a_whole_word_is_one_token_where_the_split_says():
    """Llama 3 has words that no merges lead to."""
    values = byte_level_values()
    values["tokenizer.ggml.tokens"] = [*values["tokenizer.ggml.tokens"], "xyzzy"]
    values["tokenizer.ggml.token_type"] = [*values["tokenizer.ggml.token_type"], 1]
    assert built(values, **{"tokenizer.ggml.pre": "llama-bpe"}).tokenize("xyzzy") == ["xyzzy"]
    assert len(built(values).tokenize("xyzzy")) > 1


BYTES, PIECES = byte_level_values, sentencepiece_values


@pytest.mark.parametrize(
    ("values", "changed", "message"),
    [
        (BYTES, {"tokenizer.ggml.pre": "jais"}, "tokenizer.ggml.pre jais: how this tokenizer splits text is not known"),
        (BYTES, {"tokenizer.ggml.pre": None}, "has no tokenizer.ggml.pre"),
        (BYTES, {"tokenizer.ggml.model": "t5"}, "tokenizer.ggml.model t5: not supported; .* gpt2, llama"),
        (BYTES, {"tokenizer.ggml.model": None}, "has no tokenizer.ggml.model"),
        (BYTES, {TOKENS: None}, "has no tokenizer.ggml.tokens"),
        (BYTES, {TYPES: None}, "has no tokenizer.ggml.token_type"),
        (BYTES, {TYPES: [1]}, "tokens and 1 kinds"),
        (BYTES, {"tokenizer.ggml.merges": None}, "has no tokenizer.ggml.merges"),
        (BYTES, {"tokenizer.ggml.merges": ["a b", "t Ψ"]}, r"merges\[\d\] is '(a b|t Ψ)', expected two tokens"),
        (BYTES, {"tokenizer.ggml.merges": ["a b c"]}, "expected two tokens"),
        (BYTES, {"tokenizer.ggml.eos_token_id": None}, "has no tokenizer.ggml.eos_token_id"),
        (BYTES, {"tokenizer.ggml.bos_token_id": 10**6}, "bos_token_id is 1000000, but there are 800 tokens"),
        (BYTES, {"llama.context_length": None}, "has no llama.context_length"),
        (PIECES, {"tokenizer.ggml.scores": None}, "has no tokenizer.ggml.scores"),
        (PIECES, {"tokenizer.ggml.scores": [0.0]}, "tokens and 1 scores"),
        (PIECES, {"tokenizer.ggml.bos_token_id": None}, "adds a begin token, but has no tokenizer.ggml.bos_token_id"),
        (PIECES, {"tokenizer.ggml.add_space_prefix": True}, "cannot be rebuilt exactly"),
        (PIECES, {"tokenizer.ggml.precompiled_charsmap": [1, 2]}, "a normalisation of characters"),
        (PIECES, {TOKENS: [" a"] * 3, TYPES: [4] * 3}, "has ' a' more than once"),
    ],
)
def test_metadata_that_is_not_enough_is_refused(values, changed, message):
    with pytest.raises(UserError, match=message) as refused:
        built(values(), **changed)
    assert str(refused.value).startswith("a.gguf: ")


def test_old_files_mark_the_spaces_of_user_defined_tokens():
    values = sentencepiece_values()
    marked = [token.replace(" ", "▁") for token in values[TOKENS]]
    assert marked != values[TOKENS]
    new, old = built(values), built(values, **{TOKENS: marked})
    assert old.encode("a  b") == new.encode("a  b")


def test_a_number_for_no_token_is_no_token():
    assert built(byte_level_values(), **{"tokenizer.ggml.padding_token_id": 0xFFFFFFFF}).pad_token is None
