"""A dry run in the terminal: the same text with and without colours."""

from __future__ import annotations

import os
import sys
from dataclasses import replace

import pytest
from rich.console import Console

from llmtuner.report.dry_run import DryRun, Lengths, Measured, Memory, Prompt, Setting, Token
from llmtuner.report.dry_run_text import lines_of, plain, show

TOKENS = (
    Token(1, "<s>", "template", False),
    Token(2, "Why", "question", False),
    Token(3, "?", "question", False),
    Token(4, " \x1b[31mred", "option", True),
)
OTHER = (*TOKENS[:3], Token(5, " blue", "option", True))
MEMORY = Memory("training", "CPU", 100, 10, 1, 2, 3, 16, True, True, True)
MEASURED = Measured(
    prompts=(Prompt("7", "a.csv:2", "the first", 4, 0, 0, (TOKENS, OTHER)),),
    lengths=(Lengths.of("training", [5, 7, 9, 100], 50, cut=1, too_long=0),),
    memory=(MEMORY,),
)
DRY = DryRun("--stage mcq, do_train", "out", (Setting("seed", "42", "default"),), (), measured=MEASURED)


def test_every_token_has_its_role_and_what_is_scored_is_marked():
    text = plain(lines_of(DRY))
    assert (
        "    template      1  <s>\n    question      2  Why?\n    -- option A\n    option   *    1   \\x1b[31mred"
        in text
    )
    assert text.count("Why?") == 1, "what the options share is shown once"
    assert all(line.isprintable() for line in text.split("\n"))


def test_the_legend_names_every_role():
    text = plain(lines_of(DRY))
    for role in ("template", "example", "context", "question", "option", "letter"):
        assert role in text.partition("colours:")[2].partition("id 7")[0]
    assert "*  the score" in text


@pytest.mark.parametrize("colours", [True, False])
def test_colours_are_for_terminals_that_want_them(colours, monkeypatch, capsys):
    """NO_COLOR is respected, and a pipe never gets an escape sequence."""
    monkeypatch.setattr(Console, "_environ", os.environ)  # another test may have replaced it when rich was imported
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if not colours:
        monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    show(DRY)
    shown = capsys.readouterr().out
    assert ("\x1b[3" in shown) == colours
    assert "Why?" in shown
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False, raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich would colour a pipe
    show(DRY)
    assert "\x1b" not in capsys.readouterr().out


def test_quantiles_are_lengths_that_occur_and_bins_hold_every_question():
    lengths = Lengths.of("training", [*range(1, 101)], 90, cut=10, too_long=0)
    assert (lengths.minimum, lengths.median, lengths.p95, lengths.maximum) == (1, 50, 96, 100)
    assert sum(count for _, _, count in lengths.bins) == 100
    one = Lengths.of("training", [7], 90, cut=0, too_long=0)
    assert (one.minimum, one.median, one.p95, one.maximum, one.bins) == (7, 7, 7, 7, ((7, 7, 1),))


def test_the_verdict_follows_the_memory():
    assert "It fits." in plain(lines_of(DRY))
    measured = replace(MEASURED, memory=(MEMORY, replace(MEMORY, fits=False)), advice=("training: --cutoff_len 5",))
    large = replace(DRY, measured=measured)
    assert large.status == "does not fit"
    assert "It does not fit. Smallest change: training: --cutoff_len 5" in plain(lines_of(large))
    assert "Whether it fits is not known." in plain(lines_of(replace(DRY, measured=None)))
    assert "would not begin" in plain(lines_of(replace(DRY, measured=None, error="x")))
