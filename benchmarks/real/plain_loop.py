#!/usr/bin/env python3
"""STEP2 as a plain PyTorch loop, with no code of this project: LoRA, the last token's state, a linear layer.

    python benchmarks/real/plain_loop.py --model MODEL --train train.jsonl --test test.jsonl --out DIR --seed 1

One row of tokens per option, made by the tokenizer's own chat template; cross-entropy over the options of a question.
Batch, learning rates, schedule and LoRA are those of the benchmark's STEP2. Writes DIR/predictions.jsonl.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer

STEP, FORWARD, CUTOFF = 8, 2, 1024  # questions in a step, questions in a forward pass, tokens of a row
RATE, HEAD_RATE, WARMUP = 3e-4, 1e-3, 0.05


class Classifier(nn.Module):
    """A language model without its head, and a linear layer on the state of each row's last token."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
        targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
        lora = LoraConfig(r=8, lora_alpha=16, lora_dropout=0.0, target_modules=targets, task_type="CAUSAL_LM")
        self.language_model = get_peft_model(model, lora)  # its adapter is fp32
        self.head = nn.Linear(model.config.hidden_size, 1)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """One score per row, [B]."""
        inner = self.language_model.base_model.model.model
        with torch.autocast("cpu", dtype=torch.bfloat16):
            hidden_BTD = inner(input_ids=ids_BT, attention_mask=mask_BT).last_hidden_state
        last_BD = hidden_BTD[torch.arange(len(ids_BT)), mask_BT.sum(1) - 1]
        return self.head(last_BD.float())[:, 0]


def rows_of(question: dict[str, Any], tokenizer: Any) -> list[list[int]]:
    """The tokens of each option: the question in the user's turn, the option as the answer, up to its end token."""
    user = "\n".join(filter(None, (question.get("context"), question["prompt"])))
    turns = [{"role": "user", "content": user}]
    start = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    texts = [start + question[letter] + tokenizer.eos_token for letter in letters(question)]
    return [tokenizer(text, add_special_tokens=False)["input_ids"][-CUTOFF:] for text in texts]


def letters(question: dict[str, Any]) -> list[str]:
    """The letters of the options."""
    return [letter for letter in "ABCDEFGHIJ" if letter in question]


def padded(rows: list[list[int]], pad: int) -> tuple[Tensor, Tensor]:
    """Token ids and mask, padded on the right."""
    longest = max(map(len, rows))
    ids = torch.tensor([row + [pad] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    return ids, mask


def train(model: Classifier, data: list[tuple[list[list[int]], int]], pad: int) -> None:
    """One epoch."""
    steps = math.ceil(len(data) / STEP)
    lora = [parameter for parameter in model.language_model.parameters() if parameter.requires_grad]
    groups = [{"params": lora, "lr": RATE}, {"params": model.head.parameters(), "lr": HEAD_RATE}]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.0)
    warm = math.ceil(WARMUP * steps)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: step / warm if step < warm else 0.5 * (1 + math.cos(math.pi * (step - warm) / (steps - warm))),
    )
    random.shuffle(data)
    model.train()
    for step in range(steps):
        batch = data[step * STEP : (step + 1) * STEP]
        for first in range(0, len(batch), FORWARD):
            part = batch[first : first + FORWARD]
            scores = model(*padded([row for rows, _ in part for row in rows], pad))
            of_question = scores.split([len(rows) for rows, _ in part])
            losses = [
                nn.functional.cross_entropy(each[None], torch.tensor([answer]))
                for each, (_, answer) in zip(of_question, part, strict=True)
            ]
            (torch.stack(losses).sum() / len(batch)).backward()
        nn.utils.clip_grad_norm_([*lora, *model.head.parameters()], 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()


@torch.no_grad()
def predict(model: Classifier, questions: list[dict[str, Any]], tokenizer: Any) -> list[dict[str, Any]]:
    """A line of predictions.jsonl for each question."""
    model.eval()
    lines = []
    for question in questions:
        scores = model(*padded(rows_of(question, tokenizer), tokenizer.pad_token_id))
        by_letter = dict(zip(letters(question), scores.tolist(), strict=True))
        probabilities = dict(zip(by_letter, torch.softmax(scores, 0).tolist(), strict=True))
        ranking = "".join(sorted(by_letter, key=lambda letter: -by_letter[letter]))
        line = {"id": str(question["id"]), "ranking": ranking, "probabilities": probabilities, "scores": by_letter}
        lines.append(line | {"answer": question["answer"]})
    return lines


def main() -> None:
    """Train, then predict."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    random.seed(args.seed)
    torch.manual_seed(args.seed)
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    questions, tests = ([json.loads(line) for line in path.open(encoding="utf-8")] for path in (args.train, args.test))
    model = Classifier(args.model)
    data = [(rows_of(each, tokenizer), letters(each).index(each["answer"])) for each in questions]
    train(model, data, tokenizer.pad_token_id)
    lines = predict(model, tests, tokenizer)
    args.out.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (args.out / "predictions.jsonl").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
