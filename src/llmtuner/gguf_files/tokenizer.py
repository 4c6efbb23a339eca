"""Builds a tokenizer from a GGUF file's metadata.

transformers' own conversion is wrong for both kinds: SmolLM2's (byte-level) splits text like CodeLlama's and turns each
space into the unknown token; Gemma's (SentencePiece) merges in another order and adds no begin token.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from llmtuner.errors import UserError
from llmtuner.gguf_files.reader import GgufFile
from llmtuner.gguf_files.splits import SPLITS
from llmtuner.gguf_files.vocabulary import MERGES, MODEL, PRE, SCORES, TEMPLATE, Kind, Vocabulary, read_vocabulary

SPACE = "▁"  # SentencePiece's mark
_PREFIX, _CHARSMAP = "tokenizer.ggml.add_space_prefix", "tokenizer.ggml.precompiled_charsmap"


def build_tokenizer(file: GgufFile) -> Any:
    """The tokenizer of a file, as transformers' PreTrainedTokenizerFast.

    Raises:
        UserError: the file lacks metadata, or its kind of tokenizer or its way of splitting text is not in our tables.
    """
    from transformers import PreTrainedTokenizerFast

    kind = file.need(MODEL, str)
    if kind not in KINDS:
        raise UserError(f"{file.path}: {MODEL} {kind}: not supported; choose a model with: {', '.join(KINDS)}")
    words = read_vocabulary(file)
    tokenizer, adds_begin = KINDS[kind](file, words)
    begin = adds_begin if words.adds_begin is None else words.adds_begin
    if begin and "bos_token" not in words.roles:
        raise UserError(f"{file.path}: adds a begin token, but has no tokenizer.ggml.bos_token_id; download it again")
    tokenizer.add_tokens(words.added())
    tokenizer.post_processor = frame(words, begin=begin, end=bool(words.adds_end))
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=file.need(f"{file.architecture}.context_length", int),
        clean_up_tokenization_spaces=False,
        add_bos_token=begin,  # transformers 5 makes the frame again from these two; 4 ignores them
        add_eos_token=bool(words.adds_end),
        **words.roles,
    )
    fast.chat_template = file.get(TEMPLATE, str)
    return fast


def _byte_level(file: GgufFile, words: Vocabulary) -> tuple[Any, bool]:
    """GPT-2's kind: merges over bytes, each of which is shown as one character."""
    from tokenizers import Tokenizer, decoders, models, normalizers

    name = file.need(PRE, str)
    if name not in SPLITS:
        raise UserError(
            f"{file.path}: {PRE} {name}: how this tokenizer splits text is not known here, and another split gives "
            f"other tokens; supported: {', '.join(SPLITS)}"
        )
    split = SPLITS[name]
    merges = [tuple(merge.split(" ")) for merge in file.need(MERGES, list)]
    _check_merges(file, merges, words)
    tokenizer = Tokenizer(
        models.BPE(
            vocab=words.ids,
            merges=merges,
            unk_token=words.roles.get("unk_token"),
            fuse_unk=False,
            ignore_merges=split.whole_words,
        )
    )
    if split.composes:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = split.build()
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer, split.adds_begin


def _check_merges(file: GgufFile, merges: list[Any], words: Vocabulary) -> None:
    ids = words.ids
    for number, merge in enumerate(merges):
        if len(merge) != 2 or any(part not in ids for part in (*merge, "".join(merge))):
            raise UserError(
                f"{file.path}: {MERGES}[{number}] is {' '.join(merge)!r}, expected two tokens whose whole is a token; "
                "download it again"
            )


def _sentencepiece(file: GgufFile, words: Vocabulary) -> tuple[Any, bool]:
    """SentencePiece's BPE: spaces are marked, merges follow the scores, bytes stand for what has no token."""
    from tokenizers import Tokenizer, decoders, models, normalizers

    if file.values.get(_CHARSMAP):
        raise UserError(f"{file.path}: {_CHARSMAP}: a normalisation of characters, which is not supported here")
    scores = file.need(SCORES, list)
    if len(scores) != len(words.tokens):
        raise UserError(f"{file.path}: has {len(words.tokens)} tokens and {len(scores)} scores; download it again")
    prefix = file.get(_PREFIX, bool)
    prefixed = prefix is None or prefix  # llama.cpp's default for this kind
    if prefixed and any(token.startswith(" ") for token in words.of(Kind.USER_DEFINED)):
        # The space would go in front of the first piece of text, not of the token that the text begins with.
        raise UserError(
            f"{file.path}: puts a space before every text, and has user-defined tokens that begin with one: this "
            "cannot be rebuilt exactly; convert the original model's safetensors instead"
        )
    tokenizer = Tokenizer(
        models.BPE(
            vocab=words.ids,
            merges=merges_by_score(words, scores),
            unk_token=words.roles.get("unk_token"),
            fuse_unk=True,
            byte_fallback=len(words.of(Kind.BYTE)) == 256,
        )
    )
    marks = [normalizers.Replace(" ", SPACE)]
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), *marks] if prefixed else marks)
    back = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence([*back, decoders.Strip(" ", 1, 0)] if prefixed else back)
    return tokenizer, True


def merges_by_score(words: Vocabulary, scores: list[float]) -> list[tuple[str, str]]:
    """SentencePiece's merges in the order in which they apply, for BPE.

    SentencePiece joins the two neighbours whose whole has the best score. So each way to cut a normal token into two
    normal tokens is a merge, ordered by the score of the whole. Source: Kudo and Richardson, SentencePiece, 2018.

    Args:
        words: the vocabulary; only normal tokens take part.
        scores: of each token; the higher, the earlier.
    """
    normal = {
        token: score
        for token, kind, score in zip(words.tokens, words.kinds, scores, strict=True)
        if kind == Kind.NORMAL
    }
    ordered = sorted(normal, key=normal.__getitem__, reverse=True)
    cuts = (((token[:cut], token[cut:]) for cut in range(1, len(token))) for token in ordered)
    return [merge for merge in itertools.chain.from_iterable(cuts) if merge[0] in normal and merge[1] in normal]


def frame(words: Vocabulary, *, begin: bool, end: bool) -> Any:
    """What puts the begin and the end token around a text, and around each of two."""
    from tokenizers import processors

    before = [words.roles["bos_token"]] if begin else []
    after = [words.roles["eos_token"]] if end else []
    single = [*before, "$A:0", *after]
    second = [*(f"{token}:1" for token in before), "$B:1", *(f"{token}:1" for token in after)]
    ids = words.ids
    return processors.TemplateProcessing(
        single=single, pair=[*single, *second], special_tokens=[(token, ids[token]) for token in {*before, *after}]
    )


KINDS: dict[str, Callable[[GgufFile, Vocabulary], tuple[Any, bool]]] = {
    "gpt2": _byte_level,
    "llama": _sentencepiece,
}
