#!/usr/bin/env python3
"""Does co-attention need a lower learning rate than STEP2's linear head? Whole encoders, against STEP2.

    python benchmarks/head_rate.py --data DATA --encoder MINILM [--rate 1e-4] [--step2 WORK] -- --infer_dtype float32

The trainings are those of heads_and_losses.py for a whole encoder: 2,000 training questions, one epoch. The heads of
--combinations have --rate; STEP2's linear head has its own rate. --step2 names a --work folder of heads_and_losses.py:
its STEP2 trainings are reused. Flags after -- go to every training. Finished trainings are stored in --work and reused;
after --minutes no training starts, and the report covers the finished ones.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from evidence import report, tables, whole  # noqa: E402
from evidence.cells import BASELINE, Cell, claim, load, load_all, save  # noqa: E402
from evidence.command_line import add_training_flags, own_and_passed_on  # noqa: E402
from evidence.exams import EXAMS, Exam  # noqa: E402
from evidence.parallel import run_parallel  # noqa: E402
from provenance import trial_file, write_result  # noqa: E402

from llmtuner.errors import UserError  # noqa: E402
from llmtuner.mcq.heads import HEADS  # noqa: E402
from llmtuner.mcq.objective import parse_loss  # noqa: E402

STAGE = "encoder"
COMBINATIONS = ["cduma/cross_entropy", "duma/poly1"]


def cells_of(args: argparse.Namespace) -> Iterator[Cell]:
    """STEP2 and the combinations, seed by seed: a stopped comparison has every combination equally often."""
    pairs = [BASELINE, *(tuple(pair.split("/", 1)) for pair in args.combinations)]
    for seed in range(args.seeds):
        for exam in args.exams:
            for head, loss in pairs:
                yield Cell(STAGE, exam, head, loss, seed)


def reuse_step2(exams: dict[str, Exam], args: argparse.Namespace) -> None:
    """Copy the results of STEP2's trainings from the --work folder of heads_and_losses.py.

    Raises:
        SystemExit: one of them is missing, or it scored different questions.
    """
    for cell in (cell for cell in cells_of(args) if (cell.head, cell.loss) == BASELINE):
        path = cell.path(args.step2 / "cells")
        if not path.is_file():
            raise SystemExit(
                f"error: --step2 {args.step2}: no {path.relative_to(args.step2)} in it; run heads_and_losses.py first"
            )
        result = load(path)
        options = [len(question.options) for question in exams[cell.exam].test]
        if [len(scores) for scores in result.scores] != options:
            raise SystemExit(f"error: {path}: its scores are not for the {len(options)} test questions of --data")
        save(result, cell, args.work / "cells")


def train(exams: dict[str, Exam], args: argparse.Namespace) -> None:
    """Run the missing trainings; every head but STEP2's has --rate."""
    for exam in exams.values():
        whole.write_exam(exam, args.work)

    def run(cell: Cell) -> None:
        if cell.path(args.work / "cells").is_file():
            return
        rate = [] if (cell.head, cell.loss) == BASELINE else ["--head_learning_rate", str(args.rate)]
        flags = [*args.flags, *rate]
        result = whole.run(cell, exams[cell.exam], str(args.encoder), args.work, args.threads, flags)
        save(result, cell, args.work / "cells")
        print(f"{cell.exam} {cell.name} seed {cell.seed}: {result.seconds:.0f} s", flush=True)

    run_parallel(run, cells_of(args), args.parallel, minutes=args.minutes)


def parse_arguments() -> tuple[argparse.Namespace, str]:
    """The arguments, and the command without the folders of this machine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with kaggle/ and scienceqa/")
    parser.add_argument("--encoder", type=Path, required=True, help="folder of a bidirectional encoder")
    parser.add_argument("--rate", type=float, default=1e-4, help="learning rate of the heads of --combinations")
    parser.add_argument("--combinations", nargs="+", default=COMBINATIONS, help="HEAD/LOSS")
    parser.add_argument("--step2", type=Path, help="--work folder of heads_and_losses.py with STEP2's trainings")
    parser.add_argument("--exams", nargs="+", choices=EXAMS, default=list(EXAMS))
    parser.add_argument("--seeds", type=int, default=3)
    add_training_flags(parser)
    parser.add_argument("--work", type=Path, default=ROOT / "out" / "head_rate", help="folder of the trainings")
    parser.add_argument("--out", type=Path, default=trial_file("head_rate"), help="the results as JSON")
    own, flags = own_and_passed_on(sys.argv[1:])
    args = parser.parse_args(own, argparse.Namespace(flags=flags))
    for name in ("data", "encoder", "step2"):
        folder = getattr(args, name)
        if folder is not None and not folder.is_dir():
            parser.error(f"--{name} {folder}: no such folder")
    for pair in args.combinations:
        head, _, loss = pair.partition("/")
        if head not in HEADS or pair == "/".join(BASELINE):
            choices = ", ".join(HEADS)
            parser.error(f"--combinations {pair}: expected HEAD/LOSS with HEAD one of {choices}, and not STEP2's")
        try:
            parse_loss(loss)
        except UserError as error:
            parser.error(f"--combinations {pair}: {error}")
    words = [f"python benchmarks/head_rate.py --data DATA --encoder ENCODER --rate {args.rate:g}"]
    words += [f"--combinations {' '.join(args.combinations)}", f"--seeds {args.seeds}"]
    words += [] if args.step2 is None else ["--step2 WORK"]
    words += [] if args.exams == list(EXAMS) else [f"--exams {' '.join(args.exams)}"]
    return args, " ".join([*words, *(["--", *flags] if flags else [])])


def main() -> None:
    """Train, then report."""
    args, command = parse_arguments()
    try:
        exams = {name: EXAMS[name](args.data) for name in args.exams}
    except UserError as error:
        raise SystemExit(f"error: --data {args.data}: {error}") from None
    about = {"encoder": str(args.encoder), "data": str(args.data), "rate": args.rate, "flags": args.flags}
    claim(args.work, {**about, "stage": whole.STAGES[STAGE].split()})
    if args.step2 is not None:
        reuse_step2(exams, args)
    train(exams, args)
    planned = set(cells_of(args))
    results = {cell: result for cell, result in load_all(args.work / "cells").items() if cell in planned}
    if not results:
        raise SystemExit(f"error: --work {args.work}: no results in it; allow more --minutes")
    result = report.result_json(command, results, exams, threads=args.threads)
    write_result(result, args.out)
    print(tables.markdown(result["rows"], result["floors"]))


if __name__ == "__main__":
    main()
