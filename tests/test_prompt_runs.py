"""Runs with `--mcq_prompt` and `--mcq_shots`: stored, used again, refused where they contradict or cannot be used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from step2 import QUICK, config, lines, predict_command, probabilities, train_command
from support import DEMO

from llmtuner.cli.main import main
from llmtuner.data.load import read_questions
from llmtuner.errors import FieldError
from llmtuner.mcq import load_scorer
from llmtuner.mcq.prompts import check_prompt, fresh_prompt

PLAIN = ("--mcq_prompt", "plain")
SHOTS = ("--mcq_shots", "2", "--mcq_shots_from", "llmscience_elementary_train")
FEW = ("--max_samples", "6")


def write_form(path, **texts: str):
    path.write_text(json.dumps({"question": "Q: {question}\n", "option": " {option}", "answer_mark": "A:"} | texts))
    return path


def said(capsys) -> str:
    """What the command printed to the error stream, on one line."""
    return " ".join(capsys.readouterr().err.split())


@pytest.fixture(scope="module")
def trained(tiny_llama, tmp_path_factory):
    """A classifier with plain prompts and shots from its own training questions."""
    out = tmp_path_factory.mktemp("prompts") / "trained"
    more = (*QUICK, *PLAIN, "--mcq_shots", "2", "--mcq_shots_from", "llmscience_sample")
    assert main(train_command(tiny_llama, out, *more)) == 0
    return out


def test_plain_ignores_the_template_and_says_so(tiny_llama, tmp_path, capsys):
    head = ("--mcq_head", "likelihood", *FEW)
    assert main(predict_command(tiny_llama, tmp_path / "a", *head, *PLAIN, "--template", "llama2")) == 0
    assert "--template llama2 is ignored: the prompt is plain text" in said(capsys)
    assert main(predict_command(tiny_llama, tmp_path / "b", *head, *PLAIN)) == 0
    assert main(predict_command(tiny_llama, tmp_path / "c", *head, "--template", "llama2")) == 0
    torch.testing.assert_close(probabilities(tmp_path / "a"), probabilities(tmp_path / "b"))
    assert (probabilities(tmp_path / "a") - probabilities(tmp_path / "c")).abs().max() > 1e-4


@pytest.mark.parametrize("head", ["letter", "likelihood"])
def test_a_files_prompt_is_scored_with_and_without_turns(head, tiny_llama, tmp_path):
    form = write_form(tmp_path / "form.yaml")
    command = ("--mcq_head", head, "--mcq_prompt", str(form), *FEW)
    assert main(predict_command(tiny_llama, tmp_path / "text", *command)) == 0
    assert main(predict_command(tiny_llama, tmp_path / "turns", *command, "--template", "llama2")) == 0
    assert (probabilities(tmp_path / "text") - probabilities(tmp_path / "turns")).abs().max() > 1e-5


def test_a_trained_prompt_is_stored_and_used_without_flags(tiny_llama, trained, tmp_path):
    """Prediction would otherwise show the model other prompts than the training did."""
    stored = config(trained)["prompt"]
    assert set(stored) == {"template", "form", "shots", "option"}
    assert (stored["template"], stored["shots"]["count"]) == (None, 2)
    bare, same = tmp_path / "bare", tmp_path / "same"
    unseen = ("--eval_dataset", "llmscience_elementary_valid", *FEW)
    assert main(predict_command(tiny_llama, bare, *unseen, adapter=trained)) == 0
    shots = ("--mcq_shots", "2", "--mcq_shots_from", "llmscience_sample")
    assert main(predict_command(tiny_llama, same, *PLAIN, *shots, *unseen, adapter=trained)) == 0
    torch.testing.assert_close(probabilities(bare), probabilities(same), atol=0, rtol=0)
    ids = {line["id"] for line in lines(bare)}
    questions = read_questions(DEMO.parents[1] / "elementary" / "validation.jsonl", purpose="predict").questions
    scored = load_scorer(trained).score([each for each in questions if each.id in ids])
    actual = torch.tensor([prediction.probabilities for prediction in scored]).float()
    torch.testing.assert_close(actual, probabilities(bare), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--mcq_prompt", "template"), "--mcq_prompt template: contradicts"),
        (("--mcq_shots", "1"), "--mcq_shots 1: contradicts"),
        (("--mcq_shots", "0"), "--mcq_shots 0: contradicts"),
        (SHOTS, "--mcq_shots_from llmscience_elementary_train: contradicts"),
        (("--mcq_shots_from", "llmscience_sample", "--mcq_shots_seed", "1"), "contradicts"),
    ],
)
def test_a_contradiction_of_what_is_stored_is_refused(more, message, tiny_llama, trained, tmp_path, capsys):
    assert main(predict_command(tiny_llama, tmp_path / "out", *more, adapter=trained)) == 2
    assert message in said(capsys)
    assert not (tmp_path / "out").exists()


def test_a_scored_question_among_the_shots_is_refused_and_both_are_named(tiny_llama, trained, tmp_path, capsys):
    assert main(predict_command(tiny_llama, tmp_path / "out", adapter=trained)) == 2
    message = said(capsys)
    first = config(trained)["prompt"]["shots"]["questions"][0]
    assert "2 of the" in message and "are also shots" in message  # noqa: PT018
    assert f"id {first['id']} is shot 1, id {first['id']} of llmscience_sample" in message
    own = [q for q in read_questions(DEMO, purpose="predict").questions if q.id == first["id"]]
    with pytest.raises(ValueError, match="is shot 1"):
        load_scorer(trained).score(own)


def test_a_resumed_training_has_the_same_prompt(tiny_llama, tmp_path, capsys):
    """A file with the same name and other texts, or other shots, would change the prompts half-way."""
    out, form, shots = tmp_path / "out", write_form(tmp_path / "form.yaml"), tmp_path / "shots.jsonl"
    rows = [json.loads(line) for line in (DEMO.parents[1] / "elementary" / "train.jsonl").open(encoding="utf-8")]
    shots.write_text("".join(json.dumps(row) + "\n" for row in rows[:3]))
    more = ("--max_samples", "8", "--save_steps", "1", "--num_train_epochs", "1", "--mcq_prompt", str(form))
    more += ("--mcq_shots", "2", "--mcq_shots_from", str(shots))
    assert main(train_command(tiny_llama, out, *more)) == 0
    again = train_command(tiny_llama, out, *more, "--num_train_epochs", "2")
    capsys.readouterr()
    for name, path in (("--mcq_prompt", form), ("--mcq_shots_from", shots)):
        before = path.read_text()
        changed = before.replace("Q:", "What:") if path is form else "".join(reversed(before.splitlines(True)[1:]))
        path.write_text(changed)
        assert main(again) == 2
        assert name in said(capsys)
        path.write_text(before)
    moved = tmp_path / "moved.yaml"
    form.rename(moved)
    assert main([str(moved) if word == str(form) else word for word in again]) == 0, "the same texts elsewhere"


def test_a_fresh_head_on_top_has_the_prompt_of_the_adapter_below(tiny_llama, tmp_path):
    below, out = tmp_path / "below", tmp_path / "out"
    start = ("--max_samples", "6", "--num_train_epochs", "1")
    assert main(train_command(tiny_llama, below, *start, *PLAIN, *SHOTS, "--mcq_head", "letter")) == 0
    assert main(train_command(tiny_llama, out, *start, "--mcq_head", "duma", "--adapter_name_or_path", str(below))) == 0
    first, second = config(below)["prompt"], config(out)["prompt"]
    assert first["form"] == second["form"]
    assert first["shots"]["questions"] == second["shots"]["questions"]
    assert first["shots"]["ids"] != second["shots"]["ids"], "lettered options in one, the right text in the other"


def test_training_and_evaluation_on_the_shots_own_file(tiny_llama, tmp_path):
    """With --val_size both come from the file of the shots; each question sees the reserve in its own place."""
    more = ("--max_samples", "12", "--num_train_epochs", "1", "--mcq_shots", "2", "--mcq_shots_from")
    more += ("llmscience_sample", "--val_size", "4", "--eval_strategy", "epoch")
    assert main(train_command(tiny_llama, tmp_path / "out", *more)) == 0
    assert json.loads((tmp_path / "out" / "trainer_state.json").read_text())["log_history"]


def test_an_adapter_with_other_prompts_is_not_used_in_stage_sft(tiny_llama, tmp_path, capsys):
    out = tmp_path / "letters"
    start = ("--max_samples", "4", "--num_train_epochs", "1", *PLAIN, "--mcq_head", "letter")
    assert main(train_command(tiny_llama, out, *start)) == 0
    command = predict_command(tiny_llama, tmp_path / "sft", "--template", "llama2", adapter=out)
    command[command.index("mcq")] = "sft"
    assert main(command) == 2
    assert "trained with other prompts than those of --stage sft (--mcq_prompt plain)" in said(capsys)


# ---- mistakes


@pytest.fixture
def refused(tiny_llama, tmp_path, capsys, monkeypatch):
    """Predict or train with a mistake; return the message."""

    def start(*more: str, model=tiny_llama, command=predict_command) -> str:
        monkeypatch.setattr("patches.mcq_stage.run.load", lambda *_, **__: pytest.fail("a model was loaded"))
        assert main(command(model, tmp_path / "out", *more)) == 2
        assert not (tmp_path / "out").exists(), "nothing is written"
        message = said(capsys)
        assert "Traceback" not in message
        return message

    return start


LETTER = ("--mcq_head", "letter", "--template", "llama2")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--mcq_prompt", "plian"), "--mcq_prompt plian: no such file, and an unknown value; choose from: template,"),
        (("--mcq_shots", "2"), "--mcq_shots 2: needs --mcq_shots_from"),
        (("--mcq_shots_from", "llmscience_sample"), "give their number (--mcq_shots), too"),
        (("--mcq_shots_seed", "3"), "give their number (--mcq_shots), too"),
        (("--mcq_shots", "-1", "--mcq_shots_from", "llmscience_sample"), "of at least 0"),
        (("--mcq_shots", "2", "--mcq_shots_from", "nowhere.jsonl"), "nowhere.jsonl"),
        (("--mcq_shots", "900", "--mcq_shots_from", "llmscience_elementary_train"), "120 different questions"),
        (("--mcq_shots", "2", "--mcq_shots_from", "llmscience_sample"), "are also shots"),
        ((*SHOTS, "--cutoff_len", "64"), "which leaves no room for a question in --cutoff_len 64"),
    ],
)
def test_a_mistake_ends_before_a_model_is_loaded(more, message, refused):
    assert message in refused(*LETTER, *more)


def test_a_number_of_0_means_no_shots():
    """`sweep.py --set mcq_shots=0,5 -- --mcq_shots_from DATA` was refused: "give their number, too"."""
    given, stored = {"shots_from": "llmscience_sample", "shots_seed": 3}, Path("mcq_config.json")
    assert fresh_prompt({**given, "shots": 0}, "causal", "") == fresh_prompt({}, "causal", "")
    check_prompt({}, {**given, "shots": 0}, "causal", "", stored)
    with pytest.raises(FieldError, match="give their number"):
        check_prompt({}, given, "causal", "", stored)


def test_shots_without_answers_are_named(refused, tmp_path):
    rows = [{"prompt": f"Which {n}?", "A": "a", "B": "b", "answer": "A" if n else ""} for n in range(3)]
    (tmp_path / "shots.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    message = refused(*LETTER, "--mcq_shots", "2", "--mcq_shots_from", str(tmp_path / "shots.jsonl"))
    assert "shots.jsonl:1" in message
    # Before a prediction, "training needs an answer" alone sent users to the wrong file.
    assert "shots.jsonl: shots are read like training data, each row with its answer" in message


def test_shots_with_a_blank_answer_are_named(refused, tmp_path):
    """They showed the model that an answer is left out."""
    rows = [{"prompt": f"Which {n}?", "A": "a" if n else " ", "B": "b", "answer": "A"} for n in range(3)]
    (tmp_path / "shots.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    message = refused(*LETTER, "--mcq_shots", "2", "--mcq_shots_from", str(tmp_path / "shots.jsonl"))
    assert "shots.jsonl: 1 rows have a blank right option" in message
    assert "shots.jsonl:1: id 0" in message


def test_a_training_question_without_a_reserve_is_refused(refused, tmp_path):
    rows = [{"prompt": f"Which {n}?", "A": "a", "B": "b", "answer": "A"} for n in range(3)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = str(tmp_path / "rows.jsonl")
    more = ("--dataset", path, "--mcq_shots", "3", "--mcq_shots_from", path)
    assert "has no other question to take its place" in refused(*more, command=train_command)


@pytest.mark.parametrize(
    "more", [PLAIN, ("--mcq_prompt", "template"), SHOTS, ("--mcq_shots_from", "llmscience_sample")]
)
def test_an_encoder_has_no_such_prompt(more, refused, tiny_bert):
    assert "an encoder reads the tokenizer's own pairs" in refused(*more, model=tiny_bert, command=train_command)


@pytest.mark.parametrize("more", [PLAIN, SHOTS])
def test_stage_sft_refuses_them_with_the_reason(more, refused):
    command = lambda model, out, *rest: [(w != "mcq" and w) or "sft" for w in train_command(model, out, *rest)]  # noqa: E731
    message = refused(*more, command=command)
    assert "is for --stage mcq: the prompts of --stage sft are those of its chat template" in message


def test_a_system_text_without_turns_is_refused(refused, tmp_path):
    form = write_form(tmp_path / "form.yaml", system="Be brief.")
    assert "plain text has no place for it" in refused("--mcq_head", "letter", "--mcq_prompt", str(form))
