"""The benchmarks of speed run from end to end; what they measure here means nothing."""

from __future__ import annotations

import json
import sys

import gpu
import provenance
import pytest


def run_gpu(monkeypatch, out, *more: str) -> dict:
    words = ["gpu.py", "--tiny", "--device", "cpu", "--prefix", "16", "24", "--mode", "train", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", [*words, *more])
    assert gpu.main() == 0
    return json.loads(out.read_text())


def test_all_ways_of_the_gpu_benchmark_agree_and_are_measured(monkeypatch, tmp_path):
    found = run_gpu(monkeypatch, tmp_path / "gpu.json", "--max-tokens", "250")
    assert [(row["prefix"], row["mode"]) for row in found["summary"]] == [(16, "train"), (24, "train")]
    assert all({*gpu.WAYS} <= row.keys() for row in found["summary"])
    for agreement in found["agreement"]:
        assert all(agreement[way]["gradients"] < 1e-4 for way in gpu.WAYS), "a faster way that computes something else"
    assert found["command"].endswith("--max-tokens 250")


def test_a_stopped_gpu_benchmark_says_so_and_sums_up_nothing_by_halves(monkeypatch, tmp_path):
    """A way whose batch was still growing was compared with others that had found their best."""
    found = run_gpu(monkeypatch, tmp_path / "gpu.json", "--minutes", "0")
    assert found["stopped_after_minutes"] == 0
    assert (len(found["cells"]), found["summary"]) == (1, [])


def test_nothing_that_is_not_worth_keeping_replaces_the_results(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--tiny", "--device", "cpu"])
    with pytest.raises(SystemExit):
        gpu.main()
    assert "--out" in capsys.readouterr().err


def test_a_copy_without_its_repository_says_where_it_is_from(monkeypatch):
    monkeypatch.setenv("SOURCE_COMMIT", "abc1234")
    assert provenance.commit() == "abc1234"
    monkeypatch.delenv("SOURCE_COMMIT")
    monkeypatch.setenv("PATH", "")
    assert provenance.commit() == "unknown", "no git here"
