#!/usr/bin/env python3
"""STEP2 as a plain PyTorch loop, with no code of this project: LoRA, the last token's state, a linear layer.

    python benchmarks/real/plain_loop.py --model MODEL --train train.jsonl --test test.jsonl --out DIR --seed 1

One row of tokens per option, made by the tokenizer's own chat template; cross-entropy over the options of a question.
Batch, schedule and LoRA are those of the benchmark's STEP2. Writes DIR/predictions.jsonl.

`--contrast W` adds W times a contrastive term. The idea is that of CoLISA (Dong et al., ECIR 2023): the state of the
right option should be near its own state under another dropout, and far from those of the wrong options. Temperature,
weight and the use of a causal model's last state are ours. Each question then takes two forward passes.
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
WARMUP = 0.05  # of the steps
TEMPERATURE = 0.1  # of the contrastive term


Labelled = tuple[list[list[int]], int]  # the tokens of each option, the right one


class Classifier(nn.Module):
    """A language model without its head, and a linear layer on the state of each row's last token."""

    def __init__(self, folder: str, dropout: float) -> None:
        super().__init__()
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
        targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
        lora = LoraConfig(r=8, lora_alpha=16, lora_dropout=dropout, target_modules=targets, task_type="CAUSAL_LM")
        self.language_model = get_peft_model(model, lora)  # its adapter is fp32
        self.head = nn.Linear(model.config.hidden_size, 1)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, ids_BT: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor]:
        """One score per row, [B], and the state that it is read from, [B, D]."""
        inner = self.language_model.base_model.model.model
        with torch.autocast("cpu", dtype=torch.bfloat16):
            hidden_BTD = inner(input_ids=ids_BT, attention_mask=mask_BT).last_hidden_state
        last_BD = hidden_BTD[torch.arange(len(ids_BT)), mask_BT.sum(1) - 1].float()
        return self.head(last_BD)[:, 0], last_BD


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


def contrast(first_OD: Tensor, second_OD: Tensor, answer: int) -> Tensor:
    """The contrastive term of a question from the states of its options in two passes."""
    first_OD, second_OD = nn.functional.normalize(first_OD, dim=-1), nn.functional.normalize(second_OD, dim=-1)
    wrong_OD = torch.cat([first_OD[:answer], first_OD[answer + 1 :]])
    near = torch.cat([second_OD[answer][None], wrong_OD]) @ first_OD[answer] / TEMPERATURE
    return nn.functional.cross_entropy(near[None], torch.tensor([0]))


def losses_of(model: Classifier, part: list[Labelled], pad: int, weight: float) -> list[Tensor]:
    """The loss of each question of a forward pass."""
    rows = padded([row for rows, _ in part for row in rows], pad)
    sizes = [len(rows) for rows, _ in part]
    passes = [model(*rows) for _ in range(2 if weight else 1)]
    losses = []
    for place, (_, answer) in enumerate(part):
        scores = [each.split(sizes)[place] for each, _ in passes]
        loss = torch.stack([nn.functional.cross_entropy(each[None], torch.tensor([answer])) for each in scores]).mean()
        if weight:
            first_OD, second_OD = (states.split(sizes)[place] for _, states in passes)
            loss = loss + weight * contrast(first_OD, second_OD, answer)
        losses.append(loss)
    return losses


def train(
    model: Classifier, data: list[Labelled], pad: int, *, rate: float, head_rate: float, weight: float = 0.0
) -> None:
    """One epoch; the contrastive term has the given weight."""
    steps = math.ceil(len(data) / STEP)
    lora = [parameter for parameter in model.language_model.parameters() if parameter.requires_grad]
    groups = [{"params": lora, "lr": rate}, {"params": model.head.parameters(), "lr": head_rate}]
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
            losses = losses_of(model, batch[first : first + FORWARD], pad, weight)
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
        scores, _ = model(*padded(rows_of(question, tokenizer), tokenizer.pad_token_id))
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
    parser.add_argument("--rate", type=float, required=True, help="learning rate of LoRA")
    parser.add_argument("--head_rate", type=float, required=True)
    parser.add_argument("--dropout", type=float, default=0.0, help="of LoRA")
    parser.add_argument("--contrast", type=float, default=0.0, help="weight of the contrastive term")
    args = parser.parse_args()
    random.seed(args.seed)
    torch.manual_seed(args.seed)
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    questions, tests = ([json.loads(line) for line in path.open(encoding="utf-8")] for path in (args.train, args.test))
    model = Classifier(args.model, args.dropout)
    data = [(rows_of(each, tokenizer), letters(each).index(each["answer"])) for each in questions]
    pad = tokenizer.pad_token_id
    train(model, data, pad, rate=args.rate, head_rate=args.head_rate, weight=args.contrast)
    lines = predict(model, tests, tokenizer)
    args.out.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (args.out / "predictions.jsonl").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
