#!/usr/bin/env python3
"""How much time does it save to compute the states of five shots once instead of for every question?

    python benchmarks/shots.py --model SMOLLM2 [--questions 40] [--shots 5] [--out FILE]

Questions of the elementary exam's test part, with shots from its training part. Both ways alternate in one process, so
that a busy machine slows both; the seconds are those of the process on its processors. Both give the same ranking.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "benchmarks")]

import torch  # noqa: E402
from provenance import commit, hardware, trial_file, write_result  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402

from llmtuner.data.load import read_questions  # noqa: E402
from llmtuner.mcq.choices import resolve  # noqa: E402
from llmtuner.mcq.collate import Collator  # noqa: E402
from llmtuner.mcq.encoding import make_encoder  # noqa: E402
from llmtuner.mcq.model import attach_head  # noqa: E402
from llmtuner.mcq.packing import settle_layout  # noqa: E402
from llmtuner.mcq.predict import Scoring, predict_questions  # noqa: E402
from llmtuner.mcq.prompts import fresh_prompt  # noqa: E402
from llmtuner.mcq.questions import QuestionSet  # noqa: E402

EXAM = ROOT / "data" / "elementary"
HEADS = {"shared_prefix": "likelihood", "per_option": "likelihood", "joint": "letter"}
CUTOFF = 4096
BATCH_SIZE = 8


def measure(model_dir: Path, layout: str, args: argparse.Namespace) -> dict[str, Any]:
    """Questions a second with and without the states of the shots, and whether the rankings are the same."""
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32).eval()
    given = {"prompt": "plain", "shots": args.shots, "shots_from": str(EXAM / "train.jsonl")}
    settings = resolve("causal", {"head": HEADS[layout], "layout": layout})
    settings = settings.with_(prompt=fresh_prompt(given, "causal", ""))
    encoder = make_encoder(settings, tokenizer, model.config, cutoff_len=CUTOFF)
    questions = QuestionSet(read_questions(EXAM / "test.jsonl", purpose="predict").questions[: args.questions], encoder)
    attach_head(model, settings)
    settings, _ = settle_layout(model, settings, questions.tokens, tokenizer.pad_token_id or 0, required=True)
    scoring = Scoring(Collator.of(settings, tokenizer.pad_token_id or 0), batch_size=BATCH_SIZE, notice=print)
    ways = {"once": scoring, "each": replace(scoring, reuse_shots=False, notice=lambda _: None)}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    predictions = {}
    for _ in range(args.rounds):
        for way, chosen in ways.items():
            begin = time.process_time()
            predictions[way] = predict_questions(model, questions, chosen)
            seconds[way].append(time.process_time() - begin)
    tokens = questions.tokens[0].shots
    padded = [rows * longest for rows, longest in questions.shapes(layout)]
    rates = {way: len(questions) / median(times) for way, times in seconds.items()}
    return {
        "layout": layout,
        "head": HEADS[layout],
        "questions": len(questions),
        "shot_tokens": tokens,
        "tokens_per_question": round(sum(padded) / len(questions), 1),
        "questions_per_cpu_second": {way: round(rate, 3) for way, rate in rates.items()},
        "gain": round(rates["once"] / rates["each"], 2),
        "cpu_seconds": {way: [round(each, 2) for each in times] for way, times in seconds.items()},
        "same_ranking": sum(
            one.ranking == two.ranking for one, two in zip(predictions["once"], predictions["each"], strict=True)
        ),
    }


def main() -> None:
    """Measure each layout, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder of a causal model")
    parser.add_argument("--questions", type=int, default=40)
    parser.add_argument("--shots", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3, help="how often both ways are measured")
    parser.add_argument("--layouts", nargs="+", choices=HEADS, default=["shared_prefix", "joint"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=trial_file("shots"), help="the results as JSON")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    results = []
    for layout in args.layouts:
        results.append(measure(args.model, layout, args))
        print(results[-1], flush=True)
    command = f"python benchmarks/shots.py --model SMOLLM2 --questions {args.questions} --shots {args.shots}"
    command += f" --rounds {args.rounds} --layouts {' '.join(args.layouts)} --threads {args.threads}"
    write_result({"command": command, "commit": commit(), "hardware": hardware("cpu"), "results": results}, args.out)


if __name__ == "__main__":
    main()
