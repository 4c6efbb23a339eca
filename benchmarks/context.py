#!/usr/bin/env python3
"""Does a context help an encoder, and which pooling reads it best? ScienceQA with hint and lecture, and without.

    python benchmarks/context.py --data DATA --model MINILM [--parallel 2] [--minutes 60] [-- --tf32 true]

The first 4,000 training questions, scored on the first 1,000 validation questions, through the project's own command
line: a training for each book (closed: no context; hint; open: hint and lecture), pooling, number of epochs and seed.
Differences to the closed book come with their 95 % interval: seeds and questions are drawn again. They are reported of
all questions, of those that have a hint, which is about the question, and of those that have a lecture only, which is
about its subject. Flags behind -- go to every training. What is in --work is not computed again; after --minutes no
training is started, and what is there is reported.
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
from evidence.command_line import is_done, made_by, own_and_passed_on, train_and_score  # noqa: E402
from evidence.report import per_question  # noqa: E402

from llmtuner.data.load import read_questions  # noqa: E402
from llmtuner.data.predictions import read_predictions  # noqa: E402
from llmtuner.metrics import accuracy, floors, paired_interval  # noqa: E402

CLOSED = "closed"
BOOKS = {CLOSED: ["hint", "lecture"], "hint": ["lecture"], "open": []}  # the columns that each is without
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
    """Cheap ones first; all books side by side."""
    for epochs in args.epochs:
        for seed in args.seeds:
            for pooling in args.poolings:
                for book in args.books:
                    yield Run(epochs, seed, pooling, book)


def write_books(data: Path, work: Path) -> None:
    """Both files as each book has them."""
    for name, rows in (("train", TRAIN), ("validation", TEST)):
        table = pq.read_table(data / "scienceqa" / f"{name}.parquet").slice(0, rows)
        for book, without in BOOKS.items():
            path = work / book / f"{name}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table.drop_columns(without), path)


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


def done(args: argparse.Namespace) -> dict[tuple[str, int, str], list[tuple[Path, Path]]]:
    """For each book, number of epochs and pooling, the runs with it and the closed one, of the seeds that have both."""
    found: dict[tuple[str, int, str], list[tuple[Path, Path]]] = {}
    for run in runs(args):
        pair = run.place(args.work), run._replace(book=CLOSED).place(args.work)
        if run.book != CLOSED and all(map(is_done, pair)):
            found.setdefault((run.book, run.epochs, run.pooling), []).append(pair)
    return found


def summarise(args: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each book, number of epochs and pooling; differences are to no context."""
    everything = args.work / "open" / "validation.parquet"
    questions = read_questions(everything, purpose="train").questions
    columns = pq.read_table(everything, columns=["hint", "lecture"]).to_pydict()
    hint, lecture = (np.array([bool(text) for text in columns[name]]) for name in ("hint", "lecture"))
    parts = {"all": np.ones(len(hint), bool), "with a hint": hint, "lecture only": lecture & ~hint}
    answers = [question.answer or 0 for question in questions]
    rows: list[dict[str, Any]] = []
    for (book, epochs, pooling), pairs in done(args).items():
        scores = [[_scores(place) for place in pair] for pair in pairs]
        values_SBQ = np.array([[per_question(run, answers) for run in pair] for pair in scores])
        row = {"book": book, "epochs": epochs, "pooling": pooling, "seeds": len(pairs)}
        for number, name in enumerate((book, CLOSED)):
            row[f"{name}_map@3"] = values_SBQ[:, number].mean(1).tolist()
            row[f"{name}_accuracy"] = [accuracy(pair[number], answers) for pair in scores]
        rows.append(row | {"parts": {name: _difference(values_SBQ[..., part]) for name, part in parts.items()}})
    lengths = [[len(option) for option in question.options] for question in questions]
    return [*rows, floors(lengths, answers)]


def _scores(place: Path) -> list[Sequence[float]]:
    return [one.scores for one in read_predictions(place / "validation" / "predictions.jsonl")]


def _difference(values_SBQ: np.ndarray) -> dict[str, Any]:
    difference_SQ = values_SBQ[:, 0] - values_SBQ[:, 1]
    return {
        "questions": difference_SQ.shape[1],
        CLOSED: float(values_SBQ[:, 1].mean()),
        "difference": float(difference_SQ.mean()),
        "interval": paired_interval(difference_SQ),
    }


def main() -> None:
    """Train what is missing, then report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with scienceqa/")
    parser.add_argument("--model", required=True, help="folder of an encoder")
    parser.add_argument("--poolings", nargs="+", choices=POOLINGS, default=list(POOLINGS))
    parser.add_argument("--books", nargs="+", choices=BOOKS, default=["open"], help="to be compared with closed")
    parser.add_argument("--epochs", nargs="+", type=int, default=[1, 3])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no training after so long")
    parser.add_argument("--parallel", type=int, default=1, help="trainings at a time")
    parser.add_argument("--threads", type=int, default=1, help="of a training")
    parser.add_argument("--work", type=Path, default=ROOT / "out" / "context")
    parser.add_argument("--out", type=Path, help="the results as JSON; in --work")
    own, flags = own_and_passed_on(sys.argv[1:])
    args = parser.parse_args(own, argparse.Namespace(flags=flags))
    compared = [book for book in args.books if book != CLOSED]
    args.books = [CLOSED, *compared]
    claim(args.work, {"model": args.model, "data": str(args.data), "flags": [*FLAGS.split(), *args.flags]})
    write_books(args.data, args.work)
    train_all(args)
    rows = summarise(args)
    words = ["python benchmarks/context.py --data DATA --model MINILM"]
    asked = {"books": compared, "poolings": args.poolings, "epochs": args.epochs, "seeds": args.seeds}
    for name, values in asked.items():
        words += [] if values == parser.get_default(name) else [f"--{name}", *map(str, values)]
    words += ["--", *args.flags] if args.flags else []
    places = {place for pairs in done(args).values() for pair in pairs for place in pair}
    stored = {"command": " ".join(words), **made_by(places), "threads": args.threads, "rows": rows}
    (args.out or args.work / "context.json").write_text(json.dumps(stored, indent=1) + "\n")
    for row in rows[:-1]:
        print(f"{row['book']}, {row['pooling']}, {row['epochs']} epochs, {row['seeds']} seeds:", end="")
        for name, part in row["parts"].items():
            low, high = part["interval"]
            print(f" {name} {part[CLOSED]:.3f} {part['difference']:+.3f} [{low:+.3f}, {high:+.3f}]", end=";")
        print()


if __name__ == "__main__":
    main()
