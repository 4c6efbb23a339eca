"""Runs of the project's command line, each in its own process, and the flags that the benchmarks of trainings share."""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from provenance import commit, hardware

ROOT = Path(__file__).resolve().parents[2]
MADE_BY = "made_by.json"


def train_and_score(
    flags: Sequence[str], model: str, train: Path, tests: Mapping[str, Path], out: Path, *, seed: int, threads: int
) -> None:
    """Train a whole model and score some files, unless that is done already.

    Args:
        flags: of the training, without those below.
        tests: files to score, by the name of the folder in `out` that gets the predictions; the same in every call.
        out: gets the predictions, and the commit and hardware; the weights are deleted.
    """
    if is_done(out):
        return
    origin = {"commit": commit(), "hardware": hardware()}  # before the training: the checkout may change meanwhile
    given = [*flags, "--seed", str(seed), "--model_name_or_path", model, "--do_train", "--dataset", str(train)]
    train_bash([*given, "--output_dir", str(out), "--overwrite_output_dir"], log_of(out, "train"), threads)
    for name in tests:
        given = ["--model_name_or_path", str(out), "--do_predict", "--eval_dataset", str(tests[name])]
        given += ["--output_dir", str(out / name), "--mcq_tokens_per_batch", "8192"]
        train_bash(given, log_of(out, name), threads)
    for weights in out.glob("*.safetensors"):
        weights.unlink()
    (out / MADE_BY).write_text(json.dumps(origin))
    print(f"{out.parent.name} {out.name}", flush=True)


def add_training_flags(parser: argparse.ArgumentParser, *, minutes: bool = True) -> None:
    """Add --parallel and --threads, and --minutes if a report may cover a part of the trainings."""
    if minutes:
        parser.add_argument("--minutes", type=float, default=math.inf, help="start no training after so many minutes")
    parser.add_argument("--parallel", type=int, default=1, help="trainings of whole models at a time")
    parser.add_argument("--threads", type=int, default=1, help="threads of a training")


def own_and_passed_on(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The flags of the benchmark, and those after --, which go to every training."""
    end = words.index("--") if "--" in words else len(words)
    return list(words[:end]), list(words[end + 1 :])


def log_of(out: Path, step: str) -> Path:
    """The log of a run, beside its output folder, whose name may have dots."""
    return out.with_name(f"{out.name}.{step}.log")


def is_done(out: Path) -> bool:
    """Whether a training and its scoring are complete: MADE_BY is written last."""
    return (out / MADE_BY).is_file()


def made_by(outs: Iterable[Path]) -> dict[str, list[str]]:
    """The commits and the hardware of trainings."""
    origins = [json.loads((out / MADE_BY).read_text()) for out in outs]
    return {name: sorted({origin[name] for origin in origins}) for name in ("commit", "hardware")}


def train_bash(flags: Sequence[str], log: Path, threads: int) -> str:
    """Run `--stage mcq` in a new process; return its log.

    Raises:
        SystemExit: the run failed.
    """
    command = [sys.executable, str(ROOT / "src" / "train_bash.py"), "--stage", "mcq", *flags]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as file:
        status = subprocess.run(command, check=False, stdout=file, stderr=subprocess.STDOUT, env=environment).returncode
    if status:
        raise SystemExit(f"error: a training failed with status {status}; its log: {log}")
    return log.read_text()
