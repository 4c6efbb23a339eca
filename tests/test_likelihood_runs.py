"""Runs with the likelihood head: without training, trained, merged, and under another head."""

from __future__ import annotations

import json

import pytest
import torch
from step2 import QUICK, config, lines, predict_command, probabilities, results, train_command
from support import DEMO, load_script

from llmtuner.cli.main import main
from llmtuner.data.load import read_questions
from llmtuner.mcq import load_scorer

HEAD = ("--mcq_head", "likelihood")
ZERO_SHOT = (*HEAD, "--template", "llama2", "--max_samples", "10")


@pytest.fixture(scope="module")
def trained(tiny_llama, tmp_path_factory):
    out = tmp_path_factory.mktemp("likelihood") / "trained"
    assert main(train_command(tiny_llama, out, *QUICK, *HEAD, "--mcq_likelihood_norm", "token")) == 0
    return out


def test_it_needs_no_training_and_both_layouts_agree(tiny_llama, tmp_path):
    scores_by_layout = {}
    for layout in ("shared_prefix", "per_option"):
        out = tmp_path / layout
        assert main(predict_command(tiny_llama, out, *ZERO_SHOT, "--mcq_layout", layout)) == 0
        shown = results(out)
        assert (shown["mcq_layout"], shown["mcq_likelihood_norm"]) == (layout, "char")
        scores_by_layout[layout] = lines(out)
    questions = read_questions(DEMO, purpose="predict").questions[:10]
    for one, two, question in zip(*scores_by_layout.values(), questions, strict=True):
        for letter, text in zip(question.letters, question.options, strict=True):
            total = one["loglikelihood"][letter]
            assert abs(total - two["loglikelihood"][letter]) <= 1e-4 * (1 + abs(total))
            assert abs(one["probabilities"][letter] - two["probabilities"][letter]) <= 1e-5
            assert one["scores"][letter] == pytest.approx(total / len(text))
        assert one["option_tokens"] == two["option_tokens"]


def test_a_blank_option_is_null_in_the_files_and_named(tiny_llama, tmp_path, capsys):
    rows = [{"query": "Which?", "choices": ["a volt", " ", "an ohm"], "gold": gold} for gold in (0, 1)]
    data, out = tmp_path / "rows.jsonl", tmp_path / "out"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    more = (*HEAD, "--template", "llama2", "--mcq_likelihood_norm", "pmi")
    command = predict_command(tiny_llama, out, *more)
    command[command.index("llmscience_sample")] = str(data)
    assert main(command) == 0
    for line in lines(out):
        assert line["ranking"][2] == "B"
        assert (line["scores"]["B"], line["loglikelihood"]["B"], line["probabilities"]["B"]) == (None, None, 0.0)
        assert line["option_tokens"]["B"] == 0
    assert "2 options are blank" in (message := capsys.readouterr().err)
    assert "rows.jsonl:1: id 0: option B" in message
    of_first = 1 if lines(out)[0]["ranking"][0] == "A" else 1 / 2
    assert results(out)["predict_map@3"] == pytest.approx((of_first + 1 / 3) / 2), "a blank answer ranks last"
    assert load_script("compare").main([f"a={out}", f"b={out}"]) == 0
    audit = load_script("audit_mcq").main([str(data), "--predictions", str(out / "predictions.jsonl")])
    assert audit == 0


def test_a_trained_model_comes_back_merged_or_not(tiny_llama, trained, tmp_path):
    out, before, merged = tmp_path / "out", tmp_path / "before", tmp_path / "merged"
    assert config(trained)["likelihood_norm"] == "token"
    assert set(config(trained)["prompt"]) == {"template", "option", "neutral"}
    assert main(predict_command(tiny_llama, out, adapter=trained)) == 0
    assert results(out)["mcq_likelihood_norm"] == "token"
    assert main(predict_command(tiny_llama, before, *ZERO_SHOT[:4], "--mcq_likelihood_norm", "token")) == 0
    assert (probabilities(out) - probabilities(before)).abs().max() > 1e-3, "the adapter is at work"
    actual = load_scorer(trained).score(read_questions(DEMO, purpose="predict").questions[:5])
    scored = torch.tensor([prediction.probabilities for prediction in actual]).float()
    torch.testing.assert_close(scored, probabilities(out)[:5], atol=1e-5, rtol=0)
    assert load_script("merge").main([str(trained), str(merged)]) == 0
    whole = load_scorer(merged).score(read_questions(DEMO, purpose="predict").questions[:5])
    assert [prediction.option_tokens for prediction in whole] == [prediction.option_tokens for prediction in actual]
    for one, two in zip(whole, actual, strict=True):
        assert one.loglikelihood == pytest.approx(two.loglikelihood, rel=1e-4)


def test_another_head_starts_on_top_of_it(tiny_llama, trained, tmp_path, capsys):
    """The adapter's settings describe no head that could be loaded."""
    out, predicted = tmp_path / "out", tmp_path / "predicted"
    command = train_command(tiny_llama, out, *QUICK, "--mcq_head", "duma", "--adapter_name_or_path", str(trained))
    assert main(command) == 0
    assert "a fresh duma head is trained on top" in capsys.readouterr().err
    assert config(out)["merged_adapters"] == [str(trained)]
    assert main(predict_command(tiny_llama, predicted, "--max_samples", "4", adapter=out)) == 0
    assert results(predicted)["mcq_head"] == "duma"
    assert "loglikelihood" not in lines(predicted)[0]
