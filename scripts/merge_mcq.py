#!/usr/bin/env python3
"""Merge the LoRA adapter and head of a --stage mcq training into the base model, in one folder.

Upstream's export drops the head. The folder that this script writes works as `--model_name_or_path OUT` for prediction
and training, and plain `transformers.AutoModel.from_pretrained(OUT)` loads its backbone.

    python scripts/merge_mcq.py out/mcq out/merged --base_model models/llama-2-7b
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

# The script also runs without an installation of the project.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

ADAPTER_CONFIG = "adapter_config.json"


def merge(adapter: Path, out: Path, base_model: str | None = None) -> Path:
    """Write the merged model, its tokenizer and mcq_config.json to `out`, whole or not at all.

    Args:
        adapter: the --output_dir of a --stage mcq training with LoRA, or a checkpoint in it.
        out: a new or empty folder.
        base_model: the current path of the base model; by default the path from the training.

    Raises:
        UserError: no adapter with a head, no base model or a quantised one, or an output folder that is not empty.
    """
    base = _check(adapter, out, base_model)

    from llmtuner.mcq.scorer import load_scorer

    scorer = load_scorer(adapter, base_model=base)
    # Written beside `out` first: an interrupted run must not leave half a model that looks whole.
    temporary = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        scorer.save(temporary)
        os.replace(temporary, out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return out


def _check(adapter: Path, out: Path, base_model: str | None) -> str:
    """Reject what cannot be merged before anything is loaded; return the base model."""
    from llmtuner.errors import UserError
    from llmtuner.mcq.settings import CONFIG_NAME, read_settings

    if not adapter.is_dir():
        raise UserError(f"{adapter}: no such folder; expected the --output_dir of a --stage mcq training")
    settings = read_settings(adapter)
    if settings is None:
        raise UserError(
            f"{adapter}: has no {CONFIG_NAME}; expected the --output_dir of a --stage mcq training (an adapter of "
            "another stage has no head: merge it with upstream's llamafactory-cli export)"
        )
    if not (adapter / ADAPTER_CONFIG).is_file():
        raise UserError(
            f"{adapter}: has no {ADAPTER_CONFIG}, so there is nothing to merge: after full or freeze tuning the "
            "folder is a whole model already; pass it as --model_name_or_path"
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} exists and is not an empty folder; choose another one, or remove it first")
    if not out.resolve().parent.is_dir():
        raise UserError(f"{out}: the folder {out.resolve().parent} does not exist; create it first")
    base = base_model or _stored_base(adapter)
    for folder in settings.merged_adapters:
        if not Path(folder).is_dir():
            raise UserError(
                f"{adapter} was trained on top of the adapter {folder}, which does not exist; restore it there"
            )
    method = getattr(_config(adapter, base), "quantization_config", None)
    if method:
        name = method.get("quant_method") if isinstance(method, dict) else type(method).__name__
        raise UserError(
            f"{base} is quantised ({name}), and an adapter cannot be added to rounded weights without loss; pass the "
            "model before quantisation as --base_model"
        )
    return base


def _stored_base(adapter: Path) -> str:
    from llmtuner.errors import UserError

    path = adapter / ADAPTER_CONFIG
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["base_model_name_or_path"])
    except (KeyError, ValueError) as error:
        raise UserError(f"{path}: damaged: {error}; copy the folder again") from error


def _config(adapter: Path, base: str) -> Any:
    """The base model's configuration, from a folder or the hub."""
    from transformers import AutoConfig

    from llmtuner.errors import UserError

    try:
        return AutoConfig.from_pretrained(base)
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise UserError(
            f"{adapter}: its base model {base} cannot be read ({first}); pass its path: --base_model FOLDER"
        ) from error


def main(argv: list[str] | None = None) -> int:
    """Merge one adapter; return 0, or 2 after a message."""
    from llmtuner.console import escape_unprintable

    escape_unprintable()
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("adapter", type=Path, help="the --output_dir of a --stage mcq training with LoRA")
    parser.add_argument("out", type=Path, help="folder to write to; new or empty")
    parser.add_argument(
        "--base_model", metavar="DIR", help="folder of the base model, if it was moved after the training"
    )
    args = parser.parse_args(argv)
    try:
        merge(args.adapter, args.out, args.base_model)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"Wrote {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
