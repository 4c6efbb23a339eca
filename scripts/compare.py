#!/usr/bin/env python3
"""Compare predictions of the same questions: scores with baselines that need no model, and every pair's difference.

    python scripts/compare.py STEP1=sft_predict STEP2=mcq_predict duma_predict
    python scripts/compare.py linear=s1/mcq_predict,s2/mcq_predict duma=s1/duma_predict,s2/duma_predict
    python scripts/compare.py closed=closed_predict open=open_predict --difference open closed

Each argument is the --output_dir of a prediction, with an optional name before it; several folders, separated by
commas, are seeds of the same run. All must have the same questions: data set, id and right answer. A baseline that
differs between them, because they were trained on different data, is printed once for each.

A difference in MAP@3 or accuracy has its 95 % interval (paired bootstrap over questions, as if they were independent,
and over seeds where there are several), the p of a permutation test (sign flips of the questions' differences,
two-sided), the same after Holm's correction for all printed pairs, for each metric on its own, and the number of
questions that it takes for a difference of 0.01 to show.
Exit status: 0 done, 2 a mistake in the arguments or files.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

if TYPE_CHECKING:
    from llmtuner.report.comparison import Comparison

STDOUT = "-"


def main(arguments: list[str] | None = None) -> int:
    """Print the tables or the JSON; return 0, or 2 if a folder has no scores or the questions differ."""
    from llmtuner.console import escape_unprintable
    from llmtuner.data.prediction_files import check_out_file
    from llmtuner.errors import UserError
    from llmtuner.report.comparison import compared

    escape_unprintable()
    args = _parser().parse_args(arguments)
    try:
        # "--json FOLDERS" takes the first folder for its FILE
        if_folder = "if it is one of the predictions, put --json last"
        check_out_file(args.json, overwrite=args.overwrite, if_folder=if_folder)
        arms = arms_of(args.predictions)
        _check_html(arms, args)
        comparison = compared(arms, args.against)
        if args.html is not None:
            _write_page(arms, args.html)
        _write(comparison, args)
    except KeyError as error:
        print(f"error: a predict_results.json has no {error}; expected one that this project wrote", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader closed the pipe; Python must not write to it at exit either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (UserError, OSError, ValueError, RecursionError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument(
        "predictions",
        nargs="+",
        metavar="[NAME=]FOLDER[,FOLDER...]",
        help="without NAME, the table has the folder's name; several folders are seeds",
    )
    help_against = "pair the others with this one only; Holm's correction then counts these pairs"
    parser.add_argument("--against", metavar="NAME", help=help_against)
    parser.add_argument(
        "--difference",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "NAME"),
        help="also print MAP@3 of the first minus that of the second, with its interval; may be repeated",
    )
    help_json = "write scores and pairs as JSON to FILE; without FILE, print it instead of the tables"
    parser.add_argument("--json", nargs="?", const=STDOUT, metavar="FILE", help=help_json)
    help_html = "also write a page with the runs side by side, as scripts/report.py does; each run must have one folder"
    parser.add_argument("--html", type=Path, metavar="FILE.html", help=help_html)
    parser.add_argument("--overwrite", action="store_true", help="replace the FILE of --json and --html")
    return parser


def _check_html(arms: dict[str, list[Path]], args: argparse.Namespace) -> None:
    from llmtuner.data.prediction_files import check_out_file
    from llmtuner.errors import UserError

    if args.html is None:
        return
    fix = f"choose a file in it, such as {args.html / 'report.html'}"
    check_out_file(str(args.html), overwrite=args.overwrite, if_folder=fix, flag="--html")
    seeds = next((name for name, folders in arms.items() if len(folders) > 1), None)
    if seeds is not None:
        raise UserError(
            f"--html: {seeds} has several folders, and the page shows single runs; name one folder for each"
        )


def _write_page(arms: dict[str, list[Path]], path: Path) -> None:
    from llmtuner.files import write_atomic
    from llmtuner.report.run_report.collect import collect_report
    from llmtuner.report.run_report.page import render_report

    runs = [str(folder) if "=" in name else f"{name}={folder}" for name, (folder,) in arms.items()]
    write_atomic(path, render_report(collect_report(runs)))


def arms_of(arguments: list[str]) -> dict[str, list[Path]]:
    """The folders of each arm by its name.

    Raises:
        ValueError: two arms have the same name, or a folder is twice in an arm.
    """
    arms: dict[str, list[Path]] = {}
    for argument in arguments:
        name, folders = _arm(argument)
        shown = ",".join(map(str, folders))
        if name in arms:
            earlier = ",".join(map(str, arms[name]))
            raise ValueError(f"{earlier} and {shown} have the same name {name}; name them: NAME={shown}")
        repeated = [folder for place, folder in enumerate(folders) if folder.resolve() in _resolved(folders[:place])]
        if repeated:
            raise ValueError(f"{name}: {repeated[0]} is given twice; each seed has a folder of its own")
        arms[name] = folders
    return arms


def _resolved(folders: list[Path]) -> set[Path]:
    return {folder.resolve() for folder in folders}


def _arm(argument: str) -> tuple[str, list[Path]]:
    """The name and the folders. An argument that is a folder as it stands, "=" and "," included, is that folder."""
    if Path(argument).is_dir():
        return _name(Path(argument)), [Path(argument)]
    name, equals, text = argument.partition("=")
    from llmtuner.files import split_paths

    listed = text if equals else argument
    folders = split_paths(listed)
    if (equals and not name) or not all(map(str.strip, listed.split(","))):
        raise ValueError(f"{argument}: expected NAME=FOLDER, with commas between folders")
    paths = [Path(folder) for folder in folders]
    return (name if equals else ",".join(map(_name, paths))), paths


def _name(folder: Path) -> str:
    return folder.name or folder.resolve().name


def _write(comparison: Comparison, args: argparse.Namespace) -> None:
    from llmtuner.files import write_atomic
    from llmtuner.report.comparison import comparison_record, difference_line, pair_lines, score_lines

    differences = [difference_line(comparison, first, second) for first, second in args.difference]
    for note in comparison.notes:
        print(f"note: {note}", file=sys.stderr)
    if args.json is not None:
        content = json.dumps(comparison_record(comparison), ensure_ascii=False, indent=1) + "\n"
        if args.json == STDOUT:
            print(content, end="", flush=True)
            return
        write_atomic(args.json, content)
    print("\n".join([*score_lines(comparison.arms), *pair_lines(comparison), *differences]), flush=True)


if __name__ == "__main__":
    sys.exit(main())
