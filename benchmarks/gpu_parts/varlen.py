"""Packed rows through torch's varlen kernel, with the keys and values of the prefix repeated for each option."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

try:
    from torch.nn.attention.varlen import varlen_attn
except ImportError:  # torch before 2.10
    varlen_attn = None

OPTIONS, OPTION_TOKENS = 5, 40  # of every question


@dataclass
class Plan:
    """The sequences of the varlen kernel: the prefix of each question, then every option.

    The kernel aligns queries with the end of their keys, so the keys of an option are those of the prefix and its own.
    Shapes: K keys over all sequences.
    """

    keys_K: torch.Tensor
    ends_of_queries: torch.Tensor
    ends_of_keys: torch.Tensor
    longest_query: int
    longest_key: int


def plan_of(prefix: int, questions: int, device: torch.device) -> Plan:
    """The plan of a batch of packed rows of equal length."""
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
    """An attention function for transformers that reads `plans.plan`; it needs as many key heads as query heads."""

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
    """The argument that makes the varlen kernel causal: a flag in torch 2.10, a window in later versions."""
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
    """The result of the varlen kernel, sequence by sequence: its replacement on a CPU."""
    outputs = []
    bounds = zip(ends_q.tolist()[:-1], ends_q.tolist()[1:], ends_k.tolist()[:-1], ends_k.tolist()[1:], strict=True)
    for q0, q1, k0, k1 in bounds:
        mask = torch.ones(q1 - q0, k1 - k0, dtype=torch.bool).tril(k1 - k0 - (q1 - q0))
        parts = (states.transpose(0, 1) for states in (query[q0:q1], key[k0:k1], value[k0:k1]))
        outputs.append(F.scaled_dot_product_attention(*parts, attn_mask=mask, scale=settings["scale"]).transpose(0, 1))
    return torch.cat(outputs)
