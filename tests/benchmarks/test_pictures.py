"""The picture of what a command prints."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest
from pictures import BLUE, GREY, INK, drawn

LINES = [
    "MAP@3   difference",
    "  <a> & b   -0.372   [-0.426, -0.318]",
    "c - d   +0.001   [-0.023, +0.023]",
    "",
    "for a difference of 0.01",
]


def test_only_differences_beyond_luck_are_blue():
    """Text with markup is text, and a line is where it was."""
    texts = ElementTree.fromstring(drawn(LINES)).findall(".//{*}text")
    assert [text.text for text in texts] == [line.strip() for line in LINES if line]
    assert [text.get("fill") for text in texts] == [GREY, BLUE, INK, GREY]
    left, top = ([float(text.get(name)) for text in texts] for name in "xy")
    assert left[1] > left[0] == left[2]
    assert top[3] - top[2] == pytest.approx(2 * (top[2] - top[1]))
