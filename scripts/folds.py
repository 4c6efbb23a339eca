#!/usr/bin/env python3
"""Cross-validation: divide the training data into folds, and predict each with a model trained on the others.

    python scripts/folds.py --folds 5 --out out/folds -- \\
        --stage mcq --model_name_or_path MODEL --template llama2 --dataset llmscience_train --num_train_epochs 2

The words after -- are those of a training with src/train_bash.py, without --output_dir and --eval_dataset; the first
may be a config file. Near duplicates stay in one fold: a question in another order of its options, or reworded in a
word. Each fold trains and predicts in OUT/fold-I. Started again with the same arguments, it goes on where
it was stopped.

Writes OUT/folds.json ({id: fold}), OUT/results.json, and the files of a prediction with the out-of-fold predictions,
for scripts/audit_mcq.py --predictions, scripts/blend.py --fit_on and scripts/compare.py.
Exit status: 0 done, 1 a fold failed, 2 a mistake in the arguments or data, 143 after SIGTERM, 130 after SIGINT.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))


def main(argv: list[str] | None = None) -> int:
    """Run the folds that are not done; return the exit status."""
    from llmtuner.console import escape_unprintable

    escape_unprintable()
    words = list(sys.argv[1:] if argv is None else argv)
    end = words.index("--") if "--" in words else len(words)
    args = _parser().parse_args(words[:end])

    from llmtuner.errors import UserError
    from llmtuner.files import write_atomic
    from llmtuner.studies.carry_out_folds import carry_out_folds
    from llmtuner.studies.check_folds import check_folds
    from llmtuner.studies.fold_results import table
    from llmtuner.studies.folds import FoldStudy
    from llmtuner.studies.jobs import Stopped

    try:
        study = FoldStudy(args.out, words[end + 1 :], args.folds, args.seed)
        checked = check_folds(study, overwrite=args.overwrite)
        for line in checked.notices:
            print(f"note: {line}", file=sys.stderr)
        result, failed = carry_out_folds(checked, parallel=args.parallel, minutes=args.minutes)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Stopped as error:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return error.status
    shown = json.dumps(result, indent=1, ensure_ascii=False)
    print(shown if args.json == "-" else "\n".join(table(checked, result)))
    if args.json not in (None, "-"):
        write_atomic(args.json, shown + "\n")
    return 0 if not failed else 2 if 2 in failed.values() else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--folds", type=int, required=True, metavar="K", help="number of folds, at least 2")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of all folds")
    help_seed = "of the division; the trainings take the --seed behind -- (default: 0)"
    parser.add_argument("--seed", type=int, default=0, help=help_seed)
    parser.add_argument("--parallel", type=_count, default=1, metavar="N", help="folds at a time (default: 1)")
    parser.add_argument("--minutes", type=float, help="start no fold after so many minutes")
    parser.add_argument("--overwrite", action="store_true", help="run all folds afresh")
    help_json = "results as JSON in FILE, or instead of the table"
    parser.add_argument("--json", nargs="?", const="-", metavar="FILE", help=help_json)
    return parser


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, found {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
