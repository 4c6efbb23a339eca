"""Which contexts a run gets: as given, as stored with its model, or none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from llmtuner.cli import preflight_retrieve
from llmtuner.cli.flags import Flags
from llmtuner.cli.preflight_retrieve import settle_retrieve, unfilled
from llmtuner.cli.words import Words
from llmtuner.data.tokens.stored import form_to_json
from llmtuner.errors import UserError
from llmtuner.mcq.run import McqRun
from llmtuner.mcq.settings import McqSettings
from llmtuner.retrieval.check import checked
from llmtuner.retrieval.index.build import build_index
from llmtuner.retrieval.rerankers import Rerankers
from llmtuner.retrieval.settings import FIELDS, Retrieve, retrieve_of
from llmtuner.runs.manifest import Manifest, write_manifest
from llmtuner.spec.flags import FLAGS
from llmtuner.spec.prompts import PromptForm


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("index")
    (folder / "facts.jsonl").write_text(json.dumps({"id": "1", "text": "Vitamin A is stored in the liver."}))
    build_index([str(folder / "facts.jsonl")], folder / "index")
    return folder / "index"


@pytest.fixture
def model(tmp_path, index) -> Path:
    """A whole model of stage sft that was trained with three passages."""
    retrieve = checked(Retrieve(index=str(index), k=3, order="best_first")).to_json()
    (tmp_path / "model").mkdir()
    manifest = Manifest(stage="sft", step=1, max_steps=1, epoch=1.0, retrieve=retrieve)
    write_manifest(manifest, tmp_path / "model" / "run.json")
    return tmp_path / "model"


def settle(model="nowhere", adapters=(), run=None, do="do_predict", **given: object):
    words = {do: ["true"], "model_name_or_path": [str(model)], **{name: [str(value)] for name, value in given.items()}}
    return settle_retrieve(Flags.of(Words(words)), list(map(str, adapters)), run)


def settings_in(flags: Flags) -> Retrieve | None:
    """As upstream's data arguments have them."""
    return retrieve_of(flags.__getitem__)


def test_flags_and_settings_have_the_same_defaults():
    assert {f"retrieve_{name}" for name in FIELDS} == {name for name in FLAGS if name.startswith("retrieve_")}
    assert all(FLAGS[f"retrieve_{name}"].default == getattr(Retrieve(index=""), name) for name in FIELDS)


def test_without_flags_and_without_a_stored_index_nothing_is_retrieved(tmp_path):
    flags, run, lines = settle(tmp_path)
    assert (settings_in(flags), run, lines) == (None, None, ())


@pytest.mark.parametrize("place", ["model", "adapter", "lower"])
def test_a_prediction_takes_all_that_is_stored_of_the_last_training(place, model, index, tmp_path):
    """A whole model has no adapter, and the manifest of an adapter counts before the model's."""
    plain = tmp_path / "plain"
    plain.mkdir()
    write_manifest(Manifest(stage="sft", step=1, max_steps=1, epoch=1.0), plain / "run.json")
    given = {"model": (model, ()), "adapter": (plain, (model,)), "lower": (model, (plain,))}[place]
    flags, _, lines = settle(*given)
    if place == "lower":
        assert (settings_in(flags), lines) == (None, ()), "the last training had no contexts"
        return
    assert settings_in(flags) == Retrieve(index=str(index), k=3, order="best_first")
    assert len(lines) == 1
    assert str(index) in lines[0]


def test_given_values_replace_stored_ones(model, index):
    flags, _, _ = settle(model, retrieve_k=1, retrieve_replace="true")
    assert settings_in(flags) == Retrieve(index=str(index), k=1, order="best_first", replace=True)
    flags, _, lines = settle(model, retrieve=index, retrieve_k=1)
    assert settings_in(flags) == Retrieve(index=str(index), k=1, order="best_first")
    assert lines == ("--retrieve_order best_first, as in the training",)


def test_a_training_takes_only_what_is_given(model, index):
    """A training that went on from a model with contexts stored its index, used no contexts, and did not say so."""
    settings = McqSettings(kind="causal", retrieve=Retrieve(index="old").to_json())
    run = McqRun("model", settings, training=True)
    flags, now, lines = settle(model, run=run, do="do_train")
    assert (settings_in(flags), now.settings.retrieve, now.data.retrieve) == (None, {}, None)
    [line] = lines
    assert "had contexts of old, and this training retrieves none: pass --retrieve" in line
    [line] = settle(model, do="do_train")[2]
    assert str(index) in line
    assert settle(model, run=run, do="do_train", retrieve="none")[2] == ()
    assert settle(do="do_train")[2] == ()
    of_another_version = replace(run, settings=replace(settings, retrieve={"index": "old"}))
    assert settle(model, run=of_another_version, do="do_train")[2] == ()
    flags, now, _ = settle(model, run=run, do="do_train", retrieve=index)
    assert settings_in(flags) == Retrieve(index=str(index))
    assert now.settings.retrieve == now.data.retrieve.to_json()
    assert now.data.retrieve == checked(Retrieve(index=str(index)))


def test_stage_mcq_takes_its_own_settings_first(model, index):
    settings = McqSettings(kind="causal", retrieve=checked(Retrieve(index=str(index), k=9)).to_json())
    _, run, _ = settle(model, run=McqRun("model", settings, predicting=True))
    assert run.data.retrieve.k == 9
    assert run.settings is settings
    _, run, _ = settle(model, run=McqRun("model", replace(settings, retrieve={}), predicting=True))
    assert run.data.retrieve.k == 3, "a head that needs no training, on a model of stage sft"


def test_a_prompt_without_contexts_is_said(index):
    """Passages were retrieved and counted, and the model read none of them."""
    for context, is_said in (("", True), ("Facts: {context}", False)):
        form = PromptForm(question="{question}", option=" {option}", context=context, turns=False)
        settings = McqSettings(kind="causal", prompt=form_to_json(form))
        _, _, lines = settle(run=McqRun("model", settings, predicting=True), retrieve=index)
        assert any("leaves contexts out, so the model reads no passage" in line for line in lines) == is_said


def test_none_turns_it_off_and_says_so(model):
    flags, _, lines = settle(model, retrieve="none")
    assert settings_in(flags) is None
    assert "the model was trained with those of" in lines[0]
    assert settle(retrieve="none")[2] == ()


def test_a_relative_index_is_stored_with_its_whole_path(index, monkeypatch):
    """A prediction from another working directory did not find the index."""
    monkeypatch.chdir(index.parent)
    flags, _, _ = settle(do="do_train", retrieve="index")
    assert flags["retrieve"] == str(index)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"retrieve_k": "3"}, "--retrieve_k needs --retrieve INDEX"),
        ({"retrieve": "none", "retrieve_order": "best_first"}, "--retrieve_order needs --retrieve INDEX"),
        ({"retrieve": "nowhere"}, "nowhere: no such folder; give the --out of scripts/build_index.py"),
        ({"retrieve": "INDEX", "retrieve_rerank": "nowhere"}, "--retrieve_rerank nowhere: no such folder"),
        ({"retrieve": "INDEX", "retrieve_k": "0"}, "--retrieve_k 0: expected a whole number of at least 1"),
        ({"retrieve": "INDEX", "retrieve_query": "both"}, "choose from: all, per_option, prompt"),
    ],
)
@pytest.mark.parametrize("do", ["do_train", "do_predict"])
def test_wrong_flags(given, message, do, index):
    with pytest.raises(UserError, match=message.replace("(", r"\(")):
        settle(do=do, **{name: str(index) if word == "INDEX" else word for name, word in given.items()})


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"index": "gone"}, "gone: no such folder(.|\n)*pass --retrieve with its folder now; --retrieve none"),
        ({"fingerprint": "f" * 64}, "is another index than the stored one(.|\n)*--retrieve none"),
        ({"more": 1}, "stored settings: damaged settings of the retrieval"),
        ({"k": "many"}, "stored settings: --retrieve_k many: expected a whole number"),
    ],
)
def test_a_stored_index_that_is_gone_or_another_is_named_with_both_ways_out(stored, message, index, tmp_path):
    retrieve = checked(Retrieve(index=str(index))).to_json() | stored
    write_manifest(Manifest(stage="sft", step=1, max_steps=1, epoch=1.0, retrieve=retrieve), tmp_path / "run.json")
    with pytest.raises(UserError, match=message):
        settle(tmp_path)


def test_another_reranker_is_said_and_a_moved_one_named(index, tmp_path, monkeypatch):
    """With another reranker a prediction said "as in the training"; of a replaced one it advised to pass --retrieve."""

    def digest(folder: str) -> str:
        if not Path(folder).is_file():
            raise UserError(f"`rerank` {folder}: no such folder")
        return Path(folder).read_text()

    monkeypatch.setattr(preflight_retrieve, "RERANKERS", Rerankers(digest, lambda folder: lambda query, texts: []))
    first, same, other = (tmp_path / name for name in ("first", "same", "other"))
    for path, content in ((first, "1"), (same, "1"), (other, "2")):
        path.write_text(content)
    retrieve = preflight_retrieve.checked(Retrieve(index=str(index), rerank=str(first)), preflight_retrieve.RERANKERS)
    manifest = Manifest(stage="sft", step=1, max_steps=1, epoch=1.0, retrieve=retrieve.to_json())
    write_manifest(manifest, tmp_path / "run.json")
    said = f"--retrieve_rerank {other}: the model was trained with another one, {first}"
    assert said not in settle(tmp_path, retrieve_rerank=same)[2]
    assert said in settle(tmp_path, retrieve_rerank=other)[2]
    assert said in settle(tmp_path, retrieve=index, retrieve_rerank=other)[2]
    first.unlink()
    with pytest.raises(
        UserError, match=r"first: no such folder(.|\n)*pass --retrieve or --retrieve_rerank with its folder"
    ):
        settle(tmp_path)


def test_rows_that_are_no_questions_are_named(tmp_path, index):
    entry = {"talk": {"file_name": "talk.json", "columns": {"prompt": "instruction", "response": "output"}}}
    (tmp_path / "dataset_info.json").write_text(json.dumps(entry))
    (tmp_path / "talk.json").write_text(json.dumps([{"instruction": "Hello", "output": "Hello."}]))
    words = {"dataset": ["talk,llmscience_sample"], "dataset_dir": [str(tmp_path)]}
    assert unfilled(Flags.of(Words(words))) == ()
    (line,) = unfilled(Flags.of(Words(words | {"retrieve": [str(index)]})))
    assert line == "--retrieve: talk has no multiple-choice questions; its rows stay as they are"
