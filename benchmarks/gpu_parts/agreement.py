"""Do all ways compute the same scores and gradients? The time of a way that computes something else means nothing."""

from __future__ import annotations

from typing import Any

import torch

from gpu_parts.kernels import first_line
from gpu_parts.model import WAYS, Bench
from gpu_parts.varlen import varlen_attn

VARLEN_FACTOR, VARLEN_ALLOWED = 3.0, 1e-4  # times the distance of per_option, and a distance that is always allowed


def compare_ways(bench: Bench, prefix: int, questions: int = 2) -> dict[str, Any]:
    """The relative distance of the scores and gradients of every way from those of `split`.

    `varlen_agrees` is false where varlen is further from `split` than VARLEN_FACTOR times the distance of per_option.
    """
    bench.set_mode("checkpointed")  # without it, long prefixes do not fit the memory
    results: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}  # scores and gradients
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
        results[way] = scores_QN.float().cpu(), torch.cat(gradients)
    bench.clear()
    distances: dict[str, Any] = {"prefix": prefix, "errors": errors, "varlen_agrees": False}
    if "split" not in results:
        return distances
    scores, gradient = results["split"]
    for way, (way_scores, way_gradient) in results.items():
        distances[way] = {
            "scores": float((way_scores - scores).norm() / (scores - scores.mean()).norm()),
            "gradients": float((way_gradient - gradient).norm() / gradient.norm()),
        }
    distances["varlen_agrees"] = {"varlen", "per_option"} <= results.keys() and all(
        distances["varlen"][kind] <= VARLEN_FACTOR * distances["per_option"][kind] + VARLEN_ALLOWED
        for kind in ("scores", "gradients")
    )
    return distances
