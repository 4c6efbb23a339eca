#!/usr/bin/env python3
"""Merge the LoRA adapter of a training, of stage sft or mcq, into its base model, in one folder.

The folder works as `--model_name_or_path OUT` for prediction and training. For stage mcq it has the head, too, and
plain `transformers.AutoModel.from_pretrained(OUT)` loads its backbone.

    python scripts/merge.py sft_checkpoint merged --base_model models/llama-2-7b
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

# The script also runs without an installation of the project.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))


def main(argv: list[str] | None = None) -> int:
    """Merge one adapter; return 0, or 2 after a message."""
    from llmtuner.console import escape_unprintable

    escape_unprintable()
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, help="the --output_dir of a training with LoRA, or a checkpoint in it")
    parser.add_argument("out", type=Path, help="a new folder")
    parser.add_argument("--base_model", help="the base model's folder, if it has moved since the training")
    parser.add_argument(
        "--allow_other_base", action="store_true", help="merge even if the base model differs from that of the training"
    )
    args = parser.parse_args(argv)

    from llmtuner.mcq.merge import merge
    from llmtuner.mcq.settings import read_settings
    from llmtuner.runs.base import manifest_of
    from llmtuner.spec.flags import with_flags

    try:
        merge(args.run, args.out, args.base_model, allow_other_base=args.allow_other_base)
    except (OSError, ValueError) as error:
        message = with_flags(str(error)).replace("`base_model`", "--base_model")
        print(f"error: {message}", file=sys.stderr)
        return 2
    print(f"Wrote {args.out}")
    manifest = manifest_of(args.run)
    if manifest is not None and manifest.retrieve and read_settings(args.out) is None:
        index = manifest.retrieve.get("index")
        print(f"The training had contexts from {index}, which a merged model of stage sft does not know: predict with")
        print(f"    --retrieve {index} and its other --retrieve_ flags")
    return 0


def run() -> int:
    """`main`, where SIGTERM is an exception, so that the unfinished model is deleted."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    return main()


if __name__ == "__main__":
    sys.exit(run())
