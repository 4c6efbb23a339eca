"""Whole models trained through the project's own command line, a process a training."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from evidence.cells import Cell, Found
from evidence.exams import Exam
from llmtuner.data.question import LETTERS, Question

ROOT = Path(__file__).resolve().parents[2]
TRAINED_ON = 2000  # questions
# Like the references that STEP2 is measured against (docs/log.md).
COMMON = """
    --finetuning_type full --num_train_epochs 1 --warmup_steps 50 --weight_decay 0.01 --head_learning_rate 1e-3
    --logging_steps 20 --save_strategy no --disable_tqdm true
"""
STAGES = {
    "encoder": f"{COMMON} --learning_rate 1e-4 --per_device_train_batch_size 16 --cutoff_len 256 --mcq_dropout 0",
    "causal": f"""{COMMON} --learning_rate 5e-4 --mcq_tokens_per_batch 4096 --cutoff_len 768 --template default
        --disable_gradient_checkpointing true""",
    "llm": """--finetuning_type lora --lora_target all --lora_rank 8 --num_train_epochs 1 --warmup_steps 50
        --learning_rate 1e-4 --head_learning_rate 1e-3 --per_device_train_batch_size 1 --gradient_accumulation_steps 16
        --cutoff_len 1024 --template default --logging_steps 20 --save_strategy no --disable_tqdm true""",
}


def write_questions(questions: Sequence[Question], path: Path) -> Path:
    """Questions as a file that any stage reads."""
    rows = [
        {"id": str(row), "context": q.context, "query": q.question, "choices": list(q.options), "gold": q.answer}
        for row, q in enumerate(questions)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def run(cell: Cell, exam: Exam, model: str, folder: Path, threads: int, more: Sequence[str] = ()) -> Found:
    """Train on the exam's first questions and score its test questions.

    Args:
        more: flags behind those of the stage, for training and scoring, such as --bf16.
    """
    work = folder / "whole" / exam.name
    train, test = work / "train.parquet", work / "test.parquet"
    if not test.is_file():
        write_questions(exam.train[:TRAINED_ON], train)
        write_questions(exam.test, test)
    out = work / f"{cell.path(Path()).stem}-{cell.stage}"
    flags = ["--mcq_head", cell.head, "--mcq_loss", cell.loss, "--seed", str(cell.seed), *STAGES[cell.stage].split()]
    flags += [*more, "--model_name_or_path", model, "--do_train", "--dataset", str(train), "--output_dir", str(out)]
    start = time.perf_counter()
    log = _train_bash(flags, out.with_suffix(".train.log"), threads)
    seconds = time.perf_counter() - start
    adapter = (out / "adapter_config.json").is_file()
    flags = ["--model_name_or_path", model, "--adapter_name_or_path"] if adapter else ["--model_name_or_path"]
    flags += [str(out), *more, "--do_predict", "--eval_dataset", str(test)]
    flags += ["--output_dir", str(out / "predict"), "--mcq_tokens_per_batch", "8192"]
    _train_bash(flags, out.with_suffix(".predict.log"), threads)
    lines = [json.loads(line) for line in (out / "predict" / "predictions.jsonl").read_text().splitlines()]
    scores = [[line["scores"][letter] for letter in LETTERS if letter in line["scores"]] for line in lines]
    parameters = next(line for line in log.splitlines() if f"head: {cell.head}, " in line).split(", ", 1)[1]
    for weights in out.glob("*.safetensors"):
        weights.unlink()
    return Found(scores, seconds, int(parameters.split()[0].replace(",", "")))


def _train_bash(flags: Sequence[str], log: Path, threads: int) -> str:
    command = [sys.executable, str(ROOT / "src" / "train_bash.py"), "--stage", "mcq", *flags]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as file:
        status = subprocess.run(command, check=False, stdout=file, stderr=subprocess.STDOUT, env=environment).returncode
    if status:
        raise SystemExit(f"error: a training failed with status {status}; its log: {log}")
    return log.read_text()
