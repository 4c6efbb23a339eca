#!/usr/bin/env python3
"""The earlier name of merge.py, with the same arguments.

python scripts/merge_mcq.py mcq_checkpoint merged
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from merge import main, run

__all__ = ["main", "run"]

if __name__ == "__main__":
    sys.exit(run())
