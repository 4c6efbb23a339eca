"""STEP3 end to end, in process: every head trains, saves, loads, resumes and predicts, in both layouts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from step2 import QUICK, config, lines, predict_command, probabilities, results, train_command
from support import DEMO, forget_manifests

from llmtuner.cli.main import main
from llmtuner.data.load import read_questions
from llmtuner.mcq import load_scorer, objective
from llmtuner.mcq.collate import Twice
from llmtuner.mcq.heads import HEADS
from llmtuner.mcq.losses import LOSSES

NEW_HEADS = [name for name in HEADS if name != "linear"]
LAYOUTS = ["shared_prefix", "per_option"]
FAST = (*QUICK, "--save_strategy", "no")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("head", NEW_HEADS)
def test_a_head_trains_is_saved_resumes_and_predicts(head, layout, tiny_llama, tmp_path, capsys):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    flags = ("--mcq_head", head, "--mcq_layout", layout, *QUICK, "--save_steps", "3", "--lora_dropout", "0.1")
    assert main(train_command(tiny_llama, whole, *flags)) == 0
    assert f"head: {head}, " in capsys.readouterr().err, "its size is printed at the start"
    stored = config(whole)
    assert (stored["head"], stored["layout"]) == (head, layout)
    weights = load_file(whole / "adapter_model.safetensors")
    of_head = {name: tensor for name, tensor in weights.items() if "mcq_head" in name}
    assert of_head
    assert not any("lora_" in name for name in of_head), "no layer of the head gets an adapter"
    zeroed = [tensor for name, tensor in of_head.items() if "mcq_fuse" in name or "mcq_others" in name]
    assert all(tensor.abs().max() > 0 for tensor in zeroed), "what starts at zero has learnt"

    resumed = ("--resume_from_checkpoint", str(whole / "checkpoint-3"))
    assert main(train_command(tiny_llama, stopped, *flags, *resumed)) == 0
    again = load_file(stopped / "adapter_model.safetensors")
    assert all(torch.equal(tensor, again[name]) for name, tensor in weights.items()), "resumed is uninterrupted"

    actual = tmp_path / "predict"
    other_layout = LAYOUTS[layout == LAYOUTS[0]]
    assert main(predict_command(tiny_llama, actual, "--mcq_layout", other_layout, adapter=whole)) == 0
    assert (results(actual)["mcq_head"], results(actual)["mcq_layout"]) == (head, other_layout)

    questions = read_questions(DEMO, purpose="predict").questions[:3]
    scored = load_scorer(whole).score(questions)  # in the layout of the training
    first = torch.tensor([prediction.probabilities for prediction in scored])
    torch.testing.assert_close(first, probabilities(actual)[:3], atol=1e-5, rtol=0)


@pytest.mark.parametrize(("head", "tuning"), [("duma", "full"), ("cduma", "freeze")])
def test_a_whole_model_keeps_its_head(head, tuning, tiny_llama, tmp_path):
    model, actual = tmp_path / "model", tmp_path / "predict"
    given = ("--mcq_head", head, "--finetuning_type", tuning, "--mcq_duma_width", "32", "--mcq_duma_layers", "2")
    more = ("--freeze_trainable_layers", "1") if tuning == "freeze" else ()
    often = (*QUICK, "--save_steps", "3")
    assert main(train_command(tiny_llama, model, *often, *given, *more)) == 0
    assert config(model)["duma"]["width"] == 32
    weights = load_file(model / "model.safetensors")
    resumed = ("--resume_from_checkpoint", str(model / "checkpoint-3"))
    assert main(train_command(tiny_llama, tmp_path / "resumed", *often, *given, *more, *resumed)) == 0
    again = load_file(tmp_path / "resumed" / "model.safetensors")
    assert all(torch.equal(tensor, again[name]) for name, tensor in weights.items()), "resumed is uninterrupted"
    names = [name for name in weights if name.startswith("mcq_head.")]
    assert "mcq_head.mcq_attend.1.mcq_query.weight" in names
    assert not any("lora_" in name for name in names)
    assert main(predict_command(model, actual)) == 0
    assert results(actual)["predict_ece"] >= 0


def test_a_head_can_be_trained_alone(tiny_llama, tmp_path):
    """Where co-attention helps: on a frozen model."""
    model, actual = tmp_path / "model", tmp_path / "predict"
    alone = ("--finetuning_type", "freeze", "--freeze_trainable_layers", "0", "--mcq_head", "duma")
    assert main(train_command(tiny_llama, model, *FAST, *alone, "--max_samples", "8")) == 0
    before, after = (load_file(folder / "model.safetensors") for folder in (tiny_llama, model))
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert after["mcq_head.mcq_fuse.weight"].abs().max() > 0
    assert main(predict_command(model, actual)) == 0
    assert results(actual)["mcq_head"] == "duma"


@pytest.mark.parametrize(
    ("way", "head"),
    [
        ("adapter", "cduma"),
        ("new adapter", "cduma"),
        ("whole model", "cduma"),
        ("encoder", "cduma"),
        ("adapter", "option_mean"),
    ],
)
def test_step3_starts_where_step2_ended(way, head, tiny_llama, tiny_bert, tmp_path):
    """A fresh head on STEP2's model would discard its classifier; an extended head starts from its scores."""
    step2, still, step3 = tmp_path / "step2", tmp_path / "still", tmp_path / "step3"
    full = ("--finetuning_type", "full") if way == "whole model" else ()
    given = tiny_bert if way == "encoder" else tiny_llama
    assert main(train_command(given, step2, *FAST, *full)) == 0
    base, adapter = (step2, None) if full else (given, step2)
    grown = (*FAST, *full, "--mcq_head", head, *(("--mcq_duma_width", "32") if head == "cduma" else ()))
    grown += () if full else ("--adapter_name_or_path", str(step2))
    grown += ("--create_new_adapter",) if way == "new adapter" else ()
    no_step = ("--learning_rate", "1e-20", "--head_learning_rate", "1e-20", "--max_steps", "1")
    assert main(train_command(base, still, *grown, *no_step)) == 0
    assert main(train_command(base, step3, *grown, "--cutoff_len", "90")) == 0
    stored = config(step3)
    assert stored["cutoff_len"] == 90, "prediction keeps to what was trained with"
    assert (stored["head"], stored["pooling"]) == (head, config(step2)["pooling"])
    assert stored["duma"].get("width") == (32 if head == "cduma" else None)

    def predicted(model: Path) -> torch.Tensor:
        actual = tmp_path / f"{model.name}_predict"
        places = (model, None) if full else (given, model)
        assert main(predict_command(places[0], actual, adapter=places[1])) == 0
        return probabilities(actual)

    before = predicted(step2)
    torch.testing.assert_close(predicted(still), before, atol=1e-6, rtol=0)
    after = predicted(step3)
    assert (after - before).abs().max() > 1e-3
    questions = read_questions(DEMO, purpose="predict").questions[:3]
    loaded = torch.tensor([prediction.probabilities for prediction in load_scorer(step3).score(questions)])
    torch.testing.assert_close(loaded, after[:3], atol=1e-5, rtol=0)
    assert main(predict_command(base, tmp_path / "other", "--mcq_head", head, adapter=adapter)) == 2


@pytest.mark.parametrize("loss", LOSSES)
def test_a_run_minimises_the_loss_that_it_was_given(loss, tiny_llama, tmp_path):
    """A wrong loss, or a wrong mean of it, also changes from step to step. Here the weights stay fixed, so it shows."""
    still = ("--mcq_loss", loss, "--learning_rate", "1e-30", "--num_train_epochs", "1")
    shown = ("--do_predict", "--eval_dataset", "llmscience_sample")
    assert main(train_command(tiny_llama, tmp_path, *FAST, *still, *shown)) == 0
    assert config(tmp_path)["loss"] == loss
    scores = torch.tensor([list(line["scores"].values()) for line in lines(tmp_path)])
    answers = torch.tensor(["ABCDE".index(line["answer"]) for line in lines(tmp_path)])
    wanted = LOSSES[loss](scores, answers, torch.ones_like(scores, dtype=torch.bool))
    logged = history(tmp_path)
    assert len(logged) == 3, "steps of four questions"
    assert sum(logged) / 3 == pytest.approx(float(wanted.mean()), rel=1e-4)


def history(folder: Path, name: str = "loss") -> list[float]:
    logged = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    return [line[name] for line in logged if name in line]


def test_a_warm_up_is_cross_entropy_and_then_the_loss(tiny_llama, tmp_path):
    """6 steps, half of them warm-up: the first three are those of cross-entropy."""
    flags = {
        "plain": (),
        "warm": ("--mcq_loss", "cross_entropy:0.5+expected_map3:0.5", "--mcq_loss_warmup_ratio", "0.5"),
        "cold": ("--mcq_loss", "cross_entropy:0.5+expected_map3:0.5"),
    }
    for name, more in flags.items():
        assert main(train_command(tiny_llama, tmp_path / name, *FAST, *more)) == 0
    plain, warm, cold = (history(tmp_path / name) for name in flags)
    assert warm[:3] == plain[:3]
    assert warm[3] < plain[3], "the mixture is smaller than cross-entropy"
    assert cold[0] < plain[0]
    assert config(tmp_path / "warm")["loss"] == "cross_entropy:0.5+expected_map3:0.5"


def test_rdrop_passes_twice_and_counts_each_question_once(tiny_llama, tmp_path):
    dropout = ("--lora_dropout", "0.5", "--learning_rate", "1e-30")  # nothing is learnt: only the loss differs
    runs = {"0": (), "small": ("--mcq_rdrop_alpha", "1"), "large": ("--mcq_rdrop_alpha", "1e6")}
    for name, more in runs.items():
        full = ("--finetuning_type", "lora", *dropout)
        assert main(train_command(tiny_llama, tmp_path / name, *FAST, *full, *more)) == 0
        train = json.loads((tmp_path / name / "train_results.json").read_text())
        assert train["train_samples_per_second"] * train["train_runtime"] == pytest.approx(24, rel=0.05)
    # Adapters start at zero and learn nothing here, so dropout before them changes nothing: no divergence.
    plain, small, large = (history(tmp_path / name) for name in runs)
    assert small == pytest.approx(plain, rel=1e-5)
    assert large == pytest.approx(plain, rel=1e-5)
    learns = ("--lora_dropout", "0.5", "--learning_rate", "3e-2")
    for alpha in ("1e-9", "1e3"):
        assert main(train_command(tiny_llama, tmp_path / alpha, *FAST, *learns, "--mcq_rdrop_alpha", alpha)) == 0
    assert history(tmp_path / "1e3")[-1] > history(tmp_path / "1e-9")[-1], "passes under dropout differ by now"


def test_training_continues_with_another_loss(tiny_llama, tmp_path):
    """The order of the notes: STEP2's classifier first, then a loss for the metric on top of it."""
    assert main(train_command(tiny_llama, tmp_path / "step2", *FAST)) == 0
    on = ("--adapter_name_or_path", str(tmp_path / "step2"), "--mcq_loss", "expected_map3")
    assert main(train_command(tiny_llama, tmp_path / "step3", *FAST, *on)) == 0
    assert config(tmp_path / "step3")["loss"] == "expected_map3"
    assert history(tmp_path / "step3")[0] < 0.7


def test_what_is_minimised_cannot_change_within_a_training_nor_at_a_prediction(tiny_llama, tmp_path, capsys):
    """A resume with different flags silently continued, and its loss jumped."""
    flags = ("--mcq_loss", "ranknet", "--mcq_loss_warmup_ratio", "0.5", "--save_steps", "2", "--lora_dropout", "0.1")
    out = tmp_path / "out"
    assert main(train_command(tiny_llama, out, *QUICK, *flags, "--mcq_rdrop_alpha", "1")) == 0
    assert config(out)["objective"] == {"mcq_loss_warmup_ratio": 0.5, "mcq_rdrop_alpha": 1.0}
    capsys.readouterr()
    again = ("--resume_from_checkpoint", str(out / "checkpoint-2"))
    assert main(train_command(tiny_llama, tmp_path / "again", *QUICK, *flags, *again)) == 2
    printed = capsys.readouterr().err
    assert "--mcq_rdrop_alpha stored 1, given 0" in printed
    forget_manifests(out / "checkpoint-2")
    assert main(train_command(tiny_llama, tmp_path / "again", *QUICK, *flags, *again)) == 2
    printed = capsys.readouterr().err
    assert (
        "loss flags --mcq_loss_warmup_ratio 0.5, --mcq_rdrop_alpha 1, "
        "and this run has --mcq_loss_warmup_ratio 0.5;" in printed
    )
    assert main(predict_command(tiny_llama, tmp_path / "p", "--mcq_loss", "binary", adapter=out)) == 2
    assert "--mcq_loss binary: contradicts" in capsys.readouterr().err


@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_a_head_with_more_weights_than_its_settings_say_is_refused(tuning, tiny_llama, tmp_path, capsys):
    """A cduma head was read as a duma head: its comparison was dropped, and every score changed."""
    out = tmp_path / "out"
    few = ("--max_samples", "4", "--finetuning_type", tuning, "--mcq_head", "cduma")
    assert main(train_command(tiny_llama, out, *FAST, *few)) == 0
    path = out / "mcq_config.json"
    path.write_text(path.read_text().replace('"cduma"', '"duma"'))
    capsys.readouterr()
    places = (out, None) if tuning == "full" else (tiny_llama, out)
    assert main(predict_command(places[0], tmp_path / "p", adapter=places[1])) == 2
    assert "mcq_config.json describes another head" in capsys.readouterr().err


def test_a_model_whose_file_leaves_defaults_out_is_trained(tiny_bert, tmp_path):
    """The checks before a run saw no dropout, the training saw the family's, and no flag could make them agree."""
    model = shutil.copytree(tiny_bert, tmp_path / "model")
    model_config = json.loads((model / "config.json").read_text())
    assert model_config.pop("attention_probs_dropout_prob") == 0.1
    (model / "config.json").write_text(json.dumps(model_config))
    flags = (*QUICK, "--save_steps", "3", "--mcq_head", "duma", "--mcq_duma_preset", "paper")
    assert main(train_command(model, tmp_path / "out", *flags)) == 0
    assert config(tmp_path / "out")["duma"]["dropout"] == 0.1
    again = ("--resume_from_checkpoint", str(tmp_path / "out" / "checkpoint-3"))
    assert main(train_command(model, tmp_path / "again", *flags, *again)) == 0


def test_rdrop_knows_the_dropout_of_a_stored_head(tiny_bert, tmp_path):
    """The check only read the flag, which further training of a stored head does not need."""
    paper, rdrop = (
        ("--mcq_head", "duma", "--mcq_duma_preset", "paper"),
        ("--mcq_dropout", "0", "--mcq_rdrop_alpha", "1"),
    )
    full = (*FAST, "--finetuning_type", "full", "--max_samples", "4")
    assert main(train_command(tiny_bert, tmp_path / "first", *full, *paper)) == 0
    assert main(train_command(tmp_path / "first", tmp_path / "second", *full, *rdrop)) == 0


def test_label_smoothing_goes_with_a_warm_up(tiny_llama, tmp_path):
    """During warm-up it is cross-entropy's, whatever loss follows."""
    flags = ("--mcq_loss", "expected_map3", "--mcq_loss_warmup_ratio", "0.5")
    smoothed = ("--label_smoothing_factor", "0.3")
    assert main(train_command(tiny_llama, tmp_path / "plain", *FAST, *flags)) == 0
    assert main(train_command(tiny_llama, tmp_path / "smooth", *FAST, *flags, *smoothed)) == 0
    plain, smooth = history(tmp_path / "plain"), history(tmp_path / "smooth")
    assert all(a != b for a, b in zip(plain[:3], smooth[:3], strict=True)), "three of six steps are warm-up"


def test_a_model_trained_with_an_optional_loss_predicts_without_its_package(tiny_llama, tmp_path, monkeypatch):
    out = tmp_path / "out"
    assert main(train_command(tiny_llama, out, *FAST, "--mcq_loss", "topk_ce", "--max_samples", "4")) == 0
    monkeypatch.setattr(objective, "find_spec", lambda name: None)
    assert main(predict_command(tiny_llama, tmp_path / "p", "--max_samples", "2", adapter=out)) == 0


def test_with_rdrop_a_budget_of_tokens_bounds_both_copies(tiny_llama, tmp_path, monkeypatch):
    seen = []
    original = Twice.__call__

    def spy(self, examples):
        batch = original(self, examples)
        seen.append(batch["input_ids"].numel())
        return batch

    monkeypatch.setattr(Twice, "__call__", spy)
    more = ("--mcq_tokens_per_batch", "1200", "--mcq_rdrop_alpha", "1", "--lora_dropout", "0.1")
    assert main(train_command(tiny_llama, tmp_path / "out", *FAST, *more)) == 0
    assert 600 < max(seen) <= 1200


def test_no_flag_puts_an_adapter_into_the_head(tiny_llama, tmp_path, capsys):
    """The head's layers are no modules of the model that a user can name, and "all" leaves them out."""
    out = tmp_path / "out"
    given = ("--mcq_head", "cduma", "--max_samples", "4")
    assert main(train_command(tiny_llama, out, *FAST, *given, "--lora_target", "q_proj,mcq_query")) == 2
    assert "--lora_target mcq_query: the model has no such module" in capsys.readouterr().err
    assert main(train_command(tiny_llama, out, *FAST, *given)) == 0
    adapted = [name for name in load_file(out / "adapter_model.safetensors") if "lora_" in name]
    assert any("q_proj" in name for name in adapted)
    assert not any("mcq_" in name for name in adapted)
