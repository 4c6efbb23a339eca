#!/usr/bin/env python3
"""Does a context help an encoder, and which pooling reads it best? ScienceQA with hint and lecture, and without.

    python benchmarks/context.py --data DATA --model MINILM [--parallel 2] [--minutes 60] [-- --tf32 true]

The first 4,000 training questions, scored on the first 1,000 validation questions, through the project's own command
line: a training for each book (with context, without), pooling, number of epochs and seed. Differences between the
books come with their 95 % interval: seeds and questions are drawn again. They are reported of all questions and of
those that have a hint, which is about the question; a lecture is about its subject. Flags behind -- go to every
training. What is in --work is not computed again; after --minutes no training is started, and what is there is
reported.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

import numpy as np  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from evidence.cells import claim  # noqa: E402
from evidence.command_line import train_and_score  # noqa: E402
from evidence.report import per_question  # noqa: E402
from provenance import commit, machine  # noqa: E402

from llmtuner.data.load import read_questions  # noqa: E402
from llmtuner.data.predictions import read_predictions  # noqa: E402
from llmtuner.metrics import accuracy, floors, paired_interval  # noqa: E402

BOOKS = ("closed", "open")
POOLINGS = ("mean", "option", "first")
TRAIN, TEST = 4000, 1000  # the first so many questions of ScienceQA's training and validation files
FLAGS = """--finetuning_type full --learning_rate 1e-4 --head_learning_rate 1e-3 --warmup_steps 50 --weight_decay 0.01
    --cutoff_len 256 --mcq_dropout 0 --per_device_train_batch_size 4 --gradient_accumulation_steps 4
    --logging_steps 20 --save_strategy no --disable_tqdm true"""


class Run(NamedTuple):
    """One training."""

    epochs: int
    seed: int
    pooling: str
    book: str

    def place(self, work: Path) -> Path:
        """Where its predictions are."""
        return work / self.book / f"{self.pooling}-{self.epochs}-{self.seed}"


def runs(args: argparse.Namespace) -> Iterator[Run]:
    """Cheap ones first; both books side by side."""
    for epochs in args.epochs:
        for seed in args.seeds:
            for pooling in args.poolings:
                for book in BOOKS:
                    yield Run(epochs, seed, pooling, book)


def write_books(data: Path, work: Path) -> None:
    """Both files with their context and without."""
    for name, rows in (("train", TRAIN), ("validation", TEST)):
        table = pq.read_table(data / "scienceqa" / f"{name}.parquet").slice(0, rows)
        for book in BOOKS:
            path = work / book / f"{name}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table if book == "open" else table.drop_columns(["hint", "lecture"]), path)


def train_all(args: argparse.Namespace) -> None:
    """What is missing, `--parallel` at a time."""
    deadline = time.monotonic() + 60 * args.minutes

    def one(run: Run) -> None:
        if time.monotonic() > deadline:
            return
        files = {name: args.work / run.book / f"{name}.parquet" for name in ("train", "validation")}
        flags = [*FLAGS.split(), "--mcq_pooling", run.pooling, "--num_train_epochs", str(run.epochs), *args.flags]
        tests, out = {"validation": files["validation"]}, run.place(args.work)
        train_and_score(flags, args.model, files["train"], tests, out, seed=run.seed, threads=args.threads)

    with ThreadPoolExecutor(args.parallel) as pool:
        list(pool.map(one, runs(args)))


def summarise(args: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each pooling and number of epochs, of the seeds that both books have."""
    questions = read_questions(args.work / "open" / "validation.parquet", purpose="train").questions
    hinted = pq.read_table(args.work / "open" / "validation.parquet", columns=["hint"])["hint"].to_pylist()
    with_hint = np.array([bool(hint) for hint in hinted])
    answers = [question.answer or 0 for question in questions]
    rows = []
    for epochs in args.epochs:
        for pooling in args.poolings:
            places = [[Run(epochs, seed, pooling, book).place(args.work) for book in BOOKS] for seed in args.seeds]
            done = [
                pair
                for pair in places
                if all((place / "validation" / "predict_results.json").is_file() for place in pair)
            ]
            if done:
                rows.append(
                    {"pooling": pooling, "epochs": epochs, "seeds": len(done), **_figures(done, answers, with_hint)}
                )
    lengths = [[len(option) for option in question.options] for question in questions]
    return [*rows, {"pooling": "floors", **floors(lengths, answers)}]


def _figures(pairs: Sequence[Sequence[Path]], answers: Sequence[int], with_hint: np.ndarray) -> dict[str, Any]:
    scores = [
        [[p.scores for p in read_predictions(place / "validation" / "predictions.jsonl")] for place in pair]
        for pair in pairs
    ]
    values_SBQ = np.array([[per_question(of_book, answers) for of_book in seed] for seed in scores])
    difference_SQ = values_SBQ[:, 1] - values_SBQ[:, 0]
    found: dict[str, Any] = {}
    for number, book in enumerate(BOOKS):
        found[f"{book}_map@3"] = values_SBQ[:, number].mean(1).tolist()
        found[f"{book}_accuracy"] = [accuracy(seed[number], answers) for seed in scores]
    for name, kept in (("", np.ones(len(answers), bool)), ("_with_hint", with_hint)):
        found[f"closed{name}"] = float(values_SBQ[:, 0, kept].mean())
        found[f"open{name}"] = float(values_SBQ[:, 1, kept].mean())
        found[f"difference{name}"] = float(difference_SQ[:, kept].mean())
        found[f"interval{name}"] = paired_interval(difference_SQ[:, kept])
    return found


def main() -> None:
    """Train what is missing, then report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with scienceqa/")
    parser.add_argument("--model", required=True, help="folder of an encoder")
    parser.add_argument("--poolings", nargs="+", choices=POOLINGS, default=list(POOLINGS))
    parser.add_argument("--epochs", nargs="+", type=int, default=[1, 3])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no training after so long")
    parser.add_argument("--parallel", type=int, default=1, help="trainings at a time")
    parser.add_argument("--threads", type=int, default=1, help="of a training")
    parser.add_argument("--work", type=Path, default=ROOT / "out" / "context")
    parser.add_argument("--out", type=Path, help="the results as JSON; in --work")
    words = sys.argv[1:]
    split = words.index("--") if "--" in words else len(words)
    args = parser.parse_args(words[:split])
    args.flags = words[split + 1 :]
    claim(args.work, {"model": args.model, "flags": [*FLAGS.split(), *args.flags]})
    write_books(args.data, args.work)
    train_all(args)
    rows = summarise(args)
    stored = {
        "command": " ".join(
            ["python benchmarks/context.py --data DATA --model MINILM", *(["--", *args.flags] if args.flags else [])]
        ),
        "commit": commit(),
        "machine": machine(args.threads),
        "rows": rows,
    }
    (args.out or args.work / "context.json").write_text(json.dumps(stored, indent=1) + "\n")
    for row in rows[:-1]:
        line = f"{row['pooling']}, {row['epochs']} epochs, {row['seeds']} seeds:"
        for name in ("", "_with_hint"):
            low, high = row[f"interval{name}"]
            line += f" {name[1:].replace('_', ' ')} closed {row[f'closed{name}']:.3f}, open {row[f'open{name}']:.3f}"
            line += f", difference {row[f'difference{name}']:+.3f} [{low:+.3f}, {high:+.3f}];"
        print(line.rstrip(";"))


if __name__ == "__main__":
    main()
