#!/usr/bin/env python3
"""Write a small Llama with random weights and a tokenizer trained on given text.

For tests, smoke runs and benchmarks without access to a hub. The tokenizer is of Llama-2's kind (BPE over "▁"-marked
text, with byte fallback), so that tests meet its pitfalls, above all the space that it puts before every text.

    python scripts/make_tiny_llama.py out/tiny --text data/demo/questions.jsonl
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

# The script also runs without an installation of the project.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
os.environ.setdefault("HF_HUB_OFFLINE", "1")

SPECIAL_TOKENS = ("<unk>", "<s>", "</s>")
BYTE_TOKENS = tuple(f"<0x{byte:02X}>" for byte in range(256))
MIN_VOCAB_SIZE = len(SPECIAL_TOKENS) + len(BYTE_TOKENS) + 100
DEFAULT_TEXT = Path(__file__).resolve().parents[1] / "data" / "demo" / "questions.jsonl"
HEAD_SIZE = 16  # hidden units per attention head: small enough for a hidden size of 32


def read_lines(files: list[Path]) -> Iterator[str]:
    """Yield the lines of all files in order."""
    for file in files:
        with file.open(encoding="utf-8-sig") as lines:
            yield from lines


def train_tokenizer(files: list[Path], vocab_size: int) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Train BPE on the text; return vocabulary and merges in Llama-2's order: special, byte, learnt tokens.

    Raises:
        ValueError: the vocabulary is too small for the byte tokens, or the text is empty.
    """
    import json

    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    if vocab_size < MIN_VOCAB_SIZE:
        raise ValueError(f"--vocab_size {vocab_size} is too small for 256 byte tokens; give at least {MIN_VOCAB_SIZE}")
    reserved = [*SPECIAL_TOKENS, *BYTE_TOKENS]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    # Split at spaces while learning, so that no token spans two words.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(prepend_scheme="always", split=True), pre_tokenizers.Digits(individual_digits=True)]
    )
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=reserved, show_progress=False)
    tokenizer.train_from_iterator(read_lines(files), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    if len(model["vocab"]) <= len(reserved):
        raise ValueError(f"no text in {', '.join(map(str, files))}; pass files with text to train the tokenizer")
    merges = [(pair[0], pair[1]) if isinstance(pair, list) else tuple(pair.split(" ", 1)) for pair in model["merges"]]
    return model["vocab"], merges


def make_tiny_llama(
    output_dir: Path, files: list[Path], *, hidden_size: int, num_layers: int, vocab_size: int, seed: int
) -> Path:
    """Write config, weights (safetensors, fp32) and tokenizer to `output_dir`. The same arguments give the same bytes.

    Raises:
        ValueError: an invalid size, or no text.
    """
    if hidden_size < 2 * HEAD_SIZE or hidden_size % (2 * HEAD_SIZE):
        raise ValueError(f"--hidden_size {hidden_size} is not a multiple of {2 * HEAD_SIZE}")
    vocab, merges = train_tokenizer(files, vocab_size)

    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, LlamaTokenizer

    config = LlamaConfig(
        vocab_size=len(vocab),
        hidden_size=hidden_size,
        intermediate_size=hidden_size * 8 // 3 // 8 * 8,
        num_hidden_layers=num_layers,
        num_attention_heads=hidden_size // HEAD_SIZE,
        num_key_value_heads=hidden_size // HEAD_SIZE // 2,
        max_position_embeddings=4096,
        bos_token_id=vocab["<s>"],
        eos_token_id=vocab["</s>"],
        dtype="float32",
    )
    torch.manual_seed(seed)
    LlamaForCausalLM(config).save_pretrained(output_dir)
    LlamaTokenizer(vocab=vocab, merges=merges, legacy=False, add_bos_token=True).save_pretrained(output_dir)
    return output_dir


def main(argv: list[str] | None = None) -> int:
    """Read the command line and write the model; return 0, or 2 after a message."""
    from llmtuner.console import escape_unprintable

    escape_unprintable()
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("output_dir", type=Path, help="folder for the model")
    parser.add_argument(
        "--text",
        type=Path,
        nargs="+",
        metavar="FILE",
        default=[DEFAULT_TEXT],
        help="text files to train the tokenizer on; default: data/demo/questions.jsonl",
    )
    parser.add_argument(
        "--hidden_size", type=int, metavar="N", default=64, help="hidden width, a multiple of 32; default: 64"
    )
    parser.add_argument("--num_layers", type=int, metavar="N", default=2, help="number of layers; default: 2")
    parser.add_argument(
        "--vocab_size",
        type=int,
        metavar="N",
        default=2000,
        help="maximum size of the vocabulary; a short text gives a smaller one; default: 2000",
    )
    parser.add_argument("--seed", type=int, metavar="N", default=0, help="random seed of the weights; default: 0")
    args = parser.parse_args(argv)
    try:
        make_tiny_llama(
            args.output_dir,
            args.text,
            hidden_size=args.hidden_size,
            num_layers=args.num_layers,
            vocab_size=args.vocab_size,
            seed=args.seed,
        )
    except (OSError, UnicodeDecodeError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"Wrote a random Llama to {args.output_dir}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
