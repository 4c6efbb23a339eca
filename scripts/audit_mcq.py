#!/usr/bin/env python3
"""Audit multiple-choice files: defects, duplicates, leaks, and baselines that need no language model.

    python scripts/audit_mcq.py train.csv test.csv
    python scripts/audit_mcq.py train.csv valid.parquet --no_near --fail_on leak,conflict --json audit.json
    python scripts/audit_mcq.py train.csv --predictions out_of_fold/predictions.jsonl    # likely label errors

Prints a summary and writes one HTML page: audit.html in the current folder, or the path of --html.
Exit status: 0 done; 1 a check of --fail_on has hits; 2 a mistake in the arguments, an unreadable file, or a skipped
check of --fail_on.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

# The script also runs without an installation of the project.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

if TYPE_CHECKING:
    from llmtuner.data.audit.result import Audit

STDOUT = "-"


def main(argv: list[str] | None = None) -> int:
    """Audit the files; return the exit status."""
    from llmtuner.console import escape_unprintable
    from llmtuner.data.audit.checks import CHECKS, parse_checks
    from llmtuner.errors import UserError

    escape_unprintable()
    args = _parser(", ".join(CHECKS)).parse_args(argv)
    try:
        fail_on = parse_checks(args.fail_on) if args.fail_on is not None else []
        _check_arguments(args, fail_on)

        from llmtuner.data.audit.run import audit

        result = audit(args.files, near=not args.no_near, predictions=args.predictions)
        _write(args, result)
        failures = _failures(result, fail_on)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for line in failures:
        print(line, file=sys.stderr)
    return 1 if failures else 0


def _parser(checks: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="files of questions, folders, or patterns; types: docs/data.md"
    )
    parser.add_argument("--html", type=Path, metavar="PATH", help="path of the page; default: audit.html")
    parser.add_argument("--no_html", action="store_true", help="write no page")
    help_json = "write the whole result as JSON to PATH; without PATH, print it instead of the summary"
    parser.add_argument("--json", nargs="?", const=STDOUT, metavar="PATH", help=help_json)
    help_predictions = (
        "predictions.jsonl of a model that was not trained on these files, to find label errors (needs cleanlab)"
    )
    parser.add_argument("--predictions", type=Path, metavar="PATH", help=help_predictions)
    help_fail = f"exit with status 1 if one of these checks has hits; names, separated by commas: {checks}"
    parser.add_argument("--fail_on", metavar="CHECKS", help=help_fail)
    parser.add_argument("--no_near", action="store_true", help="do not search for near duplicates, the slowest part")
    parser.add_argument("--overwrite", action="store_true", help="replace page and JSON even if no audit wrote them")
    return parser


def _check_arguments(args: argparse.Namespace, fail_on: list[str]) -> None:
    """Reject mistakes in the arguments before any work is done, and fill in the default of --html."""
    from llmtuner.errors import UserError
    from llmtuner.report.audit_page import is_audit_page

    if args.no_html and args.html is not None:
        raise UserError("--html and --no_html contradict each other; leave out one")
    near_checks = [name for name in fail_on if name.startswith("near_")]
    if args.no_near and near_checks:
        raise UserError(f"--fail_on {near_checks[0]} needs near duplicates, which --no_near skips; leave out one")
    if "label_error" in fail_on and args.predictions is None:
        raise UserError("--fail_on label_error needs the predictions of a model; add --predictions predictions.jsonl")
    if not args.no_html:
        args.html = args.html or Path("audit.html")
        _check_output(args.html, "--html", (".html", ".htm"), is_audit_page, args)
    if args.json not in (None, STDOUT):
        _check_output(Path(args.json), "--json", (".json",), _is_audit_json, args)
        if args.html is not None and Path(args.json).resolve() == args.html.resolve():
            raise UserError(f"--html and --json both name {args.html}; name two files")


def _check_output(
    path: Path, flag: str, suffixes: tuple[str, ...], is_ours: Callable[[Path], bool], args: argparse.Namespace
) -> None:
    """Reject an output path that would overwrite another file or cannot be written.

    Args:
        suffixes: the allowed suffixes of the path.
        is_ours: whether an existing file was written by an earlier audit.
    """
    from llmtuner.data.audit.run import audited_files
    from llmtuner.errors import UserError

    read = [file for file, _ in audited_files(args.files)] + ([args.predictions] if args.predictions else [])
    if path.resolve() in {file.resolve() for file in read}:
        raise UserError(f"{flag} {path}: is one of the files to read; choose another path")
    if path.is_dir():
        raise UserError(f"{flag} {path}: is a folder; choose a file in it, such as {path / 'audit'}{suffixes[0]}")
    if path.suffix.lower() not in suffixes:
        # "--json FILES" takes the first of FILES for its PATH.
        raise UserError(f"{flag} {path}: the name must end in {suffixes[0]}; if it is one of FILES, put {flag} last")
    if not path.resolve().parent.is_dir():
        raise UserError(
            f"{flag} {path}: the folder {path.resolve().parent} does not exist; create it, or choose another path"
        )
    if not os.access(path.resolve().parent, os.W_OK):
        raise UserError(f"{flag} {path}: the folder {path.resolve().parent} is not writable; choose another path")
    if path.exists() and not args.overwrite and not is_ours(path):
        raise UserError(f"{flag} {path}: exists and is not an earlier audit; choose another path, or pass --overwrite")


def _is_audit_json(path: Path) -> bool:
    with path.open("rb") as file:
        return b'"llmtuner_audit"' in file.read(100)


def _write(args: argparse.Namespace, result: Audit) -> None:
    """Write the files, then print the summary or the JSON."""
    from llmtuner.data.audit.result import audit_record
    from llmtuner.data.problems import terminal_path
    from llmtuner.report.audit_page import render_page
    from llmtuner.report.audit_summary import summary

    record = json.dumps(audit_record(result), ensure_ascii=False, indent=1)
    written = []
    if args.json not in (None, STDOUT):
        written.append(_write_output(Path(args.json), record + "\n"))
    if args.html is not None:
        written.append(_write_output(args.html, render_page(result)))
    try:
        print(record if args.json == STDOUT else "\n".join(summary(result)))
        for path in written:
            print(f"Wrote {terminal_path(path)}", file=sys.stderr if args.json == STDOUT else sys.stdout)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader closed the pipe; Python must not write to it at exit either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _write_output(path: Path, text: str) -> Path:
    """Write a file whole or not at all: an interrupted run leaves the earlier one."""
    from llmtuner.errors import UserError
    from llmtuner.files import write_atomic

    try:
        return write_atomic(path, text)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}; choose another path") from error


def _failures(result: Audit, fail_on: list[str]) -> list[str]:
    """A line for each check of --fail_on that has hits."""
    from llmtuner.data.audit.checks import CHECKS
    from llmtuner.errors import UserError

    for name in fail_on:
        if result.checks[name] is None:
            raise UserError(f"--fail_on {name}: the check was skipped: {'; '.join(result.notes)}")
    return [f"failed on {name}: {result.checks[name]:,} {CHECKS[name][0]}" for name in fail_on if result.checks[name]]


if __name__ == "__main__":
    sys.exit(main())
