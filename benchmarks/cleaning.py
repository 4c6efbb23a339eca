#!/usr/bin/env python3
"""Does cleaning help? STEP2's encoder on llmscience as it is built, and on the same rows as they come.

    python benchmarks/cleaning.py --raw KAGGLE --model MINILM [--plant 0.2] [--work DIR]

`scripts/prepare_llmscience.py` builds the sets from --raw. Three trainings a seed are scored on llmscience_valid, which
none of them has seen a row of: on llmscience, on all raw rows but those of llmscience_valid (what the cleaning takes
out stays in: copies, contradictions, near duplicates of the questions that are scored), and on llmscience_hq. With
--plant, that share of the 6,000 is repeated first with another answer, as a further raw file, since --raw may hold
little to clean. Differences have a 95 % interval: seeds and questions are drawn again. What is in --work is not
computed again.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

import numpy as np  # noqa: E402
from evidence.cells import claim, fingerprint  # noqa: E402
from evidence.command_line import made_by, train_and_score  # noqa: E402
from evidence.report import per_question  # noqa: E402

from llmtuner.data.duplicates import exact_key  # noqa: E402
from llmtuner.data.load import read_questions  # noqa: E402
from llmtuner.data.predictions import read_predictions  # noqa: E402
from llmtuner.data.prepare import BuildSettings, prepare_llmscience  # noqa: E402
from llmtuner.data.split import question_key  # noqa: E402
from llmtuner.metrics import accuracy, floors, paired_interval  # noqa: E402

FLAGS = """--finetuning_type full --num_train_epochs 1 --learning_rate 6e-5 --head_learning_rate 1e-3 --warmup_steps 50
    --weight_decay 0.01 --cutoff_len 256 --mcq_dropout 0 --per_device_train_batch_size 4 --gradient_accumulation_steps 4
    --logging_steps 20 --save_strategy no --disable_tqdm true"""
ARMS = ("cleaned", "uncleaned", "hq")
REPEATED, PLANTED_IN = "6000_train_examples.csv", "15k_gpt3.5-turbo.csv"  # names that the build looks for


def plant(raw: Path, share: float) -> int:
    """Repeat a share of the 6,000 with another answer; return how many."""
    with min(raw.rglob(REPEATED)).open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
        names = list(reader.fieldnames or ())
    draw = random.Random(0)
    chosen = draw.sample(rows, int(share * len(rows)))
    with (raw / PLANTED_IN).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        for row in chosen:
            writer.writerow({**row, "answer": draw.choice([letter for letter in "ABCDE" if letter != row["answer"]])})
    return len(chosen)


def sets(args: argparse.Namespace) -> dict[str, Path]:
    """The training files of the arms, and what is scored."""
    built, raw = args.work / "llmscience", args.work / "raw"
    if not (built / "manifest.json").is_file():
        shutil.rmtree(raw, ignore_errors=True)  # of a run that was stopped
        shutil.copytree(args.raw, raw)
        if args.plant:
            print(f"{plant(raw, args.plant):,} rows planted with another answer")
        prepare_llmscience(raw, built, BuildSettings(), overwrite=True)
    files = {"cleaned": built / "llmscience.jsonl", "hq": built / "llmscience_hq.jsonl"}
    files["valid"], files["uncleaned"] = built / "llmscience_valid.jsonl", args.work / "uncleaned.jsonl"
    held_out = {exact_key(question) for question in read_questions(files["valid"], purpose="train").questions}
    everything = built / "llmscience_raw_all.jsonl"
    questions = read_questions(everything, purpose="train").questions
    lines = everything.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line, question in zip(lines, questions, strict=True) if exact_key(question) not in held_out]
    files["uncleaned"].write_text("".join(kept), encoding="utf-8")
    return files


def place(args: argparse.Namespace, arm: str, seed: int) -> Path:
    """What a training leaves is there."""
    return args.work / "runs" / arm / f"seed-{seed}"


def summarise(files: dict[str, Path], args: argparse.Namespace) -> dict[str, Any]:
    """What each arm scores, and its difference to the cleaned set."""
    questions = read_questions(files["valid"], purpose="train").questions
    answers = [question.answer or 0 for question in questions]
    values, found = {}, {}
    for arm in ARMS:
        places = [place(args, arm, seed) / "valid" / "predictions.jsonl" for seed in args.seeds]
        scores = [[one.scores for one in read_predictions(path)] for path in places]
        values[arm] = np.array([per_question(of_seed, answers) for of_seed in scores])
        found[arm] = {
            "rows": len(read_questions(files[arm], purpose="train").questions),
            "map@3": values[arm].mean(1).tolist(),
            "accuracy": [accuracy(of_seed, answers) for of_seed in scores],
        }
    for arm in ARMS[1:]:
        difference = values[arm] - values[ARMS[0]]
        groups = [question_key(question.question) for question in questions]
        found[arm] |= {"difference": float(difference.mean()), "interval": paired_interval(difference, groups)}
    found["floors"] = floors([[len(option) for option in q.options] for q in questions], answers)
    return found | {"questions": len(questions)}


def main() -> None:
    """Build, train what is missing, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raw", type=Path, required=True, help="folder with the Kaggle files")
    parser.add_argument("--model", required=True, help="folder of an encoder")
    parser.add_argument("--plant", type=float, default=0.0, help="share of the 6,000 that is repeated wrongly")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--work", type=Path, default=ROOT / "out" / "cleaning")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "cleaning.json")
    parser.add_argument("--threads", type=int, default=1, help="of a training")
    parser.add_argument("--parallel", type=int, default=1, help="trainings at a time")
    args = parser.parse_args()
    for folder in (str(args.raw), args.model):
        if not Path(folder).is_dir():
            parser.error(f"no folder {folder}")
    if args.plant and not any(args.raw.rglob(REPEATED)):
        parser.error(f"{args.raw}: no {REPEATED}, which --plant repeats; unzip it there, or leave --plant out")
    if args.plant and any(args.raw.rglob(PLANTED_IN)):
        parser.error(f"{args.raw}: --plant writes a {PLANTED_IN}, and there is one; leave --plant out")
    content = fingerprint(path for path in args.raw.rglob("*") if path.is_file())
    about = {"raw": str(args.raw), "files": content, "model": args.model, "plant": args.plant, "flags": FLAGS.split()}
    claim(args.work, about)
    files = sets(args)

    def one(seed: int, arm: str) -> None:
        given = FLAGS.split(), args.model, files[arm], {"valid": files["valid"]}, place(args, arm, seed)
        train_and_score(*given, seed=seed, threads=args.threads)

    runs = [(seed, arm) for seed in args.seeds for arm in ARMS]
    with ThreadPoolExecutor(args.parallel) as pool:
        list(pool.map(one, *zip(*runs, strict=True)))
    found = summarise(files, args)
    for arm in ARMS:
        line = f"{arm}: {found[arm]['rows']:,} rows, MAP@3 {np.mean(found[arm]['map@3']):.3f}"
        if "interval" in found[arm]:
            low, high = found[arm]["interval"]
            line += f", {found[arm]['difference']:+.3f} [{low:+.3f}, {high:+.3f}] to cleaned"
        print(line)
    command = f"python benchmarks/cleaning.py --raw KAGGLE --model MINILM --plant {args.plant}"
    origin = made_by(place(args, arm, seed) for seed, arm in runs)
    stored = {"command": command, **origin, "threads": args.threads, "seeds": args.seeds, **found}
    args.out.write_text(json.dumps(stored, indent=1) + "\n")


if __name__ == "__main__":
    main()
