"""The adapter of --pissa_convert, which fits the unchanged base model: peft writes its LoRA weights, nothing else."""

from __future__ import annotations

from pathlib import Path

from llmtuner.files import write_atomic
from llmtuner.runs.adapter import ADAPTER_CONFIG, ADAPTER_WEIGHTS, CONVERTED, is_adapter
from llmtuner.spec.model_files import MODEL_FILES


def complete_converted(trained: Path) -> Path | None:
    """Give a converted adapter what it lacks to be used alone: a head's weights, its settings and the tokenizer.

    Args:
        trained: the output folder of the training.

    Returns:
        The folder of the converted adapter; None if there is none.

    Raises:
        OSError: a file cannot be read or written.
    """
    folder = trained / CONVERTED
    if not is_adapter(folder):
        return None
    _add_other_weights(folder / ADAPTER_WEIGHTS, trained / ADAPTER_WEIGHTS)
    for name in MODEL_FILES:
        if name != ADAPTER_CONFIG and (trained / name).is_file():
            write_atomic(folder / name, (trained / name).read_bytes())
    return folder


def _add_other_weights(converted: Path, trained: Path) -> None:
    from safetensors.torch import load_file, save

    weights = load_file(converted)
    others = {
        name: tensor for name, tensor in load_file(trained).items() if name not in weights and "lora_" not in name
    }
    if others:
        write_atomic(converted, save({**weights, **others}, metadata={"format": "pt"}))
