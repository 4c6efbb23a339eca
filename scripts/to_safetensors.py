#!/usr/bin/env python3
"""Convert a folder's pickled weights (pytorch_model*.bin, adapter_model.bin) to safetensors, beside them.

This project never loads pickled weights, because a pickle can run code. This script reads them once, with torch's
restricted loader. Use it for files that you trust.

    python scripts/to_safetensors.py FOLDER
"""

from __future__ import annotations

import argparse
import pickle
import sys
from pathlib import Path

NAMES = {"pytorch_model": "model"}  # adapter_model keeps its name
LEFT_OUT = "training_args.bin"


def convert(folder: Path) -> list[Path]:
    """Write one .safetensors file for each .bin file of weights; return the new files.

    Raises:
        ValueError: nothing to convert, contents other than tensors, or a sharded model.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    pickles = sorted(path for path in folder.glob("*.bin") if path.name != LEFT_OUT)
    if not pickles:
        raise ValueError(f"{folder}: has no .bin file of weights")
    if (folder / "pytorch_model.bin.index.json").is_file():
        raise ValueError(
            f"{folder}: a sharded model; load it with transformers and save it again: "
            "AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(NEW_FOLDER)"
        )
    import torch
    from safetensors.torch import save_file

    written = []
    for path in pickles:
        try:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, EOFError) as error:
            raise ValueError(f"{path}: contains more than tensors, and is not loaded") from error
        if not isinstance(tensors, dict) or not all(isinstance(value, torch.Tensor) for value in tensors.values()):
            raise ValueError(f"{path}: expected a dictionary of tensors")
        target = path.with_name(NAMES.get(path.stem, path.stem) + ".safetensors")
        # A copy for each name, because safetensors rejects shared memory.
        save_file({name: tensor.clone().contiguous() for name, tensor in tensors.items()}, target, {"format": "pt"})
        written.append(target)
    return written


def main(argv: list[str] | None = None) -> int:
    """Convert one folder; return 0, or 2 after a message."""
    from llmtuner.console import escape_unprintable

    escape_unprintable()
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="folder of a model or an adapter")
    folder = parser.parse_args(argv).folder
    try:
        for path in convert(folder):
            print(f"Wrote {path}")
    except (OSError, ValueError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
