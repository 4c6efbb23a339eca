#!/usr/bin/env python3
"""Does the check of packed rows accept a sound model and reject every deliberate mistake?

    python benchmarks/packing_check.py --model SMOLLM2 --data DATA [--out FILE]

A model that supports packed rows must stay well below the bound of the check: 20 pairs of questions (ARC without a
context, QASC with its facts, Kaggle's with retrieved passages), 1 and 2 threads, fp32 and bf16, with and without LoRA.
The first pairs are also read with an unknown token before each of their tokens: text that the model handles badly.

Every mistake in tests/mcq/breaks.py must exceed the bound: for the families of tests/mcq/models.py, and for the real
model on one pair of each set. `ratio` is difference divided by bound; above 1 the check rejects the model.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT), str(ROOT / "tests" / "mcq")]

import torch  # noqa: E402
from breaks import BREAKS, QUESTIONS, broken, changes_nothing  # noqa: E402
from models import MODELS, build  # noqa: E402
from peft import LoraConfig, get_peft_model  # noqa: E402
from provenance import commit, hardware, trial_file, write_result  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402

from llmtuner.data.load import read_questions  # noqa: E402
from llmtuner.data.prompt import Field  # noqa: E402
from llmtuner.data.tokens.fields import Skeleton  # noqa: E402
from llmtuner.data.tokens.option import OptionEncoder, OptionTokens  # noqa: E402
from llmtuner.mcq.attention import choose_attention, keep_soft_cap  # noqa: E402
from llmtuner.mcq.check import PackingCheck, check_packing  # noqa: E402
from llmtuner.mcq.choices import resolve  # noqa: E402
from llmtuner.mcq.compare import DEAD, MARGIN, STEPS, VISIBLE, Comparison  # noqa: E402
from llmtuner.mcq.model import HEAD, attach_head  # noqa: E402

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
FILES = {"arc": "arc/arc_easy.jsonl", "qasc": "qasc/dev.jsonl", "kaggle": "kaggle/extra_train_set_retrieved.csv"}
PAIRS = {"arc": 8, "qasc": 6, "kaggle": 6}
CUTOFF = 300  # tokens of a sequence
MIXED = {"gemma3": {"layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}}
Pair = tuple[str, list[OptionTokens]]


def ready(model: Any, *, lora: bool = False) -> Any:
    """The model with a head, the attention that packed rows need, and adapters whose weights are not zero."""
    attach_head(model, resolve("causal"))
    keep_soft_cap(model)
    choose_attention(model)
    if lora:
        torch.manual_seed(0)
        config = LoraConfig(r=8, target_modules="all-linear", exclude_modules=f".*{HEAD}.*")
        model = get_peft_model(model, config)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.02)
    return model.eval()


def real_pairs(tokenizer: Any, data: Path) -> list[Pair]:
    """Pairs of questions in the order of the files, without a chat template."""
    context, question, option = Field("context"), Field("question"), Field("option")

    def ids(text: str) -> list[int]:
        return tokenizer.encode(text, add_special_tokens=False)

    asked = (*ids("Question: "), question, *ids("\nAnswer: "))
    answer = (option, tokenizer.eos_token_id)
    forms = {False: Skeleton(asked, answer), True: Skeleton((*ids("Context: "), context, *ids("\n"), *asked), answer)}
    encoder = OptionEncoder(tokenizer, None, CUTOFF, forms)
    pairs = []
    for name, count in PAIRS.items():
        tokens = encoder.encode(read_questions(data / FILES[name], purpose="train").questions[: 2 * count])
        pairs += [(f"{name} {number}", tokens[2 * number : 2 * number + 2]) for number in range(count)]
    return pairs


def badly_read(pair: Pair, unknown: int) -> Pair:
    """The same pair with the unknown token before each token."""
    name, questions = pair
    changed = []
    for tokens in questions:
        sequences = [[each for token in sequence for each in (unknown, token)] for sequence in tokens.sequences]
        options = [(2 * begin, 2 * end) for begin, end in tokens.options]
        changed.append(OptionTokens(sequences, (0, 0), (0, 2 * tokens.question[1]), options, 0, 0))
    return f"{name}, unknown tokens between", changed


def figures(comparison: Comparison) -> dict[str, Any]:
    """A comparison as JSON, with three digits."""
    numbers = {**asdict(comparison), "bound": comparison.bound, "ratio": comparison.difference / comparison.bound}
    return {name: float(f"{value:.3g}") if isinstance(value, float) else value for name, value in numbers.items()}


def row_of(check: PackingCheck) -> dict[str, Any]:
    """The result of a check, with a comparison for each precision that it used."""
    return {"defect": check.defect, "compared": [figures(comparison) for comparison in check.comparisons]}


def breaks_of(model: Any, questions: list[OptionTokens]) -> dict[str, Any]:
    """For each break: its ratio in each precision, or why it changes nothing here."""
    rows: dict[str, Any] = {}
    for name in BREAKS:
        if reason := changes_nothing(name, model, questions):
            rows[name] = {"excluded": reason}
            continue
        with broken(name):
            check = check_packing(model, questions, "last", 0)
        rows[name] = {each.precision: float(f"{each.difference / each.bound:.3g}") for each in check.comparisons}
        rows[name]["refused"] = bool(check.defect)
    return rows


def of_families() -> Iterator[dict[str, Any]]:
    """A row for each family and precision."""
    for name in MODELS:
        for precision, dtype in PRECISIONS.items():
            model = ready(build(name, **MIXED.get(name, {}))).to(dtype)
            intact = row_of(check_packing(model, QUESTIONS, "last", 0))
            yield {"model": name, "precision": precision, **intact, "breaks": breaks_of(model, QUESTIONS)}


def of_model(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row for each cell of the real model and each pair."""
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    pairs = real_pairs(tokenizer, args.data)
    pairs += [badly_read(pair, tokenizer.unk_token_id) for pair in pairs[:4]]
    for lora in (False, True):
        for precision, dtype in PRECISIONS.items():
            model = ready(AutoModelForCausalLM.from_pretrained(args.model, dtype=dtype), lora=lora)
            for threads in (1, 2):
                torch.set_num_threads(threads)
                for name, questions in pairs:
                    cell = {"pair": name, "precision": precision, "lora": lora, "threads": threads}
                    yield cell | row_of(check_packing(model, questions, "last", tokenizer.pad_token_id))


def breaks_of_model(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row for the first pair of each set, in fp32."""
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = ready(AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32))
    firsts = [pair for pair in real_pairs(tokenizer, args.data) if pair[0].endswith(" 0")]
    for name, questions in firsts:
        yield {"pair": name, "precision": "fp32", "breaks": breaks_of(model, questions)}


def main() -> None:
    """Measure, print and store every row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder of a causal model without soft-capping")
    parser.add_argument("--data", type=Path, required=True, help="folder with arc/, qasc/ and kaggle/")
    parser.add_argument("--out", type=Path, default=trial_file("packing_check"), help="the results as JSON")
    args = parser.parse_args()
    result: dict[str, Any] = {
        "command": "python benchmarks/packing_check.py --model SMOLLM2 --data DATA",
        "commit": commit(),
        "hardware": hardware("cpu"),
        "margin": MARGIN,
        "visible": VISIBLE,
        "dead": DEAD,
        "steps": STEPS[torch.float32],
    }
    for part, rows in (("families", of_families()), ("model", of_model(args)), ("breaks", breaks_of_model(args))):
        result[part] = []
        for row in rows:
            result[part].append(row)
            print(time.strftime("%X"), json.dumps(row), flush=True)
            write_result(result, args.out)


if __name__ == "__main__":
    main()
