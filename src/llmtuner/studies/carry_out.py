"""Run the pieces of a sweep, and report each as it ends."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llmtuner.data.problems import escaped
from llmtuner.files import write_atomic
from llmtuner.runs.lock import locked
from llmtuner.studies.check_sweep import CheckedSweep, stored_manifest
from llmtuner.studies.jobs import Ended, run_jobs
from llmtuner.studies.sweep import MANIFEST, Piece, Sweep
from llmtuner.studies.sweep_results import RESULTS, figures_of, read_results, results_json


def carry_out(checked: CheckedSweep, *, parallel: int = 1, minutes: float | None = None) -> Mapping[str, int]:
    """Run the pieces that wait, in order. results.json is written after each.

    Args:
        parallel: pieces at a time.
        minutes: start no piece after so many.

    Returns:
        The exit status of each piece that failed, by name.

    Raises:
        UserError: another sweep runs in the folder.
        Stopped: by SIGINT or SIGTERM.
    """
    sweep = checked.sweep
    with locked(sweep.out, flag="--out"):
        write_atomic(sweep.out / MANIFEST, json.dumps(_manifest(sweep), indent=1, ensure_ascii=False) + "\n")
        for piece in checked.waiting:
            if checked.afresh and piece.folder.is_dir():
                shutil.rmtree(piece.folder)
        total = len([*sweep.pieces()])
        _say(f"{total} pieces, {total - len(checked.waiting)} of them done")
        report = _Report(checked, {piece.name: piece for piece in checked.waiting})
        jobs = [piece.job(checked.words) for piece in checked.waiting]
        run_jobs(jobs, report.ended, parallel=parallel, minutes=minutes)
        report.write()
    return report.failed


def _manifest(sweep: Sweep) -> dict[str, Any]:
    """With the values and seeds of earlier starts, too."""
    manifest, stored = sweep.to_json(), stored_manifest(sweep.out)
    if stored is None or stored["flags"] != manifest["flags"]:
        return manifest
    for name, values in manifest["set"].items():
        manifest["set"][name] = [*dict.fromkeys([*stored["set"].get(name, []), *values])]
    return manifest | {"seeds": [*dict.fromkeys([*stored["seeds"], *manifest["seeds"]])]}


@dataclass
class _Report:
    """What is said and stored as pieces end.

    Args:
        pieces: that wait, by name.
        failed: exit status of those that failed, by name.
    """

    checked: CheckedSweep
    pieces: Mapping[str, Piece]
    failed: dict[str, int] = field(default_factory=dict)
    done: int = 0

    def ended(self, end: Ended) -> None:
        piece = self.pieces[end.job.name]
        self.done += 1
        place = f"{self.done}/{len(self.pieces)} {piece.name}"
        if end.status:
            self.failed[piece.name] = end.status
            log = "" if end.log is None else f"; its log: {end.log}"
            _say(f"{place}: failed with status {end.status}{log}\n{end.last_lines()}")
            return
        piece.finish(self.checked.inputs[piece.combination], end.seconds)
        figures = figures_of(piece.folder)
        shown = [f"{name} {figures[key]:.3f}" for key, name in _SHOWN.items() if key in figures]
        _say(", ".join([f"{place}: {end.seconds:.0f} s", *shown]))
        self.write()

    def write(self) -> None:
        sweep = self.checked.sweep
        content = results_json(sweep, read_results(sweep), self.failed)
        write_atomic(sweep.out / RESULTS, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


_SHOWN = {"predict_map@3": "MAP@3", "predict_accuracy": "accuracy", "eval_map@3": "MAP@3", "train_loss": "loss"}


def _say(text: str) -> None:
    print(escaped(text, keep="\n\t"), file=sys.stderr, flush=True)
