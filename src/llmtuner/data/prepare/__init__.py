"""Builds the llmscience data sets from the Kaggle files as downloaded.

    from llmtuner.data.prepare import BuildSettings, prepare_llmscience
    prepared = prepare_llmscience("data/raw", "data/llmscience", BuildSettings(hold_out=("official",)))

Each step has its own module: `sources` (the expected files), `find` (their paths, also inside zip files), `build`
(repeats, contradictions, and the rows of each set), `write` (files and manifest), and `place` (the output folder, which
is replaced as a whole and cleaned up after an interrupted build).
"""

from llmtuner.data.prepare.build import BuildSettings, Built
from llmtuner.data.prepare.prepare import Prepared, prepare_llmscience

__all__ = ["BuildSettings", "Built", "Prepared", "prepare_llmscience"]
