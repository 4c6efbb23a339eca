#!/usr/bin/env python3
"""How long do a training of one step, and an audit, take with 200,000 questions?

    python benchmarks/large_files.py [--rows 200000] [--stages sft mcq audit] [--project CHECKOUT] [--out FILE]

Questions of random words in a JSONL file, a random Llama of two layers, one step through the command line: nearly all
of the time goes to importing, reading, checking and tokenising. The audit leaves out near duplicates and the page. Wall
time depends on what else the machine does, so compare the CPU time of the process and its children. `--project`
measures another checkout.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from provenance import commit, hardware, trial_file, write_result

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("sft", "mcq", "audit")
VOCABULARY = 8000


def write_questions(path: Path, rows: int) -> None:
    """Write questions of random words, about as long as Kaggle's, five options each."""
    drawn = random.Random(0)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(drawn.choices(letters, k=drawn.randint(2, 10))) for _ in range(VOCABULARY)]

    def text(least: int, most: int) -> str:
        return " ".join(drawn.choices(words, k=drawn.randint(least, most)))

    with path.open("w", encoding="utf-8") as file:
        for row in range(rows):
            options = {letter: text(2, 12) for letter in "ABCDE"}
            record = {"id": row, "prompt": f"{text(10, 25)}?", **options, "answer": drawn.choice("ABCDE")}
            file.write(json.dumps(record) + "\n")


def command_of(project: Path, stage: str, questions: Path, model: Path, folder: Path) -> list[str]:
    """The words of one command: a training's, or the audit's."""
    if stage == "audit":
        return [str(project / "scripts" / "audit_mcq.py"), str(questions), "--no_near", "--no_html"]
    words = ["--stage", stage, "--model_name_or_path", str(model), "--do_train", "--dataset", str(questions)]
    words += ["--template", "llama2", "--finetuning_type", "lora", "--output_dir", str(folder / stage), "--use_cpu"]
    words += ["--max_steps", "1", "--per_device_train_batch_size", "2"]
    return [str(project / "src" / "train_bash.py"), *words]


def measure(words: list[str], log_file: Path) -> dict[str, float]:
    """Seconds and megabytes of one command.

    Raises:
        subprocess.CalledProcessError: it failed; its output was printed.
    """
    folder = log_file.parent
    environment = os.environ | {
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_CACHE": str(folder / "cache"),
        "HF_HOME": str(folder),
    }
    environment |= {"CUDA_VISIBLE_DEVICES": ""}
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with log_file.open("w+", encoding="utf-8") as log:
        done = subprocess.run(
            [sys.executable, *words], check=False, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        if done.returncode:
            log.seek(0)
            print(log.read()[-3000:], file=sys.stderr)
            done.check_returncode()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "cpu_seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        "wall_seconds": round(time.monotonic() - begin, 1),
        "peak_megabytes": round(after.ru_maxrss / 1024),  # of the largest child so far
    }


def main() -> None:
    """Run the trainings and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES)
    parser.add_argument("--project", type=Path, default=ROOT, help="the checkout to measure")
    parser.add_argument("--out", type=Path, default=trial_file("large_files"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="large-files-") as name:
        folder = Path(name)
        questions, model = folder / "questions.jsonl", folder / "model"
        write_questions(questions, given.rows)
        maker = [sys.executable, str(ROOT / "scripts" / "make_tiny_llama.py"), str(model)]
        subprocess.run(maker, check=True, capture_output=True)
        project = given.project.resolve()
        measured = {
            stage: measure(command_of(project, stage, questions, model, folder), folder / f"{stage}.log")
            for stage in given.stages
        }
        megabytes = round(questions.stat().st_size / 1e6, 1)
    result = {
        "rows": given.rows,
        "megabytes": megabytes,
        **measured,
        "commit": commit(given.project),
        "hardware": hardware("cpu"),
        "command": f"python benchmarks/large_files.py --rows {given.rows} --stages {' '.join(given.stages)}",
    }
    write_result(result, given.out)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
