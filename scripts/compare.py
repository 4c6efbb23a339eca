#!/usr/bin/env python3
"""Several predictions of the same questions in one table, with the floors under it.

    python scripts/compare.py STEP1=sft_predict STEP2=mcq_predict duma_predict

Each is the --output_dir of a prediction, with a name before it where the folder's is not enough.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from llmtuner.report.summary import score_table


def main(arguments: list[str]) -> int:
    """Print the table; 2 where a folder holds no scores, or the questions differ."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if arguments else 2
    models = {}
    try:
        for argument in arguments:
            name, equals, folder = argument.partition("=")
            path = Path(folder if equals else argument, "predict_results.json")
            metrics = json.loads(path.read_text(encoding="utf-8"))
            if "predict_map@3" not in metrics:
                raise ValueError(f"{path}: no scores in it; were its questions without answers?")
            models[name if equals else path.parent.name] = metrics
        print("\n".join(score_table(models)))
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
