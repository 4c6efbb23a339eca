#!/usr/bin/env python3
"""The entry point: every stage of LLaMA-Factory, with multiple-choice data and scores.

python src/train_bash.py --stage sft --model_name_or_path MODEL --do_train --dataset llmscience ...
python src/train_bash.py --help
"""

import sys
from pathlib import Path

# This also works without installing the project: the package is beside this file, the patches one folder up.
sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]

from llmtuner.cli.main import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
