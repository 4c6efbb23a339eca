"""How byte-level tokenizers split text before they merge: one row for each value of `tokenizer.ggml.pre`.

A file gives only the name. An unknown one is refused: with another split, text still becomes tokens, but other ones
than the model was trained on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# The published tokenizers of Llama 3 and Qwen2; they differ in how many digits stand together.
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}"
    r"| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True, slots=True)
class Split:
    """A way of splitting text.

    Args:
        build: makes the pre-tokenizer of the tokenizers package.
        composes: whether characters are brought into their composed form (NFC) first.
        whole_words: whether a word that is a token is not split, even if no merges lead to it.
        adds_begin: whether a begin token is added where the file does not say.
    """

    build: Callable[[], Any]
    composes: bool = False
    whole_words: bool = False
    adds_begin: bool = False


def _gpt2() -> Any:
    """GPT-2's own expression: words with the space before them, numbers, punctuation."""
    from tokenizers import pre_tokenizers

    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)


def _single_digits() -> Any:
    """The same, but each digit stands alone."""
    from tokenizers import pre_tokenizers

    return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), _gpt2()])


def _expression(digits: str) -> Callable[[], Any]:
    def build() -> Any:
        from tokenizers import Regex, pre_tokenizers

        words = pre_tokenizers.Split(Regex(_WORDS.format(digits=digits)), behavior="isolated")
        return pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])

    return build


_LLAMA_3 = Split(_expression(r"\p{N}{1,3}"), whole_words=True, adds_begin=True)
_QWEN_2 = Split(_expression(r"\p{N}"), composes=True)

SPLITS = {
    "gpt-2": Split(_gpt2),
    "smollm": Split(_single_digits),
    "starcoder": Split(_single_digits),
    "command-r": Split(_single_digits, composes=True),
    "qwen2": _QWEN_2,
    "deepseek-r1-qwen": _QWEN_2,
    "llama-bpe": _LLAMA_3,
    "llama3": _LLAMA_3,
    "llama-v3": _LLAMA_3,
}
