#!/usr/bin/env python3
"""Blend the predictions of several runs: the mean of their probabilities, logits or ranks.

    python scripts/blend.py seed1_predict seed2_predict seed3_predict --out blended
    python scripts/blend.py linear_predict duma_predict --weights 2,1 --out blended
    python scripts/blend.py linear_predict duma_predict --weights fit --fit_on linear_folds duma_folds --out blended

Each RUN is the --output_dir of a prediction. All have the same questions, options and answers; rows are joined by data
set and id as text, in the order of the first run. Writes the files of a prediction and blend.json, and prints the
scores of the parts and of the blend, with the blend's difference from the best part.

--weights fit chooses weights of at least 0 with sum 1 that give the right answers of --fit_on the highest likelihood.
--fit_on names predictions of questions that no part was trained on and that are not scored here: validation, or out of
fold (scripts/folds.py), one for each RUN in the same order. A question that is also scored is refused: by the digest
that predictions carry, else by data set and id, or by its text if --questions and --fit_questions name the question
files of both sides.
Exit status: 0 done, 2 a mistake in the arguments or files.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

if TYPE_CHECKING:
    from llmtuner.blending.blend import FitOn

FIT = "fit"


def main(argv: list[str] | None = None) -> int:
    """Blend; return the exit status."""
    from llmtuner.blending.blend import blend_runs, lines, record, write_blend
    from llmtuner.console import escape_unprintable
    from llmtuner.data.problems import escaped
    from llmtuner.errors import UserError
    from llmtuner.files import write_atomic
    from llmtuner.runs.prediction_out import prediction_out

    escape_unprintable()
    args = _parser().parse_args(argv)
    try:
        with prediction_out(args.out, overwrite=args.overwrite):
            _check_paths(args)
            weights = None if args.weights in (None, FIT) else _numbers(args.weights)
            result = blend_runs(args.runs, mean=args.mean, weights=weights, fit_on=_fit_on(args))
            write_blend(result, args.out)
        content = json.dumps(record(result), indent=1, ensure_ascii=False)
        if args.json not in (None, "-"):
            write_atomic(args.json, content + "\n")
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(content if args.json == "-" else escaped("\n".join(lines(result)), keep="\n"))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="the --output_dir of a prediction")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder for the files of the blend")
    help_mean = "what is averaged; logit is the normalised geometric mean of probabilities (default: probability)"
    parser.add_argument("--mean", choices=("probability", "logit", "rank"), default="probability", help=help_mean)
    help_weights = "one number of at least 0 for each RUN, or fit (default: equal weights)"
    parser.add_argument("--weights", metavar="fit|W,W,...", help=help_weights)
    help_fit = "with --weights fit: predictions of other questions, one for each RUN"
    parser.add_argument("--fit_on", nargs="+", type=Path, default=[], metavar="RUN", help=help_fit)
    for flag, side in (("--questions", "each RUN"), ("--fit_questions", "--fit_on")):
        help_files = f"files of the questions that {side} predicted, in the order in which they were predicted"
        parser.add_argument(flag, nargs="+", default=[], metavar="FILE", help=help_files)
    help_json = "write blend.json to FILE as well; without FILE, print it instead of the table"
    parser.add_argument("--json", nargs="?", const="-", metavar="FILE", help=help_json)
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier prediction in DIR")
    return parser


def _check_paths(args: argparse.Namespace) -> None:
    from llmtuner.data.prediction_files import check_out_file
    from llmtuner.errors import UserError

    if args.out.resolve() in [folder.resolve() for folder in (*args.runs, *args.fit_on)]:
        raise UserError(f"--out {args.out}: is one of the runs; choose another folder")
    check_out_file(args.json, overwrite=args.overwrite)


def _numbers(text: str) -> list[float]:
    from llmtuner.errors import UserError

    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"--weights {text}: expected fit, or numbers separated by commas") from None


def _fit_on(args: argparse.Namespace) -> FitOn | None:
    from llmtuner.blending.blend import FitOn
    from llmtuner.errors import UserError

    if args.weights != FIT:
        for flag in ("fit_on", "questions", "fit_questions"):
            if getattr(args, flag):
                raise UserError(f"--{flag}: is for --weights fit; add it, or leave --{flag} out")
        return None
    if not args.fit_on:
        raise UserError(
            "--weights fit: needs --fit_on with predictions of questions that are not scored, one for each RUN; "
            "weights that were fitted on the scored answers would make the score meaningless"
        )
    return FitOn(args.fit_on, args.questions, args.fit_questions)


if __name__ == "__main__":
    sys.exit(main())
