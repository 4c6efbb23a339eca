#!/usr/bin/env python3
"""Build the llmscience data sets from the Kaggle files, zipped or not, wherever they lie below one folder.

    python scripts/prepare_llmscience.py --raw data/raw
    python scripts/prepare_llmscience.py --raw data/raw --hold_out official --overwrite   # the 200 for measuring

Writes one file a data set, removed.jsonl (each row that is in no training set, and why) and manifest.json.
Exit status: 0 done, also from a part of the files; 1 the output could not be written; 2 a mistake in the arguments or
the files; 130 interrupted, 143 told to end: the earlier build is as it was.
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

from llmtuner.data.prepare import Settings, prepare  # noqa: E402
from llmtuner.data.prepare.prepare import Prepared  # noqa: E402
from llmtuner.data.prepare.sources import SOURCES  # noqa: E402
from llmtuner.data.problems import terminal_path  # noqa: E402
from llmtuner.errors import RunError, UserError  # noqa: E402

LISTED = 10  # warnings in the terminal


def main(arguments: list[str]) -> int:
    """Build; the exit status."""
    args = _parser().parse_args(arguments)
    try:
        with _sigterm_as_interrupt():
            settings = Settings(args.hq_size, args.valid_size, _names(args.hold_out), args.seed)
            done = prepare(args.raw, args.out, settings, form=args.format, overwrite=args.overwrite)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except RunError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stop:
        print("interrupted", file=sys.stderr)
        return 128 + (stop.args[0] if stop.args else signal.SIGINT)
    _say(done, args.out)
    return 0


def _parser() -> argparse.ArgumentParser:
    defaults = Settings()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--raw", required=True, help="folder with the downloads, searched to the bottom")
    parser.add_argument("--out", default=str(ROOT / "data" / "llmscience"), help="data/llmscience")
    parser.add_argument("--hq_size", type=int, default=defaults.hq_size, help=f"of llmscience_hq; {defaults.hq_size}")
    help_valid = f"of llmscience_valid; {defaults.valid_size}, at most a fifth of llmscience"
    parser.add_argument("--valid_size", type=int, default=defaults.valid_size, help=help_valid)
    help_hold_out = f"sources to keep out of all training sets, parted by commas or blanks: {', '.join(SOURCES)}"
    parser.add_argument("--hold_out", nargs="+", metavar="SOURCE", help=help_hold_out)
    parser.add_argument("--seed", type=int, default=defaults.seed, help="of the held-out split")
    parser.add_argument("--format", default="jsonl", help="jsonl or parquet")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier build")
    return parser


def _names(words: list[str] | None) -> tuple[str, ...]:
    """The sources of --hold_out; naming none is a mistake, and must not hold out nothing."""
    names = tuple(dict.fromkeys(" ".join(words or ()).replace(",", " ").split()))
    if words is not None and not names:
        raise UserError(f"--hold_out: no source is named; known: {', '.join(SOURCES)}")
    return names


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Let a request to end unwind as Ctrl-C does, so that nothing is left lying about."""

    def stop(number: int, _: FrameType | None) -> None:
        raise KeyboardInterrupt(number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _say(done: Prepared, out: str) -> None:
    print("\n".join(done.table))
    for warning in done.warnings[:LISTED]:
        print(f"  {warning}")
    if len(done.warnings) > LISTED:
        print(f"  and {len(done.warnings) - LISTED} more warnings of the files")
    print()
    for notice in done.manifest["notices"]:
        print(notice)
    print(f"\n{terminal_path(out)}:")
    for name, file in done.manifest["files"].items():
        print(f"  {name:30}{file['rows']:>8,} rows")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
