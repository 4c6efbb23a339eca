#!/usr/bin/env python3
"""A small model scores all questions; a large one scores those of which the small one is least certain.

    python scripts/cascade.py out/small out/large exam.csv --out out/cascade --share 0.3
    python scripts/cascade.py out/small out/large exam.csv --out out/cascade2 --hours 2

SMALL and LARGE are output folders of trainings of stage mcq; QUESTIONS is a file, or a name of dataset_info_ext.json.
A model's certainty is the margin between its two highest probabilities. --hours bounds the time in which both
score, without loading them: the large model's speed is measured on the first 32 of its questions.

Writes the files of a prediction and cascade.json: scores of the small model, of the large one on its share and of the
cascade, their seconds, and an estimate in hours for other shares.
Exit status: 0 done, 1 a score is not finite, 2 a mistake in the arguments or files.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

if TYPE_CHECKING:
    from llmtuner.blending.cascade import Cascade, Score


STDOUT = "-"


def main(argv: list[str] | None = None) -> int:
    """Score with both models; return the exit status."""
    from llmtuner.console import escape_unprintable

    escape_unprintable()
    args = _parser().parse_args(argv)

    from llmtuner.blending.cascade import lines, record
    from llmtuner.errors import RunError, UserError
    from llmtuner.files import write_atomic
    from llmtuner.runs.base import merging_advised
    from llmtuner.runs.prediction_out import prediction_out

    try:
        with prediction_out(args.out, overwrite=args.overwrite):
            result = _scored(args)
            as_json = json.dumps(record(result, args.small, args.large), indent=1, ensure_ascii=False)
            if args.json not in (None, STDOUT):
                write_atomic(args.json, as_json + "\n")
    except RunError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (UserError, OSError) as error:
        print(f"error: {merging_advised(str(error))}", file=sys.stderr)
        return 2
    print(as_json if args.json == STDOUT else "\n".join(lines(result)))
    return 0


def _scored(args: argparse.Namespace) -> Cascade:
    """Check everything, score with both models, and write the files of the prediction."""
    from llmtuner.blending.cascade import run_cascade, write_cascade
    from llmtuner.data.collect import questions_in
    from llmtuner.data.prediction_files import check_out_file
    from llmtuner.data.registry import PROJECT_DATA
    from llmtuner.data.scoring import scoring_oddities
    from llmtuner.mcq.device import check_device
    from llmtuner.mcq.scorer import check_scorable
    from llmtuner.runs.places import trained_places
    from llmtuner.runs.trained import read_trained

    check_out_file(args.json, overwrite=args.overwrite)
    questions = questions_in([args.questions], str(PROJECT_DATA))
    folders = (args.small, args.large)
    small, large = (_loader(folder, args) for folder in folders)
    check_device(args.device, "--device")
    for folder in folders:  # the large model is loaded only when the small one is done
        check_scorable(folder, questions)
    oddities = [
        line
        for folder in folders
        for line in scoring_oddities(questions, before=read_trained([folder]), places=trained_places([folder]))
    ]
    for line in dict.fromkeys(oddities):
        print(f"warning: {line}", file=sys.stderr)
    result = run_cascade(questions, small, large, share=args.share, hours=args.hours)
    write_cascade(result, args.out, args.small, args.large)
    return result


def _loader(folder: Path, args: argparse.Namespace) -> Callable[[], Score]:
    """What loads a model and scores with it. That the folder has a trained head is checked at once.

    Raises:
        UserError: it has none.
    """
    from llmtuner.errors import UserError
    from llmtuner.mcq.settings import CONFIG_NAME, read_settings

    if read_settings(folder) is None:
        raise UserError(f"{folder}: no {CONFIG_NAME} in it; expected the output folder of a --stage mcq training")

    def load() -> Score:
        from llmtuner.mcq.scorer import load_scorer

        scorer = load_scorer(folder, device=args.device)
        for line in scorer.notices:
            print(f"note: {folder}: {line}", file=sys.stderr)
        return lambda questions: scorer.score(questions, batch_size=args.batch_size)

    return load


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("small", type=Path, metavar="SMALL", help="output folder of the small model's training")
    parser.add_argument("large", type=Path, metavar="LARGE", help="output folder of the large model's training")
    parser.add_argument("questions", metavar="QUESTIONS", help="a question file, or the name of a data set")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder for the files of the prediction")
    amount = parser.add_mutually_exclusive_group(required=True)
    amount.add_argument("--share", type=float, help="share of the questions that the large model scores, 0 to 1")
    amount.add_argument(
        "--hours", type=float, help="limit of time for both models, which sets the share; loading is not counted"
    )
    parser.add_argument("--batch_size", type=int, default=8, help="questions in a forward pass (default: 8)")
    parser.add_argument("--device", default="cpu", help="as torch names it, such as cuda (default: cpu)")
    help_json = "write cascade.json to FILE as well; without FILE, print it instead of the table"
    parser.add_argument("--json", nargs="?", const=STDOUT, metavar="FILE", help=help_json)
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier prediction in DIR")
    return parser


if __name__ == "__main__":
    sys.exit(main())
