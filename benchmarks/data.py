#!/usr/bin/env python3
"""How long do reading, checking, tokenising and auditing of multiple-choice files take?

    python benchmarks/data.py [--rows 40000] [--audit_rows 60000] [--out FILE]

Reading and tokenising: the demo questions, numbered so that no two are equal. Process CPU time, the best of three runs
for reading, one run for tokenising.

Audit: questions of random words, as long as those of Kaggle's 6,000 (numbered copies of 40 questions would be near
duplicates of each other). One row in 50 repeats an earlier one, and one in 50 repeats one with a changed word. CPU time
of one run (of reading, the best of three), and the peak memory of a process that does nothing else.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import os
import platform
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from provenance import commit, hardware, trial_file, write_result

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT), str(ROOT / "scripts")]
COLUMNS = ["id", "prompt", "context", *"ABCDE", "answer"]
WORDS = 12  # mean length of a prompt and of an option in Kaggle's 6,000
AUDIT_STEPS = ["check", "form", "exact_duplicates", "exact_and_near_duplicates", "shortcuts", "shortcut_model", "whole"]
REPEATED = 50  # of so many rows, one repeats an earlier row and one repeats it nearly


def write_rows(path: Path, rows: int) -> None:
    """Write a CSV file of different questions."""
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
    """Seconds to read a CSV file and to encode its questions as joint prompts."""
    from make_tiny_llama import make_tiny_llama
    from transformers import AutoTokenizer

    from llmtuner.data import load
    from llmtuner.data.tokens.joint import JointEncoder
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


def write_random_rows(path: Path, rows: int) -> None:
    """Write a CSV file of questions of random words, with repeated rows; few words are frequent, as in a language."""
    rng = random.Random(0)
    vocabulary = [f"w{number}" for number in range(30_000)]
    weights = [1 / (number + 10) for number in range(len(vocabulary))]
    drawn = iter(rng.choices(vocabulary, weights, k=rows * 8 * WORDS))

    def text() -> list[str]:
        return [next(drawn) for _ in range(rng.randint(WORDS - 6, WORDS + 6))]

    earlier_rows: list[list[list[str]]] = []
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "prompt", *"ABCDE", "answer"])
        for number in range(rows):
            texts = [text() for _ in range(6)]
            if earlier_rows and number % REPEATED < 2:
                texts = [list(words) for words in rng.choice(earlier_rows)]
                if number % REPEATED:
                    texts[0][-1] = "changed"
            earlier_rows.append(texts)
            writer.writerow([number, *map(" ".join, texts), rng.choice("ABCDE")])


def _audit_step(name: str, path: Path) -> dict[str, float]:
    """CPU seconds of one step of an audit and the peak memory of this process, in MB."""
    from llmtuner.data import load
    from llmtuner.data.audit import model, quality, repeats, run, shortcuts

    questions = () if name in ("check", "whole") else load.inspect_questions(path).questions
    steps: dict[str, Callable[[], object]] = {
        "check": lambda: (load._read.cache_clear(), load.inspect_questions(path)),
        "form": lambda: quality.quality_summary(questions),
        "exact_duplicates": lambda: repeats.repeats([questions], ["exam"], near=False),
        "exact_and_near_duplicates": lambda: repeats.repeats([questions], ["exam"]),
        "shortcuts": lambda: shortcuts.shortcut_scores(questions),
        "shortcut_model": lambda: model.shortcut_model(questions),
        "whole": lambda: run.audit([path]),
    }
    seconds = best_of(steps[name], times=3 if name == "check" else 1)
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": seconds, "peak_megabytes": round(kilobytes * 1024 / 1e6)}


def measure_audit(rows: int) -> dict[str, object]:
    """Each step of an audit in a fresh process. Reading the file counts as "check"; the memory includes the rows."""
    fresh = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "exam.csv"
        write_random_rows(path, rows)
        result: dict[str, object] = {"rows": rows, "megabytes": round(path.stat().st_size / 1e6, 1)}
        for name in AUDIT_STEPS:
            with fresh.Pool(1) as pool:
                result[name] = pool.apply(_audit_step, (name, path))
            print(name, result[name], flush=True)
    return result


def main() -> int:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--audit_rows", type=int, default=60_000)
    parser.add_argument("--out", type=Path, default=trial_file("data"), help="the results as JSON")
    args = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    # First, while this process is small: the peak memory of a child starts at the size of its parent.
    audit = measure_audit(args.audit_rows)
    result = measure(args.rows) | {
        "audit": audit,
        "command": f"python benchmarks/data.py --rows {args.rows} --audit_rows {args.audit_rows}",
        "commit": commit(),
        "hardware": hardware("cpu"),
        "python": platform.python_version(),
    }
    write_result(result, args.out, indent=2)
    print(json.dumps(result, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
