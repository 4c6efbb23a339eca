#!/usr/bin/env python3
"""Does the likelihood head give the numbers of lm-evaluation-harness?

    pip install -e '.[bench]'      # lm_eval
    python benchmarks/lm_eval_check.py --model SMOLLM2 --data DATA [--out FILE]

Our token ids go through the harness's own call for log-likelihoods, in place of its tokenisation: each option's sum
must be the same within 1e-4 of 1 + |sum|, `acc` the accuracy of the norm `sum`, and `acc_norm` that of `char`. With the
harness's own tokenisation (a context string, and " option"), the report counts the questions whose choice is another;
only those with other ids are scored again.

Sets: the elementary exam's test questions without and with their facts, and the first 200 of ARC-Easy. Forms of the
prompt: `plain` ("Question: ...", "Answer:" and " option"), and for the first set `chat` (the tokenizer's template).
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]
for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
    os.environ.setdefault(name, "1")

import torch  # noqa: E402
from provenance import commit, hardware, trial_file, write_result  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402

from llmtuner.data.load import read_questions  # noqa: E402
from llmtuner.data.predictions import Prediction  # noqa: E402
from llmtuner.data.question import LETTERS, Question  # noqa: E402
from llmtuner.data.tokens.fields import Skeleton  # noqa: E402
from llmtuner.data.tokens.option import CONTEXT, OPTION, QUESTION, OptionEncoder, OptionTokens  # noqa: E402
from llmtuner.data.tokens.templates import template_of  # noqa: E402
from llmtuner.mcq.attention import choose_attention  # noqa: E402
from llmtuner.mcq.choices import resolve  # noqa: E402
from llmtuner.mcq.collate import Collator  # noqa: E402
from llmtuner.mcq.model import attach_head  # noqa: E402
from llmtuner.mcq.predict import Scoring, predict_questions  # noqa: E402
from llmtuner.mcq.questions import QuestionSet  # noqa: E402

CUTOFF = 2048
TOLERANCE = 1e-4  # of 1 + |sum|
BEGIN = "Question:"  # a text that begins with it does not get a second one


@dataclass(frozen=True)
class Given:
    """The harness's result for a set: for each question the sums of its options and the choices of both metrics."""

    sums: list[tuple[float, ...]]
    acc: float
    acc_norm: float

    def choices(self, questions: Sequence[Question], *, by_characters: bool) -> list[int]:
        """The option with the highest sum, or sum over the characters of its text, for each question."""
        divisors = [[len(text) if by_characters else 1 for text in question.options] for question in questions]
        return [
            max(range(len(row)), key=lambda n: row[n] / divisor[n])
            for row, divisor in zip(self.sums, divisors, strict=True)
        ]


def prompt_text(question: Question) -> str:
    """The plain prompt as one string."""
    context = f"{question.context}\n" if question.context else ""
    return f"{context}{BEGIN} {_bare(question)}\nAnswer:"


def _bare(question: Question) -> str:
    return question.question.removeprefix(BEGIN).strip()


def plain_tokens(tokenizer: Any, questions: Sequence[Question]) -> list[OptionTokens]:
    """The plain prompt, encoded field by field; the blank before a field belongs to the field."""

    def ids(text: str) -> list[int]:
        return tokenizer.encode(text, add_special_tokens=False)

    asked = (QUESTION, *ids("\nAnswer:"))
    answer = (OPTION, tokenizer.eos_token_id)
    forms = {
        False: Skeleton((*ids(BEGIN), *asked), answer),
        True: Skeleton((CONTEXT, *ids(f"\n{BEGIN}"), *asked), answer),
    }
    encoder = OptionEncoder(tokenizer, None, CUTOFF, forms, likelihood=True)
    spaced = [replace(q, question=f" {_bare(q)}", options=tuple(f" {text}" for text in q.options)) for q in questions]
    return [
        replace(tokens, characters=[len(text) for text in question.options])
        for question, tokens in zip(questions, encoder.encode(spaced), strict=True)
    ]


def chat_tokens(tokenizer: Any, questions: Sequence[Question]) -> list[OptionTokens]:
    """The prompt of the tokenizer's chat template, as this project makes it."""
    return OptionEncoder(tokenizer, template_of(tokenizer), CUTOFF, likelihood=True).encode(questions)


FORMS = (("plain", plain_tokens), ("chat", chat_tokens))


def ours(
    model: Any, questions: Sequence[Question], tokens: Sequence[OptionTokens], pad_token_id: int
) -> list[Prediction]:
    """This project's predictions with the norm char, which also hold the sums.

    Args:
        model: with a likelihood head.
    """
    settings = resolve("causal", {"head": "likelihood", "likelihood_norm": "char"})
    scoring = Scoring(Collator.of(settings, pad_token_id), tokens_per_batch=4096)
    return predict_questions(model, QuestionSet.ready(questions, tokens), scoring)


def with_head(folder: str | Path) -> Any:
    """The model with a likelihood head, in fp32."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    attach_head(model, resolve("causal", {"head": "likelihood"}))
    choose_attention(model)
    return model.eval()


def harness_of(folder: str | Path, tokenizer: Any, batch_size: int = 16) -> Any:
    """lm-evaluation-harness around a model of its own, in fp32."""
    from lm_eval.models.huggingface import HFLM

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    more = {"max_length": CUTOFF, "add_bos_token": False, "batch_size": batch_size, "device": "cpu"}
    return HFLM(pretrained=model, tokenizer=tokenizer, **more)


def by_harness(harness: Any, questions: Sequence[Question], tokens: Sequence[OptionTokens] | None = None) -> Given:
    """The harness's result for the plain prompt.

    Args:
        tokens: ids to use in place of the harness's own tokenisation.
    """
    from lm_eval import simple_evaluate

    known = {}
    for question, each in zip(questions, tokens or (), strict=tokens is not None):
        for option, text in enumerate(question.options):
            begin, end = each.scored(option)
            sequence = each.sequences[option]
            known[prompt_text(question), f" {text}"] = sequence[:begin], sequence[begin:end]
    own = harness._encode_pair
    if tokens is not None:
        harness._encode_pair = lambda context, continuation: known[context, continuation]
    try:
        result = simple_evaluate(harness, tasks=[_task(questions)], bootstrap_iters=0, log_samples=True)
    finally:
        harness._encode_pair = own
    samples = sorted(result["samples"]["local_questions"], key=lambda sample: sample["doc_id"])
    sums = [tuple(float(total) for total, _ in sample["filtered_resps"]) for sample in samples]
    metrics = result["results"]["local_questions"]
    return Given(sums, metrics["acc,none"], metrics["acc_norm,none"])


def other_ids(harness: Any, questions: Sequence[Question], tokens: Sequence[OptionTokens]) -> list[int]:
    """The numbers of the questions that the harness's own tokenisation reads as other ids."""

    def differs(question: Question, each: OptionTokens) -> bool:
        for option, text in enumerate(question.options):
            begin, end = each.scored(option)
            own = harness._encode_pair(prompt_text(question), f" {text}")
            if own != (each.sequences[option][:begin], each.sequences[option][begin:end]):
                return True
        return False

    pairs = zip(questions, tokens, strict=True)
    return [number for number, (question, each) in enumerate(pairs) if differs(question, each)]


def own_tokenisation(
    harness: Any, questions: Sequence[Question], tokens: Sequence[OptionTokens], given: Given
) -> Given:
    """The harness's result for its own tokenisation: the given one, except where ids differ."""
    numbers = other_ids(harness, questions, tokens)
    if not numbers:
        return given
    own = by_harness(harness, [questions[number] for number in numbers])
    sums = list(given.sums)
    for number, row in zip(numbers, own.sums, strict=True):
        sums[number] = row
    whole = Given(sums, 0.0, 0.0)

    def accuracy(by_characters: bool) -> float:
        choices = whole.choices(questions, by_characters=by_characters)
        return sum(choice == q.answer for choice, q in zip(choices, questions, strict=True)) / len(questions)

    return Given(sums, accuracy(False), accuracy(True))


def _task(questions: Sequence[Question]) -> dict[str, Any]:
    from datasets import Dataset

    docs = [{"text": prompt_text(q), "options": list(q.options), "answer": q.answer} for q in questions]
    metrics = [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in ("acc", "acc_norm")]
    return {
        "task": "local_questions",
        "custom_dataset": lambda **_: {"test": Dataset.from_list(docs)},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{text}}",
        "doc_to_choice": "{{options}}",
        "doc_to_target": "{{answer}}",
        "target_delimiter": " ",
        "metric_list": metrics,
    }


def compared(questions: Sequence[Question], predictions: Sequence[Prediction], given: Given) -> dict[str, Any]:
    """The largest difference of a sum, both accuracies, and the questions whose choice is another."""
    largest = max(
        abs(total - other) / (1 + abs(other))
        for prediction, row in zip(predictions, given.sums, strict=True)
        for total, other in zip(prediction.loglikelihood or (), row, strict=True)
    )
    report: dict[str, Any] = {"questions": len(questions), "largest_difference": float(f"{largest:.2g}")}
    choices = {
        "sum": [max(range(len(p.scores)), key=p.loglikelihood.__getitem__) for p in predictions],
        "char": [LETTERS.index(p.ranking[0]) for p in predictions],
    }
    for norm, metric in (("sum", "acc"), ("char", "acc_norm")):
        right = [choice == question.answer for choice, question in zip(choices[norm], questions, strict=True)]
        theirs = given.choices(questions, by_characters=norm == "char")
        other = sum(a != b for a, b in zip(choices[norm], theirs, strict=True))
        accuracies = {norm: sum(right) / len(right), metric: getattr(given, metric)}
        report |= {name: round(value, 4) for name, value in accuracies.items()}
        report[f"other_choices_{norm}"] = other
        report[f"share_of_other_choices_{norm}"] = round(other / len(questions), 4)
    return report


def exams(data: Path) -> dict[str, list[Question]]:
    """The sets by name."""
    elementary = read_questions(ROOT / "data" / "elementary" / "test.jsonl", purpose="train").questions
    return {
        "elementary": [replace(question, context="") for question in elementary],
        "elementary, facts": elementary,
        "ARC-Easy": read_questions(data / "arc" / "arc_easy.jsonl", purpose="train").questions[:200],
    }


def main() -> int:
    """Compare, print and store; status 1 if a sum differs by more than the tolerance."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="a SmolLM2; scripts/smollm2.py prints its folder")
    parser.add_argument("--data", type=Path, required=True, help="folder with arc/")
    parser.add_argument("--limit", type=int, help="only the first questions of each set")
    parser.add_argument("--out", type=Path, default=trial_file("lm_eval_check"), help="the results as JSON")
    args = parser.parse_args()
    from importlib.metadata import version

    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model, harness = with_head(args.model), harness_of(args.model, tokenizer)
    rows: dict[str, Any] = {}
    largest = 0.0
    for place, (name, every) in enumerate(exams(args.data).items()):
        questions = every[: args.limit]
        rows[name] = {}
        for form, encode in FORMS[: 1 if place else 2]:
            tokens = encode(tokenizer, questions)
            predictions = ours(model, questions, tokens, tokenizer.pad_token_id)
            given = by_harness(harness, questions, tokens)
            rows[name][form] = compared(questions, predictions, given)
            largest = max(largest, rows[name][form]["largest_difference"])
            if form == "plain":
                own = compared(questions, predictions, own_tokenisation(harness, questions, tokens, given))
                own["questions_with_other_ids"] = len(other_ids(harness, questions, tokens))
                rows[name]["plain, own tokenisation"] = own
            print(name, form, json.dumps(rows[name][form]), file=sys.stderr, flush=True)
    result = {
        "command": "python benchmarks/lm_eval_check.py --model SMOLLM2 --data DATA",
        "commit": commit(),
        "hardware": hardware("cpu"),
        "versions": {package: version(package) for package in ("lm_eval", "torch", "transformers")},
        "tolerance": TOLERANCE,
        "within_tolerance": largest <= TOLERANCE,
        "sets": rows,
    }
    write_result(result, args.out)
    return 0 if largest <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
