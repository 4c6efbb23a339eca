#!/usr/bin/env python3
"""What it saves to compute the question once: packed rows against one row an option.

    python benchmarks/shared_prefix.py [--prefix 128 256 512 1024] [--out benchmarks/results/shared_prefix.json]

A Llama of 26M parameters, five options of 32 tokens, one question a batch, one thread, process CPU time, the best
of several interleaved runs. The rival is fair: no language-model head, rows of one length, and the better of two batch
sizes (all options at once, or one by one). Peak memory is that of a process of its own, less what it holds before.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]
OPTIONS, OPTION_TOKENS = 5, 32

import torch  # noqa: E402

from llmtuner.data.option import OptionTokens  # noqa: E402
from llmtuner.mcq.heads import HEADS  # noqa: E402
from llmtuner.mcq.losses import LOSSES  # noqa: E402
from llmtuner.mcq.scorer import OptionScorer  # noqa: E402


def question(prefix: int) -> OptionTokens:
    """A question of random tokens whose options share nothing but the prefix."""
    draw = random.Random(0)
    start = [draw.randrange(3, 2000) for _ in range(prefix)]
    sequences = [
        start + [3 + option] + [draw.randrange(3, 2000) for _ in range(OPTION_TOKENS - 1)] for option in range(OPTIONS)
    ]
    end = prefix + OPTION_TOKENS
    return OptionTokens(sequences, (0, 0), (0, prefix), [(prefix, end)] * OPTIONS, 0, 0)


def build() -> torch.nn.Module:
    """The backbone, without a language-model head."""
    from transformers import LlamaConfig, LlamaModel

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=2000,
        hidden_size=512,
        intermediate_size=1376,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=8,
        max_position_embeddings=4096,
    )
    return LlamaModel(config)


def steps(backbone: torch.nn.Module, prefix: int) -> dict[str, Callable[[bool], None]]:
    """One training (or forward) pass over the same question in each way."""
    asked = question(prefix)
    head = HEADS["linear"](512)
    answer = torch.tensor([1])

    def of(layout: str, groups: list[list[int]]) -> Callable[[bool], None]:
        scorer = OptionScorer(backbone, head, layout=layout)

        def step(backward: bool) -> None:
            with torch.set_grad_enabled(backward):
                parts = []
                for group in groups:
                    part = OptionTokens(
                        [asked.sequences[i] for i in group], asked.context, asked.question, asked.options, 0, 0
                    )
                    parts.append(scorer([part])[0])
                scores = torch.cat(parts, dim=1)
                loss = LOSSES["cross_entropy"](scores, answer, torch.ones_like(scores, dtype=torch.bool))
                if backward:
                    loss.backward()
                    backbone.zero_grad(set_to_none=True)

        return step

    everything = list(range(OPTIONS))
    return {
        "shared_prefix": of("shared_prefix", [everything]),
        "per_option, all at once": of("per_option", [everything]),
        "per_option, one by one": of("per_option", [[i] for i in everything]),
    }


def seconds(backbone: torch.nn.Module, prefix: int, *, backward: bool, times: int) -> dict[str, float]:
    """The least CPU seconds of each way, runs interleaved so that a noisy minute hits all of them."""
    ways = steps(backbone, prefix)
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(times):
        for name, step in ways.items():
            start = time.process_time()
            step(backward)
            best[name] = min(best[name], time.process_time() - start)
    return best


def peak_megabytes(prefix: int, way: str) -> float:
    """Growth of a fresh process's peak memory by one forward and backward pass."""
    command = [sys.executable, __file__, "--memory", str(prefix), way]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def print_memory(prefix: int, way: str) -> None:
    """The worker of `peak_megabytes`."""
    step = steps(build(), prefix)[way]
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here on; it is inherited from the parent
    before = resident("VmRSS")
    step(True)
    print((resident("VmHWM") - before) / 1024)


def resident(field: str) -> int:
    """Kilobytes of this process's memory: VmRSS now, VmHWM at its peak (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def measure(prefix: int, times: int) -> dict[str, float]:
    """One row of the result."""
    backbone = build()
    ratio = OPTIONS * (prefix + OPTION_TOKENS) / (prefix + OPTIONS * OPTION_TOKENS)
    row: dict[str, float] = {"prefix": prefix, "token_ratio": round(ratio, 3)}
    for name, backward in (("forward", False), ("forward_backward", True)):
        best = seconds(backbone, prefix, backward=backward, times=times)
        packed = best.pop("shared_prefix")
        speedup = min(best.values()) / packed
        row |= {
            f"{name}_seconds_shared_prefix": round(packed, 3),
            f"{name}_seconds_per_option": round(min(best.values()), 3),
            f"{name}_speedup": round(speedup, 2),
            f"{name}_speedup_of_token_ratio": round(speedup / ratio, 3),
        }
    packed = peak_megabytes(prefix, "shared_prefix")
    single = peak_megabytes(prefix, "per_option, all at once")
    return row | {
        "peak_megabytes_shared_prefix": round(packed),
        "peak_megabytes_per_option": round(single),
        "peak_memory_ratio": round(packed / single, 3),
    }


def main() -> int:
    """Measure, print a line a prefix, and store everything."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--prefix", type=int, nargs="+", default=[128, 256, 512, 1024])
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "shared_prefix.json")
    parser.add_argument("--memory", nargs=2, metavar=("PREFIX", "WAY"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.memory:
        print_memory(int(args.memory[0]), args.memory[1])
        return 0
    import transformers

    git = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, check=False, capture_output=True, text=True, cwd=ROOT)
    result: dict[str, object] = {
        "command": f"python benchmarks/shared_prefix.py --prefix {' '.join(map(str, args.prefix))}",
        "commit": commit.stdout.strip() or "unknown",
        "hardware": f"{os.cpu_count()} cores, {platform.machine()}, one thread used, no GPU",
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "options": OPTIONS,
        "option_tokens": OPTION_TOKENS,
        "parameters": sum(parameter.numel() for parameter in build().parameters()),
    }
    rows = []
    for prefix in args.prefix:
        rows.append(measure(prefix, args.times))
        print(json.dumps(rows[-1]), flush=True)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(result | {"rows": rows}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
