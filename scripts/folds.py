#!/usr/bin/env python3
"""Cross-validation: divide the training data into folds, and predict each with a model trained on the others.

    python scripts/folds.py --folds 5 --out out/folds -- \\
        --stage mcq --model_name_or_path MODEL --template llama2 --dataset llmscience --num_train_epochs 2

The words after -- are those of a training with src/train_bash.py, without --output_dir and --eval_dataset; the first
may be a config file. Near duplicates stay in one fold: a question with its options in another order, or with a
word changed. Each fold trains and predicts in DIR/fold-I. Started again with the same arguments, it goes on where
it was stopped.

Writes DIR/folds.json ({id: fold}), DIR/results.json, and the files of a prediction with the out-of-fold predictions,
for scripts/audit_mcq.py --predictions, scripts/blend.py --fit_on and scripts/compare.py.
Exit status: 0 done, 1 a fold failed, 2 a mistake in the arguments or data, 143 after SIGTERM, 130 after SIGINT.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from llmtuner.console import escape_unprintable
from llmtuner.studies.arguments import Outcome, add_study_flags, own_and_command, run_study


def main(argv: list[str] | None = None) -> int:
    """Run the folds that are not done; return the exit status."""
    escape_unprintable()
    own, command = own_and_command(sys.argv[1:] if argv is None else argv)
    args = _parser().parse_args(own)

    def study() -> Outcome:
        from llmtuner.studies.carry_out_folds import carry_out_folds
        from llmtuner.studies.check_folds import check_folds
        from llmtuner.studies.fold_results import table
        from llmtuner.studies.folds import FoldStudy

        checked = check_folds(FoldStudy(args.out, command, args.folds, args.seed), overwrite=args.overwrite)
        for line in checked.notices:
            print(f"note: {line}", file=sys.stderr)
        result, failed = carry_out_folds(checked, parallel=args.parallel, minutes=args.minutes)
        return Outcome(result, table(checked, result), failed)

    return run_study(study, args.json)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--folds", type=int, required=True, metavar="K", help="number of folds, at least 2")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of all folds")
    help_seed = "seed of the division; the trainings take the --seed after -- (default: 0)"
    parser.add_argument("--seed", type=int, default=0, help=help_seed)
    add_study_flags(parser, "fold")
    return parser


if __name__ == "__main__":
    sys.exit(main())
