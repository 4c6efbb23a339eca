"""The speed benchmarks run end to end on tiny models; the times are meaningless."""

from __future__ import annotations

import json
import sys

import gpu
import peers
import provenance
import pytest
import shared_prefix
import shots
import torch
from gpu_parts.model import WAYS
from support import ROOT


def run_gpu(monkeypatch, out, *more: str) -> dict:
    words = ["gpu.py", "--tiny", "--device", "cpu", "--prefix", "16", "24", "--mode", "train", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", [*words, *more])
    assert gpu.main() == 0
    return json.loads(out.read_text())


def test_all_ways_of_the_gpu_benchmark_agree_and_are_measured(monkeypatch, tmp_path):
    result = run_gpu(monkeypatch, tmp_path / "gpu.json", "--max-tokens", "250")
    assert [(row["prefix"], row["mode"]) for row in result["summary"]] == [(16, "train"), (24, "train")]
    assert all({*WAYS} <= row.keys() for row in result["summary"])
    for agreement in result["agreement"]:
        assert all(agreement[way]["gradients"] < 1e-4 for way in WAYS), "a faster way that computes something else"
    assert result["command"].endswith("--max-tokens 250")


def test_a_stopped_gpu_benchmark_says_so_and_summarises_complete_lengths_only(monkeypatch, tmp_path):
    """A method whose batch was still growing was compared with the best batch of others."""
    result = run_gpu(monkeypatch, tmp_path / "gpu.json", "--minutes", "0")
    assert result["stopped_after_minutes"] == 0
    assert (len(result["cells"]), result["summary"]) == (1, [])


def test_the_gpu_benchmark_writes_the_keys_of_the_committed_result(monkeypatch, tmp_path):
    """After the script was split, the next run on a GPU would miss a key of the tables."""
    result = run_gpu(monkeypatch, tmp_path / "gpu.json", "--max-tokens", "250", "--minutes", "60")
    committed = json.loads((ROOT / "benchmarks" / "results" / "gpu.json").read_text())
    assert list(committed.keys() - result.keys()) == ["stopped_after_minutes"]
    assert not result.keys() - committed.keys()
    for name in ("cells", "agreement", "masked_attention_probe"):
        measured_on_cuda = {"peak_gigabytes"}
        assert committed[name][0].keys() - measured_on_cuda == result[name][0].keys()
    ways = committed["summary"][0].keys() & set(WAYS)
    for way in ways:
        assert committed["summary"][0][way].keys() - {"peak_gigabytes"} == result["summary"][0][way].keys()
    assert result["hardware"] == provenance.hardware("cpu")


def test_a_copy_without_its_repository_names_its_commit(monkeypatch):
    monkeypatch.setenv("SOURCE_COMMIT", "abc1234")
    assert provenance.commit() == "abc1234"
    monkeypatch.delenv("SOURCE_COMMIT")
    monkeypatch.setenv("PATH", "")
    assert provenance.commit() == "unknown", "git is not installed"


def test_all_peers_score_the_same_questions_equally(monkeypatch, tmp_path):
    """A peer that reads different tokens or weights would measure a different task."""
    monkeypatch.setattr(peers, "SIZE", {"hidden_size": 32, "num_layers": 2, "vocab_size": 400, "seed": 0})
    out, exam = tmp_path / "peers.json", ROOT / "data" / "exam" / "test.jsonl"
    words = ["peers.py", "--questions", str(exam), "--limit", "5", "--rounds", "1", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", words)
    assert peers.main() == 0
    result = json.loads(out.read_text())
    assert {"sequence_classification", "per_option", "shared_prefix"} <= result["rows"].keys()
    assert result["hardware"] == provenance.hardware("cpu")
    assert max(result["largest_difference_from_shared_prefix"].values()) < 1e-5
    rows = result["rows"]
    assert rows["sequence_classification"]["tokens"] == rows["per_option"]["tokens"] > rows["shared_prefix"]["tokens"]
    assert result["token_ratio"] == pytest.approx(rows["per_option"]["tokens"] / rows["shared_prefix"]["tokens"], 1e-3)


def test_the_ways_of_the_shared_prefix_benchmark_have_the_same_gradients(monkeypatch):
    """The test built the model with an attention that the benchmark itself did not register."""
    monkeypatch.setattr(shared_prefix, "SIZES", {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2})
    model = shared_prefix.build()
    monkeypatch.setattr(model, "zero_grad", lambda **_: None)
    gradients = {}
    for name, way in shared_prefix.WAYS.items():
        for parameter in model.parameters():
            parameter.grad = None
        model.set_attn_implementation(way.attention)
        shared_prefix.step(model, way, [shared_prefix.question(40)] * way.questions, backward=True)
        gradients[name] = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    expected = gradients.pop("shared_prefix")
    assert expected.norm() > 0
    for name, gradient in gradients.items():
        assert (gradient - expected).norm() < 1e-4 * expected.norm(), name


def test_shots_are_scored_the_same_both_ways(monkeypatch, tiny_llama, tmp_path):
    out = tmp_path / "shots.json"
    words = ["shots.py", "--model", str(tiny_llama), "--questions", "3", "--shots", "2", "--rounds", "1"]
    monkeypatch.setattr(sys, "argv", [*words, "--layouts", *shots.HEADS, "--out", str(out)])
    shots.main()
    results = json.loads(out.read_text())["results"]
    assert [each["layout"] for each in results] == list(shots.HEADS)
    assert all(each["same_ranking"] == 3 and each["shot_tokens"] > 0 for each in results)
