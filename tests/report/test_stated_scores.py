"""One reader of predict_results.json: compare, report and blend refuse the same damage in the same words."""

from __future__ import annotations

import json

import pytest

from llmtuner.errors import UserError
from llmtuner.report.stated_scores import read_stated


def test_a_folder_without_the_file_states_nothing(tmp_path):
    assert read_stated(tmp_path) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[1]", "expected an object with figures"),
        ({"predict_map@3": "0.5"}, r"predict_map@3 is '0\.5'; expected a number from 0 to 1"),
        ({"predict_map@3": float("nan")}, "predict_map@3 is nan; expected a number from 0 to 1"),
        ({"predict_accuracy": 1.5}, r"predict_accuracy is 1\.5"),
        ({"predict_map@3_low": None}, "predict_map@3_low is None; expected a number;"),
        ({"floor_place_map@3": 0.5}, "floor_place_accuracy is missing; floor_place_map@3 is there"),
        (
            {"predict_map@3": 0.9, "predict_map@3_low": 0.2, "predict_map@3_high": 0.4},
            "predict_map@3 is 0.9; expected .*",
        ),
        ({"floor_place_map@3": True, "floor_place_accuracy": 0.5}, "floor_place_map@3 is True"),
    ],
)
def test_damage_is_named_with_file_figure_and_value(content, message, tmp_path):
    text = content if isinstance(content, str) else json.dumps(content)
    (tmp_path / "predict_results.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=rf"predict_results\.json: {message}.*predict again"):
        read_stated(tmp_path)


def test_other_keys_and_bounds_outside_of_the_shares_are_left_alone(tmp_path):
    """The interval of a few questions may reach below 0."""
    stated = {
        "predict_map@3": 0.0,
        "predict_map@3_low": -0.1,
        "floor_place_from": "data",
        "predict_runtime": 7,
        "x": [],
    }
    (tmp_path / "predict_results.json").write_text(json.dumps(stated), encoding="utf-8")
    assert read_stated(tmp_path) == stated
