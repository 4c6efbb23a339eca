"""Rows that are computed in Arrow are those of Python lists."""

from __future__ import annotations

import pyarrow as pa
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from llmtuner.data.tokens.rows import training_rows

IGNORED = -100
token_lists = st.lists(st.integers(0, 2**31 - 1), max_size=6)


@given(st.lists(st.tuples(token_lists, token_lists), max_size=6), st.booleans(), st.integers(0, 3))
def test_a_batch_in_arrow_has_the_rows_and_types_of_python_lists(rows, train_on_prompt, skipped):
    """Also in a slice of a table, whose lists begin in the middle of their values."""
    lists = [pa.array([row[place] for row in rows], type=pa.list_(pa.int32())).slice(skipped) for place in (0, 1)]
    columns = training_rows(*lists, ignored=IGNORED, train_on_prompt=train_on_prompt)
    rows = rows[skipped:]
    assert columns["input_ids"].to_pylist() == [prompt + response for prompt, response in rows]
    assert columns["attention_mask"].to_pylist() == [[1] * len(prompt + response) for prompt, response in rows]
    labels = [(prompt if train_on_prompt else [IGNORED] * len(prompt)) + response for prompt, response in rows]
    assert columns["labels"].to_pylist() == labels
    if any(prompt + response for prompt, response in rows):
        made = Dataset.from_dict({"input_ids": [[1]], "attention_mask": [[1]], "labels": [[1]]})
        written = made.map(lambda batch: {name: column.to_pylist() for name, column in columns.items()}, batched=True)
        types = {name: written.data.schema.field(name).type for name in columns}
        assert {name: column.type for name, column in columns.items()} == types
