"""The charts: round marks on the axes, and drawings that hold what they were given."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtuner.report.run_report.charts import (
    Axis,
    bars_chart,
    calibration_chart,
    confidence_chart,
    confusion_chart,
    curves_chart,
    difference_bar,
    interval_bar,
)
from llmtuner.report.run_report.figures import Bin


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5), st.booleans())
def test_an_axis_reaches_around_all_values(values, whole):
    """A curve left its frame, or an axis of equal values divided by zero."""
    axis = Axis.over([round(value) for value in values] if whole else values, 40, 300, whole=whole)
    for value in values:
        at = axis.at(round(value) if whole else value)
        assert 40 - 1e-3 <= at <= 300 + 1e-3
    assert 2 <= len(axis.ticks) <= 8
    if whole:
        assert all(float(tick).is_integer() for tick in axis.ticks)


CHARTS = {
    "curves": curves_chart([((1.0, 2.0), (2.0, 1.0)), ((2.0, 1.5),)], "Loss by step"),
    "calibration": calibration_chart([[Bin(3, 0.2, 0.0), Bin(9, 0.9, 1.0)]]),
    "confusion": confusion_chart([[3, 1], [0, 0]]),
    "ten": confusion_chart([[12_345] * 10] * 10),
    "bars": bars_chart([0, 0], "Places", "ranked first"),
    "confidence": confidence_chart([0.2, 0.20001, 1.0]),
    "interval": interval_bar(0.5, (0.4, 0.6), 7, 0.458),
    "no interval": interval_bar(1.0, None, 0),
    "difference": difference_bar(-0.1, (-0.2, 0.0), 0.2),
}


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_is_well_formed_and_has_no_style_or_script(name):
    """The page's policy refuses style attributes: a colour given so would be missing."""
    root = ElementTree.fromstring(CHARTS[name])
    assert root.get("aria-label")
    _, _, width, height = map(float, root.get("viewBox").split())
    for element in root.iter():
        assert element.tag in {"svg", "g", "line", "text", "polyline", "circle", "rect", "path", "title"}
        assert not {"style", "href", "id"} & set(element.attrib)
        for key, limit in (("x", width), ("y", height), ("cx", width), ("cy", height)):
            assert -1e-6 <= float(element.get(key, 0)) <= limit
    assert "nan" not in CHARTS[name]


def test_the_table_of_places_has_rows_of_answers():
    """Rows and columns were swapped: a model that always says A looked unbiased."""
    titles = re.findall(r"<title>(.*?)</title>", confusion_chart([[3, 1], [2, 0]]))
    assert titles == [
        "answer A, ranked first A: 3 (75.0%)",
        "answer A, ranked first B: 1 (25.0%)",
        "answer B, ranked first A: 2 (100.0%)",
        "answer B, ranked first B: 0 (0.0%)",
    ]


def test_confidences_fall_into_tenths_that_include_their_end():
    counts = re.findall(r"<title>(\d+)</title>", CHARTS["confidence"])
    assert counts == ["0", "1", "1", "0", "0", "0", "0", "0", "0", "1"]


def test_a_difference_without_zero_is_marked():
    assert "span away" in difference_bar(0.1, (0.05, 0.2), 0.2)
    assert "span around" in difference_bar(0.1, (-0.05, 0.2), 0.2)
