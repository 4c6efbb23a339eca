#!/usr/bin/env python3
"""Does the check of packed rows pass a real model and refuse every mistake? How far is each from the bound?

    python benchmarks/packing_check.py --model SMOLLM2 --data DATA [--out benchmarks/results/packing_check.json]

A model that can take packed rows must stay well below the check's bound: 20 pairs of questions (ARC without a context,
QASC with its facts, Kaggle's with retrieved passages), 1 and 2 threads, fp32 and bf16, with and without LoRA. The first
pairs are also read with an unknown token in front of each token, which the model handles badly.

Every deliberate mistake of tests/mcq/breaks.py must exceed the bound: for the families of tests/mcq/models.py, and for
the model on a pair of ARC and of QASC. `ratio` is the difference in units of the bound; above 1 the model is refused.
Rows that are in --out are not computed again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT), str(ROOT / "tests" / "mcq")]

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # two threads on a shared machine otherwise wait for each other

import torch  # noqa: E402
from breaks import BREAKS, QUESTIONS, broken, changes_nothing  # noqa: E402
from models import MODELS, build  # noqa: E402
from peft import LoraConfig, get_peft_model  # noqa: E402
from provenance import commit, hardware, trial_file  # noqa: E402
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
    """A model with a head, with the attention that packed rows need, and adapters that change something."""
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
    """Pairs of questions in the files' order, in a plain form."""
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
    """The same pair with the unknown token in front of each token."""
    name, questions = pair
    changed = []
    for tokens in questions:
        sequences = [[each for token in sequence for each in (unknown, token)] for sequence in tokens.sequences]
        options = [(2 * begin, 2 * end) for begin, end in tokens.options]
        changed.append(OptionTokens(sequences, (0, 0), (0, 2 * tokens.question[1]), options, 0, 0))
    return f"{name}, unknown tokens between", changed


def figures(comparison: Comparison) -> dict[str, Any]:
    """A comparison for a JSON file."""
    numbers = {**asdict(comparison), "bound": comparison.bound, "ratio": comparison.difference / comparison.bound}
    return {name: float(f"{value:.3g}") if isinstance(value, float) else value for name, value in numbers.items()}


def row_of(check: PackingCheck) -> dict[str, Any]:
    """The result of a check, with an entry for each precision in which it compared."""
    return {"defect": check.defect, "compared": [figures(comparison) for comparison in check.comparisons]}


def breaks_of(model: Any, questions: list[OptionTokens]) -> dict[str, Any]:
    """For each break, its ratio in each precision, or why it changes nothing."""
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


Task = tuple[
    dict[str, Any], Callable[[], dict[str, Any]]
]  # the keys that name a row, and a function that computes the rest


def of_families(_: argparse.Namespace) -> Iterator[Task]:
    """A row for each family and precision."""
    for name in MODELS:
        for precision, dtype in PRECISIONS.items():

            def measured(name: str = name, dtype: torch.dtype = dtype) -> dict[str, Any]:
                torch.set_num_threads(1)
                model = ready(build(name, **MIXED.get(name, {}))).to(dtype)
                whole = row_of(check_packing(model, QUESTIONS, "last", 0))
                return whole | {"breaks": breaks_of(model, QUESTIONS)}

            yield {"model": name, "precision": precision}, measured


@cache
def loaded(folder: Path, precision: str, *, lora: bool) -> Any:
    """The real model."""
    return ready(AutoModelForCausalLM.from_pretrained(folder, dtype=PRECISIONS[precision]), lora=lora)


def of_model(args: argparse.Namespace) -> Iterator[Task]:
    """A row for each cell of the real model and each pair."""
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    pairs = real_pairs(tokenizer, args.data)
    badly = [badly_read(pair, tokenizer.unk_token_id) for pair in pairs[:4]]
    cells = [*product((1, 2), (False, True), PRECISIONS, pairs), *product((1,), (False,), PRECISIONS, badly)]
    for threads, lora, precision, (name, questions) in cells:
        cell = {"pair": name, "precision": precision, "lora": lora, "threads": threads}

        def measured(cell: dict[str, Any] = cell, questions: list[OptionTokens] = questions) -> dict[str, Any]:
            torch.set_num_threads(cell["threads"])
            model = loaded(args.model, cell["precision"], lora=cell["lora"])
            return row_of(check_packing(model, questions, "last", tokenizer.pad_token_id))

        yield cell, measured


def breaks_of_model(args: argparse.Namespace) -> Iterator[Task]:
    """A row for the first pairs without and with a context, in fp32."""
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    for name, questions in real_pairs(tokenizer, args.data):
        if name in ("arc 0", "qasc 0"):

            def measured(questions: list[OptionTokens] = questions) -> dict[str, Any]:
                torch.set_num_threads(1)
                return {"breaks": breaks_of(loaded(args.model, "fp32", lora=False), questions)}

            yield {"pair": name, "precision": "fp32"}, measured


PARTS = {"families": of_families, "breaks": breaks_of_model, "model": of_model}


def main() -> None:
    """Compute the missing rows, and store each as soon as it is ready."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder of a causal model without soft-capping")
    parser.add_argument("--data", type=Path, required=True, help="folder with arc/, qasc/ and kaggle/")
    parser.add_argument("--out", type=Path, default=trial_file("packing_check"))
    args = parser.parse_args()
    earlier = json.loads(args.out.read_text()) if args.out.is_file() else {}
    result: dict[str, Any] = {
        "command": "python benchmarks/packing_check.py --model SMOLLM2 --data DATA",
        "hardware": hardware("cpu"),
        "margin": MARGIN,
        "visible": VISIBLE,
        "dead": DEAD,
        "steps": STEPS[torch.float32],
    }
    for part, tasks in PARTS.items():
        result[part] = []
        for name, measured in tasks(args):
            stored = next((row for row in earlier.get(part, ()) if name.items() <= row.items()), None)
            row = stored or name | {"commit": commit()} | measured()
            result[part].append(row)
            if not stored:
                print(time.strftime("%X"), json.dumps(row), flush=True)
                args.out.parent.mkdir(parents=True, exist_ok=True)
                write(args.out, earlier | result)
    write(args.out, result)


def write(path: Path, result: dict[str, Any]) -> None:
    """Write the rows so far, with the commits that they were measured at."""
    commits = sorted({row["commit"] for part in PARTS for row in result.get(part, ())})
    path.write_text(json.dumps(result | {"commits": commits}, indent=1) + "\n")


if __name__ == "__main__":
    main()
