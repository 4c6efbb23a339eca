#!/usr/bin/env python3
"""Audit multiple-choice files: defects, duplicates, leaks, and how far one gets without knowing anything.

    python scripts/audit_mcq.py train.csv test.csv
    python scripts/audit_mcq.py train.csv valid.parquet --no_near --fail_on leak,conflict --json audit.json
    python scripts/audit_mcq.py train.csv --predictions out_of_fold/predictions.jsonl    # likely label errors

Prints a summary and writes one HTML page, audit.html in the current folder unless --html says otherwise.
Exit status: 0 done, 1 a check of --fail_on has hits, 2 a mistake in the arguments or a file that cannot be read.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

# Also where the project was not installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

if TYPE_CHECKING:
    from llmtuner.data.audit.result import Audit

STDOUT = "-"


def main(argv: list[str] | None = None) -> int:
    """Audit the files; the exit status."""
    from llmtuner.data.audit.checks import CHECKS, check_names
    from llmtuner.errors import UserError

    args = _parser(", ".join(CHECKS)).parse_args(argv)
    try:
        fail_on = check_names(args.fail_on) if args.fail_on is not None else []
        _refuse(args, fail_on)

        from llmtuner.data.audit.run import audit

        found = audit(args.files, near=not args.no_near, predictions=args.predictions)
        _write(args, found)
        hits = _hits(found, fail_on)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for line in hits:
        print(line, file=sys.stderr)
    return 1 if hits else 0


def _parser(checks: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("files", nargs="+", metavar="FILES", help="CSV, JSONL, JSON or Parquet files of questions")
    parser.add_argument("--html", type=Path, metavar="PATH", help="where the page goes; audit.html")
    parser.add_argument("--no_html", action="store_true", help="write no page")
    help_json = (
        "everything that was found, as JSON, to a file; without PATH to standard output, in place of the summary"
    )
    parser.add_argument("--json", nargs="?", const=STDOUT, metavar="PATH", help=help_json)
    help_predictions = "a predictions.jsonl of these files, out of fold: look for label errors (needs cleanlab)"
    parser.add_argument("--predictions", type=Path, metavar="PATH", help=help_predictions)
    help_fail = f"exit with status 1 if one of these checks has hits, parted by commas: {checks}"
    parser.add_argument("--fail_on", metavar="CHECKS", help=help_fail)
    parser.add_argument("--no_near", action="store_true", help="do not look for near duplicates, which takes longest")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are no earlier audit, too")
    return parser


def _refuse(args: argparse.Namespace, fail_on: list[str]) -> None:
    """Find mistakes in the arguments before any work is done."""
    from llmtuner.errors import UserError
    from llmtuner.report.audit_page import is_audit_page

    if args.no_html and args.html is not None:
        raise UserError("--html and --no_html contradict each other; leave one out")
    near = [name for name in fail_on if name.startswith("near_")]
    if args.no_near and near:
        raise UserError(f"--fail_on {near[0]} looks for near duplicates, --no_near does not; leave one out")
    if "label_error" in fail_on and args.predictions is None:
        raise UserError("--fail_on label_error needs the predictions of a model: --predictions predictions.jsonl")
    if not args.no_html:
        args.html = args.html or Path("audit.html")
        _refuse_place(args.html, "--html", (".html", ".htm"), is_audit_page, args)
    if args.json not in (None, STDOUT):
        _refuse_place(Path(args.json), "--json", (".json",), _is_audit_json, args)
        if args.html is not None and Path(args.json).resolve() == args.html.resolve():
            raise UserError(f"--html and --json both name {args.html}; name two files")


def _refuse_place(
    path: Path, flag: str, suffixes: tuple[str, ...], is_ours: Callable[[Path], bool], args: argparse.Namespace
) -> None:
    """Refuse to write where something else may be lost.

    Args:
        is_ours: whether a file is what an earlier audit wrote.
    """
    from llmtuner.errors import UserError

    if path.resolve() in {Path(file).resolve() for file in (*args.files, args.predictions or args.files[0])}:
        raise UserError(f"{flag} {path}: is one of the files to read; name another one")
    if path.is_dir():
        raise UserError(f"{flag} {path}: is a folder; name a file in it, such as {path / 'audit'}{suffixes[0]}")
    if path.suffix.lower() not in suffixes:
        # With FILES behind it, --json takes the first of them for its PATH.
        raise UserError(f"{flag} {path}: the name must end in {suffixes[0]}; if it is one of FILES, put {flag} last")
    if not path.resolve().parent.is_dir():
        raise UserError(f"{flag} {path}: there is no folder {path.resolve().parent} to write it to")
    if not os.access(path.resolve().parent, os.W_OK):
        raise UserError(f"{flag} {path}: the folder {path.resolve().parent} cannot be written to; name another one")
    if path.exists() and not args.overwrite and not is_ours(path):
        raise UserError(f"{flag} {path}: exists and is no earlier audit; name another file, or pass --overwrite")


def _is_audit_json(path: Path) -> bool:
    with path.open("rb") as file:
        return b'"llmtuner_audit"' in file.read(100)


def _write(args: argparse.Namespace, found: Audit) -> None:
    """The files, and then the summary or JSON to standard output."""
    from llmtuner.data.audit.result import as_record
    from llmtuner.data.problems import terminal_path
    from llmtuner.report.audit_page import render_page
    from llmtuner.report.audit_summary import summary

    record = json.dumps(as_record(found), ensure_ascii=False, indent=1)
    written = []
    if args.json not in (None, STDOUT):
        written.append(_replace(Path(args.json), record + "\n"))
    if args.html is not None:
        written.append(_replace(args.html, render_page(found)))
    try:
        print(record if args.json == STDOUT else "\n".join(summary(found)))
        for path in written:
            print(f"Wrote {terminal_path(path)}", file=sys.stderr if args.json == STDOUT else sys.stdout)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read the summary has seen enough; nothing may go there at the end, either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _replace(path: Path, text: str) -> Path:
    """Write a file whole or not at all: an interrupted run leaves the earlier one."""
    from llmtuner.errors import UserError
    from llmtuner.files import write_atomic

    try:
        return write_atomic(path, text)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}; name another place") from error


def _hits(found: Audit, fail_on: list[str]) -> list[str]:
    from llmtuner.data.audit.checks import CHECKS
    from llmtuner.errors import UserError

    for name in fail_on:
        if found.checks[name] is None:
            raise UserError(f"--fail_on {name}: this was not looked for: {'; '.join(found.notes)}")
    return [f"failed on {name}: {found.checks[name]:,} {CHECKS[name][0]}" for name in fail_on if found.checks[name]]


if __name__ == "__main__":
    sys.exit(main())
