#!/usr/bin/env python3
"""Turn samples of lm-evaluation-harness into the files of a prediction, which compare.py and other scripts read.

    lm_eval run ... --tasks arc_easy --log_samples --output_path out/harness
    python scripts/import_lm_eval.py out/harness/MODEL/samples_arc_easy_DATE.jsonl --out out/harness_predict
    python scripts/compare.py ours=mcq_predict harness=out/harness_predict

For tasks of the type multiple_choice, version 0.4 of lm_eval. Writes predictions.jsonl (with the log-likelihood of
each option), predict_results.json and submission.csv. The script computes acc (with --norm char also acc_norm) of each
sample again from the log-likelihoods, and refuses a file that has another value.
Exit status: 0 done, 2 a mistake in the arguments or the file.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

if TYPE_CHECKING:
    from llmtuner.data.lm_eval.samples import Imported


def main(argv: list[str] | None = None) -> int:
    """Import the samples; return the exit status."""
    from llmtuner.console import escape_unprintable
    from llmtuner.data.lm_eval.samples import read_samples
    from llmtuner.data.prediction_files import replacing_prediction
    from llmtuner.data.predictions import write_predictions
    from llmtuner.errors import UserError
    from llmtuner.report.summary import print_scores
    from llmtuner.runs.prediction_out import prediction_out

    escape_unprintable()
    args = _parser().parse_args(argv)
    try:
        with prediction_out(args.out, overwrite=args.overwrite):
            imported = read_samples(args.samples, norm=args.norm, id_column=args.id)
            results = results_of(imported, args.norm)
            with replacing_prediction(args.out, results) as folder:
                write_predictions(imported.predictions, folder)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print_scores(results, args.out)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("samples", type=Path, metavar="SAMPLES.jsonl", help="a samples file of lm_eval")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder for the files of the prediction")
    help_norm = (
        "sum (default): options ranked by their log-probability, as acc does; char: divided by the characters "
        "(code points) of the option, as acc_norm does"
    )
    parser.add_argument("--norm", choices=("sum", "char"), default="sum", help=help_norm)
    help_id = (
        "column of the data set with the ids, or doc_id for the row number from 0; default: id where every row has "
        "one, else doc_id"
    )
    parser.add_argument("--id", metavar="NAME", help=help_id)
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier prediction in DIR")
    return parser


def results_of(imported: Imported, norm: str) -> dict[str, Any]:
    """The content of predict_results.json: metrics, baselines and the norm."""
    from llmtuner.data.baselines import baselines_of
    from llmtuner.metrics import figures, interval_figures

    scores = [prediction.scores for prediction in imported.predictions]
    answers = [question.answer for question in imported.questions if question.answer is not None]
    measured = {f"predict_{name}": value for name, value in figures(scores, answers).items() if math.isfinite(value)}
    measured |= interval_figures("predict", scores, answers)
    return {**measured, **baselines_of(imported.questions), "mcq_likelihood_norm": norm}


if __name__ == "__main__":
    sys.exit(main())
