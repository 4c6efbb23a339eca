#!/usr/bin/env python3
"""Convert a GGUF file to a Hugging Face folder, as a value for --model_name_or_path.

The weights are read by transformers, in the precision of --dtype. The tokenizer is built from the file's own metadata,
because the one that transformers makes is wrong. A file that cannot be converted without loss of meaning is refused.

    python scripts/from_gguf.py models/gemma-3-270m-q4_k_m.gguf models/gemma-3-270m
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

# The script also runs without an installation of the project.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

from llmtuner.console import escape_unprintable
from llmtuner.gguf_files.convert import DTYPES, convert


def main(argv: list[str] | None = None) -> int:
    """Convert one file; return 0, or 2 after a message."""
    escape_unprintable()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("file", type=Path, help="the GGUF file")
    parser.add_argument("out", type=Path, help="a new folder")
    parser.add_argument(
        "--dtype",
        choices=DTYPES,
        default=DTYPES[0],
        help="precision of the weights: float32 (default) stores what the file gives, the others take half the space",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a model that is in the folder")
    args = parser.parse_args(argv)
    try:
        for line in convert(args.file, args.out, args.dtype, overwrite=args.overwrite):
            print(f"warning: {line}" if not line.startswith(" ") else line, file=sys.stderr)
    except (OSError, ValueError) as error:
        print(f"error: {str(error).replace('`overwrite`', '--overwrite')}", file=sys.stderr)
        return 2
    print(f"Wrote {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
