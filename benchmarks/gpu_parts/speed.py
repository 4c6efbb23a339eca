"""How fast is each way? Seconds and memory of a step, by prefix, mode and batch size.

Modes: `train` (forward and backward), `checkpointed` (the same with gradient checkpointing), `forward` (scoring).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from gpu_parts.agreement import compare_ways
from gpu_parts.kernels import first_line
from gpu_parts.model import WAYS, Bench, tokens_of
from gpu_parts.varlen import OPTION_TOKENS, OPTIONS

# Dense bf16 FLOP/s from the makers' data sheets; the first name that the device's name contains.
PEAKS = {"H200 NVL": 835e12, "H200": 989e12, "H100 NVL": 835e12, "H100 PCIe": 756e12, "H100": 989e12, "A100": 312e12}


def flops(shape: dict[str, int], bench: Bench, prefix: int, way: str, mode: str) -> tuple[float, float]:
    """Model FLOPs of a question, and the FLOPs with the second forward pass of checkpointing.

    Linear layers take 2N for a token forward, and 4N in training (frozen weights need no gradient); adapters take 6N of
    their own. Attention takes 4 x layers x width for each pair of tokens that see each other, times 3 in training. The
    masked part that a dense mask computes and discards does not count.
    """
    tokens = tokens_of(prefix, way)
    length = prefix + OPTION_TOKENS
    pairs = OPTIONS * length * (length + 1) / 2
    if way != "per_option":
        pairs -= (OPTIONS - 1) * prefix * (prefix + 1) / 2
    attention = 4 * shape["num_hidden_layers"] * shape["hidden_size"] * pairs
    forward = 2 * (bench.parameters["linear"] + bench.parameters["adapters"]) * tokens + attention
    if mode == "forward":
        return forward, forward
    backward = 2 * bench.parameters["linear"] * tokens + 4 * bench.parameters["adapters"] * tokens + 2 * attention
    return forward + backward, forward + backward + (forward if mode == "checkpointed" else 0)


def measure(bench: Bench, way: str, mode: str, prefix: int, questions: int, seconds: float) -> dict[str, Any]:
    """One cell: the median seconds of a step and the peak memory, or an error such as "out of memory"."""
    bench.clear()
    cell: dict[str, Any] = {"prefix": prefix, "mode": mode, "way": way, "questions": questions}
    try:
        bench.attention(way)
        batch = bench.batch(way, prefix, questions)
        step_seconds: list[float] = []
        begin = time.perf_counter()
        while len(step_seconds) < 4 or time.perf_counter() - begin < seconds:
            bench.model.zero_grad(set_to_none=True)
            bench.synchronise()
            start = time.perf_counter()
            scores_QN = bench.step(way, batch, backward=mode != "forward")
            bench.synchronise()
            step_seconds.append(time.perf_counter() - start)
        step_seconds = sorted(step_seconds[1:])  # the first step warms up
        gradients = [p.grad for p in bench.model.parameters() if p.grad is not None]
        finite = all(bool(tensor.isfinite().all()) for tensor in (scores_QN, *gradients))
        cell |= {"seconds": step_seconds[len(step_seconds) // 2], "steps": len(step_seconds), "finite": finite}
        if bench.device.type == "cuda":
            cell["peak_gigabytes"] = round(torch.cuda.max_memory_allocated() / 1e9, 2)
    except torch.OutOfMemoryError:
        cell["error"] = "out of memory"
    except RuntimeError as error:
        cell["error"] = first_line(error)
    bench.clear()
    return cell


def with_rates(cell: dict[str, Any], shape: dict[str, int], bench: Bench, peak: float | None) -> dict[str, Any]:
    """A cell with questions and tokens a second, and the share of the peak (`mfu`, and `hfu` with checkpointing)."""
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


def cells_of(bench: Bench, way: str, mode: str, prefix: int, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Cells of growing batches, until a larger one gains less than 2 % or does not fit."""
    best, questions = 0.0, 1
    while questions == 1 or questions * tokens_of(prefix, way) <= args.max_tokens:
        cell = measure(bench, way, mode, prefix, questions, args.seconds)
        yield cell
        rate = questions / cell["seconds"] if "seconds" in cell else 0.0
        if "error" in cell or rate < 1.02 * best:
            return
        best, questions = rate, questions * 2


def summary(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each prefix and mode: the best cell of every way, and its gain over the best of per_option."""
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


def measure_all(bench: Bench, shape: dict[str, int], args: argparse.Namespace, save: Callable[..., None]) -> None:
    """Measure every cell; `save` gets the results after each."""
    name = torch.cuda.get_device_name() if bench.device.type == "cuda" else ""
    peak = next((flops for part, flops in PEAKS.items() if part in name), None)
    deadline = time.monotonic() + 60 * args.minutes
    cells: list[dict[str, Any]] = []
    complete = 0  # cells of the lengths and modes at which every way has been measured
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
                    save(cells=cells, summary=summary(cells[:complete]))
                    print(json.dumps(cells[-1]), flush=True)
                    if time.monotonic() > deadline:
                        print(f"stopped after {args.minutes} minutes", file=sys.stderr)
                        save(stopped_after_minutes=args.minutes)
                        return
            complete = len(cells)
    save(summary=summary(cells))
