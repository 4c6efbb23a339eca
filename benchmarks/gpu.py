#!/usr/bin/env python3
"""Training steps of a 7B model on one GPU: one row an option against packed rows with three kinds of attention.

    python benchmarks/gpu.py         # into benchmarks/results, in about 20 minutes; --minutes stops it earlier
    python benchmarks/gpu.py --tiny --device cpu --out /tmp/gpu.json  # every line of it, on any machine

It needs torch, transformers and peft, no upstream and no network. Llama-2-7b's shape with random weights, bf16, LoRA of
rank 8 on all linear layers (fp32 adapters under autocast, as training has them), questions of random tokens.

Ways: `per_option`, plain causal attention, the rival; `split`, packed rows with the engine's attention (prefix without
a mask); `dense`, packed rows with one mask; `varlen`, packed rows through torch's varlen kernel with keys and values of
the prefix repeated for each option. Each way gets several batch sizes, until it gains no more or memory is out; the
summary compares the best of each. Modes: `train` (forward and backward), `checkpointed` (the same with gradient
checkpointing), `forward` (scoring). `varlen` is compared with `split` before it is timed, and left out where it differs
more than per_option does from `split`, by a factor.

Model FLOPs: linear layers 2N a token forward, 4N in training (frozen weights need no gradient), adapters 6N of their
own; attention 4 x layers x width for each pair of tokens that see each other, times 3 in training. `mfu` divides them
by the time and the card's peak; `hfu` adds the second forward of checkpointing. What a dense mask computes in vain
counts in neither. All tokens are executed ones: packed rows save questions' time, not utilisation.

A probe at the start asks whether masked attention gives NaN gradients, by kernel, length and size of the scores
(pytorch issue 196678: cuDNN where length % 128 == 64). The JSON is written after every cell.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import platform
import random
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]
os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from gpu_attention import (  # noqa: E402
    OPTION_TOKENS,
    OPTIONS,
    Plan,
    first_line,
    plan_of,
    probe_kernels,
    varlen_attention,
    varlen_attn,
)
from peft import LoraConfig, get_peft_model  # noqa: E402
from provenance import commit  # noqa: E402
from transformers import AttentionInterface, AutoModelForCausalLM, LlamaConfig  # noqa: E402

from llmtuner.data.tokens.option import OptionTokens  # noqa: E402
from llmtuner.mcq.attention import SPLIT  # noqa: E402
from llmtuner.mcq.choices import resolve  # noqa: E402
from llmtuner.mcq.collate import Collator  # noqa: E402
from llmtuner.mcq.model import HEAD, attach_head, backbone_of, unwrap  # noqa: E402
from llmtuner.mcq.pooling import pool  # noqa: E402
from llmtuner.mcq.predict import to_device  # noqa: E402
from llmtuner.mcq.questions import Example  # noqa: E402

LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
LLAMA_2_7B = {
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "max_position_embeddings": 4096,
}
TINY = LLAMA_2_7B | {
    "vocab_size": 500,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
}
WAYS = ("per_option", "split", "dense", "varlen")
MODES = ("train", "checkpointed", "forward")
# Dense bf16 FLOP/s from the makers' data sheets; the first name that the device's name contains.
PEAKS = {"H200 NVL": 835e12, "H200": 989e12, "H100 NVL": 835e12, "H100 PCIe": 756e12, "H100": 989e12, "A100": 312e12}
VARLEN = "bench_varlen"
VARLEN_FACTOR, VARLEN_FLOOR = 3.0, 1e-4  # times the difference of per_option and split, and what is always allowed


@dataclass
class Bench:
    """Model and batches; `plan` is what the registered varlen attention reads."""

    model: Any
    device: torch.device
    parameters: dict[str, int]
    plan: Plan | None = field(default=None)

    def attention(self, way: str) -> None:
        """Set the attention of a way."""
        name = {"per_option": "sdpa", "split": SPLIT, "dense": "sdpa", "varlen": VARLEN}[way]
        unwrap(self.model).set_attn_implementation(name)

    def batch(self, way: str, prefix: int, questions: int) -> dict[str, Any]:
        """A batch on the device, with the plan of varlen rows set."""
        layout = "per_option" if way == "per_option" else "shared_prefix"
        examples = [Example(question(prefix, row), row % OPTIONS, row) for row in range(questions)]
        self.plan = plan_of(prefix, questions, self.device) if way == "varlen" else None
        return to_device(Collator(layout, "last", 0)(examples), self.device)

    def scores(self, way: str, batch: dict[str, Any]) -> torch.Tensor:
        """Scores of a batch, [Q, N]."""
        precision = torch.autocast("cuda", torch.bfloat16) if self.device.type == "cuda" else nullcontext()
        with precision:
            if way != "varlen":
                inputs = {name: value for name, value in batch.items() if name not in ("labels", "rows")}
                return self.model(**inputs).scores
            hidden_BTD = backbone_of(self.model)(
                input_ids=batch["input_ids"], position_ids=batch["position_ids"], use_cache=False
            ).last_hidden_state
            features_QND = pool(hidden_BTD, batch["pool_rows"], batch["pool_tokens"])
            return getattr(unwrap(self.model), HEAD)(features_QND, batch["mask"])

    def step(self, way: str, batch: dict[str, Any], *, backward: bool) -> torch.Tensor:
        """One pass; gradients are left in the model."""
        with torch.set_grad_enabled(backward):
            scores_QN = self.scores(way, batch)
            if backward:
                F.cross_entropy(scores_QN, batch["labels"]).backward()
        return scores_QN.detach()

    def set_mode(self, mode: str) -> None:
        """Training mode and gradient checkpointing."""
        self.model.train(mode != "forward")
        if mode == "checkpointed":
            self.model.gradient_checkpointing_enable({"use_reentrant": False})
        else:
            self.model.gradient_checkpointing_disable()

    def synchronise(self) -> None:
        """Wait for the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def clear(self) -> None:
        """Give memory back, of gradients, too."""
        self.model.zero_grad(set_to_none=True)
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()


def build(shape: dict[str, int], device: torch.device, dtype: torch.dtype) -> Bench:
    """The model with head and adapters as the stage makes it, its random weights drawn on the device."""
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(LlamaConfig(**shape), dtype=dtype)
    model = attach_head(model, resolve("causal"))
    linear = sum(m.weight.numel() for n, m in model.named_modules() if n.split(".")[-1] in LINEAR)
    lora = LoraConfig(r=8, lora_alpha=16, lora_dropout=0.0, target_modules=LINEAR, modules_to_save=[HEAD])
    model = get_peft_model(model, lora)
    adapters = sum(p.numel() for n, p in model.named_parameters() if "lora_" in n)
    bench = Bench(model, device, {"linear": linear, "adapters": adapters})
    AttentionInterface.register(VARLEN, varlen_attention(bench))
    return bench


def question(prefix: int, seed: int) -> Any:
    """A question of random tokens whose options share nothing but the prefix."""
    draw = random.Random(seed)
    start = [draw.randrange(3, 500) for _ in range(prefix)]
    sequences = [
        [*start, 3 + option, *(draw.randrange(3, 500) for _ in range(OPTION_TOKENS - 1))] for option in range(OPTIONS)
    ]
    return OptionTokens(sequences, (0, 0), (0, prefix), [(prefix, prefix + OPTION_TOKENS)] * OPTIONS, 0, 0)


def compare_ways(bench: Bench, prefix: int, questions: int = 2) -> dict[str, Any]:
    """Scores and gradients of every way against those of `split`, in relative distance; what varlen may differ by."""
    bench.set_mode("checkpointed")  # without it, long prefixes do not fit the memory
    found: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    errors = {}
    for way in WAYS:
        if way == "varlen" and varlen_attn is None and bench.device.type == "cuda":
            errors[way] = "this torch has no torch.nn.attention.varlen"
            continue
        bench.clear()
        bench.attention(way)
        try:
            scores_QN = bench.step(way, bench.batch(way, prefix, questions), backward=True)
        except (RuntimeError, TypeError, ValueError) as error:
            errors[way] = first_line(error)
            continue
        gradients = [p.grad.float().flatten().cpu() for p in bench.model.parameters() if p.grad is not None]
        found[way] = scores_QN.float().cpu(), torch.cat(gradients)
    bench.clear()
    distances: dict[str, Any] = {"prefix": prefix, "errors": errors, "varlen_agrees": False}
    if "split" not in found:
        return distances
    scores, gradient = found["split"]
    for way, (other, other_gradient) in found.items():
        distances[way] = {
            "scores": float((other - scores).norm() / (scores - scores.mean()).norm()),
            "gradients": float((other_gradient - gradient).norm() / gradient.norm()),
        }
    distances["varlen_agrees"] = {"varlen", "per_option"} <= found.keys() and all(
        distances["varlen"][kind] <= VARLEN_FACTOR * distances["per_option"][kind] + VARLEN_FLOOR
        for kind in ("scores", "gradients")
    )
    return distances


def flops(shape: dict[str, int], bench: Bench, prefix: int, way: str, mode: str) -> tuple[float, float]:
    """Model FLOPs of a question, and those with the second forward pass of checkpointing."""
    tokens = tokens_of(prefix, way)
    whole = prefix + OPTION_TOKENS
    pairs = OPTIONS * whole * (whole + 1) / 2
    if way != "per_option":
        pairs -= (OPTIONS - 1) * prefix * (prefix + 1) / 2
    attention = 4 * shape["num_hidden_layers"] * shape["hidden_size"] * pairs
    forward = 2 * (bench.parameters["linear"] + bench.parameters["adapters"]) * tokens + attention
    if mode == "forward":
        return forward, forward
    backward = 2 * bench.parameters["linear"] * tokens + 4 * bench.parameters["adapters"] * tokens + 2 * attention
    return forward + backward, forward + backward + (forward if mode == "checkpointed" else 0)


def tokens_of(prefix: int, way: str) -> int:
    """Tokens that a way executes for a question."""
    if way == "per_option":
        return OPTIONS * (prefix + OPTION_TOKENS)
    return prefix + OPTIONS * OPTION_TOKENS


def measure(bench: Bench, way: str, mode: str, prefix: int, questions: int, seconds: float) -> dict[str, Any]:
    """One cell: the median seconds of a step and the peak memory; or "out of memory", or another error."""
    bench.clear()
    cell: dict[str, Any] = {"prefix": prefix, "mode": mode, "way": way, "questions": questions}
    try:
        bench.attention(way)
        batch = bench.batch(way, prefix, questions)
        spent: list[float] = []
        begin = time.perf_counter()
        while len(spent) < 4 or time.perf_counter() - begin < seconds:
            bench.model.zero_grad(set_to_none=True)
            bench.synchronise()
            start = time.perf_counter()
            scores_QN = bench.step(way, batch, backward=mode != "forward")
            bench.synchronise()
            spent.append(time.perf_counter() - start)
        spent = sorted(spent[1:])  # the first one warms up
        gradients = [p.grad for p in bench.model.parameters() if p.grad is not None]
        finite = all(bool(tensor.isfinite().all()) for tensor in (scores_QN, *gradients))
        cell |= {"seconds": spent[len(spent) // 2], "steps": len(spent), "finite": finite}
        if bench.device.type == "cuda":
            cell["peak_gigabytes"] = round(torch.cuda.max_memory_allocated() / 1e9, 2)
    except torch.OutOfMemoryError:
        cell["error"] = "out of memory"
    except RuntimeError as error:
        cell["error"] = first_line(error)
    bench.clear()
    return cell


def with_rates(cell: dict[str, Any], shape: dict[str, int], bench: Bench, peak: float | None) -> dict[str, Any]:
    """A cell with questions and tokens a second, and the utilisation."""
    if "seconds" not in cell:
        return cell
    model_flops, hardware_flops = flops(shape, bench, cell["prefix"], cell["way"], cell["mode"])
    rate = cell["questions"] / cell["seconds"]
    cell |= {
        "questions_a_second": round(rate, 3),
        "tokens_a_second": round(rate * tokens_of(cell["prefix"], cell["way"]), 1),
        "model_teraflops_a_second": round(model_flops * rate / 1e12, 3),
        "mfu": round(model_flops * rate / peak, 4) if peak else None,
        "hfu": round(hardware_flops * rate / peak, 4) if peak else None,
    }
    return cell


def cells_of(bench: Bench, way: str, mode: str, prefix: int, args: argparse.Namespace) -> Any:
    """Cells of growing batches, while they gain and memory lasts."""
    best, questions = 0.0, 1
    while questions == 1 or questions * tokens_of(prefix, way) <= args.max_tokens:
        cell = measure(bench, way, mode, prefix, questions, args.seconds)
        yield cell
        rate = questions / cell["seconds"] if "seconds" in cell else 0.0
        if "error" in cell or rate < 1.02 * best:
            return
        best, questions = rate, questions * 2


def summary(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each prefix and mode the best of every way, and what it gains on the best of per_option."""
    rows = []
    for prefix, mode in dict.fromkeys((cell["prefix"], cell["mode"]) for cell in cells):
        fitting = [c for c in cells if (c["prefix"], c["mode"]) == (prefix, mode) and "questions_a_second" in c]
        best = {
            way: max((c for c in fitting if c["way"] == way), key=lambda c: c["questions_a_second"], default=None)
            for way in WAYS
        }
        ratio = tokens_of(prefix, "per_option") / tokens_of(prefix, "split")
        row: dict[str, Any] = {"prefix": prefix, "mode": mode, "token_ratio": round(ratio, 3)}
        for way, cell in best.items():
            if cell is None or best["per_option"] is None:
                continue
            gain = cell["questions_a_second"] / best["per_option"]["questions_a_second"]
            keys = ("questions", "questions_a_second", "tokens_a_second", "mfu", "peak_gigabytes")
            row[way] = {key: cell[key] for key in keys if key in cell}
            if way != "per_option":
                row[way] |= {
                    "speedup": round(gain, 3),
                    "speedup_of_token_ratio": round(gain / ratio, 3),
                    "realised_gain": round((gain - 1) / (ratio - 1), 3),
                }
        rows.append(row)
    return rows


def setting(args: argparse.Namespace, device: torch.device, shape: dict[str, int]) -> dict[str, Any]:
    """Command, commit, hardware and versions."""
    import peft
    import transformers

    cuda = device.type == "cuda"
    return {
        "command": f"python benchmarks/gpu.py{' --tiny' if args.tiny else ''} --device {device.type} "
        f"--prefix {' '.join(map(str, args.prefix))} --mode {' '.join(args.mode)} --seconds {args.seconds} "
        f"--max-tokens {args.max_tokens}{'' if math.isinf(args.minutes) else f' --minutes {args.minutes}'}",
        "commit": commit(),
        "hardware": torch.cuda.get_device_name() if cuda else f"{os.cpu_count()} cores, {platform.machine()}, no GPU",
        "memory_gigabytes": round(torch.cuda.get_device_properties(0).total_memory / 1e9, 1) if cuda else None,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "peft": peft.__version__,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version() if cuda else None,
        },
        "options": OPTIONS,
        "option_tokens": OPTION_TOKENS,
        "shape": shape,
        "varlen": "none in this torch" if varlen_attn is None else "kernel" if cuda else "a loop in its place",
    }


def measure_all(bench: Bench, shape: dict[str, int], args: argparse.Namespace, save: Callable[..., None]) -> None:
    """Every cell in turn; `save` is called after each."""
    name = torch.cuda.get_device_name() if bench.device.type == "cuda" else ""
    peak = next((flops for part, flops in PEAKS.items() if part in name), None)
    deadline = time.monotonic() + 60 * args.minutes
    cells: list[dict[str, Any]] = []
    whole = 0  # cells of lengths and modes that every way has been measured at
    agreement = [compare_ways(bench, prefix) for prefix in args.prefix]
    save(agreement=agreement, peak_flops=peak, parameters=bench.parameters)
    for mode in args.mode:
        bench.set_mode(mode)
        for prefix, agrees in zip(args.prefix, agreement, strict=True):
            for way in WAYS:
                if way == "varlen" and not agrees["varlen_agrees"]:
                    continue
                for cell in cells_of(bench, way, mode, prefix, args):
                    cells.append(with_rates(cell, shape, bench, peak))
                    save(cells=cells, summary=summary(cells[:whole]))
                    print(json.dumps(cells[-1]), flush=True)
                    if time.monotonic() > deadline:
                        print(f"stopped after {args.minutes} minutes", file=sys.stderr)
                        save(stopped_after_minutes=args.minutes)
                        return
            whole = len(cells)
    save(summary=summary(cells))


def main() -> int:
    """Probe, compare, measure; 2 where there is no GPU and none was asked to be done without."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--tiny", action="store_true", help="a small model and short questions, to try the script")
    parser.add_argument("--prefix", type=int, nargs="+", help="default: 1000 200 500 2000, or 16 40 with --tiny")
    parser.add_argument("--mode", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--seconds", type=float, help="of each cell; default 2, or 0 with --tiny")
    parser.add_argument("--max-tokens", type=int, help="a batch; default 32768, or 500 with --tiny")
    parser.add_argument("--minutes", type=float, default=math.inf, help="start no cell after so many")
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/gpu.json; with --tiny it must be given")
    args = parser.parse_args()
    if args.out is None and args.tiny:
        parser.error("--tiny measures nothing that is worth keeping: name a file with --out")
    args.out = args.out or ROOT / "benchmarks" / "results" / "gpu.json"
    if args.device == "cuda" and not torch.cuda.is_available():
        print("no CUDA device here; to try the script without one: --tiny --device cpu", file=sys.stderr)
        return 2
    args.prefix = args.prefix or ([16, 40] if args.tiny else [1000, 200, 500, 2000])
    args.seconds = args.seconds if args.seconds is not None else 0.0 if args.tiny else 2.0
    args.max_tokens = args.max_tokens or (500 if args.tiny else 32768)
    device, shape = torch.device(args.device), TINY if args.tiny else LLAMA_2_7B
    if device.type == "cpu":
        torch.set_num_threads(1)  # the shapes are too small for more
    result = setting(args, device, shape)

    def save(**more: Any) -> None:
        result.update(more)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")

    save(masked_attention_probe=probe_kernels(device))
    bench = build(shape, device, torch.bfloat16 if device.type == "cuda" else torch.float32)
    measure_all(bench, shape, args, save)
    print(json.dumps(result.get("summary"), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
