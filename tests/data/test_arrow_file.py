"""Arrow files: both kinds, and damage, which must not end the process."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtuner.data.load import read_questions
from llmtuner.data.readers.arrow_file import read
from llmtuner.errors import DataError

ROWS = [{"id": str(number), "prompt": "W?", "A": "a", "B": "b", "answer": "A"} for number in range(30)]
WRITERS = {"stream": pa.ipc.new_stream, "file": pa.ipc.new_file}


def write(path, rows, kind="stream", batch=10):
    table = pa.Table.from_pylist(rows)
    with WRITERS[kind](str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=batch)
    return path


@pytest.mark.parametrize("kind", WRITERS)
def test_both_kinds_are_read(tmp_path, kind):
    questions = read_questions(write(tmp_path / "exam.arrow", ROWS, kind), purpose="train").questions
    assert [(question.id, question.line) for question in questions] == [(str(n), n + 1) for n in range(30)]


def test_a_stream_that_was_cut_between_batches_is_not_a_shorter_one(tmp_path):
    """Arrow reads such a file without an error, with fewer rows."""
    path, table = tmp_path / "exam.arrow", pa.Table.from_pylist(ROWS)
    with path.open("wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        for batch in table.to_batches(max_chunksize=10)[:2]:
            writer.write_batch(batch)
        file.flush()
        cut = path.read_bytes()
    path.write_bytes(cut)
    assert pa.ipc.open_stream(cut).read_all().num_rows == 20
    with pytest.raises(DataError, match="the mark of its end is missing"):
        read_questions(path, purpose="train")


@pytest.mark.parametrize("kind", WRITERS)
def test_damage_anywhere_is_a_data_error_or_harmless(tmp_path, kind):
    """An offset that leads out of the file would end the process, not raise."""
    path = write(tmp_path / "exam.arrow", ROWS, kind)
    intact, place = path.read_bytes(), random.Random(0)
    refused = 0
    for _ in range(300):
        content = bytearray(intact)
        content[place.randrange(len(intact))] = place.randrange(256)
        path.write_bytes(content[: place.choice([len(intact), place.randrange(1, len(intact))])])
        try:
            read_questions(path, purpose="train")
        except DataError:
            refused += 1
    assert refused > 100


def test_another_type_by_the_name_of_arrow(tmp_path):
    (tmp_path / "exam.arrow").write_text('{"prompt": "W?", "A": "a", "B": "b"}\n')
    with pytest.raises(DataError, match=r"is not Arrow: its first bytes are wrong; rename it to \.jsonl"):
        read_questions(tmp_path / "exam.arrow", purpose="train")


VALUE = st.none() | st.text(st.characters(exclude_categories=("Cs",)), max_size=8)


@given(st.lists(st.fixed_dictionaries({"prompt": VALUE, "choices": st.lists(VALUE, max_size=3)}), min_size=1))
def test_values_come_back_unchanged(tmp_path_factory, rows):
    path = write(tmp_path_factory.mktemp("arrow") / "exam.arrow", rows, batch=2)
    assert [record for _, record in read(path).records] == rows
