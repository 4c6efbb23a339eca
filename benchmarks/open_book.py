#!/usr/bin/env python3
"""Does a passage help? The project's exam with its passages and without, trained and scored alike.

    python benchmarks/open_book.py --models SEED1_MODEL SEED2_MODEL SEED3_MODEL [--work DIR]
    python benchmarks/open_book.py --models MINILM --seeds 1 2 3

Each model (or the one model, with each seed) is trained on the exam's training split twice, with the passage as context
and without, through the project's own command line, and scores all three splits. Reported are MAP@3 of both books, and
the difference with its 95 % interval: seeds and questions are drawn again, those on one passage together. The training
split has been seen by both; it is reported because it says how much was learnt by heart. What is in --work is not
computed again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

import numpy as np  # noqa: E402
from evidence.cells import claim, fingerprint  # noqa: E402
from evidence.command_line import made_by, train_and_score  # noqa: E402
from evidence.report import per_question  # noqa: E402

from llmtuner.data.audit.shortcuts import like_the_others  # noqa: E402
from llmtuner.data.load import read_questions  # noqa: E402
from llmtuner.data.predictions import Prediction, read_predictions  # noqa: E402
from llmtuner.metrics import floors, map_at_k, paired_interval  # noqa: E402

EXAM = ROOT / "data" / "exam"
SPLITS, BOOKS = ("train", "validation", "test"), ("closed", "open")
FLAGS = """--finetuning_type full --num_train_epochs 3 --learning_rate 6e-5 --head_learning_rate 1e-3 --warmup_steps 20
    --weight_decay 0.01 --cutoff_len 256 --mcq_tokens_per_batch 2048 --logging_steps 20 --save_strategy no
    --disable_tqdm true"""

Found = dict[str, list[list[Prediction]]]  # by book: a list a seed


def records(split: str) -> list[dict[str, Any]]:
    """The lines of a split."""
    text = (EXAM / f"{split}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def write_books(work: Path) -> None:
    """Every split as it is and without its passages."""
    for split in SPLITS:
        for book in BOOKS:
            path = work / book / f"{split}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = [row if book == "open" else {**row, "context": ""} for row in records(split)]
            path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def summarise(split: str, found: Found) -> dict[str, Any]:
    """MAP@3 of both books, what one is better by, and what needs no reading."""
    rows = records(split)
    answers = ["ABCDE".index(row["answer"]) for row in rows]
    values = {book: [_scores(seed, rows, answers) for seed in seeds] for book, seeds in found.items()}
    summary: dict[str, Any] = {"questions": len(rows)}
    for book, seeds in values.items():
        summary[book] = [float(seed.mean()) for seed in seeds]
    differences = np.array(values["open"]) - np.array(values["closed"])
    summary["difference"] = float(differences.mean())
    summary["interval"] = paired_interval(differences, [row["passage_id"] for row in rows])
    lengths = [[len(row[letter]) for letter in "ABCDE"] for row in rows]
    summary |= {name: value for name, value in floors(lengths, answers).items() if "map@3" in name}
    questions = read_questions(EXAM / f"{split}.jsonl", purpose="train").questions
    likeness = [like_the_others(question) for question in questions]
    return summary | {"floor_most_like_the_other_options_map@3": map_at_k(likeness, answers)}


def _scores(seed: list[Prediction], rows: list[dict[str, Any]], answers: Sequence[int]) -> np.ndarray:
    by_id = {one.id: one.scores for one in seed}
    return per_question([by_id[row["id"]] for row in rows], answers)


def main() -> None:
    """Train what is missing, then report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", required=True, help="one folder a seed, or one for all seeds")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--work", type=Path, default=ROOT / "out" / "open_book")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "open_book.json")
    parser.add_argument("--threads", type=int, default=1, help="of a training")
    parser.add_argument("--parallel", type=int, default=1, help="trainings at a time")
    args = parser.parse_args()
    models = args.models * len(args.seeds) if len(args.models) == 1 else args.models
    if len(models) != len(args.seeds):
        parser.error(f"{len(models)} models for {len(args.seeds)} seeds")
    missing = [model for model in models if not Path(model).is_dir()]
    if missing:
        parser.error(f"no folder {missing[0]}")
    exam = fingerprint(EXAM / f"{split}.jsonl" for split in SPLITS)
    claim(args.work, {"models": models, "seeds": args.seeds, "flags": FLAGS.split(), "exam": exam})
    write_books(args.work)

    def one(seed: int, model: str, book: str) -> None:
        files = {split: args.work / book / f"{split}.jsonl" for split in SPLITS}
        out = args.work / book / f"seed-{seed}"
        train_and_score(FLAGS.split(), model, files["train"], files, out, seed=seed, threads=args.threads)

    runs = [(seed, model, book) for seed, model in zip(args.seeds, models, strict=True) for book in BOOKS]
    with ThreadPoolExecutor(args.parallel) as pool:
        list(pool.map(one, *zip(*runs, strict=True)))
    summary = {}
    for split in SPLITS:
        places = {book: [args.work / book / f"seed-{seed}" / split for seed in args.seeds] for book in BOOKS}
        found = {
            book: [read_predictions(place / "predictions.jsonl") for place in of_book]
            for book, of_book in places.items()
        }
        summary[split] = summarise(split, found)
        low, high = summary[split]["interval"]
        line = ", ".join(f"{book} {np.mean(summary[split][book]):.3f}" for book in BOOKS)
        print(f"{split}: {line}, difference {summary[split]['difference']:+.3f} [{low:+.3f}, {high:+.3f}]")
    stored = {
        "command": "python benchmarks/open_book.py --models SEED1_MODEL SEED2_MODEL SEED3_MODEL",
        **made_by(args.work / book / f"seed-{seed}" for book in BOOKS for seed in args.seeds),
        "threads": args.threads,
        "seeds": args.seeds,
        "flags": FLAGS.split(),
        "splits": summary,
    }
    args.out.write_text(json.dumps(stored, indent=1) + "\n")


if __name__ == "__main__":
    main()
