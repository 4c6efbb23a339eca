#!/usr/bin/env python3
"""Run every combination of some flags' values, with several seeds, and print one table.

    python scripts/sweep.py --out out/sweep --set learning_rate=1e-4,3e-4 --set mcq_head=linear,duma --seeds 1,2,3 -- \\
        --stage mcq --model_name_or_path MODEL --template llama2 --do_train --dataset llmscience \\
        --do_predict --eval_dataset llmscience_valid

The words after -- are those of src/train_bash.py, without --seed and --output_dir; the first may be a config file. With
--do_train and --do_predict each piece trains, then predicts. A piece is one combination with one seed; its folder is
OUT/FLAG=V,FLAG=V/seed-S. All combinations are checked before the first one starts. Started again with the same flags,
the sweep goes on where it was stopped; more values and more seeds may be added.
Exit status: 0 done, 1 a piece failed, 2 a mistake in the arguments or data, 143 after SIGTERM, 130 after SIGINT.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from llmtuner.console import escape_unprintable
from llmtuner.errors import UserError
from llmtuner.spec.upstream_numbers import SEED
from llmtuner.studies.arguments import Outcome, add_study_flags, own_and_command, run_study
from llmtuner.studies.carry_out import carry_out
from llmtuner.studies.check_sweep import check_sweep
from llmtuner.studies.sweep import Sweep, read_setting
from llmtuner.studies.sweep_results import read_results, results_json, table


def main(argv: list[str] | None = None) -> int:
    """Run the pieces that are not done; return 0, 1 if a piece failed, 2 for a user's mistake, 143 after SIGTERM."""
    escape_unprintable()
    own, command = own_and_command(sys.argv[1:] if argv is None else argv)
    args = _parser().parse_args(own)

    def study() -> Outcome:
        sweep = Sweep(args.out, command, _settings(args.set), _seeds(args.seeds))
        if not sweep.words:
            raise UserError("no command to sweep: put the flags of src/train_bash.py behind --")
        checked = check_sweep(sweep, overwrite=args.overwrite)
        for line in checked.notices:
            print(f"note: {line}", file=sys.stderr)
        failed = carry_out([checked], parallel=args.parallel, minutes=args.minutes)
        results = read_results(sweep)
        return Outcome(results_json(sweep, results, failed), table(results), failed)

    return run_study(study, args.json)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the sweep")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FLAG=V,V,...",
        help="a flag and its values; repeated, every combination is run",
    )
    parser.add_argument("--seeds", default="42", metavar="S,S,...", help="seeds of every combination (default: 42)")
    add_study_flags(parser, "piece")
    return parser


def _settings(texts: list[str]) -> dict[str, list[str]]:
    settings: dict[str, list[str]] = {}
    for name, values in map(read_setting, texts):
        if name in settings:
            raise UserError(f"--set {name}=...: given twice; put all values behind one")
        settings[name] = values
    return settings


def _seeds(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise UserError(f"--seeds {text}: expected whole numbers, separated by commas")
    seeds = list(dict.fromkeys(map(int, parts)))
    refused = next((seed for seed in seeds if seed not in SEED), None)
    if refused is not None:
        raise UserError(f"--seeds {refused}: expected {SEED}")
    return seeds


if __name__ == "__main__":
    sys.exit(main())
