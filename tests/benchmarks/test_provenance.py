"""Committed results: no trial replaces them, and each says where it comes from."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import re
import sys
from pathlib import Path

import provenance
import pytest
import torch
from support import ROOT

BENCHMARKS = ROOT / "benchmarks"
RESULTS = sorted((BENCHMARKS / "results").glob("*.json"))
SCRIPTS = sorted(path.stem for path in BENCHMARKS.glob("*.py") if path.stem != "provenance")


class ParserReached(Exception):
    """Carries the parser of a benchmark."""


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_trial_never_replaces_a_committed_result(name, monkeypatch):
    """A trial with fewer seeds, run without --out, replaced the evidence of docs/results.md."""

    def stop(parser, *_):
        raise ParserReached(parser)

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    monkeypatch.setattr(sys, "argv", [f"{name}.py"])
    with pytest.raises(ParserReached) as reached:
        importlib.import_module(name).main()
    parser = reached.value.args[0]
    assert "--out" in parser._option_string_actions
    default = parser.get_default("out")  # None: below --work, or no file
    assert default is None or default == ROOT / "out" / "benchmarks" / f"{name}.json"
    work = parser.get_default("work")
    assert work is None or work.is_relative_to(ROOT / "out"), "ignored by git"


def test_hardware_names_device_cores_and_torch():
    """ "x86_64 without a GPU" had the times of 2 cores and of 64 in one mean."""
    expected = f"{os.cpu_count()} cores, {platform.machine()}, no GPU, torch {torch.__version__}"
    assert provenance.hardware("cpu") == expected


def test_a_result_gets_its_folder(tmp_path):
    path = tmp_path / "out" / "benchmarks" / "name.json"
    provenance.write_result({"a": 1}, path)
    assert json.loads(path.read_text()) == {"a": 1}


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_every_committed_result_names_its_command_commit_and_hardware(path):
    stored = json.loads(path.read_text())
    about = stored.get("about", stored)
    assert re.match(r"python benchmarks/\w+\.py", about["command"])
    assert about.get("commit") or about.get("commits")
    assert about.get("hardware") or about.get("machines") or about.get("cpu")


def test_the_index_lists_every_benchmark_and_every_result():
    """A result without a row cannot be repeated; head_rate.json had no script."""
    index = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    rows = [line for line in index.splitlines() if line.startswith("|")]
    for path in [*RESULTS, *(BENCHMARKS / f"{name}.py" for name in SCRIPTS)]:
        link = f"({path.relative_to(BENCHMARKS)})"
        assert any(link in row for row in rows), f"no row links to {link}"
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", index):
        assert (BENCHMARKS / target).exists(), target
    for script, flags in re.findall(r"python benchmarks/(\w+)\.py([^`\n]*)", index):
        source = Path(BENCHMARKS / f"{script}.py").read_text(encoding="utf-8")
        for flag in re.findall(r"--(\w[\w-]*)", flags.split(" -- ")[0]):
            assert f'"--{flag}"' in source, f"{script}.py has no --{flag}"
