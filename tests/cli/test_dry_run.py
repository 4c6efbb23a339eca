"""--dry_run: what it says is what the run does, and it leaves nothing behind."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from step2 import predict_command, train_command
from support import DEMO

from llmtuner.cli.command import read_words, settle_words, typed
from llmtuner.cli.dry_run import settings_of
from llmtuner.cli.main import main
from llmtuner.cli.preflight import preflight
from llmtuner.data.tokens.roles import option_roles
from llmtuner.errors import UserError
from llmtuner.report.dry_run_text import duration, gibibytes
from patches.mcq_stage import run as stage

QUICK = ("--max_samples", "10", "--learning_rate", "1e-3", "--per_device_train_batch_size", "2")


def sft_command(model, output_dir, *more: str) -> list[str]:
    return ["--stage", "sft", *train_command(model, output_dir)[2:], *more]


def tree(*folders: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of everything in folders."""
    paths = [path for folder in folders if folder.exists() for path in (folder, *folder.rglob("*"))]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in paths}


def dry_json(capsys, command: list[str], status: int = 0) -> dict:
    """The JSON of a dry run, whatever was printed before."""
    capsys.readouterr()
    assert main([*command, "--dry_run", "json"]) == status
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def caches(tmp_path, monkeypatch) -> list[Path]:
    """The folders in which a run keeps what it made."""
    from datasets import config

    monkeypatch.setenv("LLMTUNER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    return [tmp_path / "cache", tmp_path / "datasets"]


@pytest.mark.parametrize("command", [train_command, sft_command], ids=["mcq", "sft"])
def test_the_steps_are_those_of_the_run_and_nothing_is_written(command, tiny_llama, tmp_path, caches, capsys):
    """Also not into the folder of the run, which upstream creates as soon as it reads the flags."""
    more = ("--num_train_epochs", "2", "--save_strategy", "no", "--val_size", "2", "--eval_strategy", "epoch")
    words = command(tiny_llama, tmp_path / "out", *QUICK, *more)
    model = tiny_llama
    before = tree(tmp_path, model, *caches)
    record = dry_json(capsys, words)
    assert tree(tmp_path, model, *caches) == before
    assert not (tmp_path / "out").exists()
    assert record["status"] == "fits"
    assert main(words) == 0
    state = json.loads((tmp_path / "out" / "trainer_state.json").read_text())
    steps = record["measured"]["steps"]
    assert (steps["total"], steps["epochs"]) == (state["max_steps"], state["num_train_epochs"])
    assert steps["per_epoch"] * steps["epochs"] == steps["total"]
    speed = next(each for each in record["measured"]["speed"] if each["purpose"] == "training")
    assert speed["steps"] == steps["total"]
    assert speed["seconds"] == pytest.approx(speed["typical_seconds"] * steps["total"])


def test_rows_of_weight_0_take_no_steps(tiny_llama, tmp_path, capsys):
    """It was an IndexError: the trainer leaves these rows out, and the batches had the numbers of all rows."""
    rows = [json.loads(line) for line in DEMO.read_text().splitlines()[:10]]
    data = tmp_path / "weighted.jsonl"
    data.write_text("".join(json.dumps({**row, "weight": number % 2}) + "\n" for number, row in enumerate(rows)))
    words = train_command(tiny_llama, tmp_path / "out", "--per_device_train_batch_size", "2", "--dataset", str(data))
    record = dry_json(capsys, words)
    assert (record["status"], record["error"]) == ("fits", "")
    steps = record["measured"]["steps"]
    assert (steps["questions"], steps["batches_per_epoch"]) == (5, 3)


@pytest.mark.parametrize("command", [train_command, sft_command], ids=["mcq", "sft"])
def test_a_resumed_training_has_the_steps_that_the_run_makes(command, tiny_llama, tmp_path, capsys):
    """With larger batches it said "6 steps, 6 of them done", and the run made three more."""
    more = ("--max_samples", "8", "--gradient_accumulation_steps", "1", "--save_strategy", "epoch")
    more = (*more, "--learning_rate", "1e-3", "--num_train_epochs")
    words = command(tiny_llama, tmp_path / "out", *more, "1", "--per_device_train_batch_size", "2")
    assert main(words) == 0
    larger = command(tiny_llama, tmp_path / "out", *more, "2", "--per_device_train_batch_size", "4")
    steps = dry_json(capsys, larger)["measured"]["steps"]
    assert (steps["total"], steps["done"], steps["epochs"]) == (6, 4, 2.0), "two steps of four questions are left"


def test_steps_of_a_budget_of_tokens_are_those_of_the_run(tiny_llama, tmp_path, capsys):
    more = (*QUICK, "--mcq_tokens_per_batch", "900", "--num_train_epochs", "1.5", "--save_strategy", "no")
    words = train_command(tiny_llama, tmp_path / "out", *more)
    record = dry_json(capsys, words)
    assert main(words) == 0
    state = json.loads((tmp_path / "out" / "trainer_state.json").read_text())
    assert record["measured"]["steps"]["total"] == state["max_steps"]


@pytest.mark.parametrize("stage_name", ["mcq", "sft"])
def test_a_prediction_is_measured_and_writes_nothing(stage_name, tiny_llama, tmp_path, caches, capsys):
    words = [
        *predict_command(tiny_llama, tmp_path / "out", "--template", "llama2", "--max_samples", "10"),
        *(("--mcq_head", "likelihood") if stage_name == "mcq" else ("--max_new_tokens", "2")),
    ]
    words[1] = stage_name
    record = dry_json(capsys, words)
    assert tree(tmp_path, *caches).keys() == {str(tmp_path)}
    [memory], [speed] = record["measured"]["memory"], record["measured"]["speed"]
    assert (memory["purpose"], speed["purpose"], speed["steps"]) == ("prediction", "prediction", 2)
    assert memory["gradients"] == memory["optimizer"] == 0
    assert memory["measured"]
    assert record["measured"]["steps"] is None
    for prompt in record["measured"]["prompts"]:
        for tokens in prompt["sequences"]:
            scored = {token["role"] for token in tokens if token["scored"]}
            assert scored == ({"option"} if stage_name == "mcq" else {"template"})
            assert tokens[-1]["scored"] == (stage_name == "sft"), "the last token predicts the letter"


def test_text_and_json_have_the_same_numbers(tiny_llama, tmp_path, capsys, monkeypatch):
    words = train_command(tiny_llama, tmp_path / "out", *QUICK, "--cutoff_len", "120")
    shown = []
    monkeypatch.setattr("llmtuner.cli.dry_run.show", lambda result: shown.append(result) or show(result))
    from llmtuner.report.dry_run_text import show

    assert main([*words, "--dry_run"]) == 0
    text = capsys.readouterr().out
    record = json.loads(json.dumps(shown[0].record()))
    measured = record["measured"]
    [lengths], [memory], [speed] = measured["lengths"], measured["memory"], measured["speed"]
    names = "minimum {minimum}, median {median}, 95 % {p95}, maximum {maximum}"
    assert names.format(**lengths) in text
    assert f"cutoff_len 120: the context of {lengths['cut']} is cut" in text
    assert lengths["cut"] > 0
    assert sum(count for _, _, count in lengths["bins"]) == lengths["questions"] == 10
    assert f"{measured['steps']['total']} steps: " in text
    assert f"{gibibytes(memory['needed'])} of {gibibytes(memory['available'])} free (measured" in text
    assert f"about {duration(speed['seconds'])}" in text
    for prompt in measured["prompts"]:
        assert f"id {prompt['id']} (" in text
        assert prompt["length"] <= 120
    for setting in record["settings"]:
        assert re.search(rf"^  {setting['name']} +{re.escape(setting['value'])} +{setting['origin']}$", text, re.M)
    assert "\x1b" not in text, "no colours in a pipe"


def test_every_token_of_a_prompt_is_what_the_encoder_says(tiny_llama, tmp_path, capsys, monkeypatch):
    kept = []
    monkeypatch.setattr("patches.dry_run.mcq.prepare", lambda *a: kept.append(stage.prepare(*a)) or kept[-1])
    record = dry_json(capsys, train_command(tiny_llama, tmp_path / "out", *QUICK))
    questions = kept[0].sets.train
    prompts = record["measured"]["prompts"]
    assert [prompt["why"] for prompt in prompts] == ["the first", "the longest", "of median length"]
    for prompt in prompts:
        row = next(row for row, question in enumerate(questions.questions) if question.id == prompt["id"])
        tokens = questions.tokens[row]
        assert [[token["id"] for token in sequence] for sequence in prompt["sequences"]] == tokens.sequences
        for option, sequence in enumerate(prompt["sequences"]):
            assert [token["role"] for token in sequence] == option_roles(tokens, option)
            assert [place for place, token in enumerate(sequence) if token["scored"]] == [len(sequence) - 1]
            text = "".join(token["text"] for token in sequence if token["role"] == "option")
            assert text.strip() == questions.questions[row].options[option].strip()


@pytest.mark.parametrize("command", [train_command, sft_command], ids=["mcq", "sft"])
def test_what_does_not_fit_is_status_1_with_the_smallest_change(command, tiny_llama, tmp_path, capsys, monkeypatch):
    """No step is made: on a CPU the system would end the process."""
    words = command(tiny_llama, tmp_path / "out", *QUICK, "--per_device_train_batch_size", "8")
    room = (40 if command is train_command else 100) * 2**20
    for module in ("mcq", "sft"):
        monkeypatch.setattr(f"patches.dry_run.{module}.available_bytes", lambda: room)
    record = dry_json(capsys, words, status=1)
    [memory] = record["measured"]["memory"]
    assert (record["status"], memory["measured"], memory["fits"]) == ("does not fit", False, False)
    assert memory["needed"] > memory["available"] == room
    [advice] = record["measured"]["advice"]
    size, accumulation = re.search(r"batch_size (\d), --gradient_accumulation_steps (\d+)", advice).groups()
    assert int(size) < 8
    assert int(size) * int(accumulation) == 8 * 4, "the same questions in a step"
    assert record["measured"]["steps"]["total"] > 0
    assert main([*words, "--dry_run"]) == 1
    assert f"It does not fit. Smallest change: {advice}" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_a_model_that_is_too_large_is_not_loaded(tiny_llama, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("patches.dry_run.mcq.available_bytes", lambda: 1000)
    monkeypatch.setattr("patches.dry_run.mcq.load_model", lambda *_: pytest.fail("it was loaded"))
    record = dry_json(capsys, train_command(tiny_llama, tmp_path / "out", *QUICK), status=1)
    assert record["measured"]["memory"][0]["weights"] > 1000
    assert "use a smaller model or more memory" in record["measured"]["advice"][0]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--dataset", "nothing.csv"), "nothing.csv"),
        (("--mcq_layout", "joint", "--mcq_head", "duma"), "joint"),
        (("--streaming", "true", "--max_steps", "3"), "--dry_run text does not go with --streaming True"),
        (("--stage", "pt"), "--dry_run is for --stage"),
    ],
)
def test_a_mistake_is_status_2_and_what_is_known_is_said(more, message, tiny_llama, tmp_path, capsys):
    words = [*train_command(tiny_llama, tmp_path / "out"), *more]
    assert main([*words, "--dry_run"]) == 2
    output = capsys.readouterr()
    assert message in output.err
    assert "The run would not begin" in output.out
    assert "model_name_or_path" in output.out
    assert not (tmp_path / "out").exists()


def test_a_model_of_the_hub_out_of_reach_leaves_settings_and_data(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    record = dry_json(capsys, train_command("somebody/some-model", tmp_path / "out"), status=2)
    assert "somebody/some-model" in record["error"]
    assert record["status"] == "unknown"
    assert record["measured"] is None
    assert [(part["rows"], part["answered"]) for part in record["data"]] == [(40, 40)]
    assert record["data"][0]["options"] == {"5": 40}


def test_defects_of_the_data_are_listed(tiny_llama, tmp_path, capsys):
    rows = [json.loads(line) for line in DEMO.read_text().splitlines()[:3]]
    rows[1]["answer"] = "Z"
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    record = dry_json(capsys, train_command(tiny_llama, tmp_path / "out", "--dataset", str(path)), status=2)
    [part] = record["data"]
    assert part["rows"] == 2
    assert len(part["errors"]) == 1
    assert part["errors"][0].startswith(f"{path}:2: ")


def test_a_question_that_is_only_scored_needs_no_answer(tiny_llama, tmp_path, capsys):
    """A dry run said "training needs one" of a file that is predicted."""
    rows = [json.loads(line) for line in DEMO.read_text().splitlines()[:3]]
    rows[1] |= {"answer": "", "prompt": " "}
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    more = ("--mcq_head", "letter", "--eval_dataset", str(path))
    [part] = dry_json(capsys, ["--stage", "mcq", *predict_command(tiny_llama, tmp_path / "out", *more)])["data"]
    assert (part["rows"], part["answered"], part["errors"]) == (3, 2, [])
    assert [warning for warning in part["warnings"] if "no text" in warning]


def settings(words: list[str]) -> dict[str, tuple[str, str]]:
    """Value and origin of each setting."""
    given = read_words(words)
    settle_words(given)
    flags = typed(given)
    plan = preflight(flags)
    return {each.name: (each.value, each.origin) for each in settings_of(flags, plan.flags, plan.run)}


def test_each_setting_says_where_it_comes_from(tiny_llama, tmp_path):
    config = tmp_path / "run.yaml"
    config.write_text(f"stage: mcq\nmodel_name_or_path: {tiny_llama}\ndo_train: true\ndataset: llmscience_sample\n")
    command = [str(config), "--template", "llama2", "--output_dir", str(tmp_path / "o"), "--profile", "2023"]
    seen = settings([*command, "--swanlab_api_key", "secret"])
    assert seen["template"] == ("llama2", "flag")
    assert seen["dataset"] == ("llmscience_sample", f"{config}:4")
    assert seen["cutoff_len"] == ("1024", "--profile 2023")
    assert seen["mcq_head"] == ("linear", "default")
    assert seen["learning_rate"] == ("5e-05", "default")
    assert not {"dry_run", "overwrite_output_dir", "swanlab_api_key"} & seen.keys()


def test_settings_of_a_trained_model_are_stored_with_it(tiny_llama, tmp_path, capsys):
    trained = tmp_path / "trained"
    more = ("--max_samples", "4", "--num_train_epochs", "1", "--mcq_pooling", "mean", "--cutoff_len", "700")
    assert main(train_command(tiny_llama, trained, *more)) == 0
    words = predict_command(tiny_llama, tmp_path / "out", "--max_samples", "4", adapter=trained)
    before = tree(tmp_path)
    record = dry_json(capsys, words)
    assert tree(tmp_path) == before
    seen = {each["name"]: (each["value"], each["origin"]) for each in record["settings"]}
    for name, value in {"mcq_pooling": "mean", "cutoff_len": "700", "template": "llama2"}.items():
        assert seen[name] == (value, "stored with the model")
    assert "dry_run" not in json.loads((trained / "run.json").read_text())["settings"]


def test_flags_of_the_command_line_need_no_parser_of_upstream(tiny_llama, tmp_path):
    """--mcq_answer_base was an unknown flag on the command line: no parser of upstream has it."""
    words = [*train_command(tiny_llama, tmp_path / "out", "--dataset", "questions.jsonl"), "--mcq_answer_base", "1"]
    assert typed(read_words(words))["dataset"] == "questions.jsonl?answer_base_default=1"
    with pytest.raises(UserError, match=r"unknown flag --mcq_answer_bas. Did you mean --mcq_answer_base"):
        typed(read_words([*words, "--mcq_answer_bas", "1"]))


def test_a_dry_run_of_one_process_refuses_torchrun(tiny_llama, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert main([*train_command(tiny_llama, tmp_path / "out"), "--dry_run"]) == 2
    assert "run it without torchrun" in capsys.readouterr().err
