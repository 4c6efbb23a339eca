"""Training from Python follows the rules of the command line: no given argument is silently ignored."""

from __future__ import annotations

import logging
import shutil
from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, TaskType
from safetensors.torch import load_file
from support import DEMO
from transformers import AutoModelForCausalLM

from llmtuner.data import read_questions
from llmtuner.errors import DataError, FieldError, UserError
from llmtuner.mcq import load_scorer, train
from llmtuner.mcq.questions import Pick, QuestionSet
from llmtuner.runs.lock import locked
from llmtuner.runs.places import trained_places

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


@pytest.mark.parametrize("tuning", ["full", "embeddings"])
def test_a_base_in_bf16_is_trained_in_fp32(tuning, tiny_llama, questions, tmp_path):
    """In bf16, a step of 1e-5 left 85 of 100 weights as they were. Embeddings alone in fp32 ended in a traceback."""
    base = shutil.copytree(tiny_llama, tmp_path / "base")
    AutoModelForCausalLM.from_pretrained(base).to(torch.bfloat16).save_pretrained(base)
    more = {"lora": LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=["embed_tokens"])}
    given = more if tuning == "embeddings" else {}
    scorer = train(str(base), questions, str(tmp_path / "out"), arguments={**QUICK, "learning_rate": 1e-5}, **given)
    if tuning == "full":
        before, after = (load_file(folder / "model.safetensors") for folder in (base, tmp_path / "out"))
        names = [name for name in before if name.endswith("_proj.weight")]
        changed = [(before[name].float() != after[name].float()).float().mean() for name in names]
        assert min(changed) > 0.99
    else:
        stored = load_file(tmp_path / "out" / "adapter_model.safetensors")
        assert stored["base_model.model.model.embed_tokens.weight"].dtype == torch.float32
    assert load_scorer(tmp_path / "out").score(questions) == scorer.score(questions)


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


def test_options_are_shuffled_anew_in_each_epoch(tiny_llama, questions, tmp_path, monkeypatch):
    """The command line did it; here the argument was taken, recorded, and had no effect."""
    seen = []
    pick = QuestionSet.__getitem__
    monkeypatch.setattr(QuestionSet, "__getitem__", lambda *given: seen.append((given[1], pick(*given))) or seen[-1][1])
    arguments = {**QUICK, "max_steps": 8}
    train(str(tiny_llama), questions, str(tmp_path), head="letter", shuffle_options=True, arguments=arguments)
    prompts = {(each.row, tuple(each.tokens.prompt)) for asked, each in seen if isinstance(asked, Pick)}
    assert len(prompts) > 2 * len(questions)


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
        ({"arguments": {"resume_from_checkpoint": "out/checkpoint-1"}}, UserError, "the command line resumes"),
        ({"template": "llama2"}, FieldError, "template 'llama2': expected an object with encode_oneturn"),
        (
            {"lora": LoraConfig(init_lora_weights="pissa_niter_4")},
            UserError,
            'init_lora_weights="pissa_niter_4" changes',
        ),
        ({"lora": LoraConfig(bias="all")}, UserError, 'bias="all" also trains'),
        ({"lora": LoraConfig(task_type="SEQ_CLS")}, UserError, 'task_type="SEQ_CLS" adds a head of peft'),
        ({"lora": LoraConfig(task_type=TaskType.TOKEN_CLS)}, UserError, 'task_type="TOKEN_CLS" adds a head of peft'),
        ({"lora": LoraConfig(trainable_token_indices=[5])}, UserError, "trainable_token_indices puts an adapter"),
        ({"lora": LoraConfig(target_modules=["q_proj", "embed_tokens"])}, UserError, "takes embed_tokens in"),
        ({"lora": LoraConfig(target_modules=["lm_head"]), "head": "letter"}, UserError, "takes lm_head in"),
        ({"lora": LoraConfig(target_modules=r".*(q_proj|embed_tokens)")}, UserError, "takes embed_tokens in"),
        ({"val_size": 0.25}, FieldError, r"val_size 0\.25: give the questions that are held out as `evaluate`"),
        ({"max_samples": 3}, FieldError, "max_samples 3: give fewer questions"),
        ({"adapters": ["a"]}, FieldError, "merge them into the model first"),
        ({"arguments": {"num_train_epochs": 0}}, FieldError, "num_train_epochs 0: expected a number above 0"),
        ({"arguments": {"num_train_epochs": -1}}, FieldError, "num_train_epochs -1: expected a number above 0"),
        ({"arguments": {"max_steps": 0}}, FieldError, "max_steps 0: expected a whole number of at least 1, or -1"),
        ({"arguments": {"gradient_accumulation_steps": -1}}, FieldError, "expected a whole number of at least 1"),
        ({"arguments": {"learning_rate": float("nan")}}, FieldError, "learning_rate nan: expected a number above 0"),
        ({"arguments": {"weight_decay": -0.1}}, FieldError, "expected a number of at least 0"),
    ],
)
def test_what_cannot_be_is_refused(given, error, message, tiny_llama, questions, tmp_path):
    with pytest.raises(error, match=message):
        train(str(tiny_llama), questions, str(tmp_path / "out"), **{"arguments": QUICK, **given})
    assert not (tmp_path / "out" / "mcq_config.json").exists()


def test_adapters_that_could_not_be_loaded_are_refused_at_once(tiny_llama, questions, tmp_path, monkeypatch):
    """The training went to its end, and then its result could not be loaded."""
    monkeypatch.setattr("llmtuner.mcq.training._loaded", lambda *_, **__: pytest.fail("the model was loaded"))
    for lora in (LoraConfig(task_type="SEQ_CLS"), LoraConfig(target_modules=r"model\.embed_tokens|.*q_proj")):
        with pytest.raises(UserError, match="lora: "):
            train(str(tiny_llama), questions, str(tmp_path), lora=lora, arguments=QUICK)


def test_embeddings_under_another_name_are_found_in_the_loaded_model(tiny_llama, questions, tmp_path, monkeypatch):
    monkeypatch.setattr("llmtuner.mcq.training.check_lora", lambda _: None)
    lora = LoraConfig(target_modules=["embed_tokens"])
    with pytest.raises(UserError, match=r"takes model\.embed_tokens in"):
        train(str(tiny_llama), questions, str(tmp_path), lora=lora, arguments=QUICK)


def test_an_evaluation_without_answers_is_refused_at_once(tiny_llama, questions, tmp_path):
    """The first epoch ended in transformers' KeyError, because no metric could choose the best model."""
    asked = [replace(question, answer=None) for question in questions[:2]]
    arguments = {**QUICK, "eval_strategy": "epoch", "save_strategy": "epoch", "load_best_model_at_end": True}
    with pytest.raises(DataError, match=r"2 questions have no answer, .* evaluation during training needs"):
        train(str(tiny_llama), questions, str(tmp_path / "out"), evaluate=asked, arguments=arguments)
    assert not (tmp_path / "out").exists()


def test_a_folder_with_a_training_is_refused_or_set_aside(trained, tiny_llama, questions, tmp_path):
    """Checkpoints and weights of two trainings were mixed in one folder."""
    folder = shutil.copytree(trained[1], tmp_path / "out")
    before = (folder / "model.safetensors").read_bytes()
    with pytest.raises(UserError, match=r"holds an earlier training .* overwrite=True"):
        train(str(tiny_llama), questions, str(folder), arguments=QUICK)
    with pytest.raises(UserError, match=r"the training starts from .*/out, whose files"):
        train(str(folder), questions, str(folder), arguments=QUICK, overwrite=True)
    shutil.copytree(trained[1], folder / "checkpoint-1")
    with pytest.raises(UserError, match=r"the training starts from .*checkpoint-1, whose files it would replace"):
        train(str(folder / "checkpoint-1"), questions, str(folder), arguments=QUICK, overwrite=True)
    with locked(folder), pytest.raises(UserError, match=r"output_dir .*: another run writes to it"):
        train(str(tiny_llama), questions, str(folder), arguments=QUICK, overwrite=True)
    assert (folder / "model.safetensors").read_bytes() == before
    (folder / "trainer_log.jsonl").write_text("of the earlier training")
    lora = LoraConfig(r=2, target_modules=["q_proj"])
    again = train(str(tiny_llama), questions, str(folder), lora=lora, arguments=QUICK, overwrite=True)
    assert (folder / "replaced-model.safetensors").read_bytes() == before
    assert not (folder / "model.safetensors").exists()
    assert (folder / "replaced-trainer_log.jsonl").read_text() == "of the earlier training"
    assert not (folder / "trainer_log.jsonl").exists()
    assert load_scorer(folder).score(questions) == again.score(questions)


def test_the_head_of_an_overwritten_training_is_not_loaded(tiny_llama, questions, tmp_path):
    """The earlier run's `replaced-model.safetensors` is read after `model.safetensors`: its head was scored with."""
    first = train(str(tiny_llama), questions, str(tmp_path), arguments=QUICK).score(questions)
    more = {**QUICK, "learning_rate": 1e-2}
    train(str(tiny_llama), questions, str(tmp_path), arguments=more, overwrite=True)
    train(str(tiny_llama), questions, str(tmp_path / "alone"), arguments=more)
    assert (tmp_path / "replaced-model.safetensors").is_file()
    expected = load_scorer(tmp_path / "alone").score(questions)
    assert load_scorer(tmp_path).score(questions) == expected
    assert first != expected


def test_a_folder_of_a_training_that_was_killed_before_its_first_checkpoint_is_taken(tiny_llama, questions, tmp_path):
    with locked(tmp_path, training=True):  # as a killed run leaves it
        (tmp_path / "model.safetensors").write_bytes(b"half")
    scorer = train(str(tiny_llama), questions, str(tmp_path), arguments=QUICK)
    assert (tmp_path / "replaced-model.safetensors").read_bytes() == b"half"
    assert load_scorer(tmp_path).score(questions) == scorer.score(questions)


def test_a_saved_model_has_the_record_of_its_training_and_its_damage_is_noticed(trained, questions, tmp_path):
    """`scorer.save` wrote no record: damaged weights were scored in silence."""
    scorer, folder = trained
    saved = tmp_path / "saved"
    for _ in range(2):  # over its own files, too
        scorer.save(saved)
    assert trained_places([saved]) == trained_places([folder])
    assert load_scorer(saved).score(questions) == scorer.score(questions)
    load_scorer(saved).save(tmp_path / "again")
    assert trained_places([tmp_path / "again"]) == trained_places([folder])
    content = bytearray((saved / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (saved / "model.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=r"model\.safetensors is damaged"):
        load_scorer(saved)
    with pytest.raises(UserError, match=r"model\.safetensors is damaged"):
        train(str(saved), questions, str(tmp_path / "on"), arguments=QUICK)


def test_an_adapter_is_no_model_and_an_encoder_has_no_template(tiny_llama, tiny_bert, questions, tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(UserError, match=r"is an adapter; merge it .*scripts/merge\.py"):
        train(str(tmp_path), questions, str(tmp_path / "out"), arguments=QUICK)
    with pytest.raises(FieldError, match="an encoder has no chat template"):
        train(str(tiny_bert), questions, str(tmp_path / "out"), template=object(), arguments=QUICK)


def test_an_exchanged_tokenizer_of_a_whole_model_is_said(trained, questions, tmp_path, caplog):
    """Only the command line said it."""
    folder = shutil.copytree(trained[1], tmp_path / "copy")
    path = folder / "tokenizer_config.json"
    path.write_text(path.read_text() + "\n")
    logging.getLogger("llmtuner").addHandler(caplog.handler)  # the command line's logger does not propagate
    load_scorer(folder)
    assert f"{path}: not the file that was saved" in caplog.text
    caplog.clear()
    train(str(folder), questions, str(tmp_path / "on"), arguments=QUICK)
    assert f"{path}: not the file that was saved" in caplog.text
    logging.getLogger("llmtuner").removeHandler(caplog.handler)


def test_a_model_is_not_saved_over_a_training(trained, tiny_llama):
    scorer, folder = trained
    for taken in (folder, tiny_llama):
        with pytest.raises(UserError, match="holds a training or a model that this would overwrite"):
            scorer.save(taken)


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


def test_a_scorer_says_which_questions_it_cut(trained, questions, caplog):
    """Two questions that differ only in their beginning had the same scores, and nothing was said."""
    scorer = load_scorer(trained[1], cutoff_len=96)
    tail = " and so the question ends here" * 12
    asked = [
        replace(questions[0], id=name, question=f"Which is {name}a metal?{tail}", context="") for name in ("", "not ")
    ]
    logging.getLogger("llmtuner").addHandler(caplog.handler)  # the command line's logger does not propagate
    one, two = scorer.score(asked)
    logging.getLogger("llmtuner").removeHandler(caplog.handler)
    assert one.scores == pytest.approx(two.scores)
    assert "2 of 2 questions exceed `cutoff_len` 96 even without their context: the beginning" in caplog.text


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_needs_a_question(batch_size, trained, questions):
    with pytest.raises(UserError, match="expected at least 1"):
        trained[0].score(questions, batch_size=batch_size)
