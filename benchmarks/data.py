#!/usr/bin/env python3
"""How long reading, checking and tokenising multiple-choice files takes.

    python benchmarks/data.py [--rows 40000] [--out benchmarks/results/data.json]

The rows are the demo questions, numbered, so that no two are alike. Process CPU time, the best of three.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT), str(ROOT / "scripts")]
COLUMNS = ["id", "prompt", "context", *"ABCDE", "answer"]


def write_rows(path: Path, rows: int) -> None:
    """A CSV file of that many different questions."""
    records = [json.loads(line) for line in (ROOT / "data" / "demo" / "questions.jsonl").open(encoding="utf-8")]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for number in range(rows):
            record = records[number % len(records)] | {"id": str(number)}
            record["prompt"] = f"{number}. {record['prompt']}"
            writer.writerow([record[name] for name in COLUMNS])


def best_of(call: Callable[[], object], times: int = 3) -> float:
    """The least CPU seconds of this process over several calls."""
    seconds = []
    for _ in range(times):
        start = time.process_time()
        call()
        seconds.append(time.process_time() - start)
    return round(min(seconds), 3)


def measure(rows: int) -> dict[str, object]:
    """Seconds for reading a CSV file and for encoding its questions as joint prompts."""
    from make_tiny_llama import make_tiny_llama
    from transformers import AutoTokenizer

    from llmtuner.data import load
    from llmtuner.data.joint import JointEncoder
    from patches import install

    install()
    from llamafactory.data.template import TEMPLATES

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "exam.csv"
        write_rows(path, rows)
        model = make_tiny_llama(
            Path(folder) / "model",
            [ROOT / "data" / "demo" / "questions.jsonl"],
            hidden_size=32,
            num_layers=1,
            vocab_size=2000,
            seed=0,
        )
        tokenizer = AutoTokenizer.from_pretrained(model)

        def read() -> object:
            load._read.cache_clear()
            return load.read_questions(path, purpose="train")

        questions = load.read_questions(path, purpose="train").questions
        encoder = JointEncoder(tokenizer, TEMPLATES["llama2"], 2048)
        return {
            "rows": rows,
            "megabytes": round(path.stat().st_size / 1e6, 1),
            "read_and_check_seconds": best_of(read),
            "tokenise_seconds": best_of(
                lambda: [encoder.encode(questions[i : i + 1000]) for i in range(0, rows, 1000)], times=1
            ),
        }


def main() -> int:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "data.json")
    args = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], check=False, capture_output=True, text=True, cwd=ROOT
    )
    result = measure(args.rows) | {
        "command": f"python benchmarks/data.py --rows {args.rows}",
        "commit": commit.stdout.strip() or "unknown",
        "hardware": f"{os.cpu_count()} cores, {platform.machine()}",
        "python": platform.python_version(),
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
