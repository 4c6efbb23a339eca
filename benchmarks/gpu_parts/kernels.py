"""Does masked attention give NaN gradients? By kernel, length, kind of mask and size of the scores.

Pytorch issue 196678: cuDNN does where length % 128 == 64.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel


def first_line(error: BaseException) -> str:
    """The kind of an error and the first line of its message."""
    return f"{type(error).__name__}: {(str(error).strip() or '-').splitlines()[0][:200]}"


def probe_kernels(device: torch.device) -> list[dict[str, Any]]:
    """A row for each kernel, length, mask and size of the scores.

    Models with massive activations have very negative scores: the log-sum-exp of a row is below -88.7 then.
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
    """One row of the probe: the number of NaN and Inf in the output and in each gradient."""
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
