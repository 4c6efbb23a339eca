#!/usr/bin/env python3
"""Merge what a --stage mcq LoRA training left into its base model: base, adapter and head in one folder.

Upstream's export drops the head. The folder that this script writes is predicted and trained on with
`--model_name_or_path OUT`, and plain `transformers.AutoModel.from_pretrained(OUT)` loads its backbone.

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

# Also where the project was not installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

ADAPTER_CONFIG = "adapter_config.json"


def merge(adapter: Path, out: Path, base_model: str | None = None) -> Path:
    """Write the merged model, its tokenizer and mcq_config.json to `out`, whole or not at all.

    Args:
        adapter: the --output_dir of a --stage mcq training with LoRA, or a checkpoint in it.
        out: a folder that is not there yet, or is empty.
        base_model: where the base model is now; by default where the training found it.

    Raises:
        UserError: no adapter with a head, no base model or a quantised one, or a place that is taken.
    """
    from llmtuner.errors import UserError

    base = _check(adapter, out, base_model)

    from llmtuner.mcq.scorer import load_scorer
    from llmtuner.mcq.settings import write_settings

    try:
        scorer = load_scorer(adapter, base_model=base)
    except RuntimeError as error:
        if "size mismatch" not in str(error):
            raise
        first = next(line.strip() for line in str(error).splitlines() if "size mismatch" in line)
        raise UserError(f"{adapter} does not fit {base}: {first}; pass the model that it was trained on") from error
    # A folder beside it first: an interrupted run must not leave half a model that looks whole.
    beside = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        scorer.model.save_pretrained(beside)
        scorer.tokenizer.save_pretrained(beside)
        # The adapters that were merged before this one are in the weights now.
        write_settings(scorer.settings.with_(merged_adapters=()), beside)
        os.replace(beside, out)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return out


def _check(adapter: Path, out: Path, base_model: str | None) -> str:
    """Refuse what cannot be merged before anything is loaded; return the base model."""
    from llmtuner.errors import UserError
    from llmtuner.mcq.settings import CONFIG_NAME, read_settings

    if not adapter.is_dir():
        raise UserError(f"{adapter}: no such folder; expected the --output_dir of a --stage mcq training")
    settings = read_settings(adapter)
    if settings is None:
        raise UserError(
            f"{adapter}: no {CONFIG_NAME} in it; expected the --output_dir of a --stage mcq training (an adapter of "
            "another stage has no head: merge it with upstream's llamafactory-cli export)"
        )
    if not (adapter / ADAPTER_CONFIG).is_file():
        raise UserError(
            f"{adapter}: no {ADAPTER_CONFIG} in it, so there is nothing to merge: after full or freeze tuning the "
            "folder is a whole model already; pass it as --model_name_or_path"
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} exists and is not an empty folder; name another one, or remove it first")
    if not out.resolve().parent.is_dir():
        raise UserError(f"{out}: there is no folder {out.resolve().parent} to make it in")
    base = base_model or _stored_base(adapter)
    for folder in settings.merged_adapters:
        if not Path(folder).is_dir():
            raise UserError(
                f"{adapter} was trained on top of the adapter {folder}, which is no folder here; put it back there"
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
            f"{adapter}: its base model {base} cannot be read ({first}); say where it is: --base_model FOLDER"
        ) from error


def main(argv: list[str] | None = None) -> int:
    """Merge one adapter; 0, or 2 with a message."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("adapter", type=Path, help="the --output_dir of a --stage mcq training with LoRA")
    parser.add_argument("out", type=Path, help="a new folder")
    parser.add_argument("--base_model", help="where the base model is, if not where the training found it")
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
