#!/usr/bin/env python3
"""Does cleaning help? An encoder trained on llmscience, on the same rows without cleaning, and on llmscience_hq.

    python benchmarks/cleaning.py --raw KAGGLE --model MINILM [--plant 0.2] [--work DIR]

The sets are built from --raw, as `scripts/prepare_llmscience.py` does it. For each seed there are three trainings:

- `cleaned`: llmscience;
- `uncleaned`: all raw rows without those of llmscience_valid; copies, contradictions and near duplicates of the scored
  questions stay in;
- `hq`: llmscience_hq.

All are scored on llmscience_valid, and no training set has a row of it. --raw may hold little to clean: --plant repeats
that share of the 6,000 with a wrong answer, in a separate raw file. Differences come with a 95 % interval over seeds
and questions. Results in --work are reused.
"""

from __future__ import annotations

import argparse
import csv
import random
import shutil
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

import numpy as np  # noqa: E402
from evidence.arms import Training, compare_arms, read_arm, train_arms  # noqa: E402
from evidence.cells import claim, fingerprint  # noqa: E402
from evidence.command_line import add_training_flags, made_by  # noqa: E402
from provenance import trial_file, write_result  # noqa: E402

from llmtuner.data.duplicates import exact_key  # noqa: E402
from llmtuner.data.load import read_questions  # noqa: E402
from llmtuner.data.prepare import BuildSettings, prepare_llmscience  # noqa: E402
from llmtuner.data.split import question_key  # noqa: E402
from llmtuner.metrics import baselines  # noqa: E402

FLAGS = """--finetuning_type full --num_train_epochs 1 --learning_rate 6e-5 --head_learning_rate 1e-3 --warmup_steps 50
    --weight_decay 0.01 --cutoff_len 256 --mcq_dropout 0 --per_device_train_batch_size 4 --gradient_accumulation_steps 4
    --logging_steps 20 --save_strategy no --disable_tqdm true"""
ARMS = ("cleaned", "uncleaned", "hq")
REPEATED_FILE, PLANTED_FILE = "6000_train_examples.csv", "15k_gpt3.5-turbo.csv"  # names that the build looks for


def plant(raw: Path, share: float) -> int:
    """Write a share of the 6,000 with wrong answers into a separate file; return the number of rows."""
    with min(raw.rglob(REPEATED_FILE)).open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
        columns = list(reader.fieldnames or ())
    rng = random.Random(0)
    chosen = rng.sample(rows, int(share * len(rows)))
    with (raw / PLANTED_FILE).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for row in chosen:
            writer.writerow({**row, "answer": rng.choice([letter for letter in "ABCDE" if letter != row["answer"]])})
    return len(chosen)


def build_sets(args: argparse.Namespace) -> dict[str, Path]:
    """The training file of each arm, and "valid", the questions that are scored."""
    built, raw = args.work / "llmscience", args.work / "raw"
    if not (built / "manifest.json").is_file():
        shutil.rmtree(raw, ignore_errors=True)  # left by an interrupted run
        shutil.copytree(args.raw, raw)
        if args.plant:
            print(f"planted {plant(raw, args.plant):,} rows with a wrong answer")
        prepare_llmscience(raw, built, BuildSettings(), overwrite=True)
    files = {"cleaned": built / "llmscience.jsonl", "hq": built / "llmscience_hq.jsonl"}
    files["valid"], files["uncleaned"] = built / "llmscience_valid.jsonl", args.work / "uncleaned.jsonl"
    valid_keys = {exact_key(question) for question in read_questions(files["valid"], purpose="train").questions}
    all_rows = built / "llmscience_raw_all.jsonl"
    questions = read_questions(all_rows, purpose="train").questions
    lines = all_rows.read_text(encoding="utf-8").splitlines(keepends=True)
    training_lines = [
        line for line, question in zip(lines, questions, strict=True) if exact_key(question) not in valid_keys
    ]
    files["uncleaned"].write_text("".join(training_lines), encoding="utf-8")
    return files


def output_folder(work: Path, arm: str, seed: int) -> Path:
    """The output folder of a training."""
    return work / "runs" / arm / f"seed-{seed}"


def summarise(files: dict[str, Path], args: argparse.Namespace) -> dict[str, Any]:
    """The scores of each arm, and its difference to the cleaned set."""
    questions = read_questions(files["valid"], purpose="train").questions
    predictions = {arm: read_arm([output_folder(args.work, arm, seed) for seed in args.seeds], "valid") for arm in ARMS}
    groups = [question_key(question.question) for question in questions]
    summary: dict[str, Any] = {}
    for arm, result in compare_arms(predictions, questions, baseline=ARMS[0], groups_Q=groups).items():
        rows = len(read_questions(files[arm], purpose="train").questions)
        summary[arm] = {"rows": rows, "map@3": result.map3_S, "accuracy": result.accuracy_S}
        summary[arm] |= {} if arm == ARMS[0] else result.difference()
    lengths = [[len(option) for option in question.options] for question in questions]
    summary["floors"] = baselines(lengths, [question.answer or 0 for question in questions])
    return summary | {"questions": len(questions)}


def parse_arguments() -> argparse.Namespace:
    """The arguments, checked before anything is copied or trained."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raw", type=Path, required=True, help="folder with the Kaggle files")
    parser.add_argument("--model", required=True, help="folder of an encoder")
    parser.add_argument("--plant", type=float, default=0.0, help="share of the 6,000 to repeat with a wrong answer")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--work", type=Path, default=ROOT / "out" / "cleaning", help="folder of sets and trainings")
    parser.add_argument("--out", type=Path, default=trial_file("cleaning"), help="the results as JSON")
    add_training_flags(parser, minutes=False)
    args = parser.parse_args()
    for flag, folder in (("--raw", args.raw), ("--model", args.model)):
        if not Path(folder).is_dir():
            parser.error(f"{flag} {folder}: no such folder")
    if args.plant and not any(args.raw.rglob(REPEATED_FILE)):
        parser.error(f"--raw {args.raw}: no {REPEATED_FILE}, which --plant repeats; unzip it there, or omit --plant")
    if args.plant and any(args.raw.rglob(PLANTED_FILE)):
        parser.error(f"--raw {args.raw}: has a {PLANTED_FILE}, which --plant would replace; omit --plant")
    return args


def main() -> None:
    """Build the sets, train, report."""
    args = parse_arguments()
    content = fingerprint(path for path in args.raw.rglob("*") if path.is_file())
    about = {"raw": str(args.raw), "files": content, "model": args.model, "plant": args.plant, "flags": FLAGS.split()}
    claim(args.work, about)
    files = build_sets(args)
    tests = {"valid": files["valid"]}
    trainings = [
        Training(FLAGS.split(), args.model, files[arm], tests, output_folder(args.work, arm, seed), seed)
        for seed in args.seeds
        for arm in ARMS
    ]
    train_arms(trainings, parallel=args.parallel, threads=args.threads)
    summary = summarise(files, args)
    for arm in ARMS:
        line = f"{arm}: {summary[arm]['rows']:,} rows, MAP@3 {np.mean(summary[arm]['map@3']):.3f}"
        if "interval" in summary[arm]:
            low, high = summary[arm]["interval"]
            line += f", {summary[arm]['difference']:+.3f} [{low:+.3f}, {high:+.3f}] to cleaned"
        print(line)
    command = f"python benchmarks/cleaning.py --raw KAGGLE --model MINILM --plant {args.plant}"
    origin = made_by(training.out for training in trainings)
    write_result({"command": command, **origin, "threads": args.threads, "seeds": args.seeds, **summary}, args.out)


if __name__ == "__main__":
    main()
