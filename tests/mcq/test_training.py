"""Training from Python follows the rules of the command line: no given argument is silently ignored."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
from peft import LoraConfig
from support import DEMO

from llmtuner.data import read_questions
from llmtuner.errors import DataError, FieldError, UserError
from llmtuner.mcq import load_scorer, train

QUICK = {"max_steps": 1, "learning_rate": 1e-3, "per_device_train_batch_size": 4, "save_strategy": "no"}


@pytest.fixture(scope="module")
def questions():
    return read_questions(DEMO, purpose="train").questions[:8]


@pytest.fixture(scope="module")
def trained(tiny_llama, questions, tmp_path_factory):
    folder = tmp_path_factory.mktemp("python") / "whole"
    return train(str(tiny_llama), questions, str(folder), arguments=QUICK), folder


@pytest.mark.parametrize("head", [None, "cduma"])
def test_a_stored_head_is_trained_on_from_its_weights(head, trained, questions, tmp_path):
    """A fresh head silently replaced it: a training that changes nothing changed the scores."""
    scorer, folder = trained
    given = {} if head is None else {"head": head}
    again = train(str(folder), questions, str(tmp_path / "again"), arguments={**QUICK, "learning_rate": 1e-30}, **given)
    before, after = ([p.scores for p in s.score(questions)] for s in (scorer, again))
    assert after == [pytest.approx(scores, abs=1e-6) for scores in before]
    assert again.settings.head == (head or "linear")


def test_a_prompt_with_shots_is_trained_trained_on_and_scored(tiny_llama, questions, tmp_path):
    """The stored token ids are enough, also for a question that is a shot and sees the reserve in its place."""
    more = {"prompt": "plain", "shots": 7, "shots_from": str(DEMO)}
    first = train(str(tiny_llama), questions, str(tmp_path / "one"), arguments=QUICK, **more)
    again = train(str(tmp_path / "one"), questions, str(tmp_path / "two"), arguments=QUICK)
    assert again.settings.prompt == first.settings.prompt
    shown = {shot["id"] for shot in first.settings.prompt["shots"]["questions"][:7]}
    others = [each for each in read_questions(DEMO, purpose="predict").questions if each.id not in shown][:3]
    assert len(again.score(others)) == 3


def test_adapters_are_trained_and_the_callers_configuration_is_left_alone(tiny_llama, questions, tmp_path):
    lora = LoraConfig(r=2, target_modules=["q_proj"], lora_dropout=0.1)
    for name in ("one", "two"):
        scorer = train(str(tiny_llama), questions, str(tmp_path / name), lora=lora, rdrop_alpha=1.0, arguments=QUICK)
        assert lora.modules_to_save is None
    loaded = load_scorer(tmp_path / "two", base_model=str(tiny_llama))
    assert loaded.score(questions[:2]) == scorer.score(questions[:2])


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"haed": "duma"}, FieldError, "haed: unknown value; .* Did you mean head"),
        ({"head": "duma", "duma_wdth": 32}, FieldError, r"duma\.wdth: unknown value; .* Did you mean duma\.width"),
        ({"rdrop_alpha": 1.0}, FieldError, "this model has no dropout"),
        ({"cutoff_len": 20}, DataError, "longer than `cutoff_len` 20"),
        ({"shuffle_options": True}, FieldError, "it is for joint prompts"),
        ({"head": "letter", "head_learning_rate": 1e-3}, FieldError, "the letter head has no weights"),
        ({"arguments": {"label_smoothing_factor": 0.1}}, UserError, "give label_smoothing"),
        ({"arguments": {"dataloader_drop_last": True}}, UserError, "every question counts"),
        ({"arguments": {"metric_for_best_model": "f1"}}, UserError, "choose from: map@3"),
    ],
)
def test_what_cannot_be_is_refused(given, error, message, tiny_llama, questions, tmp_path):
    with pytest.raises(error, match=message):
        train(str(tiny_llama), questions, str(tmp_path / "out"), **{"arguments": QUICK, **given})
    assert not (tmp_path / "out" / "mcq_config.json").exists()


def test_no_questions_and_joint_prompts_of_several_sizes_are_refused(tiny_llama, questions, tmp_path):
    with pytest.raises(DataError, match="no questions to train on"):
        train(str(tiny_llama), [], str(tmp_path), arguments=QUICK)
    short = replace(questions[0], options=questions[0].options[:3], answer=0)
    with pytest.raises(DataError, match=r"3 options, and .* has 5"):
        train(str(tiny_llama), [*questions[1:], short], str(tmp_path), layout="joint", arguments=QUICK)
    with pytest.raises(FieldError, match=r"model .*: expected the folder of a model"):
        train(str(tmp_path / "nowhere"), questions, str(tmp_path), arguments=QUICK)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text.replace('"option": [', '"options": ['), "damaged: prompt.options: unknown value"),
        (lambda text: text.replace('"template": null', '"template": -1'), "damaged: prompt.template"),
        (lambda text: text.replace('"context": false', '"context": 0'), "damaged: prompt.option"),
        (lambda text: text.replace('["question", 0]', '["questoin", 0]'), "token ids and"),
        (lambda text: text.replace('["question", 0]', "-1"), "token ids and"),
    ],
)
def test_a_damaged_form_of_prompts_is_refused(damage, message, trained, tmp_path):
    """It gave other prompts, so every score changed, or the run ended in a traceback."""
    folder = shutil.copytree(trained[1], tmp_path / "copy")
    path = folder / "mcq_config.json"
    text = path.read_text()
    path.write_text(damage(text))
    assert path.read_text() != text
    with pytest.raises(UserError, match=message):
        load_scorer(folder)


def test_a_model_without_the_form_of_its_prompts_is_refused(trained, tmp_path):
    import json

    folder = shutil.copytree(trained[1], tmp_path / "copy")
    path = folder / "mcq_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "prompt": {}}))
    with pytest.raises(FieldError, match="has no prompts for this layout"):
        load_scorer(folder)


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_needs_a_question(batch_size, trained, questions):
    with pytest.raises(UserError, match="expected at least 1"):
        trained[0].score(questions, batch_size=batch_size)
