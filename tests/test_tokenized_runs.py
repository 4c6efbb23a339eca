"""--tokenized_path through the command line: kept data is used only for what it was made of."""

from __future__ import annotations

import pytest
from support import DEMO

from llmtuner.cli.main import main
from patches import dataset_processor


@pytest.fixture
def train(tiny_llama, tmp_path):
    def run(out, data, *more):
        words = ["--stage", "sft", "--model_name_or_path", str(tiny_llama), "--template", "llama2", "--do_train"]
        words += ["--dataset", str(data), "--tokenized_path", str(tmp_path / "tokens"), "--max_steps", "1", "--use_cpu"]
        return main([*words, "--output_dir", str(tmp_path / out), "--report_to", "none", *more])

    return run


def test_other_data_does_not_train_on_the_old_rows(train, tmp_path, capsys):
    """The patch that compares was never applied, because another patch replaces the same name of upstream."""
    other_data = tmp_path / "other.jsonl"
    other_data.write_text("".join(DEMO.read_text(encoding="utf-8").splitlines(keepends=True)[:7]))
    assert train("first", DEMO) == 0
    assert (tmp_path / "tokens" / "tokenized_from.json").is_file()
    assert train("again", DEMO) == 0
    capsys.readouterr()
    assert train("second", other_data) == 2
    message = capsys.readouterr().err
    assert "tokens" in message
    assert "--overwrite_cache" in message
    assert not (tmp_path / "second").exists()
    assert train("third", other_data, "--overwrite_cache") == 0


def test_a_folder_of_the_user_is_not_deleted(train, tmp_path, capsys):
    (tmp_path / "tokens").mkdir()
    (tmp_path / "tokens" / "mine.txt").write_text("mine")
    assert train("out", DEMO, "--overwrite_cache") == 2
    assert "Traceback" not in capsys.readouterr().err
    assert (tmp_path / "tokens" / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("more", [(), ("--train_on_prompt",)])
def test_the_fast_path_of_plain_training_gives_upstreams_rows(train, tmp_path, monkeypatch, more):
    """Batches of questions skip upstream's Python lists: a label at another place would train on the question."""
    from datasets import load_from_disk

    from llmtuner.data.tokens import rows

    batches = []
    counted = rows.training_rows
    monkeypatch.setattr(dataset_processor, "training_rows", lambda *a, **k: batches.append(1) or counted(*a, **k))
    assert train("fast", DEMO, *more) == 0
    assert batches
    fast = load_from_disk(str(tmp_path / "tokens"))["train"]
    batches.clear()
    monkeypatch.setattr(dataset_processor, "LazyBatch", int)
    assert train("slow", DEMO, "--overwrite_cache", *more) == 0
    assert not batches
    slow = load_from_disk(str(tmp_path / "tokens"))["train"]
    assert fast.features == slow.features
    assert fast.to_list() == slow.to_list()
    assert any(label >= 0 for label in fast[0]["labels"])


def test_a_dry_run_writes_and_deletes_no_tokenised_data(train, tmp_path):
    """With --overwrite_cache it deleted the data of the runs, and wrote its own in its place."""
    other_data = tmp_path / "other.jsonl"
    other_data.write_text("".join(DEMO.read_text(encoding="utf-8").splitlines(keepends=True)[:7]))
    tokens = tmp_path / "tokens"
    tokens.mkdir()
    assert train("dry", DEMO, "--dry_run") == 0
    assert not list(tokens.iterdir()), "an empty folder was filled"
    assert train("first", DEMO) == 0
    before = {path: path.read_bytes() for path in tokens.rglob("*") if path.is_file()}
    assert train("dry", other_data, "--overwrite_cache", "--dry_run") == 0
    assert {path: path.read_bytes() for path in tokens.rglob("*") if path.is_file()} == before


def test_data_of_a_run_that_was_refused_is_not_that_of_a_killed_one(train, tmp_path, capfd):
    """The next run said "a run was killed while it wrote it"."""
    for _ in range(2):
        assert train("out", DEMO, "--template", "llama3") == 2
        assert "was killed" not in capfd.readouterr().err
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".tokens")]
