#!/usr/bin/env python3
"""Build an index of a corpus, for scripts/search.py and for contexts of questions.

    python scripts/build_index.py data/elementary/corpus.jsonl --out out/elementary_index
    python scripts/build_index.py wiki/*.parquet books/ --out out/index --retriever hybrid

CORPUS: JSONL, Parquet, Arrow, text or Markdown files, folders of them, or patterns (docs/retrieval.md).
A build that was killed is resumed by the same command. Exit status: 0 done, 2 a mistake in the arguments or the corpus.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

# The script also runs without an installation of the project.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

if TYPE_CHECKING:
    from llmtuner.retrieval.index.build import Built

ENGINES = ("local", "ray")
_SHOWN = 3  # notices of a kind


def main(argv: list[str] | None = None) -> int:
    """Build an index; return the exit status."""
    from llmtuner.console import escape_unprintable
    from llmtuner.errors import UserError
    from llmtuner.spec.retrievers import RETRIEVERS

    escape_unprintable()
    args = _parser({name: entry.help for name, entry in RETRIEVERS.items()}).parse_args(argv)
    try:
        if args.engine == "ray":
            raise UserError("--engine ray: is not supported yet; leave it out: one machine then builds the index")

        from llmtuner.retrieval.index.build import BuildSettings, build_index

        names = ("retriever", "encoder", "words", "overlap", "ann_from", "note")
        settings = BuildSettings(**{name: getattr(args, name) for name in names})
        built = build_index(args.corpus, args.out, settings, overwrite=args.overwrite, say=_say)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for line in summary(args.out, built):
        print(line)
    return 0


def _parser(retrievers: dict[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("corpus", nargs="+", metavar="CORPUS", help="a file, a folder or a pattern")
    parser.add_argument("--out", required=True, type=Path, metavar="INDEX", help="the new folder")
    listed = "; ".join(f"{name}: {line}" for name, line in retrievers.items())
    parser.add_argument("--retriever", default="bm25", metavar="NAME", help=f"{listed}; default: bm25")
    help_encoder = "folder of the encoder, for dense and hybrid; default: all-MiniLM-L6-v2 (scripts/minilm.py)"
    parser.add_argument("--encoder", metavar="DIR", help=help_encoder)
    parser.add_argument("--words", type=int, default=90, help="words of a chunk, at most; default: 90")
    help_overlap = "sentences repeated from the chunk before, at most; default: 3"
    parser.add_argument("--overlap", type=int, default=3, help=help_overlap)
    help_ann = "largest number of chunks for dense and hybrid; with more, the build stops; default: 1000000"
    parser.add_argument("--ann_from", type=int, default=1_000_000, metavar="CHUNKS", help=help_ann)
    parser.add_argument("--engine", choices=ENGINES, default="local", help="local; ray is not supported yet")
    parser.add_argument("--note", default="", metavar="TEXT", help="text for the manifest, such as the corpus's source")
    parser.add_argument("--overwrite", action="store_true", help="replace an index of other inputs")
    return parser


def summary(out: Path, built: Built) -> list[str]:
    """What is printed at the end: counts, what was left out, the time of each stage."""
    from llmtuner.data.problems import terminal_path
    from llmtuner.retrieval.progress import duration

    counts = built.manifest.counts
    lines = [
        f"documents: {counts['documents']:,} ({counts['blank']:,} blank ones left out, {counts['renamed']:,} renamed)",
        f"chunks: {counts['chunks']:,} (left out: {counts['exact']:,} exact and {counts['near']:,} near duplicates, "
        f"{counts['wordless']:,} without words)",
        *_shortened(built.notices),
    ]
    if not built.seconds:
        return [*lines, f"{terminal_path(out)} is an index of this corpus already; nothing was done"]
    stages = ", ".join(f"{stage} {duration(seconds)}" for stage, seconds in built.seconds.items())
    size = sum(entry["size"] for entry in built.manifest.files.values())
    return [*lines, f"Wrote {terminal_path(out)} ({size / 1e6:,.1f} MB): {stages}"]


def _shortened(notices: list[str]) -> list[str]:
    """The notices, of each kind the first three: a folder may have thousands of files with the same one."""
    lines: list[str] = []
    counts: Counter[str] = Counter()
    for notice in notices:
        kind = notice.partition(": ")[2] or notice
        counts[kind] += 1
        if counts[kind] <= _SHOWN:
            lines.append(notice)
    return lines + [f"{count - _SHOWN:,} more: {kind}" for kind, count in counts.items() if count > _SHOWN]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def run() -> int:
    """`main`, where SIGTERM is an exception: what is finished stays, and the same command resumes."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return main()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(run())
