"""Names of data sets: ours take precedence over upstream's, wherever the data folder is."""

from __future__ import annotations

import json
import re

import pytest

from llmtuner.data import registry
from llmtuner.data.registry import find_source, is_local
from llmtuner.errors import UserError


@pytest.fixture
def data(tmp_path, monkeypatch):
    """An empty project data folder."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setattr(registry, "PROJECT_DATA", folder)
    return folder


def entries() -> dict:
    return json.loads(registry.EXTENSION.read_text())


def put_kaggle_files(data) -> list:
    paths = []
    for entry in entries().values():
        names = entry.get("file_name", [])
        for name in [names] if isinstance(names, str) else names:
            if name.startswith("raw/"):
                path = data / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("prompt,A,B\n")
                paths.append(path)
    return paths


def test_the_raw_set_is_every_training_source_once(data):
    put_kaggle_files(data)
    files = [path.name for path in find_source("llmscience_raw_all", str(data)).files]
    assert len(files) == len(set(files)) == 7
    assert "train.csv" in files
    assert "test.csv" not in files
    parts = ("llmscience_official", "llmscience_6k5", "llmscience_15k", "llmscience_6k")
    assert files == [path.name for part in parts for path in find_source(part, str(data)).files]


def test_every_missing_file_is_named_with_the_command_that_fetches_it(data):
    for path in put_kaggle_files(data):
        if path.name in ("train.csv", "5900_examples.csv"):
            path.unlink()
    for name in ("llmscience_raw_all", "llmscience"):
        with pytest.raises(UserError) as error:
            find_source(name, str(data))
        message = str(error.value)
        assert re.search(
            r"train\.csv: not found; .*competition kaggle-llm-science-exam.*kaggle competitions download", message
        )
        assert re.search(
            r"5900_examples\.csv: not found; .*radek1/15k-high-quality-examples.*kaggle datasets download", message
        )
        assert ("5 of its 7 files exist" in message) == (name == "llmscience_raw_all")
        assert ("prepare_llmscience.py --raw data/raw" in message) == (name == "llmscience")
        assert message.count("not found") == 2 + (name == "llmscience")


def test_built_files_come_before_raw_ones_in_either_form(data):
    put_kaggle_files(data)
    assert [path.name for path in find_source("llmscience_official", str(data)).files] == ["train.csv"]
    built = data / "llmscience"
    built.mkdir()
    for form in ("parquet", "jsonl"):
        file = built / f"llmscience_official.{form}"
        file.write_text("x")
        assert find_source("llmscience_official", str(data)).files == (file.resolve(),)
    with pytest.raises(UserError, match=r"llmscience\.jsonl: not found; build it from the Kaggle files"):
        find_source("llmscience", str(data))
    (built / "llmscience.jsonl").write_text("x")
    assert [path.name for path in find_source("llmscience", str(data)).files] == ["llmscience.jsonl"]


def test_the_documented_commands_are_those_of_the_registry():
    documented = (registry.PROJECT / "data" / "README.md").read_text()
    for name, entry in entries().items():
        assert f"`{name}`" in documented
        if "fetch" in entry:
            assert f"`{entry['fetch']}`" in documented


def test_our_names_work_under_another_dataset_dir(tmp_path):
    """Entries of the extension are relative to the project's data folder, not to --dataset_dir."""
    [file] = find_source("llmscience_sample", str(tmp_path)).files
    assert file == registry.PROJECT_DATA.resolve() / "demo" / "questions.jsonl"


def test_a_registry_of_the_users_own(tmp_path):
    (tmp_path / "exam.csv").write_text("prompt,A,B\n")
    (tmp_path / "chat.csv").write_text("instruction,input,output\n")
    info = {
        "mine": {"formatting": "mcq", "file_name": "exam.csv"},
        "chat": {"file_name": "chat.csv"},
        "hub": {"hf_hub_url": "somebody/something"},
        "llmscience_sample": {"file_name": "exam.csv"},
    }
    (tmp_path / "dataset_info.json").write_text(json.dumps(info))
    folder = str(tmp_path)
    assert find_source("mine", folder).files == ((tmp_path / "exam.csv").resolve(),)
    assert find_source("chat", folder) is None, "upstream's own kind is left to upstream"
    assert find_source("hub", folder) is None
    assert find_source("llmscience_sample", folder).files[0].name == "questions.jsonl", "ours lie over theirs"
    assert [is_local(name, folder) for name in ("mine", "chat", "hub", "x.csv")] == [True, True, False, True]


def test_an_online_registry_is_left_to_upstream():
    assert not is_local("alpaca", "ONLINE")
    assert find_source("alpaca", "REMOTE:somebody/data") is None


@pytest.mark.parametrize("entry", [{"formatting": "mcq"}, {"formatting": "mcq", "file_name": 7}])
def test_an_entry_without_a_file_is_rejected(tmp_path, entry):
    (tmp_path / "dataset_info.json").write_text(json.dumps({"mine": entry}))
    with pytest.raises(UserError, match="file_name must be"):
        find_source("mine", str(tmp_path))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"file_name": "a.csv", "otherwise": "mine"}, "'mine' is not a registered data set"),
        ({"file_name": "a.csv", "made_from": "mine"}, "'mine' is not a registered data set"),
        ({"file_name": "a.csv", "otherwise": ["b"]}, "otherwise must be a data set's name"),
        ({"sources": []}, "no file is named"),
        ({"file_name": []}, "no file is named"),
    ],
)
def test_entries_that_lead_nowhere_are_rejected(entry, message, tmp_path):
    (tmp_path / "dataset_info.json").write_text(json.dumps({"mine": {"formatting": "mcq", **entry}}))
    with pytest.raises(UserError, match=message):
        find_source("mine", str(tmp_path))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"x": {"formatting": "mcq", "file_name": "a\\u0000.csv"}}', "file_name 'a\\x00.csv': it has a character"),
        ('{"x": {"file_name": "a\\u0000.csv"}}', "file_name 'a\\x00.csv': it has a character"),
        ('{"x": {"formatting": "mcq", "file_name": "\\ud800.csv"}}', "file_name '\\ud800.csv': it has a character"),
        ('{"x": {"formatting": "mcq", "file_name": "%s.csv"}}' % ("a" * 5000), "File name too long"),
        (
            '{"x": {"formatting": "mcq", "num_samples": %s}}' % ("9" * 5000),
            "a number has more digits than Python reads",
        ),
        ('{"x": %s}' % ("[" * 100_000 + "]" * 100_000), "brackets are nested too deeply"),
        ('{"x": {"formatting": "mcq", "file_name": "a\\nerror: b.csv"}}', "a\\nerror: b.csv: not found"),
    ],
)
def test_a_registry_that_python_cannot_hold_is_a_user_error(tmp_path, content, expected):
    """These were tracebacks: "embedded null byte", "File name too long", "maximum recursion depth exceeded"."""
    (tmp_path / "dataset_info.json").write_text(content)
    with pytest.raises(UserError) as refusal:
        find_source("x", str(tmp_path))
    assert expected in str(refusal.value)
    assert len(str(refusal.value)) < 700


@pytest.mark.parametrize("formatting", ["mcq", "alpaca"])
@pytest.mark.parametrize("number", [-3, 0, "3", 2.5, True, float("nan")])
def test_a_number_of_samples_that_cannot_be_is_rejected(number, formatting, tmp_path):
    """-3 used half of the rows in silence, and "3" was a TypeError of numpy."""
    (tmp_path / "a.csv").write_text("prompt,A,B\n")
    entry = {"formatting": formatting, "file_name": "a.csv", "num_samples": number}
    (tmp_path / "dataset_info.json").write_text(json.dumps({"mine": entry}))
    with pytest.raises(UserError, match=r"'mine': num_samples must be a whole number of at least 1, found "):
        find_source("mine", str(tmp_path))


FORM_FILES = {
    "exam.csv": "prompt,A,B,answer\nQ?,a,b,B\n",
    "exam.jsonl": '{"question": "Q?", "choices": ["a", "b"], "answer": 0}\n',
    "exam.json": '[{"question": "Q?", "choices": ["a", "b"], "answer": 0}]',
}


@pytest.mark.parametrize("name", FORM_FILES)
def test_an_entry_without_a_formatting_is_recognised_where_upstream_would_fail(tmp_path, name):
    """Upstream takes it for a chat file and ends in KeyError: 'instruction'."""
    (tmp_path / name).write_text(FORM_FILES[name])
    (tmp_path / "dataset_info.json").write_text(json.dumps({"mine": {"file_name": name}}))
    assert find_source("mine", str(tmp_path)).files[0].name == name


@pytest.mark.parametrize(
    ("more", "content"),
    [
        ({"formatting": "alpaca"}, "prompt,A,B,answer\n"),
        ({"columns": {"prompt": "prompt", "response": "answer"}}, "prompt,A,B,answer\n"),
        ({}, "instruction,prompt,A,B,answer\n"),
        ({}, "a,b\n"),
        ({}, ""),
    ],
)
def test_an_entry_that_upstream_can_read_is_left_to_it(tmp_path, more, content):
    (tmp_path / "chat.csv").write_text(content)
    (tmp_path / "dataset_info.json").write_text(json.dumps({"mine": {"file_name": "chat.csv", **more}}))
    assert find_source("mine", str(tmp_path)) is None


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"split": "test"}, "key 'split' has no effect"),
        ({"file_sha1": "0"}, "key 'file_sha1' has no effect"),
        ({"shuffle": True}, "key 'shuffle' has no effect"),
        ({"filename": "exam.csv"}, "did you mean 'file_name'?"),
        ({"hf_hub_url": "cais/mmlu"}, "hf_hub_url: multiple-choice data sets are files"),
        ({"columns": ["prompt"]}, "columns must be an object"),
        ({"columns": {"prompts": "q"}}, "unknown key 'prompts' in columns; did you mean prompt?"),
        ({"columns": {"prompt": 7}}, "prompt must be a column's name, found 7"),
        ({"columns": {"options": []}}, "options must be a column's name, or a list of them"),
        ({"columns": {"options": ["a", "a"]}}, "names a column twice"),
        ({"answer_base": "one"}, "answer_base 'one'; use one of"),
        ({"answer_base": True}, "answer_base True; use one of"),
    ],
)
def test_a_key_without_effect_is_refused(tmp_path, more, message):
    """They were ignored: a split that did not exist, a checksum that was never compared, columns of other names."""
    (tmp_path / "exam.csv").write_text("prompt,A,B\n")
    info = {"mine": {"formatting": "mcq", "file_name": "exam.csv", **more}}
    (tmp_path / "dataset_info.json").write_text(json.dumps(info))
    with pytest.raises(UserError, match=re.escape(message)):
        find_source("mine", str(tmp_path))


@pytest.mark.parametrize(
    ("mine", "message"),
    [
        ({"file_name": "exam.csv", "split": "train"}, "key 'split' has no effect"),
        (
            {"formatting": "mcq", "sources": ["part"], "columns": {"prompt": "q"}},
            "columns has no effect beside sources",
        ),
        ({"formatting": "mcq", "sources": ["part"], "answer_base": 1}, "answer_base has no effect beside sources"),
        ({"formatting": "mcq", "sources": ["part"], "file_name": "exam.csv"}, "file_name has no effect beside sources"),
        ({"formatting": "mcq", "sources": ["few"]}, "num_samples of its source 'few' has no effect"),
    ],
)
def test_a_key_without_effect_is_refused_beside_sources_and_without_a_formatting(tmp_path, mine, message):
    (tmp_path / "exam.csv").write_text("prompt,A,B\n")
    part = {"formatting": "mcq", "file_name": "exam.csv"}
    info = {"mine": mine, "part": part, "few": {**part, "num_samples": 2}}
    (tmp_path / "dataset_info.json").write_text(json.dumps(info))
    with pytest.raises(UserError, match=re.escape(message)):
        find_source("mine", str(tmp_path))


def test_our_columns_without_a_formatting_are_ours(tmp_path):
    """Upstream knows no columns `options` and `answer`; it ended in a KeyError."""
    (tmp_path / "exam.csv").write_text("q,x,y,key\nQ?,a,b,B\n")
    columns = {"prompt": "q", "options": ["x", "y"], "answer": "key"}
    (tmp_path / "dataset_info.json").write_text(json.dumps({"mine": {"file_name": "exam.csv", "columns": columns}}))
    assert find_source("mine", str(tmp_path)).files[0].name == "exam.csv"


@pytest.mark.parametrize("file_name", [None, 7, ["a.json"]])
def test_a_file_name_of_another_type_is_no_traceback(tmp_path, file_name):
    """The check whether the network is needed came first, and ended in a TypeError."""
    (tmp_path / "dataset_info.json").write_text(json.dumps({"mine": {"file_name": file_name}}))
    assert not is_local("mine", str(tmp_path))
    with pytest.raises(UserError, match="file_name must be a file's name"):
        find_source("mine", str(tmp_path))
