"""One process per device: starts torchrun if several GPUs are visible and torchrun is not running yet."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

from llmtuner.cli.flags import Flags
from llmtuner.cli.process import LAUNCHED
from llmtuner.errors import UserError

ENTRY_POINT = Path(__file__).resolve().parents[2] / "train_bash.py"


def launch_if_several_devices(flags: Flags, words: Sequence[str]) -> int | None:
    """Run the same command under torchrun and return its status, or None if this process should do the work.

    Reads the same environment variables as upstream's launcher: FORCE_TORCHRUN, NPROC_PER_NODE, NNODES, NODE_RANK,
    MASTER_ADDR, MASTER_PORT.

    Raises:
        UserError: Ray is requested; its workers would import upstream without this project's patches.
    """
    if os.environ.get("USE_RAY", "0").lower() in ("1", "true"):
        raise UserError(
            "USE_RAY is set: Ray workers would run upstream without this project's data and scores; unset it"
        )
    if "LOCAL_RANK" in os.environ:
        return None
    forced = os.environ.get("FORCE_TORCHRUN", "0").lower() in ("1", "true")
    devices = 1 if flags["use_cpu"] else _count_devices()
    if devices < 2 and not forced:
        return None
    from llmtuner.cli.run import read_values

    read_values(flags)  # report a mistake once, here, not in every worker
    command = torchrun_command(words, os.environ, devices)
    processes = os.environ.get("NPROC_PER_NODE", str(devices))
    print(f"note: starting torchrun with {processes} processes", file=sys.stderr)
    return _run(command, {**os.environ, LAUNCHED: "1"})


def _run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command to its end and forward stop signals, so that no worker outlives this process.

    After a signal the status is that of the signal: torchrun's own is 1, as for a failed run.

    The command gets a session of its own: at Ctrl-C a terminal would signal it as well, and it would be told twice.
    """
    stops = [signal.SIGTERM, signal.SIGINT, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    with subprocess.Popen(command, env=environment, start_new_session=True) as process:
        received: list[int] = []

        def forward(number: int, _: FrameType | None) -> None:
            received.append(number)
            process.send_signal(number)

        before = [signal.signal(stop, forward) for stop in stops]
        try:
            status = process.wait()
        finally:
            for stop, handler in zip(stops, before, strict=True):
                signal.signal(stop, handler)
    if received and status:
        return 128 + received[0]
    return 128 - status if status < 0 else status  # as shells report a process that a signal ended


def torchrun_command(words: Sequence[str], environment: Mapping[str, str], devices: int) -> list[str]:
    """The command as a list of words, so that arguments with spaces stay whole."""
    return [
        sys.executable,
        "-m",
        "torch.distributed.run",
        f"--nnodes={environment.get('NNODES', '1')}",
        f"--node_rank={environment.get('NODE_RANK', '0')}",
        f"--nproc_per_node={environment.get('NPROC_PER_NODE', str(devices))}",
        f"--master_addr={environment.get('MASTER_ADDR', '127.0.0.1')}",
        f"--master_port={environment.get('MASTER_PORT') or _free_port()}",
        str(ENTRY_POINT),
        *words,
    ]


def _count_devices() -> int:
    import torch

    return torch.cuda.device_count()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
