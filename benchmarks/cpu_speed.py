#!/usr/bin/env python3
"""How fast does a real language model score and train on a CPU, and how close is it to the machine's own matmul?

    python benchmarks/cpu_speed.py --model SMOLLM2 [--questions CSV] [--out FILE]

Each question has five options of 32 tokens behind a prefix of 256, 512 or 1,024 (random tokens), and, with --questions,
those of a file. The ways take turns in one process with one thread, so that a busy machine slows all; seconds are CPU
time, the least of the rounds.

- `shared_prefix`, `per_option`: this project, scoring and a training step (LoRA on all linear layers, as the trainer
  does it: bf16 weights and autocast with --bf16). Batches have up to `--batch` questions and 2,800 tokens. Training is
  left out where one question has more, in rows of its own for each option.
- `sequence_classification`: transformers' LlamaForSequenceClassification with one label, a row for each option.
- `lm_eval`: the harness's own call for log-likelihoods, on the same token ids; only if it is installed.

`share_of_matmul` is the speed of the linear layers alone (2 operations for each weight and token that is read; 4 in
training with LoRA, which needs no gradients of the frozen weights), by the time of everything, over the speed of single
matmuls of the same shapes, measured in the same round. `share_of_token_ratio` is how much faster shared_prefix is than
per_option, over how many fewer tokens it reads. `operations` says where the time of shared_prefix goes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]
for name in ("HF_HUB_OFFLINE", "TOKENIZERS_PARALLELISM"):
    os.environ.setdefault(name, "0" if name.startswith("TOK") else "1")

import torch  # noqa: E402
from peft import LoraConfig, get_peft_model  # noqa: E402
from provenance import commit, hardware, trial_file, write_result  # noqa: E402
from torch.profiler import ProfilerActivity, profile  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForSequenceClassification  # noqa: E402

from llmtuner.data.load import read_questions  # noqa: E402
from llmtuner.data.tokens.option import OptionEncoder, OptionTokens  # noqa: E402
from llmtuner.data.tokens.templates import template_of  # noqa: E402
from llmtuner.mcq.attention import choose_attention  # noqa: E402
from llmtuner.mcq.choices import resolve  # noqa: E402
from llmtuner.mcq.collate import Collator, pad_rows  # noqa: E402
from llmtuner.mcq.model import HEAD, attach_head  # noqa: E402
from llmtuner.mcq.predict import NOT_READ  # noqa: E402

PREFIXES, OWN, OPTIONS = (256, 512, 1024), 32, 5
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
LISTED = 8  # operations of the profile
TOKENS = 2_800  # of a batch, at most, unless one question has more: a training step keeps about 3 MB of each token
LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class Questions:
    """The tokens of some questions, and how they are called in the result."""

    name: str
    tokens: list[OptionTokens]

    def read(self, *, packed: bool) -> int:
        """The number of tokens that a layout reads, without padding."""
        own = sum(len(row) - t.prefix_length for t in self.tokens for row in t.sequences)
        return own + sum(t.prefix_length * (1 if packed else t.count) for t in self.tokens)

    def in_a_batch(self, most: int, *, packed: bool) -> int:
        """How many questions a batch has: up to `most`, within the tokens of a batch."""
        return max(1, min(most, TOKENS * len(self.tokens) // self.read(packed=packed)))


def random_questions(prefix: int, count: int, vocabulary: int) -> Questions:
    """Questions of random tokens."""
    draw = torch.Generator().manual_seed(prefix)

    def ids(length: int) -> list[int]:
        return torch.randint(100, vocabulary, (length,), generator=draw).tolist()

    tokens = []
    for _ in range(count):
        shared, end = ids(prefix), (prefix, prefix + OWN)
        rows = [[*shared, *ids(OWN)] for _ in range(OPTIONS)]
        tokens.append(OptionTokens(rows, (0, 0), (0, prefix), [end] * OPTIONS, 0, 0, 0, [OWN] * OPTIONS))
    return Questions(f"prefix {prefix:,}, options {OWN}", tokens)


class Ways:
    """All ways to score or train on the same tokens, in one precision."""

    def __init__(self, folder: Path, precision: str, batch: int, *, harness: bool) -> None:
        self.dtype, self.batch = PRECISIONS[precision], batch
        self.scorer = self._scorer(folder)
        lora = LoraConfig(r=8, lora_alpha=16, target_modules=list(LINEAR), modules_to_save=[HEAD])
        self.trained = get_peft_model(self._scorer(folder), lora).train()
        for parameter in self.trained.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
        self.optimizer = torch.optim.AdamW([p for p in self.trained.parameters() if p.requires_grad], lr=1e-4)
        self.rows = LlamaForSequenceClassification.from_pretrained(folder, num_labels=1, dtype=self.dtype).eval()
        self.rows.config.pad_token_id = 0  # no token of the questions
        self.harness = _harness(folder, self.dtype) if harness else None
        blocks = (module for name, module in self.rows.named_modules() if name.endswith(LINEAR))
        self.shapes = [tuple(module.weight.shape) for module in blocks]

    def _scorer(self, folder: Path) -> Any:
        model = attach_head(AutoModelForCausalLM.from_pretrained(folder, dtype=self.dtype), resolve("causal"))
        choose_attention(model)
        return model.eval()

    def named(self) -> dict[str, Callable[[Questions], None]]:
        """Each way by its name."""
        ways: dict[str, Callable[[Questions], None]] = {}
        for layout in ("shared_prefix", "per_option"):
            ways[f"{layout}, scoring"] = lambda questions, layout=layout: self.score(questions, layout)
            ways[f"{layout}, training"] = lambda questions, layout=layout: self.train(questions, layout)
        ways["sequence_classification, scoring"] = self.classify
        if self.harness is not None:
            ways["lm_eval, scoring"] = self.lm_eval
        return ways

    def autocast(self) -> AbstractContextManager[Any]:
        """As the Trainer's."""
        return torch.autocast("cpu", dtype=self.dtype) if self.dtype is torch.bfloat16 else nullcontext()

    @torch.inference_mode()
    def score(self, questions: Questions, layout: str) -> None:
        for inputs in self._batches(questions, layout):
            with self.autocast():
                self.scorer(**inputs)

    def train(self, questions: Questions, layout: str) -> None:
        for inputs in self._batches(questions, layout):
            with self.autocast():
                scores_QN = self.trained(**inputs)["scores"]
            labels_Q = torch.zeros(len(scores_QN), dtype=torch.long)
            torch.nn.functional.cross_entropy(scores_QN.float(), labels_Q).backward()
            self.optimizer.step()
            self.optimizer.zero_grad()

    @torch.inference_mode()
    def classify(self, questions: Questions) -> None:
        rows = sorted((row for tokens in questions.tokens for row in tokens.sequences), key=len)
        size = questions.in_a_batch(self.batch, packed=False) * OPTIONS
        for start in range(0, len(rows), size):
            batch = rows[start : start + size]
            with self.autocast():
                mask_BT = pad_rows([[1] * len(row) for row in batch], 0)
                self.rows(input_ids=pad_rows(batch, 0), attention_mask=mask_BT, use_cache=False)

    def lm_eval(self, questions: Questions) -> None:
        requests = []
        for tokens in questions.tokens:
            for row, (begin, _) in zip(tokens.sequences, tokens.options, strict=True):
                requests.append((("", str(len(requests))), row[:begin], row[begin:]))
        self.harness.batch_size_per_gpu = questions.in_a_batch(self.batch, packed=False) * OPTIONS
        with self.autocast():
            self.harness._loglikelihood_tokens(requests, disable_tqdm=True)

    def _batches(self, questions: Questions, layout: str) -> list[dict[str, Any]]:
        collate = Collator(layout, "last", 0)
        examples = [SimpleNamespace(tokens=t, label=0, row=row) for row, t in enumerate(questions.tokens)]
        size = questions.in_a_batch(self.batch, packed=layout == "shared_prefix")
        parts = [examples[start : start + size] for start in range(0, len(examples), size)]
        batches = map(collate, parts)
        return [{name: value for name, value in batch.items() if name not in NOT_READ} for batch in batches]

    def matmul_rate(self, tokens: int) -> float:
        """Operations a second of the layers' matmuls alone, on so many tokens."""
        shapes = {shape: self.shapes.count(shape) for shape in self.shapes}
        spent = operations = 0.0
        for (out, inner), count in shapes.items():
            states, weight = torch.randn(tokens, inner, dtype=self.dtype), torch.randn(out, inner, dtype=self.dtype)
            least = min(_seconds(lambda s=states, w=weight: torch.nn.functional.linear(s, w)) for _ in range(5))
            spent, operations = spent + least * count, operations + 2.0 * tokens * inner * out * count
        return operations / spent

    @property
    def weights(self) -> int:
        """The weights of the linear layers."""
        return sum(out * inner for out, inner in self.shapes)


def _harness(folder: Path, dtype: torch.dtype) -> Any:
    try:
        from lm_eval.models.huggingface import HFLM
    except ImportError as error:
        print(f"skipped: lm_eval ({error})", file=sys.stderr)
        return None
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
    return HFLM(
        pretrained=model, tokenizer=AutoTokenizer.from_pretrained(folder), max_length=8192, batch_size=1, device="cpu"
    )


def _seconds(way: Callable[[], Any]) -> float:
    start = time.process_time()
    way()
    return time.process_time() - start


def measure(ways: Ways, questions: Questions, rounds: int) -> dict[str, Any]:
    """Questions a second of every way, and how they compare."""
    read = {layout: questions.read(packed=layout == "shared_prefix") for layout in ("shared_prefix", "per_option")}
    seconds: dict[str, float] = {}
    rate = 0.0
    for _ in range(rounds):
        rate = max(rate, ways.matmul_rate(read["shared_prefix"] * ways.batch // len(questions.tokens)))
        for name, way in ways.named().items():
            if "training" in name and read["per_option"] > TOKENS * len(questions.tokens):
                continue  # one question alone would need more memory than such a machine has
            spent = _seconds(lambda way=way: way(questions))
            seconds[name] = min(spent, seconds.get(name, spent))
            print(f"{questions.name}: {name}: {spent:.1f} s", file=sys.stderr, flush=True)
    ratio = read["per_option"] / read["shared_prefix"]
    result: dict[str, Any] = {"tokens": read, "token_ratio": round(ratio, 2), "matmul_gflops": round(rate / 1e9, 1)}
    result["questions_a_second"] = {name: round(len(questions.tokens) / s, 3) for name, s in seconds.items()}
    for kind, operations in (("scoring", 2), ("training", 4)):
        if f"shared_prefix, {kind}" not in seconds:
            continue
        packed = seconds[f"shared_prefix, {kind}"]
        faster = seconds[f"per_option, {kind}"] / packed
        share = operations * ways.weights * read["shared_prefix"] / packed / rate
        result[kind] = {
            "faster_than_per_option": round(faster, 2),
            "share_of_token_ratio": round(faster / ratio, 3),
            "share_of_matmul": round(share, 3),
        }
    return result


def operations(way: Callable[[], None]) -> dict[str, float]:
    """The share of each operation in the time of a call, the largest first."""
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        way()
    events = sorted(profiled.key_averages(), key=lambda event: -event.self_cpu_time_total)
    total = sum(event.self_cpu_time_total for event in events)
    shares = {event.key: round(event.self_cpu_time_total / total, 3) for event in events[:LISTED]}
    return shares | {"all others": round(1 - sum(shares.values()), 3)}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--model", type=Path, required=True, help="a Llama; scripts/smollm2.py prints one")
    parser.add_argument("--questions", type=Path, help="a file of questions, of which the first --limit are measured")
    parser.add_argument("--limit", type=int, default=16)
    parser.add_argument("--batch", type=int, default=4, help="questions in a batch")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prefixes", type=int, nargs="*", default=PREFIXES)
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument("--out", type=Path, default=trial_file("cpu_speed"), help="the results as JSON")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    sets = [random_questions(prefix, args.batch, len(tokenizer)) for prefix in args.prefixes]
    if args.questions:
        questions = read_questions(args.questions, purpose="predict").questions[: args.limit]
        encoder = OptionEncoder(tokenizer, template_of(tokenizer), 2048)
        sets.append(Questions(f"{len(questions)} questions of {args.questions.name}", encoder.encode(questions)))
    figures: dict[str, Any] = {}
    for precision in args.precisions:
        ways = Ways(args.model, precision, args.batch, harness=True)
        figures[precision] = {questions.name: measure(ways, questions, args.rounds) for questions in sets}
        figures[precision]["operations"] = {
            "scoring": operations(lambda ways=ways: ways.score(sets[0], "shared_prefix")),
            "training": operations(lambda ways=ways: ways.train(sets[0], "shared_prefix")),
        }
    result = {
        "command": "python benchmarks/cpu_speed.py --model SMOLLM2"
        + (f" --questions {args.questions.name}" if args.questions else ""),
        "commit": commit(),
        "hardware": hardware("cpu"),
        "threads": 1,
        "batch": args.batch,
        "figures": figures,
    }
    write_result(result, args.out, indent=2)
    print(json.dumps(result, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
