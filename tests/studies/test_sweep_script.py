"""scripts/sweep.py as a user starts it, over a fake command."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from studies.conftest import FAKE, TEST
from support import ROOT

from llmtuner.cli.command import read_words
from llmtuner.data.predictions import read_predictions
from llmtuner.errors import UserError
from llmtuner.metrics import map_at_k
from llmtuner.studies.ended_run import check_ended, read_record, write_record

RATES = ("--set", "learning_rate=1e-4,3e-4")


def commands_of(tmp_path) -> dict[str, str]:
    """What each piece ran, by its name."""
    files = sorted((tmp_path / "sweep").rglob("*.commands"))
    return {str(file.relative_to(tmp_path / "sweep").with_suffix("")): file.read_text().strip() for file in files}


def test_a_table_with_a_line_for_each_combination(run_sweep, tmp_path):
    status, out, err = run_sweep(*RATES, "--seeds", "1,2", "--parallel", "2")
    assert status == 0, err
    rows = [line.split()[:3] for line in out.splitlines() if line.startswith("learning_rate")]
    assert [row[:2] for row in rows] == [["learning_rate=1e-4", "2"], ["learning_rate=3e-4", "2"]]
    predictions = [read_predictions(tmp_path / f"sweep/learning_rate=1e-4/seed-{s}/predictions.jsonl") for s in (1, 2)]
    mean = sum(map_at_k([p.scores for p in each], [0] * 40) for each in predictions) / 2
    assert f"{mean:.3f}" in out
    assert "0.458" in out
    assert set(commands_of(tmp_path).values()) == {"train predict"}
    stored = json.loads((tmp_path / "sweep" / "results.json").read_text())
    assert [each["seeds"] for each in stored["combinations"]] == [[1, 2], [1, 2]]
    assert stored["combinations"][0]["map3"] == pytest.approx(mean)


def test_what_is_done_is_not_done_again_and_more_may_be_asked_for(run_sweep, tmp_path):
    run_sweep(*RATES)
    status, out, _ = run_sweep("--set", "learning_rate=1e-4,3e-4,1e-3", "--seeds", "42,1")
    assert status == 0
    assert out.count("learning_rate") == 3
    assert len(commands_of(tmp_path)) == 6
    assert set(commands_of(tmp_path).values()) == {"train predict"}
    manifest = json.loads((tmp_path / "sweep" / "sweep.json").read_text())
    assert manifest["seeds"] == [42, 1]
    assert manifest["set"] == {"learning_rate": ["1e-4", "3e-4", "1e-3"]}


def test_json_instead_of_the_table(run_sweep, tmp_path):
    _, out, _ = run_sweep(*RATES, "--json")
    assert [each["name"] for each in json.loads(out)["combinations"]] == ["learning_rate=1e-4", "learning_rate=3e-4"]


def test_a_file_of_json_that_cannot_be_written_is_refused_and_an_own_one_replaced(run_sweep, tmp_path):
    status, _, err = run_sweep(*RATES, "--json", str(tmp_path / "none/x.json"))
    assert status == 2
    assert "does not exist" in err
    for _ in range(2):
        status, _, err = run_sweep(*RATES, "--json", str(tmp_path / "own.json"))
        assert status == 0, err


def test_a_failed_piece_does_not_stop_the_others_and_runs_again(run_sweep, tmp_path, monkeypatch):
    """A sweep that stops at the first diverging learning rate costs a night."""
    monkeypatch.setenv("FAKE_STATUS", "learning_rate=1e-4:1")
    status, out, err = run_sweep(*RATES)
    assert status == 1
    assert "learning_rate=1e-4 is bad" in err
    assert "train.log" in err
    assert "learning_rate=3e-4" in out
    assert "learning_rate=1e-4" not in out
    assert json.loads((tmp_path / "sweep/results.json").read_text())["failed"] == {"learning_rate=1e-4/seed-42": 1}
    monkeypatch.delenv("FAKE_STATUS")
    status, out, _ = run_sweep(*RATES)
    assert status == 0
    assert out.count("learning_rate=") == 2
    assert json.loads((tmp_path / "sweep/results.json").read_text())["failed"] == {}


def test_nothing_starts_after_a_users_mistake(run_sweep, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_STATUS", "learning_rate=1e-4:2")
    status, _, err = run_sweep(*RATES)
    assert status == 2
    assert "error: learning_rate=1e-4 is bad" in err
    assert commands_of(tmp_path) == {}


def test_no_piece_starts_after_the_minutes(run_sweep, tmp_path):
    status, out, _err = run_sweep(*RATES, "--minutes", "0")
    assert status == 0
    assert commands_of(tmp_path) == {}
    assert "no piece is done" in out


@pytest.mark.parametrize(
    ("own", "words", "expected"),
    [
        (["--set", "learning_rate=1e-4,high"], [], ["learning_rate", "high"]),
        (["--set", "mcq_head=linear,dumma", "--set", "cutoff_len=-1,64"], [], ["dumma", "cutoff_len"]),
        (["--set", "learning_rte=1e-4"], [], ["learning_rte", "learning_rate"]),
        (RATES, ["--output_dir", "x"], ["--output_dir", "--out"]),
        (["--set", "seed=1,2"], [], ["--seed", "--seeds"]),
        (["--set", "hub_token=a,b"], [], ["pass --hub_token behind --"]),
        (["--seeds", "1,x"], [], ["--seeds 1,x"]),
        (RATES, ["--dry_run"], ["--dry_run is for a single run"]),
        ([*RATES, *RATES], [], ["learning_rate", "twice"]),
        (["--set", "dataset=missing.csv"], [], ["missing.csv"]),
        (["--set", f"dataset={'x' * 300}"], [], ["too long"]),
    ],
)
def test_mistakes_are_found_before_anything_runs(run_sweep, tmp_path, sweep_words, own, words, expected):
    status, out, err = run_sweep(*own, words=[*sweep_words, *words])
    assert status == 2
    assert not out
    assert "Traceback" not in err
    assert all(text in err for text in expected), err
    assert not (tmp_path / "sweep").exists()


def test_without_a_command(run_sweep):
    status, _, err = run_sweep(*RATES, words=[])
    assert status == 2
    assert "behind --" in err


def test_other_flags_other_data_or_another_folder_are_refused(run_sweep, tmp_path, sweep_words):
    """Pieces of two different sweeps in one table would be compared as if they were one."""
    rows = TEST.read_text().splitlines()
    mine = tmp_path / "mine.jsonl"
    mine.write_text("\n".join(rows[:50]) + "\n")
    words = [*sweep_words, "--dataset", str(mine)]
    assert run_sweep(*RATES, words=words)[0] == 0
    status, _, err = run_sweep(*RATES, words=[*words, "--num_train_epochs", "2"])
    assert status == 2
    assert "--num_train_epochs" in err
    assert "--overwrite" in err
    status, _, err = run_sweep("--set", "mcq_head=linear", words=words)
    assert status == 2
    assert "learning_rate" in err
    assert "mcq_head" in err
    mine.write_text("\n".join(rows[1:51]) + "\n")
    status, _, err = run_sweep(*RATES, words=words)
    assert status == 2
    assert "another dataset" in err
    assert run_sweep(*RATES, "--overwrite", words=words)[0] == 0
    other = tmp_path / "other"
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    status, _, err = run_sweep(*RATES, "--out", str(other))
    assert status == 2
    assert "not the folder of a sweep" in err
    assert [*other.iterdir()] == [other / "notes.txt"]


def config_of(words: list[str], path, *more: str) -> list[str]:
    """The same command with a config file."""
    given = read_words([*words, *more])
    path.write_text("".join(f"{name}: {json.dumps((given.values(name) or ['true'])[0])}\n" for name in given))
    return [str(path)]


def test_a_config_file_that_was_edited_is_refused(run_sweep, tmp_path, sweep_words):
    """Only its name was compared: seeds of two learning rates stood in one row of the table."""
    words = config_of(sweep_words, tmp_path / "run.yaml", "--num_train_epochs", "1")
    assert run_sweep(*RATES, words=words)[0] == 0
    assert run_sweep(*RATES, "--seeds", "42,1", words=words)[0] == 0
    config_of(sweep_words, tmp_path / "run.yaml", "--num_train_epochs", "2")
    status, _, err = run_sweep(*RATES, "--seeds", "42,2", words=words)
    assert status == 2
    assert "other flags (--num_train_epochs=2 --num_train_epochs=1)" in err
    assert not [*(tmp_path / "sweep").rglob("seed-2*")]


def test_flags_in_another_order_are_the_same_sweep(run_sweep, tmp_path, sweep_words):
    """Sorting the lines of a config file was "other flags", and the message named none; --overwrite deletes pieces."""
    words = config_of(sweep_words, tmp_path / "run.yaml")
    assert run_sweep(*RATES, words=words)[0] == 0
    config = tmp_path / "run.yaml"
    config.write_text("".join(sorted(config.read_text().splitlines(keepends=True))))
    status, _, err = run_sweep("--set", "learning_rate=1e-4", "--seeds", "42,1", words=words)
    assert status == 0
    assert "2 pieces, 1 of them done" in err
    stored = json.loads((tmp_path / "sweep/sweep.json").read_text())
    assert stored["seeds"] == [42, 1]
    assert stored["set"] == {"learning_rate": ["1e-4", "3e-4"]}


def test_progress_has_the_accuracy_of_the_table(run_sweep, monkeypatch):
    """In stage sft it was that of the generated texts, 0.000 beside a table with 0.250."""
    figures = {"predict_map@3": 0.5, "predict_accuracy": 0.0, "predict_top1_accuracy": 0.25}
    monkeypatch.setattr("llmtuner.studies.carry_out.figures_of", lambda _: dict(figures))
    assert "MAP@3 0.500, accuracy 0.250" in run_sweep()[2]


def test_a_damaged_file_of_scores_is_named(run_sweep, tmp_path):
    """It was a traceback."""
    assert run_sweep()[0] == 0
    (tmp_path / "sweep/seed-42/predict_results.json").write_text("{")
    status, _, err = run_sweep()
    assert status == 2
    assert "seed-42/predict_results.json: cannot be read" in err


def test_scores_that_were_lost_or_edited_are_named(run_sweep, tmp_path):
    """The table had train_loss in their place, or a spread between seeds that the predictions do not have."""
    assert run_sweep("--seeds", "1,2")[0] == 0
    path = tmp_path / "sweep/seed-2/predict_results.json"
    whole = path.read_text()
    path.write_text(json.dumps(json.loads(whole) | {"predict_map@3": 0.99}))
    expected = "seed-2: its scores are not those that it ended with: predict_results.json or eval_results.json was lost"
    status, out, err = run_sweep("--seeds", "1,2")
    assert (status, out) == (2, "")
    assert expected in err
    path.unlink()
    status, out, err = run_sweep("--seeds", "1,2")
    assert (status, out) == (2, "")
    assert expected in err
    path.write_text(json.dumps(json.loads(whole) | {"predict_runtime": 9.0}))
    assert run_sweep("--seeds", "1,2")[0] == 0, "a speed is no score"
    record = path.with_name("piece.json")
    record.write_text(json.dumps({**json.loads(record.read_text()), "figures": None}))  # of an earlier version
    path.write_text(json.dumps(json.loads(whole) | {"predict_map@3": 0.99}))
    status, out, err = run_sweep("--seeds", "1,2")
    assert (status, out) == (2, "")
    assert "seed-2/predict_results.json: predict_map@3 is 0.9900, but predictions.jsonl gives" in err


def test_scores_of_an_evaluation_that_were_lost_or_edited_are_named(tmp_path):
    """Without predictions, the mean was that of fewer seeds than the table said, or of an edited score."""
    (tmp_path / "train_results.json").write_text('{"train_loss": 1.5}')
    path = tmp_path / "eval_results.json"
    path.write_text('{"eval_map@3": 0.5, "eval_runtime": 3.0}')
    write_record(tmp_path, 1.0)
    record = read_record(tmp_path)
    path.write_text('{"eval_map@3": 0.5, "eval_runtime": 2.0}')
    check_ended(tmp_path, record)
    for damage in (lambda: path.write_text('{"eval_map@3": 0.9}'), path.unlink):
        damage()
        with pytest.raises(UserError, match="its scores are not those that it ended with"):
            check_ended(tmp_path, record)
    check_ended(tmp_path, {"seconds": 1.0})  # of an earlier version


@pytest.mark.parametrize("minutes", ["nan", "-1", "soon"])
def test_minutes_that_never_end_are_refused(run_sweep, tmp_path, minutes, capsys):
    """With nan, the sweep had no limit."""
    with pytest.raises(SystemExit, match="2"):
        run_sweep("--minutes", minutes)
    assert "at least 0" in capsys.readouterr().err


def test_examples_that_were_edited_are_refused(run_sweep, tmp_path, sweep_words):
    """Seeds with other examples in their prompts stood in one row of the table."""
    rows = (TEST.parent / "train.jsonl").read_text().splitlines()
    shots = tmp_path / "shots.jsonl"
    shots.write_text("\n".join(rows[:4]) + "\n")
    words = [*sweep_words, "--mcq_shots", "2", "--mcq_shots_from", str(shots)]
    assert run_sweep(*RATES, words=words)[0] == 0
    shots.write_text("\n".join(rows[4:8]) + "\n")
    status, _, err = run_sweep(*RATES, "--seeds", "42,1", words=words)
    assert status == 2
    assert "another prompt" in err


def test_examples_that_are_also_scored_are_refused_before_the_first_training(run_sweep, tmp_path, sweep_words):
    """Each prediction was refused, after its training."""
    mine = tmp_path / "mine.jsonl"
    mine.write_text("".join((TEST.parent / "train.jsonl").read_text().splitlines(keepends=True)[:40]))
    words = [*sweep_words, "--dataset", str(mine), "--mcq_shots", "2", "--mcq_shots_from", str(TEST)]
    status, _, err = run_sweep(*RATES, words=words)
    assert status == 2
    assert "2 of the 160 scored questions are also shots" in err
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize("swept", [(), ("--set", "mcq_option_orders=1,2")])
def test_orders_of_the_options_are_of_the_prediction(run_sweep, tmp_path, sweep_words, swept):
    """The training was refused: "add --do_predict", which the command had."""
    words = [*sweep_words, "--mcq_head", "letter", *([] if swept else ["--mcq_option_orders", "2"])]
    status, _, err = run_sweep(*swept, words=words)
    assert status == 0, err
    names = ["mcq_option_orders=2/seed-42"] if swept else ["seed-42"]
    for name in names:
        trained, predicted = ((tmp_path / f"sweep/{name}.{step}.log").read_text() for step in ("train", "predict"))
        assert "--mcq_option_orders" not in trained
        assert "--mcq_option_orders=2" in predicted


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--stage", "sft", "--eval_on_each_dataset", "true"], "--eval_on_each_dataset is for evaluations"),
        (["--mcq_option_orders", "2"], "option_orders 2: "),
        (["--eval_dataset", "ev/*.jsonl"], "have ids in common"),
    ],
)
def test_what_the_prediction_refuses_is_refused_before_the_training(
    run_sweep, tmp_path, sweep_words, more, message, monkeypatch
):
    """It was found when the first training had ended."""
    (tmp_path / "ev").mkdir()
    for name in "ab":
        (tmp_path / f"ev/{name}.jsonl").write_text("".join(TEST.read_text().splitlines(keepends=True)[:4]))
    monkeypatch.chdir(tmp_path)
    words = [word for word in sweep_words if word not in ("--stage", "mcq")] if "--stage" in more else sweep_words
    status, _, err = run_sweep(words=[*words, *more])
    assert status == 2
    assert message in err
    assert not (tmp_path / "sweep").exists()


def test_replaced_predictions_are_named_before_the_next_piece_runs(run_sweep, tmp_path):
    """They were named as the first other piece ended, which stopped all those that ran beside it."""
    assert run_sweep()[0] == 0
    path = tmp_path / "sweep/seed-42/predictions.jsonl"
    path.write_text(path.read_text().replace('"answer": "A"', '"answer": "B"', 1))
    status, _, err = run_sweep("--seeds", "42,1,2", "--parallel", "2")
    assert status == 2
    assert "its predictions are not those that it ended with" in err
    assert not list((tmp_path / "sweep").glob("seed-[12]*"))


def test_a_piece_of_another_tokenizer_is_named_and_earlier_records_still_count(
    run_sweep, tmp_path, tiny_llama, sweep_words
):
    """Only weights were compared, so a table could mix tokenizers. Records of earlier versions have no tokenizer."""
    model = shutil.copytree(tiny_llama, tmp_path / "model")
    words = [*sweep_words, "--model_name_or_path", str(model)]
    assert run_sweep(words=words)[0] == 0
    path, record = model / "tokenizer.json", tmp_path / "sweep/seed-42/piece.json"
    path.write_text(json.dumps(json.loads(path.read_text()), indent=3))
    status, _, err = run_sweep(words=words)
    assert status == 2
    assert "was made with another tokenizer" in err
    stored = json.loads(record.read_text())
    del stored["inputs"]["tokenizer"]
    record.write_text(json.dumps(stored))
    assert run_sweep(words=words)[0] == 0


def test_a_seed_that_is_too_large_is_refused_before_the_first_piece(run_sweep, tmp_path):
    """It was refused by its own training, after those of the seeds before it."""
    status, _, err = run_sweep("--seeds", f"1,{2**32}")
    assert status == 2
    assert f"--seeds {2**32}: expected " in err
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize("seeds", ["2", "1,2"])
def test_predictions_that_a_later_run_replaced_are_named(run_sweep, tmp_path, seeds):
    """The table had the score on other questions; only where the seeds differed did it say so."""
    assert run_sweep("--seeds", "1,2")[0] == 0
    path = tmp_path / "sweep/seed-2/predictions.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    status, out, err = run_sweep("--seeds", seeds)
    assert status == 2
    assert not out
    assert "seed-2: its predictions are not those that it ended with" in err


def test_a_prediction_that_lost_questions_is_named(run_sweep, tmp_path):
    """It was a traceback. Records of earlier versions have no digest of the predictions."""
    assert run_sweep("--seeds", "1,2")[0] == 0
    path = tmp_path / "sweep/seed-2/predictions.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    record = tmp_path / "sweep/seed-2/piece.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "predictions": None}))
    status, _, err = run_sweep("--seeds", "1,2")
    assert status == 2
    assert "seed-2 was scored on other questions" in err


def test_overwriting_leaves_no_piece_of_other_flags(run_sweep, tmp_path, sweep_words):
    """Values that were not swept again counted as done later, with the flags of the earlier sweep."""
    assert run_sweep(*RATES, words=sweep_words)[0] == 0
    assert run_sweep("--set", "learning_rate=1e-4", "--overwrite", words=sweep_words)[0] == 0
    assert (tmp_path / "sweep/learning_rate=3e-4/seed-42").is_dir(), "of the same flags"
    words = [*sweep_words, "--num_train_epochs", "2"]
    assert run_sweep("--set", "learning_rate=1e-4", "--overwrite", words=words)[0] == 0
    assert not (tmp_path / "sweep/learning_rate=3e-4/seed-42").exists()
    status, _, err = run_sweep(*RATES, words=words)
    assert status == 0
    assert "2 pieces, 1 of them done" in err


def test_a_start_that_was_killed_before_its_manifest_goes_on(run_sweep, tmp_path):
    """The same command was refused: not empty, and not the folder of a sweep. A folder of something else still is."""
    out = tmp_path / "sweep"
    out.mkdir()
    (out / ".lock").write_text("{}")
    (out / ".sweep.json.12-0123abcd").write_text("{")
    assert run_sweep(*RATES)[0] == 0
    other = tmp_path / "other"
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    status, _, err = run_sweep(*RATES, "--overwrite", "--out", str(other))
    assert status == 2
    assert "not the folder of a sweep" in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_sweep_that_is_stopped_stops_its_commands_and_goes_on_later(tmp_path, sweep_words, number):
    """A command that outlives its sweep writes to the folder that the next start uses; a closed terminal left it so."""
    code = "import sys; sys.path[:0] = [sys.argv.pop(1)]; import llmtuner.studies.jobs as jobs, pathlib, sweep;"
    code += "jobs.ENTRY_POINT = pathlib.Path(sys.argv.pop(1)); sys.exit(sweep.main())"
    own = ["--out", str(tmp_path / "sweep"), *RATES, "--parallel", "2", "--", *sweep_words]
    command = [sys.executable, "-c", code, str(ROOT / "scripts"), str(FAKE), *own]
    environment = {**os.environ, "FAKE_SLEEP": "60", "PYTHONPATH": str(ROOT / "src")}
    # Under nohup this process ignores SIGHUP, and would hand that on.
    listens = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, **listens) as process:
        logs = [tmp_path / "sweep" / f"learning_rate={rate}" / "seed-42.train.log" for rate in ("1e-4", "3e-4")]
        while not all(log.exists() for log in logs):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        process.send_signal(number)
        err = process.communicate()[1]
    assert process.returncode == 143
    assert "goes on from here" in err
    running = subprocess.run(["ps", "-eo", "args"], check=True, capture_output=True, text=True).stdout
    assert str(tmp_path / "sweep" / "learning_rate") not in running
    assert commands_of(tmp_path) == {}
    assert subprocess.run(command, check=False, env={**environment, "FAKE_SLEEP": "0"}).returncode == 0
    assert set(commands_of(tmp_path).values()) == {"train predict"}


def test_a_real_piece_whose_folder_has_commas(tmp_path, tiny_llama, capsys):
    """The folders of two swept flags have a comma, which separated adapters: the trained adapter was not found."""
    from support import load_script

    flags = f"--stage mcq --template llama2 --do_train --dataset {TEST} --do_predict --eval_dataset {TEST}"
    words = ["--model_name_or_path", str(tiny_llama), *flags.split(), "--max_steps", "1", "--max_samples", "8"]
    out = tmp_path / "sweep"
    own = ["--out", str(out), "--set", "learning_rate=1e-4", "--set", "lora_rank=2"]
    assert load_script("sweep").main([*own, "--", *words]) == 0, capsys.readouterr().err
    folder = out / "learning_rate=1e-4,lora_rank=2" / "seed-42"
    assert (folder / "predict_results.json").is_file()
    assert (folder / "adapter_model.safetensors").is_file()


@pytest.mark.parametrize(
    "change",
    [{"seeds": ["1/../../victim"]}, {"seeds": [True]}, {"set": {"../victim": ["1"]}}, {"set": {"learning_rate": [1]}}],
)
def test_a_manifest_from_elsewhere_cannot_name_other_folders(run_sweep, tmp_path, sweep_words, change):
    """--overwrite deletes the folders of earlier pieces: a seed with ".." deleted a folder outside the sweep."""
    for name in ("sweep/seed-1", "victim", "sweep/x/victim=1/seed-1"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "thesis.txt").write_text("x")
    manifest = {"format": 1, "flags": ["--stage", "sft"], "set": {}, "seeds": [1], **change}
    (tmp_path / "sweep/sweep.json").write_text(json.dumps(manifest))
    status, _, err = run_sweep("--seeds", "1", "--overwrite")
    assert status == 2
    assert "not the manifest of a sweep" in err
    assert len([*tmp_path.rglob("thesis.txt")]) == 3


def test_a_link_does_not_lead_overwriting_out_of_the_sweep(run_sweep, tmp_path):
    """The folder of a combination may be a link; the pieces behind it were deleted."""
    (tmp_path / "elsewhere/seed-42").mkdir(parents=True)
    assert run_sweep(*RATES)[0] == 0
    shutil.rmtree(tmp_path / "sweep/learning_rate=3e-4")
    (tmp_path / "sweep/learning_rate=3e-4").symlink_to(tmp_path / "elsewhere")
    status, _, err = run_sweep(*RATES, "--overwrite")
    assert status == 2
    assert "which --overwrite leaves alone; remove the link" in err
    assert (tmp_path / "elsewhere/seed-42").is_dir()
    assert (tmp_path / "sweep/learning_rate=1e-4/seed-42/piece.json").is_file(), "nothing is deleted"


def test_a_token_is_neither_stored_nor_compared(run_sweep, tmp_path, sweep_words, monkeypatch):
    """sweep.json and results.json held it, and a renewed one was another sweep."""
    monkeypatch.setenv("HF_TOKEN", "")  # the check of the flags puts it there
    assert run_sweep(words=[*sweep_words, "--hub_token", "hf_secret"])[0] == 0
    folder = tmp_path / "sweep"
    assert not any("hf_secret" in (folder / name).read_text() for name in ("sweep.json", "results.json"))
    manifest = json.loads((folder / "sweep.json").read_text())
    manifest["flags"] += ["--hub_token", "hf_of_an_earlier_version"]
    (folder / "sweep.json").write_text(json.dumps(manifest))
    assert run_sweep(words=[*sweep_words, "--hub_token", "hf_renewed"])[0] == 0
