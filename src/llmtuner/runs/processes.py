"""What the processes of a training have to agree on; with one process, nothing is sent."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist


def any_process(flag: bool, args: Any) -> bool:
    """Whether the flag is set in any process; all of them must call this.

    Args:
        args: transformers' training arguments.
    """
    if args.world_size == 1:
        return flag
    flags = torch.tensor(int(flag), device=args.device)
    dist.all_reduce(flags, op=dist.ReduceOp.MAX)
    return bool(flags.item())


def mean_of_processes(value: torch.Tensor, args: Any) -> float:
    """The mean of a number over the processes; all of them must call this."""
    if args.world_size == 1:
        return float(value)
    total = value.detach().clone()
    dist.all_reduce(total)
    return float(total) / args.world_size


def barrier(args: Any) -> None:
    """Wait for all processes."""
    if args.world_size > 1:
        dist.barrier()
