"""The vocabulary in a GGUF file's metadata: tokens, what kind each is, and which ones begin, end and pad a text."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from llmtuner.errors import UserError
from llmtuner.gguf_files.reader import GgufFile

MODEL, PRE, TOKENS, TYPES = (f"tokenizer.ggml.{name}" for name in ("model", "pre", "tokens", "token_type"))
MERGES, SCORES = "tokenizer.ggml.merges", "tokenizer.ggml.scores"
TEMPLATE = "tokenizer.chat_template"
_ROLES = {  # transformers' names, and the keys of the file
    "bos_token": "tokenizer.ggml.bos_token_id",
    "eos_token": "tokenizer.ggml.eos_token_id",
    "unk_token": "tokenizer.ggml.unknown_token_id",
    "pad_token": "tokenizer.ggml.padding_token_id",
}


class Kind(IntEnum):
    """What a token is."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4  # always one token, wherever its text occurs
    UNUSED = 5
    BYTE = 6  # "<0x0A>" stands for a byte that no token covers


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The tokens of a file.

    Args:
        tokens: as the file has them; a token's place is its id.
        kinds: the kind of each.
        roles: bos_token, eos_token, unk_token and pad_token, where the file names them.
        adds_begin, adds_end: whether texts get a begin and an end token; None where the file does not say.
    """

    tokens: tuple[str, ...]
    kinds: tuple[int, ...]
    roles: dict[str, str]
    adds_begin: bool | None
    adds_end: bool | None

    @property
    def ids(self) -> dict[str, int]:
        """The id of each token."""
        return {token: number for number, token in enumerate(self.tokens)}

    def of(self, *kinds: Kind) -> list[str]:
        """The tokens of these kinds, in the order of their ids."""
        return [token for token, kind in zip(self.tokens, self.kinds, strict=True) if kind in kinds]

    def added(self) -> list[Any]:
        """The tokens that are cut out of a text before it is split, as the tokenizers package names them.

        A control token, and a token with a role, is special: decoding can leave it out, and a field of data never
        becomes one. A user-defined token is plain text that is always one token.
        """
        from tokenizers import AddedToken

        special = {*self.of(Kind.CONTROL, Kind.UNKNOWN), *self.roles.values()}
        defined = set(self.of(Kind.USER_DEFINED))
        return [
            AddedToken(token, special=token in special, normalized=False)
            for token in self.tokens
            if token in special or token in defined
        ]


def read_vocabulary(file: GgufFile) -> Vocabulary:
    """Read and check the vocabulary.

    Raises:
        UserError: the file has no tokens, the same twice, kinds for another number of them, or an id out of range.
    """
    tokens, kinds = file.need(TOKENS, list), file.need(TYPES, list)
    if len(kinds) != len(tokens):
        raise UserError(f"{file.path}: has {len(tokens)} tokens and {len(kinds)} kinds in {TYPES}; download it again")
    # Converters before 2024 wrote SentencePiece's mark for a space in these tokens, too; in text it is a space.
    marked = [
        token.replace("▁", " ") if kind == Kind.USER_DEFINED else token
        for token, kind in zip(tokens, kinds, strict=True)
    ]
    if len(set(marked)) != len(marked):
        twice = sorted({token for token in marked if marked.count(token) > 1})
        raise UserError(f"{file.path}: {TOKENS} has {twice[0]!r} more than once; convert the original model again")
    return Vocabulary(
        tuple(marked),
        tuple(kinds),
        _roles(file, marked),
        file.get("tokenizer.ggml.add_bos_token", bool),
        file.get("tokenizer.ggml.add_eos_token", bool),
    )


def _roles(file: GgufFile, tokens: list[str]) -> dict[str, str]:
    file.need(_ROLES["eos_token"], int)  # without an end token, nothing can be padded or trained
    roles = {}
    for role, key in _ROLES.items():
        number = file.get(key, int)
        if number is None or number == 0xFFFFFFFF:  # llama.cpp's number for "none"
            continue
        if not 0 <= number < len(tokens):
            raise UserError(f"{file.path}: {key} is {number}, but there are {len(tokens)} tokens; download it again")
        roles[role] = tokens[number]
    return roles
