#!/usr/bin/env python3
"""Training steps of a 7B model on one GPU: one row for each option, or packed rows with three kinds of attention.

    python benchmarks/gpu.py                     # about 20 minutes; --minutes stops it earlier
    python benchmarks/gpu.py --tiny --device cpu # the same with a tiny model, on any machine

It needs torch, transformers and peft, no upstream and no network. The model has the shape of Llama-2-7b and random
weights, bf16, with LoRA of rank 8 on all linear layers (fp32 adapters under autocast, as in training). Questions are
random tokens.

It asks three questions, each in a module of gpu_parts/ that explains its terms:

1. `kernels.py`: does masked attention give NaN gradients?
2. `agreement.py`: do all ways compute the same? `varlen` is left out of the timing where it does not.
3. `speed.py`: how fast is each way with its best batch size?

All reported tokens are computed ones: packed rows make a question cheaper and leave the utilisation as it is. The JSON
is written after every cell.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]
os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch  # noqa: E402
from gpu_parts.kernels import probe_kernels  # noqa: E402
from gpu_parts.model import LLAMA_2_7B, MODES, TINY, build  # noqa: E402
from gpu_parts.speed import measure_all  # noqa: E402
from gpu_parts.varlen import OPTION_TOKENS, OPTIONS, varlen_attn  # noqa: E402
from provenance import commit, hardware, trial_file, write_result  # noqa: E402


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
        "hardware": hardware(device.type),
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


def main() -> int:
    """Probe, compare, measure; the status is 2 where --device cuda has no GPU."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--tiny", action="store_true", help="a small model and short questions, to try the script")
    parser.add_argument("--prefix", type=int, nargs="+", help="default: 1000 200 500 2000, or 16 40 with --tiny")
    parser.add_argument("--mode", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--seconds", type=float, help="seconds of each cell; default: 2, or 0 with --tiny")
    parser.add_argument("--max-tokens", type=int, help="tokens of a batch; default: 32768, or 500 with --tiny")
    parser.add_argument("--minutes", type=float, default=math.inf, help="start no cell after so many minutes")
    parser.add_argument("--out", type=Path, help="the results as JSON; default: out/benchmarks/gpu.json")
    args = parser.parse_args()
    args.out = args.out or trial_file("gpu-tiny" if args.tiny else "gpu")
    if args.device == "cuda" and not torch.cuda.is_available():
        print("error: --device cuda: no CUDA device; to try the script, pass --tiny --device cpu", file=sys.stderr)
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
        write_result(result, args.out, indent=2)

    save(masked_attention_probe=probe_kernels(device))
    bench = build(shape, device, torch.bfloat16 if device.type == "cuda" else torch.float32)
    measure_all(bench, shape, args, save)
    print(json.dumps(result.get("summary"), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
