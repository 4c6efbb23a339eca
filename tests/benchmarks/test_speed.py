"""The benchmarks of speed run from end to end; what they measure here means nothing."""

from __future__ import annotations

import json
import sys

import gpu
import peers
import provenance
import pytest
import shared_prefix
import torch
from support import ROOT
from transformers import LlamaConfig, LlamaForCausalLM

from llmtuner.mcq.choices import resolve
from llmtuner.mcq.model import attach_head


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


def test_the_peers_score_the_same_questions_alike(monkeypatch, tmp_path):
    """A rival that reads other tokens or weights would be compared with something else."""
    monkeypatch.setattr(peers, "SIZE", {"hidden_size": 32, "num_layers": 2, "vocab_size": 400, "seed": 0})
    out, exam = tmp_path / "peers.json", ROOT / "data" / "exam" / "test.jsonl"
    words = ["peers.py", "--questions", str(exam), "--limit", "5", "--rounds", "1", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", words)
    assert peers.main() == 0
    found = json.loads(out.read_text())
    assert {"sequence_classification", "per_option", "shared_prefix"} <= found["rows"].keys()
    assert max(found["largest_difference_from_shared_prefix"].values()) < 1e-5
    rows = found["rows"]
    assert rows["sequence_classification"]["tokens"] == rows["per_option"]["tokens"] > rows["shared_prefix"]["tokens"]
    assert found["token_ratio"] == pytest.approx(rows["per_option"]["tokens"] / rows["shared_prefix"]["tokens"], 1e-3)


def test_the_ways_of_the_shared_prefix_benchmark_have_the_same_gradients(monkeypatch):
    torch.manual_seed(0)
    sizes = {"vocab_size": 2000, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    config = LlamaConfig(**sizes, num_attention_heads=4, num_key_value_heads=4)
    model = attach_head(LlamaForCausalLM(config), resolve("causal"))
    monkeypatch.setattr(model, "zero_grad", lambda **_: None)
    gradients = {}
    for name, way in shared_prefix.WAYS.items():
        for parameter in model.parameters():
            parameter.grad = None
        model.set_attn_implementation(way.attention)
        shared_prefix.step(model, way, [shared_prefix.question(40)] * way.questions, backward=True)
        gradients[name] = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    wanted = gradients.pop("shared_prefix")
    assert wanted.norm() > 0
    for name, found in gradients.items():
        assert (found - wanted).norm() < 1e-4 * wanted.norm(), name
