"""What benchmarks/gpu.py needs to know of attention kernels: the varlen path, and a probe for NaN gradients."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

try:
    from torch.nn.attention.varlen import varlen_attn
except ImportError:  # torch before 2.10
    varlen_attn = None

OPTIONS, OPTION_TOKENS = 5, 40


def first_line(error: BaseException) -> str:
    """An error in a line."""
    return f"{type(error).__name__}: {(str(error).strip() or '-').splitlines()[0][:200]}"


@dataclass
class Plan:
    """Which tokens the varlen kernel sees as sequences of their own: of each question the prefix, then every option.

    The kernel aligns queries to the end of their keys, so an option's keys are the prefix's and its own.
    """

    keys_K: torch.Tensor
    ends_of_queries: torch.Tensor
    ends_of_keys: torch.Tensor
    longest_query: int
    longest_key: int


def plan_of(prefix: int, questions: int, device: torch.device) -> Plan:
    """The plan of a batch of packed rows that are equally long."""
    length = prefix + OPTIONS * OPTION_TOKENS
    keys: list[int] = []
    queries_of, keys_of = [0], [0]
    for row in range(questions):
        start = row * length
        shared = list(range(start, start + prefix))
        own = [
            range(start + prefix + n * OPTION_TOKENS, start + prefix + (n + 1) * OPTION_TOKENS) for n in range(OPTIONS)
        ]
        for seen, new in [(shared, prefix), *(([*shared, *tokens], OPTION_TOKENS) for tokens in own)]:
            keys += seen
            queries_of.append(queries_of[-1] + new)
            keys_of.append(keys_of[-1] + len(seen))
    ends = (torch.tensor(numbers, dtype=torch.int32, device=device) for numbers in (queries_of, keys_of))
    return Plan(torch.tensor(keys, device=device), *ends, max(prefix, OPTION_TOKENS), prefix + OPTION_TOKENS)


def varlen_attention(plans: Any) -> Callable[..., tuple[torch.Tensor, None]]:
    """An attention function for transformers that reads `plans.plan` (Llama-2 has as many key heads as heads)."""

    def attention(
        module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: Any, **settings: Any
    ) -> tuple[torch.Tensor, None]:
        plan = plans.plan
        if plan is None or mask is not None:
            raise RuntimeError("varlen attention needs a plan and takes no mask")
        batch, _, length, _ = query.shape
        query, key, value = (states.transpose(1, 2).flatten(0, 1) for states in (query, key, value))
        key, value = key[plan.keys_K], value[plan.keys_K]
        kernel, causal = (varlen_attn, causal_setting()) if query.is_cuda else (varlen_loop, {})
        sizes = (plan.ends_of_queries, plan.ends_of_keys, plan.longest_query, plan.longest_key)
        out = kernel(query, key, value, *sizes, scale=settings.get("scaling"), **causal)
        return out.unflatten(0, (batch, length)), None

    return attention


def causal_setting() -> dict[str, Any]:
    """How this torch's varlen kernel is told to be causal: torch 2.10 has a flag, later ones a window."""
    takes_window = "window_size" in inspect.signature(varlen_attn).parameters
    return {"window_size": (-1, 0)} if takes_window else {"is_causal": True}


def varlen_loop(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    ends_q: torch.Tensor,
    ends_k: torch.Tensor,
    *_: int,
    **settings: Any,
) -> torch.Tensor:
    """What the varlen kernel computes, one sequence after the other: stands in for it where there is no GPU."""
    found = []
    bounds = zip(ends_q.tolist()[:-1], ends_q.tolist()[1:], ends_k.tolist()[:-1], ends_k.tolist()[1:], strict=True)
    for q0, q1, k0, k1 in bounds:
        mask = torch.ones(q1 - q0, k1 - k0, dtype=torch.bool).tril(k1 - k0 - (q1 - q0))
        parts = (states.transpose(0, 1) for states in (query[q0:q1], key[k0:k1], value[k0:k1]))
        found.append(F.scaled_dot_product_attention(*parts, attn_mask=mask, scale=settings["scale"]).transpose(0, 1))
    return torch.cat(found)


def probe_kernels(device: torch.device) -> list[dict[str, Any]]:
    """Whether gradients of masked attention are finite, by kernel, length, mask and size of the scores.

    Very negative scores are those of models with massive activations: a row's log-sum-exp is below -88.7 then.
    """
    kernels: dict[str, list[SDPBackend] | None] = {"default": None, "math": [SDPBackend.MATH]}
    if device.type == "cuda":
        kernels["cudnn"] = [SDPBackend.CUDNN_ATTENTION]
        kernels["without cudnn"] = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    rows = []
    for length in (192, 256, 1216, 1280) if device.type == "cuda" else (192, 256):
        for very_negative in (False, True):
            for mask in ("bool", "additive"):
                for name, kernel in kernels.items():
                    row = {"length": length, "length_mod_128": length % 128, "mask": mask}
                    row |= {"scores": "very negative" if very_negative else "ordinary", "kernel": name}
                    rows.append(
                        row | probe(device, length, kernel, very_negative=very_negative, bool_mask=mask == "bool")
                    )
    return rows


def probe(
    device: torch.device, length: int, kernel: list[SDPBackend] | None, *, very_negative: bool, bool_mask: bool
) -> dict[str, Any]:
    """One row of the probe: the numbers of values that are not finite in the output and the gradients."""
    torch.manual_seed(0)
    dtype = torch.bfloat16
    query, key, value = (torch.randn(2, 4, length, 128, device=device, dtype=dtype) for _ in range(3))
    if very_negative:  # scores of about -4 * 4 * 128 / sqrt(128) = -181
        query, key = query + 4, key - 4
    states = [tensor.detach().requires_grad_() for tensor in (query, key, value)]
    mask = torch.ones(length, length, dtype=torch.bool, device=device).tril()[None, None].expand(2, 1, -1, -1)
    if not bool_mask:
        mask = torch.zeros(mask.shape, dtype=dtype, device=device).masked_fill(~mask, torch.finfo(dtype).min)
    try:
        with nullcontext() if kernel is None else sdpa_kernel(kernel):
            out = F.scaled_dot_product_attention(*states, attn_mask=mask)
        out.backward(torch.randn_like(out))
    except RuntimeError as error:
        return {"error": first_line(error)}
    tensors = {"output": out, **{f"grad_{n}": s.grad for n, s in zip("qkv", states, strict=True)}}
    broken = {name: int((~tensor.isfinite()).sum()) for name, tensor in tensors.items() if not tensor.isfinite().all()}
    return {"not_finite": broken}
