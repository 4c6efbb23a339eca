"""`--dry_run`: what a command would do, by the code that does it, up to a few steps on the longest batch."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from typing import Any, Literal

from llmtuner.cache import read_only
from llmtuner.cli.devices import on_this_machine
from llmtuner.cli.flags import Flags
from llmtuner.cli.help import default_text
from llmtuner.cli.preflight import STORED, Plan, flag_message, preflight
from llmtuner.cli.words import COMMAND_LINE
from llmtuner.data.load import inspect_questions
from llmtuner.data.problems import terminal_path
from llmtuner.data.registry import PROJECT_DATA, find_source
from llmtuner.errors import UserError
from llmtuner.mcq.run import McqRun
from llmtuner.report.dry_run import TOO_LARGE, DataFile, DryRun, Measured, Setting
from llmtuner.report.dry_run_text import show
from llmtuner.spec.flags import FIELDS, GROUPS
from llmtuner.spec.resume import is_secret
from llmtuner.spec.upstream_flags import HIDDEN, STAGES

DRY_RUN = "dry_run"
_ACTS = ("do_train", "do_eval", "do_predict")
_SETTLED = ("head", "layout", "pooling", "likelihood_norm", "loss")
_OF_THE_PLAN = (DRY_RUN, "overwrite_output_dir")  # of the dry run itself, and what upstream must be told
_SHARDED = ("deepspeed", "fsdp")


def dry_run(flags: Flags) -> int:
    """Print what the command would do; return 0 if it fits, 1 if it does not.

    Raises:
        UserError: what the run would refuse; what can be said all the same is printed before.
    """
    as_json = flags[DRY_RUN] == "json"
    error: UserError | None = None
    plan, measured = None, None
    with redirect_stdout(sys.stderr), read_only():  # upstream prints examples and progress
        try:
            if "LOCAL_RANK" in os.environ:
                raise UserError("--dry_run measures one process; run it without torchrun")
            plan = preflight(flags)
            if flags["stage"] not in STAGES:
                raise UserError(f"--dry_run is for --stage {' or '.join(STAGES)}; leave it out")
            measured = _measured(plan)
        except UserError as problem:
            error = problem
        result = _result(flags, plan, measured, error)
    if as_json:
        print(json.dumps(result.record(), ensure_ascii=False, indent=1), flush=True)
    else:
        show(result)
    if error is not None:
        raise error
    return 1 if result.status == TOO_LARGE else 0


def _measured(plan: Plan) -> Measured:
    processes = _one_device()
    flags, notes = on_this_machine(plan.flags.without(DRY_RUN))
    from llmtuner.cli.run import dry

    measured = dry(plan, flags, processes=processes, sharded=any(flags.given.get(name) for name in _SHARDED))
    return replace(measured, notes=(*measured.notes, *notes))


def _one_device() -> int:
    """Hide all GPUs but the first from this process; return the number of processes that the run would have."""
    import torch

    nodes = int(os.environ.get("NNODES", "1"))
    count = max(1, torch.cuda.device_count())
    if count > 1:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
        os.environ["CUDA_VISIBLE_DEVICES"] = visible.split(",")[0]
    return int(os.environ.get("NPROC_PER_NODE", str(count))) * nodes


def _result(flags: Flags, plan: Plan | None, measured: Measured | None, error: UserError | None) -> DryRun:
    acts = " and ".join(name for name in _ACTS if flags[name])
    return DryRun(
        command=f"--stage {flags['stage']}, {acts or 'nothing to do'}",
        writes_to=flags["output_dir"] or "",
        settings=tuple(settings_of(flags, flags if plan is None else plan.flags, None if plan is None else plan.run)),
        data=tuple(_data(flags)),
        notes=() if plan is None else (*plan.notices, *plan.warnings),
        measured=measured,
        error="" if error is None else flag_message(error),
    )


def settings_of(given: Flags, planned: Flags, run: McqRun | None) -> Iterator[Setting]:
    """Every setting of a run with its origin: the given ones, those that stage mcq settles, and other defaults.

    Args:
        given: the flags of the command.
        planned: those of the plan, with what an earlier run or a stored model adds.
    """
    settled = {} if run is None else _settled(run)
    flags = given if run is None and planned is given else planned
    for name, each in flags.given.items():
        if name in settled or name in _OF_THE_PLAN or is_secret(name):
            continue
        yield Setting(name, " ".join(each.words) or "true", _origin(each.origin))
    for name, value in settled.items():
        stored = STORED if run is not None and run.source else "default"
        yield Setting(name, value, _origin(given.given[name].origin) if name in given else stored)
    for title, group in GROUPS.items():
        for flag in group if title != HIDDEN else ():
            of_other_stage = flag.stages and given["stage"] not in flag.stages
            if (
                flag.name in flags
                or flag.name in _OF_THE_PLAN
                or flag.name in settled
                or flag.default is None
                or of_other_stage
                or flag.heads
            ):
                continue
            yield Setting(flag.name, default_text(flag).removeprefix(" (default: ").removesuffix(")"), "default")


def _origin(origin: str) -> str:
    return "flag" if origin == COMMAND_LINE else origin


def _settled(run: McqRun) -> dict[str, str]:
    """What stage mcq decides, by the names of the flags."""
    values: dict[str, Any] = {name: getattr(run.settings, name) for name in _SETTLED}
    values |= {"cutoff_len": run.cutoff_len, "template": run.template}
    names = {field: FIELDS[field].name if field in FIELDS else field for field in values}
    return {names[field]: str(value) for field, value in values.items() if value is not None}


def _data(flags: Flags) -> Iterator[DataFile]:
    """Counts and defects of each file; a set that cannot be read is an error of its own."""
    dataset_dir = flags["dataset_dir"] or str(PROJECT_DATA)
    purposes: dict[str, tuple[str, Literal["train", "predict"]]] = {
        "dataset": ("training", "train"),
        "eval_dataset": ("evaluation", "predict"),
    }
    for flag, (use, purpose) in purposes.items():
        for name in flags.names(flag):
            try:
                source = find_source(name, dataset_dir)
                for path, read_as in source.parts if source is not None else ():
                    file = inspect_questions(path, purpose=purpose, dataset=name, read_as=read_as)
                    yield DataFile.of(terminal_path(path), use, file.questions, file.errors, file.warnings)
            except (UserError, OSError) as error:
                yield DataFile(name, use, 0, errors=(str(error),))
