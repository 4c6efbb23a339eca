"""Run the pieces of sweeps, and report each as it ends."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from llmtuner.errors import UserError
from llmtuner.files import write_atomic
from llmtuner.runs.lock import locked
from llmtuner.studies.check_sweep import CheckedSweep, stored_manifest
from llmtuner.studies.ended_run import figures_of
from llmtuner.studies.jobs import Ended, Job, run_jobs, say
from llmtuner.studies.sweep import MANIFEST, Piece, Sweep
from llmtuner.studies.sweep_results import RESULTS, Combination, Done, read_results, results_json
from llmtuner.studies.training import differing_flags


def carry_out(sweeps: Sequence[CheckedSweep], *, parallel: int = 1, minutes: float | None = None) -> Mapping[str, int]:
    """Run the pieces that wait, in order. A sweep's results.json is written after each of its pieces.

    Args:
        parallel: pieces at a time.
        minutes: start no piece after so many.

    Returns:
        The exit status of each piece that failed, by name.

    Raises:
        UserError: another sweep runs in one of the folders.
        Stopped: by SIGINT, SIGTERM or SIGHUP.
    """
    top = os.path.commonpath([checked.sweep.out.absolute() for checked in sweeps])
    report, jobs = _Report({}), list[Job]()
    with ExitStack() as stack:
        for checked in sweeps:
            out = checked.sweep.out
            stack.enter_context(locked(out, flag="--out"))
            if checked.afresh:
                _clear(checked)
            write_atomic(out / MANIFEST, json.dumps(_manifest(checked.sweep), indent=1, ensure_ascii=False) + "\n")
            for piece in checked.waiting:
                job = replace(piece.job(checked.words), name=os.path.relpath(piece.folder, top))
                report.pieces[job.name] = (checked, piece)
                jobs.append(job)
        total = sum(len([*checked.sweep.pieces()]) for checked in sweeps)
        say(f"{total} pieces, {total - len(jobs)} of them done")
        run_jobs(jobs, report.ended, parallel=parallel, minutes=minutes)
        for checked in sweeps:
            report.write(checked)
    return report.failed


def _clear(checked: CheckedSweep) -> None:
    """Delete the pieces that run afresh, and all earlier ones of other flags, which would count as done.

    While the earlier manifest is there: if this is interrupted, its flags are still refused.

    Raises:
        UserError: the folder of a piece is elsewhere, through a link; nothing is deleted.
    """
    sweep, pieces = checked.sweep, list(checked.waiting)
    stored, manifest = stored_manifest(sweep.out), sweep.to_json()
    if stored is not None and (
        differing_flags(stored["flags"], manifest["flags"]) or [*stored["set"]] != [*manifest["set"]]
    ):
        pieces += Sweep(sweep.out, sweep.words, stored["set"], stored["seeds"]).pieces()
    folders = dict.fromkeys(piece.folder for piece in pieces if piece.folder.is_dir())
    for folder in folders:
        if folder.resolve() != sweep.out.resolve() / folder.relative_to(sweep.out):
            raise UserError(f"{folder}: leads to {folder.resolve()}, which --overwrite leaves alone; remove the link")
    for folder in folders:
        shutil.rmtree(folder)


def _manifest(sweep: Sweep) -> dict[str, Any]:
    """With the values and seeds of earlier starts, too."""
    manifest, stored = sweep.to_json(), stored_manifest(sweep.out)
    if stored is None or differing_flags(stored["flags"], manifest["flags"]):
        return manifest
    for name, values in manifest["set"].items():
        manifest["set"][name] = [*dict.fromkeys([*stored["set"].get(name, []), *values])]
    return manifest | {"seeds": [*dict.fromkeys([*stored["seeds"], *manifest["seeds"]])]}


@dataclass
class _Report:
    """What is said and stored as pieces end.

    Args:
        pieces: that wait, and their sweeps, by name.
        failed: exit status of those that failed, by name.
        known: combinations whose predictions were read.
    """

    pieces: dict[str, tuple[CheckedSweep, Piece]]
    failed: dict[str, int] = field(default_factory=dict)
    known: dict[Done, Combination] = field(default_factory=dict)
    done: int = 0

    def ended(self, end: Ended) -> None:
        checked, piece = self.pieces[end.job.name]
        self.done += 1
        place = f"{self.done}/{len(self.pieces)} {end.job.name}"
        if end.status:
            self.failed[end.job.name] = end.status
            say(f"{place}: {end.failure()}")
            return
        piece.finish(checked.inputs[piece.combination], end.seconds)
        figures = figures_of(piece.folder)
        # Of stage sft, top1_accuracy is that of the ranking, as in the table; accuracy is that of the generated texts.
        figures["predict_accuracy"] = figures.get("predict_top1_accuracy", figures.get("predict_accuracy"))
        shown = [f"{name} {figures[key]:.3f}" for key, name in _SHOWN.items() if figures.get(key) is not None]
        say(", ".join([f"{place}: {end.seconds:.0f} s", *shown]))
        self.write(checked)

    def write(self, checked: CheckedSweep) -> None:
        sweep = checked.sweep
        failed = {name: status for name, status in self.failed.items() if self.pieces[name][0] is checked}
        content = results_json(sweep, read_results(sweep, self.known), failed)
        write_atomic(sweep.out / RESULTS, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


_SHOWN = {"predict_map@3": "MAP@3", "predict_accuracy": "accuracy", "eval_map@3": "MAP@3", "train_loss": "loss"}
