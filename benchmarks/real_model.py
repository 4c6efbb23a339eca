#!/usr/bin/env python3
"""What does each step gain on a real language model? STEP1, STEP2, STEP3, reading, and a plain loop beside the trainer.

    python benchmarks/real_model.py --data DATA --seeds 1 --parallel 2 --threads 1        # later: --seeds 1,2,3
    python benchmarks/real_model.py --data DATA --model MODEL --template llama2 --sizes table --precision --bf16

Every run is a sweep of one command (scripts/sweep.py) in WORK/runs/ROW/SET/WAY, so the benchmark can be stopped at any
time and started again: what is done is not done again. `--kept FILE` gets the ranks of all right answers, one line a
run; with this file another machine goes on, without the work folder. `--rows rates` measures the learning rates that
the other rows use. The report has MAP@3 and accuracy of every way and the paired difference from the row's baseline,
with 95 % intervals over seeds and questions, for what is done so far.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT), str(ROOT / "scripts")]

from provenance import commit, hardware, trial_file, write_result  # noqa: E402
from real.kept import Keeper, read_kept  # noqa: E402
from real.made import MADE  # noqa: E402
from real.plots import curves, plot  # noqa: E402
from real.report import printed, report  # noqa: E402
from real.reproduced import reproduced  # noqa: E402
from real.rows import ROWS, runs_of  # noqa: E402
from real.runs import MADE_BY, Run, Setting  # noqa: E402
from real.sets import CORES, TABLE, write_set  # noqa: E402
from real.summary import summary  # noqa: E402
from real.tables import page  # noqa: E402

from llmtuner.errors import UserError  # noqa: E402
from llmtuner.studies.carry_out import carry_out  # noqa: E402
from llmtuner.studies.check_sweep import check_sweep  # noqa: E402
from llmtuner.studies.jobs import Command, Ended, Job, Stopped, run_jobs, say  # noqa: E402
from llmtuner.studies.sweep import Piece  # noqa: E402


def main() -> int:
    """Run what is not done, then report; return 1 if a run failed."""
    args = _parser().parse_args()
    os.environ |= {"OMP_NUM_THREADS": str(args.threads), "HF_HUB_OFFLINE": "1"}
    setting = Setting(
        model=args.model or _folder("smollm2"),
        template=args.template,
        encoder=_folder("minilm"),
        work=args.work.absolute(),
        precision=args.precision.split(),
    )
    rows, seeds = args.rows or [name for name in ROWS if name != "rates"], [int(seed) for seed in args.seeds.split(",")]
    _write_sets(rows, args.data, setting.work, args.sizes)
    keeper = Keeper(args.kept or setting.work / "kept.jsonl", setting)
    failed = 0
    deadline = None if args.minutes is None else time.monotonic() + 60 * args.minutes
    for seed in seeds:
        runs = chosen(runs_of(rows, setting, seed), args.ways, args.sets)
        keeper.keep(runs)
        for wave in [] if args.report else sorted({run.wave for run in runs}):
            minutes = None if deadline is None else max(0.0, (deadline - time.monotonic()) / 60)
            ready = [run for run in keeper.waiting(runs) if run.wave == wave and run.can_start()]
            once = {run.piece.folder: run for run in ready}  # two rows may share a run
            failed += _carry_out([*once.values()], args.parallel, minutes)
            keeper.keep(runs)
    runs = [run for seed in seeds for run in chosen(runs_of(rows, setting, seed), args.ways, args.sets)]
    result = _with_earlier_rows(report(runs, keeper), args, keeper.model)
    result["curves"] |= curves(runs, result["rows"], keeper)
    write_result(result, args.out)
    if args.page:
        args.page.write_text(page(args.page.read_text(encoding="utf-8"), result), encoding="utf-8")
    if args.summary:
        stored = [json.loads(path.read_text(encoding="utf-8")) for path in [args.out, *args.others]]
        args.summary.write_text(summary(args.summary.read_text(encoding="utf-8"), stored), encoding="utf-8")
    if args.plot and result["curves"]:
        plot(result, args.plot)
    print("\n".join(printed(result)))
    if args.compare:
        print("\n".join(reproduced([*read_kept(keeper.path)], [*read_kept(args.compare)])))
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with arc/, qasc/, kaggle/, ...")
    parser.add_argument("--model", help="folder of a language model; by default SmolLM2")
    parser.add_argument("--template", default="smollm2", help="its chat template")
    parser.add_argument("--precision", default="--bf16", help='flags of the language model, in one word ("" for fp32)')
    parser.add_argument(
        "--sizes", choices=("cores", "table"), default="cores", help="questions of a set: for two CPU cores, or a GPU"
    )
    parser.add_argument("--rows", nargs="+", choices=(*ROWS,), help="only these rows; by default all but rates")
    parser.add_argument("--ways", nargs="+", help="only these ways of the rows; by default all")
    parser.add_argument("--sets", nargs="+", help="only these sets of the rows; by default all")
    parser.add_argument("--seeds", default="1", help="seeds of every row, such as 1,2,3")
    parser.add_argument("--parallel", type=int, default=1, help="runs at a time")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="threads of a run")
    parser.add_argument("--minutes", type=float, help="start no run after so many minutes")
    parser.add_argument("--report", action="store_true", help="only report what is done")
    parser.add_argument("--page", type=Path, help="also write the tables into this page, between its marks")
    parser.add_argument("--summary", type=Path, help="also write one table of the steps into this page")
    parser.add_argument("--others", type=Path, nargs="*", default=[], help="results of further models for --summary")
    parser.add_argument("--plot", type=Path, help="also draw the row `curve` as SVG")
    parser.add_argument("--kept", type=Path, help="file with the ranks of all ended runs; default: WORK/kept.jsonl")
    parser.add_argument(
        "--compare",
        type=Path,
        help="also say how far the kept runs agree with those of this file, from another machine",
    )
    parser.add_argument("--work", type=Path, default=ROOT / "out" / "real_model", help="folder of sets and runs")
    parser.add_argument(
        "--out", type=Path, default=trial_file("real_model"), help="the results as JSON; its other rows are left alone"
    )
    return parser


def chosen(runs: Sequence[Run], ways: Sequence[str] | None, sets: Sequence[str] | None = None) -> list[Run]:
    """The runs of some ways and sets; with a way goes the training that it starts from."""
    runs = [run for run in runs if not sets or run.set in sets]
    if not ways:
        return runs
    selected = [run for run in runs if run.way in ways]
    needed = {run.needs for run in selected}
    return [run for run in runs if run in selected or run.piece.folder in needed]


def _folder(script: str) -> str:
    """The folder of a model that a script prints.

    Raises:
        SystemExit: it is not installed.
    """
    import contextlib
    import importlib
    import io

    with contextlib.redirect_stdout(io.StringIO()) as shown:
        if importlib.import_module(script).main([]):
            raise SystemExit(2)
    return shown.getvalue().strip().splitlines()[-1]


def _write_sets(rows: Sequence[str], data: Path, work: Path, sizes: str) -> None:
    """Write the sets that are not written yet.

    Raises:
        SystemExit: they were written with other sizes.
    """
    path = work / "data" / "sizes.json"
    written = json.loads(path.read_text()) if path.is_file() else {"sizes": sizes, "sets": {}}
    if written["sizes"] != sizes:
        raise SystemExit(f"error: --work {work}: holds sets of --sizes {written['sizes']}; pass another --work")
    of_sizes = CORES if sizes == "cores" else TABLE
    for name in dict.fromkeys(name for row in rows for name in ROWS[row].sets):
        if name in written["sets"]:
            continue
        if name in MADE:
            MADE[name](work, data, of_sizes)
            written["sets"][name] = {}
        else:
            written["sets"][name] = write_set(name, data, work / "data", of_sizes[name])
        path.write_text(json.dumps(written, indent=1))


def _with_earlier_rows(rows: Mapping[str, Any], args: argparse.Namespace, model: str) -> dict[str, Any]:
    """The rows, each with its command and commit, and those that --out has from an earlier report on the same model."""
    before: dict[str, Any] = json.loads(args.out.read_text(encoding="utf-8")) if args.out.is_file() else {}
    if before.get("model") != model:
        before = {}
    made_by = {"command": _command(args), "commit": commit(), "hardware": hardware("cpu")}
    of_rows = before.get("rows", {}) | rows
    reports = before.get("reports", {}) | dict.fromkeys(rows, made_by)
    return {
        **made_by,  # of the last report; the others are in `reports`
        "model": model,
        "reports": {name: reports[name] for name in ROWS if name in reports},
        "rows": {name: of_rows[name] for name in ROWS if name in of_rows},
        "curves": before.get("curves", {}),
    }


def _carry_out(runs: Sequence[Run], parallel: int, minutes: float | None) -> int:
    """Run one wave; return how many failed."""
    sweeps = [check_sweep(run.sweep) for run in runs if not run.script]
    for checked in sweeps:
        for piece in checked.waiting:
            _write_origin(piece)
    failed = len(carry_out(sweeps, parallel=parallel, minutes=minutes)) if sweeps else 0
    return failed + _run_scripts([run for run in runs if run.script and run.piece.stored() is None], parallel, minutes)


def _run_scripts(runs: Sequence[Run], parallel: int, minutes: float | None) -> int:
    """Run scripts of benchmarks/real; return how many failed."""
    jobs: dict[str, Run] = {}
    for run in runs:
        _write_origin(run.piece)
        jobs[str(run.piece.folder)] = run
    statuses: list[int] = []

    def ended(end: Ended) -> None:
        statuses.append(end.status)
        if end.status:
            say(f"{end.job.name}: {end.failure()}")
        else:
            jobs[end.job.name].piece.finish({}, end.seconds)
            say(f"{end.job.name}: {end.seconds:.0f} s")

    commands = [Job(name, [_script(run)]) for name, run in jobs.items()]
    run_jobs(commands, ended, parallel=parallel, minutes=minutes)
    return sum(map(bool, statuses))


def _script(run: Run) -> Command:
    folder = run.piece.folder
    program = Path(__file__).parent / "real" / run.script[0]
    return Command(run.script[1:], folder.with_name(f"{folder.name}.log"), program)


def _write_origin(piece: Piece) -> None:
    """Record the commit and the hardware beside the folder of a piece, before it starts."""
    piece.folder.mkdir(parents=True, exist_ok=True)
    origin = {"commit": commit(), "hardware": hardware("cpu")}
    piece.folder.with_name(f"{piece.folder.name}.{MADE_BY}").write_text(json.dumps(origin))


def _command(args: argparse.Namespace) -> str:
    given = [
        f"--seeds {args.seeds}",
        f"--sizes {args.sizes}",
        *([f"--rows {' '.join(args.rows)}"] if args.rows else []),
        *([f"--ways {' '.join(args.ways)}"] if args.ways else []),
        *([f"--sets {' '.join(args.sets)}"] if args.sets else []),
    ]
    return " ".join(["python benchmarks/real_model.py --data DATA", *given])


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"error: {error}")
    except Stopped as error:
        print("stopped; the same command goes on from here", file=sys.stderr)
        sys.exit(error.status)
