"""Models that upstream loads are whole: weights that the files lack are refused, not drawn at random.

Upstream: the names `AutoModelForCausalLM` and `AutoModelForImageTextToText` in `llamafactory.model.loader` (0.9.0 to
0.9.5), whose `from_pretrained` reads the weights. transformers fills up missing ones with random values and a line in
the log; every score of such a model is noise.
Can go when upstream looks at transformers' loading report.
"""

from __future__ import annotations

from typing import Any

from llmtuner.spec.heads import HEADS
from patches.option_head import current_run
from patches.seam import Seam

SEAM = Seam("llamafactory.model.loader", "AutoModelForCausalLM", ("args", "kwargs"))
COMPOSITE = Seam("llamafactory.model.loader", "AutoModelForImageTextToText", ("args", "kwargs"))


def apply() -> None:
    """Put subclasses where upstream's loader looks for the classes."""
    SEAM.replace(_whole)
    COMPOSITE.replace(_whole)


def _whole(upstream: type) -> type:
    class Whole(upstream):
        @classmethod
        def from_pretrained(cls, pretrained_model_name_or_path: str, **kwargs: Any) -> Any:
            from llmtuner.mcq.whole import load_whole

            run = current_run()
            scores_tokens = run is None or not HEADS[run.settings.head].pools
            load = upstream.from_pretrained  # type: ignore[attr-defined]
            return load_whole(load, pretrained_model_name_or_path, scores_tokens=scores_tokens, **kwargs)

    Whole.__name__ = upstream.__name__
    return Whole
