"""The llmscience data sets, built from the Kaggle files as they are downloaded.

    from llmtuner.data.prepare import Settings, prepare
    built = prepare("data/raw", "data/llmscience", Settings(hold_out=("official",)))

What each step does stands in its module: `sources` (which files there should be), `find` (where they are, also inside
zip files), `build` (what repeats, what contradicts, what goes where), `write` (files and manifest), `place` (the output
folder, all or nothing, and what an interrupted build has left).
"""

from llmtuner.data.prepare.build import Built, Settings
from llmtuner.data.prepare.prepare import prepare

__all__ = ["Built", "Settings", "prepare"]
