#!/usr/bin/env python3
"""Check a submission for Kaggle's LLM Science Exam before you hand it in.

    python scripts/check_submission.py submission.csv
    python scripts/check_submission.py submission.csv --questions test.csv --sample sample_submission.csv

FILE is a CSV file with the columns id,prediction: for each question its three best letters, separated by one space (all
letters for a question with two options). --questions gives the ids and letters that are expected; without it, the
letters are A to E. --sample gives the ids, too; rows in another order than the sample's are only a warning.
Exit status: 0 clean, 1 problems, 2 a mistake in the arguments or an unreadable file.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

# The script also runs without an installation of the project.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

if TYPE_CHECKING:
    from llmtuner.data.registry import DataSource
    from llmtuner.data.submission_check import SubmissionCheck

STDOUT = "-"


def main(argv: list[str] | None = None) -> int:
    """Print what is wrong; return the exit status."""
    from llmtuner.console import escape_unprintable
    from llmtuner.errors import UserError

    escape_unprintable()
    args = _parser().parse_args(argv)
    try:
        source = _questions(args)
        _check_json(args, source)
        result = _checked(args, source)
        _write(result, args)
    except BrokenPipeError:  # the reader closed the pipe; Python must not write to it at exit either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1 if result.problems else 0
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 1 if result.problems else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="the submission")
    parser.add_argument("--sample", metavar="FILE", type=Path, help="a sample submission: the expected ids")
    help_questions = "the questions, as a file in any form that the project reads, or the name of a data set"
    parser.add_argument("--questions", metavar="FILE", help=help_questions)
    help_json = "write all problems as JSON to FILE; without FILE, print it instead of the text"
    parser.add_argument("--json", nargs="?", const=STDOUT, metavar="FILE", help=help_json)
    parser.add_argument("--overwrite", action="store_true", help="replace the FILE of --json")
    return parser


def _questions(args: argparse.Namespace) -> DataSource | None:
    from llmtuner.data.registry import PROJECT_DATA, find_source
    from llmtuner.errors import UserError

    if args.questions is None:
        return None
    source = find_source(args.questions, str(PROJECT_DATA))
    if source is None:
        raise UserError(f"--questions {args.questions}: has no multiple-choice questions; see data/README.md")
    return source


def _check_json(args: argparse.Namespace, source: DataSource | None) -> None:
    from llmtuner.data.prediction_files import check_out_file
    from llmtuner.errors import UserError

    if args.json in (None, STDOUT):
        return
    path = Path(args.json)
    if_folder = f"choose a file in it, such as {path / 'submission.json'}"
    check_out_file(args.json, overwrite=args.overwrite, if_folder=if_folder)
    read = [file for file in (args.file, args.sample) if file is not None] + list(source.files if source else ())
    if path.resolve() in {file.resolve() for file in read}:
        raise UserError(f"--json {path}: is one of the files to read; choose another path")


def _checked(args: argparse.Namespace, source: DataSource | None) -> SubmissionCheck:
    from llmtuner.data.collect import all_questions
    from llmtuner.data.submission_check import check_submission

    questions = None if source is None else all_questions(source)
    return check_submission(args.file, questions=questions, sample=args.sample)


def _write(result: SubmissionCheck, args: argparse.Namespace) -> None:
    from llmtuner.files import write_atomic

    if args.json is not None:
        content = json.dumps(result.record(), ensure_ascii=False, indent=1) + "\n"
        if args.json == STDOUT:
            print(content, end="", flush=True)
            return
        write_atomic(args.json, content)
    print("\n".join(result.lines()), flush=True)


if __name__ == "__main__":
    sys.exit(main())
