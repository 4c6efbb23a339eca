"""Trainings of whole models through the project's command line, each in a separate process."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.torch import load_file, save_file

from evidence.cells import Cell, Result, warmup
from evidence.command_line import log_of, train_bash
from evidence.exams import Exam
from llmtuner.data.load import read_questions
from llmtuner.data.predictions import read_predictions
from llmtuner.data.question import Question

TRAINED_ON = 2000  # questions
# The settings of the references for STEP2 (docs/log.md).
COMMON = """
    --finetuning_type full --num_train_epochs 1 --warmup_steps 50 --weight_decay 0.01
    --logging_steps 20 --save_strategy no --disable_tqdm true
"""
# At STEP2's rate of 1e-3, co-attention costs the whole MiniLM 0.014 MAP@3 on ScienceQA (docs/results.md).
HEAD_RATES = {"linear": 1e-3, "option_mean": 1e-3, "duma": 1e-4, "cduma": 1e-4}
STAGES = {
    # Steps of 16 questions; batches of 4, grouped by length, have less padding.
    "encoder": f"""{COMMON} --learning_rate 1e-4 --per_device_train_batch_size 4 --gradient_accumulation_steps 4
        --cutoff_len 256 --mcq_dropout 0""",
    "causal": f"""{COMMON} --learning_rate 5e-4 --mcq_tokens_per_batch 4096 --cutoff_len 768 --template default
        --disable_gradient_checkpointing true""",
    "llm": """--finetuning_type lora --lora_target all --lora_rank 8 --num_train_epochs 1 --warmup_steps 50
        --learning_rate 1e-4 --per_device_train_batch_size 1 --gradient_accumulation_steps 16
        --cutoff_len 1024 --template default --logging_steps 20 --save_strategy no --disable_tqdm true""",
}


def write_questions(questions: Sequence[Question], path: Path) -> Path:
    """Write questions, with their contexts, as a file that any stage reads."""
    rows = [
        {"id": str(row), "hint": q.context, "question": q.question, "choices": list(q.options), "answer": q.answer}
        for row, q in enumerate(questions)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    for written, read in zip(questions, read_questions(path, purpose="train").questions, strict=True):
        fields = (written.question, written.context.strip(), written.options, written.answer)
        assert fields == (read.question, read.context.strip(), read.options, read.answer), (
            f"{path} is not read as it was written"
        )
    return path


def write_exam(exam: Exam, folder: Path) -> None:
    """Write the files of an exam, before any training reads them."""
    work = folder / "whole" / exam.name
    write_questions(exam.train[:TRAINED_ON], work / "train.parquet")
    write_questions(exam.test, work / "test.parquet")


def without_head(model: Path, folder: Path) -> Path:
    """A copy of a model of --stage mcq without its head, so that every combination starts with a new head.

    The model was trained with a linear head: if that is an advantage, the baseline has it.
    """
    if not (model / "mcq_config.json").is_file():
        return model
    out = folder / "whole" / f"{model.name}-without-head"
    if (out / "model.safetensors").is_file():
        return out
    out.mkdir(parents=True, exist_ok=True)
    for path in model.iterdir():
        if path.is_file() and path.name != "mcq_config.json" and path.suffix != ".safetensors":
            shutil.copy(path, out)
    weights = {}
    for path in sorted(model.glob("*.safetensors")):
        weights |= load_file(path)
    backbone = {name: tensor for name, tensor in weights.items() if not name.startswith("mcq_head.")}
    save_file(backbone, out / "model.safetensors", metadata={"format": "pt"})
    return out


def run(cell: Cell, exam: Exam, model: str, folder: Path, threads: int, more: Sequence[str] = ()) -> Result:
    """Train on the first questions of the exam and score its test questions.

    Args:
        more: flags for training and scoring, such as --bf16; they take precedence over those of the stage.
    """
    work = folder / "whole" / exam.name
    train, test = work / "train.parquet", work / "test.parquet"
    out = work / f"{cell.path(Path()).stem}-{cell.stage}"
    shutil.rmtree(out, ignore_errors=True)  # left by an interrupted run
    flags = ["--mcq_head", cell.head, "--mcq_loss", cell.loss, "--seed", str(cell.seed), *STAGES[cell.stage].split()]
    flags += ["--head_learning_rate", str(HEAD_RATES[cell.head])]
    if warmup(cell.loss):
        flags += ["--mcq_loss_warmup_ratio", str(warmup(cell.loss))]
    flags += [*more, "--model_name_or_path", model, "--do_train", "--dataset", str(train), "--output_dir", str(out)]
    log = train_bash(flags, log_of(out, "train"), threads)
    seconds = json.loads((out / "train_results.json").read_text())["train_runtime"]
    adapter = (out / "adapter_config.json").is_file()
    flags = ["--model_name_or_path", model, "--adapter_name_or_path"] if adapter else ["--model_name_or_path"]
    flags += [str(out), *more, "--do_predict", "--eval_dataset", str(test)]
    flags += ["--output_dir", str(out / "predict"), "--mcq_tokens_per_batch", "8192"]
    train_bash(flags, log_of(out, "predict"), threads)
    scores = [list(prediction.scores) for prediction in read_predictions(out / "predict" / "predictions.jsonl")]
    parameters = next(line for line in log.splitlines() if f"head: {cell.head}, " in line).split(", ", 1)[1]
    for weights in out.glob("*.safetensors"):
        weights.unlink()
    return Result(scores, seconds, int(parameters.split()[0].replace(",", "")))
