#!/usr/bin/env python3
"""How much time and memory do packed rows save on a CPU, against one row for each option?

    python benchmarks/shared_prefix.py [--prefix 128 256 512 1024] [--out FILE]

A Llama of 26M parameters, five options of 32 tokens, one thread. The time is process CPU seconds for a question, the
least of several interleaved runs (more of them for short prefixes); collating is part of a run.

The baseline has no language-model head, rows of equal length and plain causal attention. Its time is the best of three
batches: all options of one question, of two questions, or one option at a time. Two questions are tried up to a prefix
of 256; beyond it one question fills a core. Packed rows always have one question in a batch. `dense_mask` is the same
packed row with one mask over its whole length.

Peak memory is the growth of a separate process for one question; the baseline's is the smaller of its two ways.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]
OPTIONS, OPTION_TOKENS = 5, 32
SIZES = {"hidden_size": 512, "intermediate_size": 1376, "num_hidden_layers": 8}
LONGEST, MOST_TIMES = 1024, 8  # a prefix of LONGEST runs --times times, shorter ones up to MOST_TIMES times
TWO_UP_TO = 256  # longest prefix, in tokens, for which batches of two questions are tried

import torch  # noqa: E402
from provenance import commit, hardware, trial_file, write_result  # noqa: E402

from llmtuner.data.tokens.option import OptionTokens  # noqa: E402
from llmtuner.mcq.attention import SPLIT, choose_attention  # noqa: E402
from llmtuner.mcq.choices import resolve  # noqa: E402
from llmtuner.mcq.collate import Collator  # noqa: E402
from llmtuner.mcq.losses import LOSSES  # noqa: E402
from llmtuner.mcq.model import attach_head  # noqa: E402
from llmtuner.mcq.questions import Example  # noqa: E402


@dataclass(frozen=True)
class Way:
    """How questions are scored: layout, attention, questions in a batch, and whether options go one at a time."""

    layout: str
    attention: str = SPLIT
    questions: int = 1
    one_by_one: bool = False


WAYS = {
    "shared_prefix": Way("shared_prefix"),
    "dense_mask": Way("shared_prefix", attention="sdpa"),
    "per_option, one question": Way("per_option"),
    "per_option, two questions": Way("per_option", questions=2),
    "per_option, one by one": Way("per_option", one_by_one=True),
}


def question(prefix: int, seed: int = 0) -> OptionTokens:
    """A question of random tokens whose options have the prefix in common and nothing else."""
    rng = random.Random(seed)
    start = [rng.randrange(3, 2000) for _ in range(prefix)]
    sequences = [
        start + [3 + option] + [rng.randrange(3, 2000) for _ in range(OPTION_TOKENS - 1)] for option in range(OPTIONS)
    ]
    end = prefix + OPTION_TOKENS
    return OptionTokens(sequences, (0, 0), (0, prefix), [(prefix, end)] * OPTIONS, 0, 0)


def build() -> Any:
    """A Llama with a head for options, as `--stage mcq` makes it."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        **SIZES, vocab_size=2000, num_attention_heads=8, num_key_value_heads=8, max_position_embeddings=4096
    )
    model = attach_head(LlamaForCausalLM(config), resolve("causal"))
    choose_attention(model)  # registers SPLIT
    return model


def step(model: Any, way: Way, questions: list[OptionTokens], *, backward: bool) -> None:
    """One pass over the questions; with `backward`, also the gradients of the mean loss."""
    collator = Collator(way.layout, "last", 0)
    batches = [[Example(tokens, 1, row) for row, tokens in enumerate(questions)]]
    if way.one_by_one:
        batches = [[Example(single_option(questions[0], option), 1, 0)] for option in range(OPTIONS)]
    with torch.set_grad_enabled(backward):
        parts = []
        for examples in batches:
            batch = collator(examples)
            parts.append(model(**{name: value for name, value in batch.items() if name not in ("labels", "rows")}))
        scores_QN = torch.cat([part.scores for part in parts], dim=1)
        if backward:
            mask_QN = torch.ones_like(scores_QN, dtype=torch.bool)
            answers_Q = torch.ones(len(scores_QN), dtype=torch.long)
            LOSSES["cross_entropy"](scores_QN, answers_Q, mask_QN).mean().backward()
            model.zero_grad(set_to_none=True)


def single_option(tokens: OptionTokens, option: int) -> OptionTokens:
    """The question with one option."""
    return OptionTokens([tokens.sequences[option]], tokens.context, tokens.question, [tokens.options[option]], 0, 0)


def seconds(model: Any, prefix: int, *, backward: bool, times: int) -> dict[str, float]:
    """The least CPU seconds of each way for a question; runs are interleaved, so that a busy minute slows all ways."""
    ways = {name: way for name, way in WAYS.items() if way.questions == 1 or prefix <= TWO_UP_TO}
    least = dict.fromkeys(ways, float("inf"))
    for _ in range(times):
        for name, way in ways.items():
            model.set_attn_implementation(way.attention)
            questions = [question(prefix, seed) for seed in range(way.questions)]
            start = time.process_time()
            step(model, way, questions, backward=backward)
            least[name] = min(least[name], (time.process_time() - start) / way.questions)
    return least


def peak_megabytes(prefix: int, way: str) -> float:
    """Growth of the peak memory of a new process in one forward and backward pass, in MB."""
    command = [sys.executable, __file__, "--memory", str(prefix), way]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def print_memory(prefix: int, name: str) -> None:
    """Print the growth of this process, for `peak_megabytes`."""
    model, way = build(), WAYS[name]
    model.set_attn_implementation(way.attention)
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak, which a process inherits from its parent
    before = resident("VmRSS")
    step(model, way, [question(prefix)], backward=True)
    print((resident("VmHWM") - before) / 1024)


def resident(field: str) -> int:
    """Memory of this process in kilobytes: VmRSS now, VmHWM at its peak (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def measure(model: Any, prefix: int, times: int) -> dict[str, Any]:
    """One row of the result."""
    ratio = OPTIONS * (prefix + OPTION_TOKENS) / (prefix + OPTIONS * OPTION_TOKENS)
    times = max(times, min(times * LONGEST // prefix, MOST_TIMES))
    row: dict[str, Any] = {"prefix": prefix, "token_ratio": round(ratio, 3), "runs_of_each_way": times}
    for name, backward in (("forward", False), ("forward_backward", True)):
        least = seconds(model, prefix, backward=backward, times=times)
        baseline = min(cpu_seconds for way, cpu_seconds in least.items() if way.startswith("per_option"))
        row |= {
            f"{name}_seconds": {way: round(cpu_seconds, 3) for way, cpu_seconds in least.items()},
            f"{name}_speedup": round(baseline / least["shared_prefix"], 2),
            f"{name}_speedup_of_token_ratio": round(baseline / least["shared_prefix"] / ratio, 3),
            f"{name}_speedup_dense_mask": round(baseline / least["dense_mask"], 2),
            f"{name}_speedup_of_token_ratio_dense_mask": round(baseline / least["dense_mask"] / ratio, 3),
        }
    peaks = {name: peak_megabytes(prefix, name) for name, way in WAYS.items() if way.questions == 1}
    baseline = min(peak for way, peak in peaks.items() if way.startswith("per_option"))
    return row | {
        "peak_megabytes": {way: round(peak) for way, peak in peaks.items()},
        "peak_memory_ratio": round(peaks["shared_prefix"] / baseline, 3),
    }


def main() -> int:
    """Measure, print a line for each prefix, and store the result."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--prefix", type=int, nargs="+", default=[128, 256, 512, 1024])
    parser.add_argument("--times", type=int, default=3, help="runs of each way at the longest prefix")
    parser.add_argument("--out", type=Path, default=trial_file("shared_prefix"), help="the results as JSON")
    parser.add_argument("--memory", nargs=2, metavar=("PREFIX", "WAY"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.memory:
        print_memory(int(args.memory[0]), args.memory[1])
        return 0
    import transformers

    model = build()
    result: dict[str, Any] = {
        "command": f"python benchmarks/shared_prefix.py --prefix {' '.join(map(str, args.prefix))} "
        f"--times {args.times}",
        "commit": commit(),
        "hardware": hardware("cpu"),
        "threads": 1,
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "options": OPTIONS,
        "option_tokens": OPTION_TOKENS,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }
    rows = []
    for prefix in args.prefix:
        rows.append(measure(model, prefix, args.times))
        print(json.dumps(rows[-1]), flush=True)
        write_result(result | {"rows": rows}, args.out, indent=2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
