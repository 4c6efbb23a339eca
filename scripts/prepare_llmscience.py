#!/usr/bin/env python3
"""Build the llmscience data sets from the Kaggle files, zipped or not, anywhere below one folder.

    python scripts/prepare_llmscience.py --raw data/raw
    python scripts/prepare_llmscience.py --raw data/raw --hold_out official --overwrite   # keeps the 200 for measuring

Writes one file for each data set, removed.jsonl (the rows in no training set, with reasons) and manifest.json.
Exit status: 0 done, even if some files are missing; 1 the output could not be written; 2 a mistake in the arguments or
the files; 130 interrupted, 143 terminated: the earlier build is unchanged.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from llmtuner.console import escape_unprintable  # noqa: E402
from llmtuner.data.prepare import BuildSettings, Prepared, prepare_llmscience  # noqa: E402
from llmtuner.data.prepare.sources import SOURCES  # noqa: E402
from llmtuner.data.problems import terminal_path  # noqa: E402
from llmtuner.errors import RunError, UserError  # noqa: E402

LISTED = 10  # warnings in the terminal


def main(arguments: list[str]) -> int:
    """Build the data sets; return the exit status."""
    escape_unprintable()
    args = _parser().parse_args(arguments)
    try:
        with _sigterm_as_interrupt():
            settings = BuildSettings(args.hq_size, args.valid_size, _names(args.hold_out), args.seed)
            prepared = prepare_llmscience(args.raw, args.out, settings, form=args.format, overwrite=args.overwrite)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except RunError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stop:
        print("interrupted", file=sys.stderr)
        return 128 + (stop.args[0] if stop.args else signal.SIGINT)
    _print_report(prepared, args.out)
    return 0


def _parser() -> argparse.ArgumentParser:
    defaults = BuildSettings()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument(
        "--raw", required=True, metavar="DIR", help="folder with the downloads, searched with all folders below it"
    )
    parser.add_argument(
        "--out",
        default=str(ROOT / "data" / "llmscience"),
        metavar="DIR",
        help="output folder; default: data/llmscience",
    )
    parser.add_argument(
        "--hq_size",
        type=int,
        metavar="N",
        default=defaults.hq_size,
        help=f"maximum number of questions in llmscience_hq; default: {defaults.hq_size}",
    )
    help_valid = f"questions in llmscience_valid, at most a fifth of llmscience; default: {defaults.valid_size}"
    parser.add_argument("--valid_size", type=int, metavar="N", default=defaults.valid_size, help=help_valid)
    help_hold_out = f"sources to keep out of all training sets, separated by commas or spaces: {', '.join(SOURCES)}"
    parser.add_argument("--hold_out", nargs="+", metavar="SOURCE", help=help_hold_out)
    parser.add_argument(
        "--seed",
        type=int,
        metavar="N",
        default=defaults.seed,
        help=f"random seed of the validation split; default: {defaults.seed}",
    )
    parser.add_argument("--format", default="jsonl", metavar="NAME", help="jsonl (default) or parquet")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier build")
    return parser


def _names(words: list[str] | None) -> tuple[str, ...]:
    """The sources of --hold_out. An empty list is an error, because nothing would be held out."""
    names = tuple(dict.fromkeys(" ".join(words or ()).replace(",", " ").split()))
    if words is not None and not names:
        raise UserError(f"--hold_out: no source is named; choose from: {', '.join(SOURCES)}")
    return names


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Handle SIGTERM like Ctrl-C, so that temporary files are deleted."""

    def stop(number: int, _: FrameType | None) -> None:
        raise KeyboardInterrupt(number)

    previous_handler = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous_handler)


def _print_report(prepared: Prepared, out: str) -> None:
    print("\n".join(prepared.table))
    for warning in prepared.warnings[:LISTED]:
        print(f"  {warning}")
    if len(prepared.warnings) > LISTED:
        print(f"  and {len(prepared.warnings) - LISTED} more warnings of the files")
    print()
    for notice in prepared.manifest["notices"]:
        print(notice)
    print(f"\n{terminal_path(out)}:")
    for name, file in prepared.manifest["files"].items():
        print(f"  {name:30}{file['rows']:>8,} rows")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
