"""--retrieve in runs of both stages: the same weights as on a file with contexts, and what a prediction takes over."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import step2
import test_step1 as step1
from safetensors.torch import load_file
from support import load_script

from llmtuner.cli.main import main
from llmtuner.data import read_questions
from llmtuner.mcq import load_scorer
from llmtuner.retrieval.index.build import BuildSettings, build_index
from llmtuner.runs.trained import read_trained

QUICK = (
    "--max_samples",
    "8",
    "--max_steps",
    "2",
    "--logging_steps",
    "1",
    "--save_steps",
    "1",
    "--learning_rate",
    "1e-2",
)
TRAIN = {"sft": step1.train_command, "mcq": step2.train_command}
PREDICT = {"sft": step1.predict_command, "mcq": step2.predict_command}


@pytest.fixture(scope="module")
def place(tmp_path_factory, demo_records) -> Path:
    """A folder with questions without contexts, an index of their passages, and a cache of its own."""
    folder = tmp_path_factory.mktemp("open book")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LLMTUNER_CACHE", str(folder / "cache"))
        facts = [{"id": row["id"], "text": row["context"]} for row in demo_records]
        (folder / "facts.jsonl").write_text("".join(json.dumps(fact) + "\n" for fact in facts))
        build_index([str(folder / "facts.jsonl")], folder / "index")
        closed = [{name: value for name, value in row.items() if name != "context"} for row in demo_records]
        (folder / "closed.jsonl").write_text("".join(json.dumps(row) + "\n" for row in closed))
        add = load_script("add_context").main
        command = [str(folder / "closed.jsonl"), str(folder / "index"), "--out", str(folder / "open.jsonl")]
        assert add([*command, "--k", "2"]) == 0
        yield folder


def train(stage: str, model: Path, out: Path, dataset: Path, *more: str) -> int:
    command = TRAIN[stage](model, out, *QUICK, *more)
    return main([str(dataset) if word == "llmscience_sample" else word for word in command if word != "--plot_loss"])


def predict(stage: str, model: Path, out: Path, dataset: Path, adapter: Path | None, *more: str) -> int:
    command = PREDICT[stage](model, out, "--max_samples", "6", *more)
    command += [] if adapter is None else ["--adapter_name_or_path", str(adapter)]
    return main([str(dataset) if word == "llmscience_sample" else word for word in command])


@pytest.fixture(scope="module", params=["sft", "mcq"])
def trained(request, place, tiny_llama) -> tuple[str, Path]:
    """A training with --retrieve."""
    out = place / request.param / "trained"
    retrieve = ("--retrieve", str(place / "index"), "--retrieve_k", "2")
    assert train(request.param, tiny_llama, out, place / "closed.jsonl", *retrieve) == 0
    return request.param, out


def stored(folder: Path) -> dict:
    return json.loads((folder / "run.json").read_text())["retrieve"]


def scores(folder: Path) -> list:
    return [json.loads(line)["scores"] for line in (folder / "predictions.jsonl").open(encoding="utf-8")]


def test_a_training_is_that_on_the_file_with_contexts(trained, place, tiny_llama):
    stage, out = trained
    again = place / stage / "file"
    assert train(stage, tiny_llama, again, place / "open.jsonl") == 0
    first, second = (load_file(folder / "adapter_model.safetensors") for folder in (out, again))
    assert all(first[name].equal(second[name]) for name in second)
    closed = place / stage / "closed"
    assert train(stage, tiny_llama, closed, place / "closed.jsonl") == 0
    third = load_file(closed / "adapter_model.safetensors")
    assert not all(first[name].equal(third[name]) for name in third), "contexts made no difference"


def test_questions_that_were_trained_on_with_searched_contexts_count_with_those_of_their_file(trained, place):
    """A prediction compares before it searches."""
    known = read_trained([trained[1]])
    asked = read_questions(place / "closed.jsonl", purpose="train").questions
    others = [replace(question, context="another passage") for question in asked]
    assert len(known.known(asked)[0]) == len(known.known(others)[0]) == 8


def test_what_the_training_stores(trained, place):
    stage, out = trained
    kept = stored(out)
    assert (kept["index"], kept["k"], kept["query"], kept["replace"]) == (str(place / "index"), 2, "all", False)
    assert len(kept["fingerprint"]) == 64
    assert json.loads((out / "checkpoint-1" / "checkpoint.json").read_text())["retrieve"] == kept
    for folder in (out, out / "checkpoint-1") if stage == "mcq" else ():
        assert step2.config(folder)["retrieve"] == kept
    assert "retrieve" not in (step2.config(place / "mcq" / "file") if (place / "mcq" / "file").is_dir() else {})


def test_a_prediction_takes_the_stored_index_and_says_so(trained, place, tiny_llama, capsys):
    stage, out = trained
    for adapter in (out, out / "checkpoint-2"):
        told, given = place / stage / f"of {adapter.name}", place / stage / f"given {adapter.name}"
        assert predict(stage, tiny_llama, told, place / "closed.jsonl", adapter) == 0
        assert f"contexts are retrieved from {place / 'index'}, as in the training" in capsys.readouterr().err
        assert predict(stage, tiny_llama, given, place / "open.jsonl", adapter, "--retrieve", "none") == 0
        assert "--retrieve none: no contexts are retrieved; the model was trained with" in capsys.readouterr().err
        assert scores(told) == scores(given)
    assert predict(stage, tiny_llama, place / stage / "none", place / "closed.jsonl", out, "--retrieve", "none") == 0
    assert scores(place / stage / "none") != scores(told)


def test_a_moved_index_is_named_and_another_one_is_said(trained, place, tiny_llama, capsys):
    stage, out = trained
    (place / "index").rename(place / "moved")
    try:
        assert predict(stage, tiny_llama, place / stage / "missing", place / "closed.jsonl", out) == 2
        message = capsys.readouterr().err
        assert f"{place / 'index'}: no such folder" in message
        assert "If it has moved, pass --retrieve with its folder now; --retrieve none works without" in message
        assert not (place / stage / "missing").exists()
        new = ("--retrieve", str(place / "moved"))
        assert predict(stage, tiny_llama, place / stage / "moved", place / "closed.jsonl", out, *new) == 0
        notes = capsys.readouterr().err
        assert "--retrieve_k 2, as in the training" in notes
        assert "another index" not in notes
        build_index([str(place / "facts.jsonl")], place / "index", BuildSettings(words=20))
        assert predict(stage, tiny_llama, place / stage / "changed", place / "closed.jsonl", out) == 2
        assert "is another index than the stored one" in capsys.readouterr().err
        new = ("--retrieve", str(place / "index"))
        assert predict(stage, tiny_llama, place / stage / "other", place / "closed.jsonl", out, *new) == 0
        assert "the model was trained with contexts of another index" in capsys.readouterr().err
    finally:
        shutil.rmtree(place / "index", ignore_errors=True)
        (place / "moved").rename(place / "index")


def test_a_resumed_training_needs_the_same_contexts(trained, place, tiny_llama, tmp_path, capsys):
    stage, out = trained
    killed = shutil.copytree(out, tmp_path / "killed")
    for name in ("run.json", "checkpoint-2"):
        path = killed / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    moved = shutil.copytree(place / "index", tmp_path / "moved")
    other = tmp_path / "other"
    build_index([str(place / "facts.jsonl")], other, BuildSettings(words=20))
    capsys.readouterr()
    for index, k, message in (
        (other, "2", "--retrieve (another index) stored"),
        (None, None, "--retrieve stored"),
        (moved, "3", "--retrieve_k stored 2, given 3"),
    ):
        given = () if index is None else ("--retrieve", str(index), "--retrieve_k", k)
        assert train(stage, tiny_llama, killed, place / "closed.jsonl", *given) == 2
        assert message in capsys.readouterr().err
    assert train(stage, tiny_llama, killed, place / "closed.jsonl", "--retrieve", str(moved), "--retrieve_k", "2") == 0
    first, second = (load_file(folder / "adapter_model.safetensors") for folder in (out, killed))
    assert all(first[name].equal(second[name]) for name in second)


def test_a_scorer_reranks_in_a_run(place, tiny_llama, tmp_path, trained, capsys):
    stage, out = trained
    if stage != "mcq":
        pytest.skip("scorers are models of stage mcq")
    retrieve = ("--retrieve", str(place / "index"), "--retrieve_rerank", str(out), "--retrieve_k", "1")
    assert predict("mcq", tiny_llama, tmp_path / "out", place / "closed.jsonl", out, *retrieve) == 0
    assert "6 of 6 questions got passages" in capsys.readouterr().err
    assert scores(tmp_path / "out") != scores(place / "mcq" / "none")


def test_a_merged_model_keeps_the_index_or_says_that_it_cannot(trained, place, tmp_path, capsys):
    """The merged folder of a training with contexts predicted without any, in silence."""
    stage, out = trained
    assert load_script("merge").main([str(out), str(tmp_path / "merged")]) == 0
    said = capsys.readouterr().out
    if stage == "mcq":
        assert step2.config(tmp_path / "merged")["retrieve"] == stored(out)
        (notice,) = load_scorer(tmp_path / "merged").notices
        assert "this scorer searches nothing" in notice
    assert (f"--retrieve {place / 'index'}" in said) == (stage == "sft")
