"""Run the folds of a cross-validation that are not done, and put their predictions together."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmtuner.data.prediction_files import OF_A_PREDICTION
from llmtuner.files import write_atomic
from llmtuner.runs.lock import locked
from llmtuner.spec.model_files import ALL_RESULTS, PREDICT_RESULTS
from llmtuner.studies.check_folds import CheckedFolds
from llmtuner.studies.ended_run import figures_of
from llmtuner.studies.fold_results import RESULTS, write_results
from llmtuner.studies.folds import DATA, FOLDS, MANIFEST, write_data
from llmtuner.studies.jobs import Ended, run_jobs, say


def carry_out_folds(
    checked: CheckedFolds, *, parallel: int = 1, minutes: float | None = None
) -> tuple[dict[str, Any], Mapping[str, int]]:
    """Run the folds that wait, in order.

    Args:
        parallel: folds at a time.
        minutes: start no fold after so many.

    Returns:
        (the content of results.json, the exit status of each fold that failed, by name)

    Raises:
        UserError: another process works in the folder.
        Stopped: by SIGINT, SIGTERM or SIGHUP.
    """
    study, failed = checked.study, dict[str, int]()
    with locked(study.out, flag="--out"):
        if checked.afresh:
            _clear(checked)
        # The manifest comes last: a folder that has one has its folds and data, too.
        write_data(study, checked.questions, checked.fold_of)
        write_atomic(study.out / FOLDS, json.dumps(checked.fold_of, indent=0, ensure_ascii=False) + "\n")
        write_atomic(study.out / MANIFEST, json.dumps(checked.manifest, indent=1, ensure_ascii=False) + "\n")
        waiting = {f"fold-{fold}": fold for fold in range(study.count) if not study.is_done(fold)}
        say(f"{study.count} folds, {study.count - len(waiting)} of them done")

        def ended(end: Ended) -> None:
            if end.status:
                failed[end.job.name] = end.status
                say(f"{end.job.name}: {end.failure()}")
                return
            fold = waiting[end.job.name]
            study.finish(fold, end.seconds)
            score = figures_of(study.folder(fold)).get("predict_map@3")
            say(f"{end.job.name}: {end.seconds:.0f} s" + ("" if score is None else f", MAP@3 {score:.3f}"))
            write_results(checked, failed)

        jobs = [study.job(fold, checked.words) for fold in waiting.values()]
        run_jobs(jobs, ended, parallel=parallel, minutes=minutes)
        return write_results(checked, failed), failed


def _clear(checked: CheckedFolds) -> None:
    """Delete what an earlier start wrote, the manifest last, and nothing else."""
    out = checked.study.out
    for path in (out / DATA, *filter(_is_of_a_fold, out.iterdir())):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for name in (*OF_A_PREDICTION, PREDICT_RESULTS, ALL_RESULTS, RESULTS, FOLDS, MANIFEST):
        (out / name).unlink(missing_ok=True)


def _is_of_a_fold(path: Path) -> bool:
    """Whether it is a fold's folder or log, and no notes of the user that begin with the same word."""
    return re.fullmatch(r"fold-\d+(\.(train|predict)\.log)?", path.name) is not None
