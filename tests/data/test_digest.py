"""The digest of training data: equal for the same content, different for anything that a training could see."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest

from llmtuner.data import digest
from llmtuner.data.digest import data_digest, questions_digest
from llmtuner.data.question import Question

ROWS = [
    {"id": "a", "prompt": "What is 2 + 2?", "A": "3", "B": "4", "answer": "B", "context": "Sums."},
    {"id": "b", "prompt": "Which is a gas?", "A": "iron", "B": "neon", "answer": "B", "context": ""},
]


def jsonl(path, rows):
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def registry(tmp_path, **entries) -> str:
    (tmp_path / "dataset_info.json").write_text(json.dumps(entries))
    return str(tmp_path)


def test_a_copy_in_another_folder_and_file_type_is_the_same_data(tmp_path):
    original = jsonl(tmp_path / "one.jsonl", ROWS)
    table = tmp_path / "two.csv"
    lines = [",".join(map(str, row.values())) for row in ROWS]
    table.write_text("\r\n".join([",".join(ROWS[0]), *lines]))
    copy = jsonl(tmp_path / "moved" / "three.jsonl", ROWS)
    sha, rows = data_digest([original], str(tmp_path))
    assert rows == 2
    assert len(sha) == 64
    assert data_digest([str(table)], str(tmp_path)) == data_digest([copy], str(tmp_path)) == (sha, rows)


@pytest.mark.parametrize("field", ["id", "prompt", "A", "answer", "context", "order"])
def test_every_field_and_the_order_count(field, tmp_path):
    """Data of equal size was taken for the same data: only file names or sizes were compared."""
    changed = [dict(row) for row in ROWS]
    if field == "order":
        changed.reverse()
    else:
        changed[0][field] = "A" if field == "answer" else changed[0][field][:-1] + "x"
    first = data_digest([jsonl(tmp_path / "one.jsonl", ROWS)], str(tmp_path))
    assert data_digest([jsonl(tmp_path / "two.jsonl", changed)], str(tmp_path)) != first


def test_text_that_moves_from_one_field_to_the_next_is_other_data():
    assert questions_digest([Question("1", "ab", ("c", "d"))]) != questions_digest([Question("1", "a", ("bc", "d"))])
    assert questions_digest([Question("1", "q", ("a", "b"))]) != questions_digest([Question("1", "q", ("a", "b"), 0)])
    many = [Question(str(row), "q", ("a", "b")) for row in range(2500)]
    assert questions_digest(many) != questions_digest(many[:-1])


def test_a_changed_file_is_read_again(tmp_path):
    path = jsonl(tmp_path / "one.jsonl", ROWS)
    before = data_digest([path], str(tmp_path))
    jsonl(tmp_path / "one.jsonl", ROWS[:1])
    assert data_digest([path], str(tmp_path))[1] == 1
    assert data_digest([path], str(tmp_path)) != before


def test_a_sample_of_the_registry_is_other_data(tmp_path):
    jsonl(tmp_path / "one.jsonl", ROWS)
    entry = {"formatting": "mcq", "file_name": "one.jsonl"}
    folder = registry(tmp_path, all=entry, sample=entry | {"num_samples": 5})
    assert data_digest(["sample"], folder)[1] == 5
    assert data_digest(["sample"], folder)[0] != data_digest(["all"], folder)[0]


def test_upstreams_formats_count_by_bytes_and_entry(tmp_path):
    (tmp_path / "chats").mkdir()
    (tmp_path / "chats" / "one.json").write_text("[]")
    folder = registry(tmp_path, chat={"file_name": "chats"}, tagged={"file_name": "chats", "split": "test"})
    sha, rows = data_digest(["chat"], folder)
    assert rows is None
    assert data_digest(["tagged"], folder)[0] != sha
    (tmp_path / "chats" / "one.json").write_text("[1]")
    assert data_digest(["chat"], folder)[0] != sha


def test_data_of_a_hub_has_no_digest(tmp_path):
    jsonl(tmp_path / "one.jsonl", ROWS)
    both = {"hf_hub_url": "somebody/something", "file_name": "one.jsonl"}  # upstream reads the hub
    folder = registry(tmp_path, hub=both)
    assert data_digest([str(tmp_path / "one.jsonl"), "hub"], folder) is None
    assert data_digest(["alpaca"], "ONLINE") is None
    assert data_digest([str(tmp_path / "one.jsonl")], "ONLINE") is not None


def test_a_file_that_the_checks_have_read_is_not_read_again(tmp_path, monkeypatch):
    from llmtuner.data import load

    path = jsonl(tmp_path / "one.jsonl", ROWS)
    load.read_questions(path, purpose="train", dataset=path)
    monkeypatch.setattr(load, "read_table", None)
    digest._digest_cached.cache_clear()
    assert data_digest([path], str(tmp_path))[1] == 2


def test_probabilities_and_weights_are_part_of_the_data_and_their_absence_changes_no_digest():
    """Resuming on other probabilities would be a mix of two trainings; runs from before the columns still resume."""
    plain = Question("a", "?", ("x", "y"), 0)
    digests = {
        questions_digest([question])
        for question in (
            plain,
            replace(plain, probabilities=(1.0, 0.0)),
            replace(plain, probabilities=(0.5, 0.5)),
            replace(plain, weight=2.0),
        )
    }
    assert len(digests) == 4
    content = json.dumps([["a", "?", ["x", "y"], 0, ""]]).encode()
    assert questions_digest([plain]) == hashlib.sha256(content).hexdigest()
