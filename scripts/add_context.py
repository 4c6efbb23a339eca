#!/usr/bin/env python3
"""Add passages of an index to questions, as their context.

    python scripts/add_context.py questions.csv out/index --out out/questions_open.jsonl
    python scripts/add_context.py llmscience_elementary_test out/index --out out/test_open.jsonl --replace

QUESTIONS: a file in any form that the project reads, or the name of a data set (data/README.md). All columns but images
stay; a row whose context is filled gains context, context_ids and context_scores. A passage that holds the question
with two or more of its options is never used, and the right answer is never looked at. Exit status: 0 done, 2 a mistake
in the arguments, the questions or the index.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

# The script also runs without an installation of the project.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

if TYPE_CHECKING:
    from llmtuner.retrieval.fill import Counts
    from llmtuner.retrieval.settings import Retrieve

ENGINES = ("local", "ray")


def main(argv: list[str] | None = None) -> int:
    """Write the questions with their contexts; return the exit status."""
    from llmtuner.console import escape_unprintable
    from llmtuner.errors import UserError
    from llmtuner.retrieval.settings import with_flags

    escape_unprintable()
    args = _parser().parse_args(argv)
    try:
        if args.engine == "ray":
            raise UserError("--engine ray: is not supported yet; leave it out")
        counts, form = _add(args)
    except (UserError, OSError, UnicodeError) as error:
        print(f"error: {with_flags(str(error))}", file=sys.stderr)
        return 2
    if form != "own":
        from llmtuner.retrieval.question_rows import RENAMING

        columns = "question, options (a list)" if form == "list" else "prompt, A, B, ..."
        renamed = "; names of its other columns begin with source_" if form in RENAMING else ""
        print(f"The source's form has no place for a context: written as {columns}, answer{renamed}")
    print(with_flags(counts.line()))
    print(f"Wrote {args.out}")
    return 0


def _parser() -> argparse.ArgumentParser:
    from llmtuner.spec.retrievers import CONTEXT_ORDERS, QUERY_KINDS

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("questions", metavar="QUESTIONS", help="a file or the name of a data set")
    parser.add_argument("index", metavar="INDEX", help="the --out of scripts/build_index.py")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.jsonl", help="the new file")
    parser.add_argument("--k", type=int, default=5, help="passages of a question, at most; default: 5")
    help_words = "words of a context, at most; passages are taken whole; default: 300"
    parser.add_argument("--max_words", type=int, default=300, metavar="N", help=help_words)
    kinds = "; ".join(f"{name}: {line}" for name, line in QUERY_KINDS.items())
    parser.add_argument("--query", default="all", metavar="NAME", help=f"{kinds}; default: all")
    help_order = (
        f"where the best passage stands: {' or '.join(CONTEXT_ORDERS)}; default: best_last, next to the question"
    )
    parser.add_argument("--order", default="best_last", metavar="NAME", help=help_order)
    help_rerank = "folder of a cross-encoder, or of a training of stage mcq, whose model reranks the best 50 passages"
    parser.add_argument("--rerank", metavar="DIR", help=help_rerank)
    parser.add_argument("--replace", action="store_true", help="also replace contexts that the questions have")
    parser.add_argument("--engine", choices=ENGINES, default="local", help="local; ray is not supported yet")
    parser.add_argument("--overwrite", action="store_true", help="replace FILE.jsonl if it exists")
    return parser


def _add(args: argparse.Namespace) -> tuple[Counts, str]:
    from llmtuner.errors import UserError
    from llmtuner.files import open_atomic
    from llmtuner.mcq.rerank import RERANKERS
    from llmtuner.retrieval.check import checked
    from llmtuner.retrieval.fill import Counts
    from llmtuner.retrieval.open import open_finder
    from llmtuner.retrieval.progress import Progress
    from llmtuner.retrieval.question_rows import json_line, read_rows, written_form

    settings, counts = _settings(args), Counts()
    if args.out.suffix != ".jsonl":
        raise UserError(f"--out {args.out}: the questions are written as JSON lines; name it ....jsonl")
    if args.out.is_dir() or (args.out.exists() and not args.overwrite):
        raise UserError(f"--out {args.out}: exists; choose another path, or pass --overwrite")
    settings = checked(settings, RERANKERS)
    rows = read_rows(_source(args.questions))
    finder = open_finder(settings, RERANKERS)
    form = written_form(rows, settings.fills)
    progress = Progress(_say, "searching", unit="questions", total=len(rows))
    try:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        with open_atomic(args.out) as file:
            filled = finder.fill(row.question for row in rows)
            for row, (_, context) in zip(rows, filled, strict=True):
                line = json_line(row.with_context(context, form))
                file.write(line.encode("utf-8"))
                counts.add(context)
                progress(1)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"--out {args.out}: cannot be written: {reason}; free space or choose another path") from error
    return counts, form


def _settings(args: argparse.Namespace) -> Retrieve:
    from llmtuner.retrieval.settings import Retrieve

    names = ("index", "k", "max_words", "query", "order", "rerank", "replace")
    return Retrieve(**{name: getattr(args, name) for name in names})


def _source(name: str):  # noqa: ANN202
    from llmtuner.data.registry import PROJECT_DATA, find_source
    from llmtuner.errors import UserError

    source = find_source(name, str(PROJECT_DATA))
    if source is None:
        raise UserError(f"{name}: has no multiple-choice questions; see data/README.md")
    return source


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
