"""The table of scores."""

from __future__ import annotations

import pytest

from llmtuner.report.summary import NOT_ABOVE, score_table

CHANCE = 11 / 24  # of four options: 0.45833..., which no rounding to 12 digits keeps


@pytest.mark.parametrize(("low", "above"), [(CHANCE, False), (CHANCE + 1e-15, False), (CHANCE + 1e-3, True)])
def test_a_score_at_chance_is_not_above_it(low, above):
    """A baseline that is always at chance lost its remark when chance was rounded and its own bound was not."""
    model = {"predict_map@3": 0.5, "predict_map@3_low": low, "predict_map@3_high": 0.6, "predict_accuracy": 0.3}
    place = {"floor_place_map@3": CHANCE, "floor_place_map@3_low": low, "floor_place_map@3_high": 0.6}
    random = {"floor_random_map@3": CHANCE, "floor_random_accuracy": 0.25, "floor_place_accuracy": 0.25}
    lines = {line.split("  ")[0]: line for line in score_table({"model": {**model, **place, **random}})}
    for name in ("model", "most frequent place"):
        assert lines[name].endswith(NOT_ABOVE) != above
