#!/usr/bin/env python3
"""Build the llmscience data sets from the Kaggle files, zipped or not, wherever they lie below one folder.

    python scripts/prepare_llmscience.py --raw data/raw
    python scripts/prepare_llmscience.py --raw data/raw --hold_out official --overwrite   # the 200 for measuring

Writes one file a data set, removed.jsonl (each row that is in no training set, and why) and manifest.json.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from llmtuner.data.prepare import Settings, prepare  # noqa: E402
from llmtuner.data.prepare.prepare import Prepared  # noqa: E402
from llmtuner.errors import RunError, UserError  # noqa: E402

LISTED = 10  # warnings in the terminal


def main(arguments: list[str]) -> int:
    """Build; 2 for a mistake of the user's, 1 where the output could not be written."""
    defaults = Settings()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raw", required=True, type=Path, help="folder with the downloads, searched to the bottom")
    parser.add_argument("--out", type=Path, default=ROOT / "data" / "llmscience", help="data/llmscience")
    parser.add_argument("--hq_size", type=int, default=defaults.hq_size, help=f"of llmscience_hq; {defaults.hq_size}")
    help_valid = f"of llmscience_valid; {defaults.valid_size}, at most a fifth of llmscience"
    parser.add_argument("--valid_size", type=int, default=defaults.valid_size, help=help_valid)
    parser.add_argument("--hold_out", nargs="+", default=[], help="sources to keep out of all training sets")
    parser.add_argument("--seed", type=int, default=defaults.seed, help="of the held-out split")
    parser.add_argument("--format", default="jsonl", help="jsonl or parquet")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier build")
    args = parser.parse_args(arguments)
    try:
        settings = Settings(args.hq_size, args.valid_size, tuple(args.hold_out), args.seed)
        done = prepare(args.raw, args.out, settings, form=args.format, overwrite=args.overwrite)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except RunError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    _say(done, args.out)
    return 0


def _say(done: Prepared, out: Path) -> None:
    print("\n".join(done.table))
    if any(source["rows"] != source["expected"] for source in done.manifest["sources"].values()):
        print("INCOMPLETE: built from what is there; data/README.md says how to fetch the rest")
    for warning in done.warnings[:LISTED]:
        print(f"  {warning}")
    if len(done.warnings) > LISTED:
        print(f"  and {len(done.warnings) - LISTED} more warnings of the files")
    print()
    for notice in done.manifest["notices"]:
        print(notice)
    print(f"\n{out}:")
    for name, file in done.manifest["files"].items():
        print(f"  {name:30}{file['rows']:>8,} rows")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
