#!/usr/bin/env python3
"""Search an index, and print the best passages with their scores.

    python scripts/search.py out/elementary_index "What does a plant need to make food?"

Exit status: 0 done, also where nothing matches; 2 a mistake in the arguments, or an index that cannot be read.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

# The script also runs without an installation of the project.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

if TYPE_CHECKING:
    from llmtuner.retrieval.search import Hit, Index

STDOUT = "-"


def main(argv: list[str] | None = None) -> int:
    """Search; return the exit status."""
    from llmtuner.console import escape_unprintable
    from llmtuner.data.prediction_files import check_out_file
    from llmtuner.errors import UserError
    from llmtuner.retrieval.settings import with_flags

    escape_unprintable()
    args = _parser().parse_args(argv)
    try:
        check_out_file(args.json, overwrite=args.overwrite)
        index, hits = _search(args)
        _print(index, hits, args.json)
    except BrokenPipeError:  # the reader closed the pipe; Python must not write to it at exit either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (UserError, OSError) as error:
        print(f"error: {with_flags(str(error))}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("index", type=Path, metavar="INDEX", help="the --out of scripts/build_index.py")
    parser.add_argument("text", metavar="TEXT", help="what to search for")
    parser.add_argument("--k", type=int, default=5, help="how many passages; default: 5")
    parser.add_argument("--encoder", metavar="DIR", help="the index's encoder, if its folder has moved")
    parser.add_argument(
        "--rerank",
        metavar="DIR",
        help="folder of a cross-encoder, or of a training of stage mcq, whose model reranks the best 50 passages",
    )
    parser.add_argument(
        "--json", nargs="?", const=STDOUT, metavar="FILE", help="JSON instead of text, into FILE if given"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the FILE of --json")
    return parser


def _search(args: argparse.Namespace) -> tuple[Index, list[Hit]]:
    from llmtuner.retrieval.search import Index

    index = Index.open(args.index, encoder=args.encoder)
    if not args.rerank:
        return index, index.search([args.text], args.k)[0]

    from llmtuner.mcq.rerank import RERANKERS
    from llmtuner.retrieval.rerank import reranked

    RERANKERS.digest(args.rerank)  # its files are looked at before torch is imported
    return index, reranked(index, [args.text], args.k, RERANKERS.load(args.rerank))[0]


def _print(index: Index, hits: list[Hit], json_to: str | None) -> None:
    from llmtuner.files import write_atomic

    if json_to is None:
        print("\n\n".join(map(str, _passages(index, hits))) if hits else "nothing in the index matches")
        sys.stdout.flush()
        return
    records = []
    for hit in hits:
        chunk = index.chunk(hit.row)
        records.append({"id": hit.chunk_id, "score": hit.score, "title": chunk.title, "text": chunk.text})
    content = json.dumps(records, ensure_ascii=False, indent=1) + "\n"
    if json_to == STDOUT:
        print(content, end="", flush=True)
    else:
        write_atomic(json_to, content)


def _passages(index: Index, hits: list[Hit]) -> list[str]:
    from llmtuner.data.problems import escaped

    lines = []
    for place, hit in enumerate(hits, start=1):
        chunk = index.chunk(hit.row)
        title = f"  {escaped(chunk.title)}" if chunk.title else ""
        text = textwrap.fill(escaped(" ".join(chunk.text.split())), 100, initial_indent="   ", subsequent_indent="   ")
        lines.append(f"{place}. {hit.score:.4f}  {escaped(hit.chunk_id)}{title}\n{text}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
