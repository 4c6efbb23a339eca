#!/usr/bin/env python3
"""Write a report of one or several predictions: one HTML page that opens offline.

    python scripts/report.py mcq_predict --questions data/exam/test.jsonl --training mcq_checkpoint --out report.html
    python scripts/report.py STEP2=mcq_predict STEP3=duma_predict --questions llmscience_official --out report.html

The page has the score beside the baselines, the curves of the training, calibration, the accuracy of groups of
questions, the places of the answers, the most certain mistakes, and all questions to search. Several runs must have the
same questions and answers; their differences have intervals.
Exit status: 0 done; 2 a mistake in the arguments, or a file that cannot be read.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

# The script also runs without an installation of the project.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))


def main(argv: list[str] | None = None) -> int:
    """Write the page; return the exit status."""
    from llmtuner.console import escape_unprintable
    from llmtuner.errors import UserError

    escape_unprintable()
    args = _parser().parse_args(argv)
    try:
        _check_output(args)

        from llmtuner.data.problems import escaped, terminal_path
        from llmtuner.files import write_atomic
        from llmtuner.report.run_report.collect import collect_report
        from llmtuner.report.run_report.page import render_report

        report = collect_report(args.runs, args.questions, args.training)
        write_atomic(args.out, render_report(report))
    except (UserError, OSError, UnicodeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for note in report.notes:
        print(f"note: {escaped(note)}", file=sys.stderr)
    print(f"Wrote {terminal_path(args.out)} ({len(report.predictions):,} questions)")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    help_runs = "DIR or NAME=DIR: the --output_dir of a prediction; without NAME, the folder's name is shown"
    parser.add_argument("runs", nargs="+", metavar="RUN", help=help_runs)
    help_questions = (
        "the predicted questions, for their texts, subjects and passages: a file or the name of a data set, as in "
        "--eval_dataset; may be repeated"
    )
    parser.add_argument("--questions", action="append", default=[], metavar="FILE", help=help_questions)
    help_training = "DIR or NAME=DIR: the --output_dir of a training, for its curves; may be repeated"
    parser.add_argument("--training", action="append", default=[], metavar="DIR", help=help_training)
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.html", help="the new page")
    parser.add_argument("--overwrite", action="store_true", help="replace FILE.html if it exists")
    return parser


def _check_output(args: argparse.Namespace) -> None:
    """Reject a path that would overwrite a file, or cannot be written, before any work is done."""
    from llmtuner.data.problems import terminal_path
    from llmtuner.errors import UserError

    out, shown = args.out, terminal_path(args.out)
    if out.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--out {shown}: the name must end in .html")
    if out.is_dir():
        raise UserError(
            f"--out {shown}: is a folder; choose a file in it, such as {terminal_path(out / 'report.html')}"
        )
    if out.exists() and not args.overwrite:
        raise UserError(f"--out {shown}: exists; choose another path, or pass --overwrite")
    parent = out.resolve().parent
    if not parent.is_dir():
        raise UserError(f"--out {shown}: the folder {terminal_path(parent)} does not exist; create it")
    if not os.access(parent, os.W_OK):
        raise UserError(f"--out {shown}: the folder {terminal_path(parent)} is not writable; choose another path")


if __name__ == "__main__":
    sys.exit(main())
