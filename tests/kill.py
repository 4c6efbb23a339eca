#!/usr/bin/env python3
"""Kills trainings at counted points and runs the same command again: each must end as if it had never been killed.

A parent that has imported everything forks every run. A point is the n-th call of something that changes the disk or
the weights (a write, a sync, a rename, an optimizer step); a seed draws the points. After a kill the same command runs
again, is perhaps killed again, and must end with status 0, with the weights of the uninterrupted run, bit for bit.

    python tests/kill.py --kills 200 --seed 0

It also damages every file of a checkpoint in every way: the run must notice, and resume from an older one.
"""

from __future__ import annotations

import argparse
import builtins
import faulthandler
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

# A fork must not copy a lock that a thread of the parent holds: no thread pools.
QUIET = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), "1")
QUIET |= {"TOKENIZERS_PARALLELISM": "false", "ARROW_DEFAULT_MEMORY_POOL": "system", "CUDA_VISIBLE_DEVICES": ""}
QUIET |= {"JE_ARROW_MALLOC_CONF": "background_thread:false"}
QUIET |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "PYTHONFAULTHANDLER": "1"}
os.environ.update(QUIET)

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT), str(ROOT / "scripts"), str(ROOT / "tests")]
STEPS = 6
LIMIT = 300  # seconds: a run that takes longer is stuck
OPERATIONS = ("write", "fsync", "rename", "delete", "batch", "step")


@dataclass(frozen=True)
class Point:
    """The n-th call of an operation, or the middle of it: half a file is written.

    Args:
        terminated: SIGTERM instead of SIGKILL: the process may save a checkpoint and must exit with 143.
    """

    operation: str
    number: int
    middle: bool = False
    terminated: bool = False

    def __str__(self) -> str:
        return f"{'in' if self.middle else 'before'} {self.operation} {self.number}{' (TERM)' * self.terminated}"


@dataclass(frozen=True)
class Command:
    """A training.

    Args:
        over: the name of a finished run that its folder holds at first.
        encoder: whether the model is an encoder, trained whole, and not a Llama with LoRA.
    """

    name: str
    flags: tuple[str, ...]
    over: str = ""
    encoder: bool = False

    @property
    def saved(self) -> tuple[str, str]:
        """The names of the final weights and of their configuration."""
        start = "" if self.encoder else "adapter_"
        return f"{start}model.safetensors", f"{start}config.json"

    def argv(self, folder: Path, out: Path) -> list[str]:
        """The words of the command."""
        model = folder / (ENCODER if self.encoder else LLAMA)
        common = f"--model_name_or_path {model} --do_train --dataset {folder / DATA} --output_dir {out}"
        return [*common.split(), *self.flags]


LLAMA, ENCODER, DATA = "model", "encoder", "questions.jsonl"
_SHORT = (
    f"--per_device_train_batch_size 2 --max_steps {STEPS} --logging_steps 1 --report_to none --use_cpu "
    "--learning_rate 1e-3"
)
_COMMON = f"--template llama2 --finetuning_type lora --lora_dropout 0.1 --cutoff_len 300 {_SHORT}"
COMMANDS = {
    "mcq": Command("mcq", tuple(f"--stage mcq --save_steps 2 {_COMMON}".split())),
    "sft": Command("sft", tuple(f"--stage sft --save_steps 2 {_COMMON}".split())),
    "mcq_best": Command(
        "mcq_best",
        tuple(
            f"--stage mcq --save_steps 3 --save_total_limit 1 --eval_strategy steps --eval_steps 1 --val_size 6 "
            f"--load_best_model_at_end true --metric_for_best_model map@3 --gradient_accumulation_steps 2 "
            f"--plot_loss {_COMMON}".split()
        ),
    ),
    "sft_overwrite": Command(
        "sft_overwrite",
        tuple(f"--stage sft --save_steps 2 --overwrite_output_dir --seed 7 --plot_loss {_COMMON}".split()),
        over="sft",
    ),
    "encoder_best": Command(  # its files name weights in another way than the model in memory
        "encoder_best",
        tuple(
            f"--stage mcq --finetuning_type full --save_steps 1 --eval_strategy steps --eval_steps 1 --val_size 6 "
            f"--load_best_model_at_end true --metric_for_best_model map@3 {_SHORT}".split()
        ),
        encoder=True,
    ),
}


class Counter:
    """Counts operations of this process, and kills it at a point."""

    def __init__(self, point: Point | None) -> None:
        self.point, self.counts = point, dict.fromkeys(OPERATIONS, 0)

    def at(self, operation: str, target: Any = None) -> None:
        """Called before each operation."""
        self.counts[operation] += 1
        point = self.point
        if point is None or (operation, self.counts[operation]) != (point.operation, point.number):
            return
        if point.middle and target is not None:
            Path(target).write_bytes(b"{" * 100)  # what a write leaves that was cut off
        os.kill(os.getpid(), signal.SIGTERM if point.terminated else signal.SIGKILL)

    def install(self, out: Path) -> None:
        """Wrap the operations, for paths in the output folder."""
        import safetensors.torch
        import torch

        inside = str(out)

        def wrapped(module: Any, name: str, operation: str, place: int = 0) -> None:
            original = getattr(module, name)

            def call(*args: Any, **kwargs: Any) -> Any:
                target = args[place] if len(args) > place else kwargs.get("filename", kwargs.get("f"))
                if isinstance(target, int) or str(target).startswith(inside):
                    self.at(operation, target if operation == "write" else None)
                return original(*args, **kwargs)

            setattr(module, name, call)

        original_open = builtins.open

        def counted_open(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            if str(file).startswith(inside) and mode[0] in "wxa":
                self.at("write", file if mode[0] == "w" else None)
            return original_open(file, mode, *args, **kwargs)

        builtins.open = counted_open
        import io

        io.open = counted_open
        wrapped(torch, "save", "write", 1)
        for module in (safetensors.torch, *_users_of_save_file()):
            wrapped(module, "save_file", "write", 1)
        wrapped(os, "fsync", "fsync")
        wrapped(os, "replace", "rename")
        wrapped(os, "rename", "rename")
        wrapped(shutil, "rmtree", "delete")
        from transformers import Trainer

        original_step, original_batch = torch.optim.AdamW.step, Trainer.training_step

        def batch(*args: Any, **kwargs: Any) -> Any:
            self.at("batch")
            return original_batch(*args, **kwargs)

        Trainer.training_step = batch

        def step(optimizer: Any, *args: Any, **kwargs: Any) -> Any:
            self.at("step")
            return original_step(optimizer, *args, **kwargs)

        torch.optim.AdamW.step = step


def _users_of_save_file() -> list[Any]:
    """Modules that imported `save_file` by name."""
    names = ("peft.peft_model", "transformers.modeling_utils")
    return [sys.modules[name] for name in names if hasattr(sys.modules.get(name), "save_file")]


def import_everything() -> None:
    """Import once what every run needs; the forked runs share it."""
    import torch

    torch.set_num_threads(1)
    import patches

    patches.install()
    import llamafactory.train.sft.workflow
    import llamafactory.train.tuner  # noqa: F401

    import patches.mcq_stage.run


def renew_locks(bar: type) -> None:
    """The locks of progress bars are shared with the other forks, and a killed one may hold one."""
    bar._lock = threading.RLock()  # type: ignore[attr-defined]
    for subclass in bar.__subclasses__():
        renew_locks(subclass)


def run(argv: list[str], out: Path, log: Path, point: Point | None = None, counts: Path | None = None) -> int:
    """Run a command in a fork.

    Returns:
        its status; -9 if it was killed
    """
    child = os.fork()
    if child == 0:
        status = 99
        try:
            with log.open("wb") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            faulthandler.dump_traceback_later(LIMIT, exit=True)
            renew_locks(tqdm)
            counter = Counter(point)
            counter.install(out)
            from llmtuner.cli.main import main

            status = main(argv)
            sys.stdout.flush()
            sys.stderr.flush()
            if counts is not None:
                counts.write_text(json.dumps(counter.counts))
        finally:
            os._exit(status)
    _, waited = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(waited)


def digest(command: Command, out: Path) -> str:
    """The weights of a finished run, and the losses that it logged."""
    weights = (out / command.saved[0]).read_bytes()
    state = json.loads((out / "trainer_state.json").read_text())
    losses = [(entry["step"], entry["loss"]) for entry in state["log_history"] if "loss" in entry]
    results = json.loads((out / "train_results.json").read_text())["train_loss"]
    return hashlib.sha256(weights + json.dumps([losses, results]).encode()).hexdigest()


def draw(counts: dict[str, int], generator: random.Random) -> Point:
    """A point that the uninterrupted run passes."""
    operation = generator.choice([name for name, count in counts.items() if count])
    number = generator.randint(1, counts[operation])
    middle = operation == "write" and generator.random() < 0.5
    return Point(operation, number, middle, not middle and generator.random() < 0.3)


@dataclass
class Case:
    """A command with what its uninterrupted run gives."""

    command: Command
    digest: str
    counts: dict[str, int]


def prepare(command: Command, folder: Path) -> Case:
    """Run a command without a kill."""
    out, counts = folder / command.name, folder / f"{command.name}.json"
    if (out / "run.json").is_file() and counts.is_file():
        return Case(command, digest(command, out), json.loads(counts.read_text()))
    if command.over:
        prepare(COMMANDS[command.over], folder)  # at once if it has run
        shutil.copytree(folder / command.over, out)
    status = run(command.argv(folder, out), out, folder / f"{command.name}.log", counts=counts)
    if status:
        raise SystemExit(f"{command.name}: the uninterrupted run ends with {status}, see {folder / command.name}.log")
    return Case(command, digest(command, out), json.loads(counts.read_text()))


def trial(case: Case, points: list[Point], folder: Path) -> str:
    """Kill a run at each point in turn, then let it end.

    Returns:
        what is wrong; "" if it ends like the uninterrupted run
    """
    from llmtuner.runs.checkpoints import finished_run

    out, log = folder / "trial", folder / "trial.log"
    shutil.rmtree(out, ignore_errors=True)
    if case.command.over:
        shutil.copytree(folder / case.command.over, out)
    before = finished_run(out)[0] if case.command.over else None  # the run that is to be replaced
    argv = case.command.argv(folder, out)
    for point in points:
        status = run(argv, out, log, point)
        if status == 0:
            break  # it had passed the point
        if status != (143 if point.terminated else -signal.SIGKILL):
            return f"status {status} before it was killed {point}: {last_line(log)}"
        if finished_run(out)[0] not in (None, before):  # killed after its end, in the model card
            status = 0
            break
    if status != 0:
        status = run(argv, out, log)
    if status != 0:
        return f"status {status}: {last_line(log)}"
    needed = ("run.json", "train_results.json", *case.command.saved)
    missing = [name for name in needed if not (out / name).is_file()]
    if missing:
        return f"{missing[0]} is missing"
    leftover = [path.name for path in out.glob(".*") if path.name != ".lock"]
    if leftover:
        return f"{leftover[0]} is left behind"
    if "--plot_loss" in argv and not (out / "training_loss.png").is_file():
        return "training_loss.png is missing"
    return "" if digest(case.command, out) == case.digest else "other weights or losses than the uninterrupted run"


def cut(path: Path) -> None:
    """Lose the second half."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    """Change one bit."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "cut": cut,
    "zeroed": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "one bit": flip,
}


def damage(case: Case, file: str, name: str, folder: Path) -> str:
    """Damage a file of the newest checkpoint of an interrupted run, and run the command again.

    Returns:
        what is wrong; "" if the run says what it skipped, and ends like the uninterrupted one
    """
    out, log = folder / "trial", folder / "trial.log"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    checkpoints = sorted(path for path in (folder / case.command.name).glob("checkpoint-*"))[:2]
    for checkpoint in checkpoints:
        shutil.copytree(checkpoint, out / checkpoint.name)
    DAMAGES[name](out / checkpoints[-1].name / file)
    status = run(case.command.argv(folder, out), out, log)
    if status:
        return f"status {status}: {last_line(log)}"
    if f"skipped {out / checkpoints[-1].name}" not in log.read_text(errors="replace"):
        return "the damage was not noticed"
    return "" if digest(case.command, out) == case.digest else "other weights or losses than the uninterrupted run"


def last_line(log: Path) -> str:
    """The last error of a log, or its last line."""
    lines = log.read_text(errors="replace").strip().splitlines() or [""]
    return next((line for line in reversed(lines) if line.startswith("error:")), lines[-1])


def make_inputs(folder: Path) -> None:
    """A tiny Llama, a tiny encoder, and questions."""
    from make_tiny_llama import main as make_tiny
    from support import make_tiny_bert

    make_tiny_bert(folder / ENCODER)
    if make_tiny([str(folder / LLAMA), "--hidden_size", "32", "--num_layers", "1", "--vocab_size", "360"]):
        raise SystemExit("the tiny model was not made")
    rows = [
        {"prompt": f"What is {n} plus one?", "A": str(n + 1), "B": str(n), "C": str(n + 2), "answer": "ABC"[n % 3]}
        for n in range(18)
    ]
    (folder / DATA).write_text("".join(json.dumps(row) + "\n" for row in rows))


def damage_all(names: list[str], every: int, folder: Path, say: Callable[[str], None] = print) -> list[str]:
    """Every damage of every file of a checkpoint, or every n-th of them.

    Returns:
        a line for each damage that went wrong
    """
    failures = []
    for name in names:
        case = prepare(COMMANDS[name], folder)
        files = sorted(path.name for path in (folder / name / "checkpoint-2").iterdir())
        for file, kind in [(file, kind) for file in files for kind in DAMAGES][::every]:
            wrong = damage(case, file, kind, folder)
            say(f"{name}, {file} {kind}: {wrong or 'noticed'}")
            if wrong:
                failures.append(f"{name}, {file} {kind}: {wrong}")
    return failures


def kill(kills: int, seed: int, names: list[str], folder: Path, say: Callable[[str], None] = print) -> list[str]:
    """Many trials.

    Returns:
        a line for each trial that went wrong
    """
    cases = [prepare(COMMANDS[name], folder) for name in names]
    generator, failures, done, start = random.Random(seed), [], 0, time.monotonic()
    while done < kills:
        case = cases[done % len(cases)]
        points = [draw(case.counts, generator) for _ in range(min(kills - done, generator.choice((1, 1, 2))))]
        wrong = trial(case, points, folder)
        done += len(points)
        named = f"{case.command.name}, killed {' and '.join(map(str, points))}"
        say(f"{done:4d} of {kills}  {time.monotonic() - start:6.0f} s  {named}: {wrong or 'equal'}")
        if wrong:
            failures.append(f"{named}: {wrong}")
            if (folder / "trial").exists():
                shutil.copytree(folder / "trial", folder / f"failed-{len(failures)}", dirs_exist_ok=True)
            shutil.copy(folder / "trial.log", folder / f"failed-{len(failures)}.log")
    return failures


def main() -> int:
    """Run the trials; 1 if one went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=200, help="how many times a run is killed")
    parser.add_argument("--seed", type=int, default=0, help="draws the points")
    parser.add_argument("--commands", nargs="+", default=[*COMMANDS], choices=[*COMMANDS], help="which trainings")
    parser.add_argument("--folder", type=Path, help="kept, with the folders of failed trials; default: a temporary one")
    parser.add_argument("--damages", type=int, default=1, help="also every n-th damage of a checkpoint; 0 for none")
    args = parser.parse_args()
    import_everything()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) if args.folder is None else args.folder
        folder.mkdir(parents=True, exist_ok=True)
        folder = folder.resolve()
        make_inputs(folder)
        failures = kill(args.kills, args.seed, args.commands, folder)
        if args.damages:
            failures += damage_all([name for name in ("mcq", "sft") if name in args.commands], args.damages, folder)
    print(f"{len(failures)} trials went wrong", *failures, sep="\n  ")
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
