"""The commands of STEP2 and their output, for its tests."""

from __future__ import annotations

import json
from pathlib import Path

import torch

QUICK = ("--max_samples", "12", "--num_train_epochs", "2", "--learning_rate", "1e-2", "--logging_steps", "1")


def train_command(model, output_dir, *more: str) -> list[str]:
    """The notes' command of STEP2; only model and output folder differ."""
    return [
        *("--stage", "mcq", "--model_name_or_path", str(model), "--do_train", "--dataset", "llmscience_sample"),
        *("--template", "llama2", "--finetuning_type", "lora", "--output_dir", str(output_dir)),
        *("--per_device_train_batch_size", "1", "--gradient_accumulation_steps", "4", *more),
    ]


def predict_command(model, output_dir, *more: str, adapter=None) -> list[str]:
    adapters = () if adapter is None else ("--adapter_name_or_path", str(adapter))
    return [
        *("--stage", "mcq", "--model_name_or_path", str(model), *adapters, "--do_predict"),
        *("--eval_dataset", "llmscience_sample", "--output_dir", str(output_dir), *more),
    ]


def results(folder: Path) -> dict:
    return json.loads((folder / "predict_results.json").read_text())


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "predictions.jsonl").open(encoding="utf-8")]


def probabilities(folder: Path) -> torch.Tensor:
    return torch.tensor([list(line["probabilities"].values()) for line in lines(folder)])


def config(folder: Path) -> dict:
    return json.loads((folder / "mcq_config.json").read_text())
