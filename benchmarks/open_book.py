#!/usr/bin/env python3
"""Does a context help? The project's exam with its passages and without them.

    python benchmarks/open_book.py --models SEED1_MODEL SEED2_MODEL SEED3_MODEL [--work DIR]
    python benchmarks/open_book.py --models MINILM --seeds 1 2 3

For each seed a model is trained twice on the exam's training split: with each question's passage as context (open book)
and without (closed book). Both score all three splits. The report gives MAP@3 of both books and the difference with a
95 % interval over seeds and questions; questions on one passage are drawn together. Both books were trained on the
training split: its row shows how much they memorised. Results in --work are reused.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

import numpy as np  # noqa: E402
from evidence.arms import Training, compare_arms, read_arm, train_arms  # noqa: E402
from evidence.cells import claim, fingerprint  # noqa: E402
from evidence.command_line import add_training_flags, made_by  # noqa: E402
from provenance import trial_file, write_result  # noqa: E402

from llmtuner.data.audit.shortcuts import like_the_others  # noqa: E402
from llmtuner.data.load import read_questions  # noqa: E402
from llmtuner.data.predictions import Prediction  # noqa: E402
from llmtuner.metrics import baselines, map_at_k  # noqa: E402

EXAM = ROOT / "data" / "exam"
SPLITS, BOOKS = ("train", "validation", "test"), ("closed", "open")
FLAGS = """--finetuning_type full --num_train_epochs 3 --learning_rate 6e-5 --head_learning_rate 1e-3 --warmup_steps 20
    --weight_decay 0.01 --cutoff_len 256 --mcq_tokens_per_batch 2048 --logging_steps 20 --save_strategy no
    --disable_tqdm true"""


def records(split: str) -> list[dict[str, Any]]:
    """The lines of a split."""
    text = (EXAM / f"{split}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def write_books(work: Path) -> None:
    """Write every split twice: as it is, and without its passages."""
    for split in SPLITS:
        for book in BOOKS:
            path = work / book / f"{split}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = [row if book == "open" else {**row, "context": ""} for row in records(split)]
            path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def summarise(split: str, predictions: Mapping[str, Sequence[Sequence[Prediction]]]) -> dict[str, Any]:
    """MAP@3 of both books, their difference, and baselines that need no model.

    Args:
        predictions: of each book, a list for each seed.
    """
    rows = records(split)
    questions = read_questions(EXAM / f"{split}.jsonl", purpose="train").questions
    passages = [row["passage_id"] for row in rows]
    results = compare_arms(predictions, questions, baseline="closed", groups_Q=passages)
    summary: dict[str, Any] = {"questions": len(rows)}
    summary |= {book: result.map3_S for book, result in results.items()}
    summary |= results["open"].difference()
    answers = ["ABCDE".index(row["answer"]) for row in rows]
    lengths = [[len(row[letter]) for letter in "ABCDE"] for row in rows]
    summary |= {name: value for name, value in baselines(lengths, answers).items() if "map@3" in name}
    likeness = [like_the_others(question) for question in questions]
    return summary | {"floor_most_like_the_other_options_map@3": map_at_k(likeness, answers)}


def parse_arguments() -> argparse.Namespace:
    """The arguments, with a model for each seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", required=True, help="one folder for each seed, or one for all seeds")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--work", type=Path, default=ROOT / "out" / "open_book", help="folder of the trainings")
    parser.add_argument("--out", type=Path, default=trial_file("open_book"), help="the results as JSON")
    add_training_flags(parser, minutes=False)
    args = parser.parse_args()
    args.models = args.models * len(args.seeds) if len(args.models) == 1 else args.models
    if len(args.models) != len(args.seeds):
        parser.error(f"--models: {len(args.models)} for {len(args.seeds)} seeds; pass one model, or one for each seed")
    missing = [model for model in args.models if not Path(model).is_dir()]
    if missing:
        parser.error(f"--models {missing[0]}: no such folder")
    return args


def main() -> None:
    """Train, then report."""
    args = parse_arguments()
    exam = fingerprint(EXAM / f"{split}.jsonl" for split in SPLITS)
    claim(args.work, {"models": args.models, "seeds": args.seeds, "flags": FLAGS.split(), "exam": exam})
    write_books(args.work)
    trainings = []
    for seed, model in zip(args.seeds, args.models, strict=True):
        for book in BOOKS:
            files = {split: args.work / book / f"{split}.jsonl" for split in SPLITS}
            out = args.work / book / f"seed-{seed}"
            trainings.append(Training(FLAGS.split(), model, files["train"], files, out, seed))
    train_arms(trainings, parallel=args.parallel, threads=args.threads)
    summary = {}
    for split in SPLITS:
        outs = {book: [args.work / book / f"seed-{seed}" for seed in args.seeds] for book in BOOKS}
        summary[split] = summarise(split, {book: read_arm(outs[book], split) for book in BOOKS})
        low, high = summary[split]["interval"]
        line = ", ".join(f"{book} {np.mean(summary[split][book]):.3f}" for book in BOOKS)
        print(f"{split}: {line}, difference {summary[split]['difference']:+.3f} [{low:+.3f}, {high:+.3f}]")
    result = {
        "command": "python benchmarks/open_book.py --models SEED1_MODEL SEED2_MODEL SEED3_MODEL",
        **made_by(training.out for training in trainings),
        "threads": args.threads,
        "seeds": args.seeds,
        "flags": FLAGS.split(),
        "splits": summary,
    }
    write_result(result, args.out)


if __name__ == "__main__":
    main()
