#!/usr/bin/env python3
"""Does a context help an encoder, and which pooling reads it best? ScienceQA with hint and lecture, and without.

    python benchmarks/context.py --data DATA --model MINILM [--parallel 2] [--minutes 60] [-- --tf32 true]

A training for each book, pooling, number of epochs and seed. Books are `closed` (no context), `hint`, and `open` (hint
and lecture). Each training reads the first 4,000 training questions and scores the first 1,000 validation questions.
Differences are from the closed book, with a 95 % interval over seeds and questions: for all questions, for those with a
hint (a text about the question), and for those with a lecture only (a text about the subject). Flags after -- go to
every training. Results in --work are reused. After --minutes no training starts, and the report covers the finished
ones.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

import numpy as np  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from evidence.arms import Training, compare_arms, read_arm, train_arms  # noqa: E402
from evidence.cells import claim  # noqa: E402
from evidence.command_line import add_training_flags, is_done, made_by, own_and_passed_on  # noqa: E402
from provenance import trial_file, write_result  # noqa: E402

from llmtuner.data.load import read_questions  # noqa: E402
from llmtuner.metrics import baselines  # noqa: E402

CLOSED = "closed"
BOOKS = {CLOSED: ["hint", "lecture"], "hint": ["lecture"], "open": []}  # the columns that each book leaves out
POOLINGS = ("mean", "option", "first")
TRAIN, TEST = 4000, 1000  # rows from the start of ScienceQA's training and validation files
FLAGS = """--finetuning_type full --learning_rate 1e-4 --head_learning_rate 1e-3 --warmup_steps 50 --weight_decay 0.01
    --cutoff_len 256 --mcq_dropout 0 --per_device_train_batch_size 4 --gradient_accumulation_steps 4
    --logging_steps 20 --save_strategy no --disable_tqdm true"""


class Run(NamedTuple):
    """One training."""

    epochs: int
    seed: int
    pooling: str
    book: str

    def folder(self, work: Path) -> Path:
        """Its output folder."""
        return work / self.book / f"{self.pooling}-{self.epochs}-{self.seed}"


def all_runs(args: argparse.Namespace) -> Iterator[Run]:
    """Few epochs first, and all books of a comparison one after another."""
    for epochs in args.epochs:
        for seed in args.seeds:
            for pooling in args.poolings:
                for book in args.books:
                    yield Run(epochs, seed, pooling, book)


def write_books(data: Path, work: Path) -> None:
    """Write both files for each book."""
    for name, rows in (("train", TRAIN), ("validation", TEST)):
        table = pq.read_table(data / "scienceqa" / f"{name}.parquet").slice(0, rows)
        for book, left_out in BOOKS.items():
            path = work / book / f"{name}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table.drop_columns(left_out), path)


def training_of(run: Run, args: argparse.Namespace) -> Training:
    """A run as a training of the command line."""
    files = {name: args.work / run.book / f"{name}.parquet" for name in ("train", "validation")}
    flags = [*FLAGS.split(), "--mcq_pooling", run.pooling, "--num_train_epochs", str(run.epochs), *args.flags]
    tests = {"validation": files["validation"]}
    return Training(flags, args.model, files["train"], tests, run.folder(args.work), run.seed)


def finished_pairs(args: argparse.Namespace) -> dict[tuple[str, int, str], list[tuple[Path, Path]]]:
    """For each book, number of epochs and pooling: the folders of its run and of the closed one.

    Seeds that have one of the two only are left out.
    """
    pairs: dict[tuple[str, int, str], list[tuple[Path, Path]]] = {}
    for run in all_runs(args):
        pair = run.folder(args.work), run._replace(book=CLOSED).folder(args.work)
        if run.book != CLOSED and all(map(is_done, pair)):
            pairs.setdefault((run.book, run.epochs, run.pooling), []).append(pair)
    return pairs


def summarise(args: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each book, number of epochs and pooling, compared with no context; the last row has the baselines."""
    path = args.work / "open" / "validation.parquet"
    questions = read_questions(path, purpose="train").questions
    columns = pq.read_table(path, columns=["hint", "lecture"]).to_pydict()
    hint_Q, lecture_Q = (np.array([bool(text) for text in columns[name]]) for name in ("hint", "lecture"))
    parts = {"all": np.ones(len(hint_Q), bool), "with a hint": hint_Q, "lecture only": lecture_Q & ~hint_Q}
    rows: list[dict[str, Any]] = []
    for (book, epochs, pooling), pairs in finished_pairs(args).items():
        folders = dict(zip((book, CLOSED), zip(*pairs, strict=True), strict=True))
        predictions = {arm: read_arm(of_arm, "validation") for arm, of_arm in folders.items()}
        results = compare_arms(predictions, questions, baseline=CLOSED)
        row = {"book": book, "epochs": epochs, "pooling": pooling, "seeds": len(pairs)}
        for arm, result in results.items():
            row |= {f"{arm}_map@3": result.map3_S, f"{arm}_accuracy": result.accuracy_S}
        row["parts"] = {}
        for name, part_Q in parts.items():
            closed = float(results[CLOSED].map3_SQ[:, part_Q].mean())
            row["parts"][name] = {"questions": int(part_Q.sum()), CLOSED: closed} | results[book].difference(part_Q)
        rows.append(row)
    lengths = [[len(option) for option in question.options] for question in questions]
    return [*rows, baselines(lengths, [question.answer or 0 for question in questions])]


def parse_arguments() -> tuple[argparse.Namespace, str]:
    """The arguments, and the command that repeats the run with other folders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with scienceqa/")
    parser.add_argument("--model", required=True, help="folder of an encoder")
    parser.add_argument("--poolings", nargs="+", choices=POOLINGS, default=list(POOLINGS))
    parser.add_argument("--books", nargs="+", choices=BOOKS, default=["open"], help="books to compare with closed")
    parser.add_argument("--epochs", nargs="+", type=int, default=[1, 3])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    add_training_flags(parser)
    parser.add_argument("--work", type=Path, default=ROOT / "out" / "context", help="folder of the trainings")
    parser.add_argument("--out", type=Path, default=trial_file("context"), help="the results as JSON")
    own, flags = own_and_passed_on(sys.argv[1:])
    args = parser.parse_args(own, argparse.Namespace(flags=flags))
    compared = [book for book in args.books if book != CLOSED]
    args.books = [CLOSED, *compared]
    words = ["python benchmarks/context.py --data DATA --model MINILM"]
    given = {"books": compared, "poolings": args.poolings, "epochs": args.epochs, "seeds": args.seeds}
    for name, values in given.items():
        words += [] if values == parser.get_default(name) else [f"--{name}", *map(str, values)]
    words += ["--", *args.flags] if args.flags else []
    return args, " ".join(words)


def main() -> None:
    """Train, then report."""
    args, command = parse_arguments()
    claim(args.work, {"model": args.model, "data": str(args.data), "flags": [*FLAGS.split(), *args.flags]})
    write_books(args.data, args.work)
    trainings = (training_of(run, args) for run in all_runs(args))
    train_arms(trainings, parallel=args.parallel, threads=args.threads, minutes=args.minutes)
    rows = summarise(args)
    folders = {folder for pairs in finished_pairs(args).values() for pair in pairs for folder in pair}
    write_result({"command": command, **made_by(folders), "threads": args.threads, "rows": rows}, args.out)
    for row in rows[:-1]:
        print(f"{row['book']}, {row['pooling']}, {row['epochs']} epochs, {row['seeds']} seeds:", end="")
        for name, part in row["parts"].items():
            low, high = part["interval"]
            print(f" {name} {part[CLOSED]:.3f} {part['difference']:+.3f} [{low:+.3f}, {high:+.3f}]", end=";")
        print()


if __name__ == "__main__":
    main()
