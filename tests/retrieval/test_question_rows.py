"""Question files of every form get contexts, and our readers read them back with all else as it was."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, reject, settings
from hypothesis import strategies as st
from public_forms import ASKED, ROWS

from llmtuner.data.load import read_questions
from llmtuner.data.question import is_blank
from llmtuner.data.registry import find_source
from llmtuner.errors import DataError
from llmtuner.retrieval.contexts import Context
from llmtuner.retrieval.question_rows import json_line, read_rows, written_form

NEW = Context("Neon glows.\n\nOxygen is breathed.", ("a#0", "b#3"), (2.5, 1.0))
NOTHING = Context("", (), ())


def write(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def with_contexts(path: str | Path, out: Path, contexts: list[Context | None]) -> tuple[list[dict], str]:
    """The new file's rows, as scripts/add_context.py writes them, and their form."""
    rows = read_rows(find_source(str(path), str(out.parent)))
    filled = [row.question for row, context in zip(rows, contexts, strict=True) if context is not None]
    form = written_form(rows, lambda question: question in filled)
    records = [row.with_context(each, form) for row, each in zip(rows, contexts, strict=True)]
    out.write_text("".join(map(json_line, records)), encoding="utf-8")
    return records, form


def assert_read_back(before: list, out: Path, contexts: list[Context | None]) -> None:
    expected = [
        replace(question, context=question.context if context is None else context.text)
        for question, context in zip(before, contexts, strict=True)
    ]
    meaning = lambda q: (q.id, q.question, q.options, q.answer, q.context)  # noqa: E731
    assert list(map(meaning, read_questions(out, purpose="predict").questions)) == list(map(meaning, expected))


@pytest.mark.parametrize(
    "contexts", [[NEW, NOTHING, None], [None, NEW, None], [None, NOTHING, None], [NEW, NEW, NEW]], ids=str
)
@pytest.mark.parametrize("form", ROWS)
def test_every_form_reads_back_equal_with_the_new_context(form, contexts, tmp_path):
    """A form with a column of its own for the passage lost the context, or read its old one."""
    path = write(tmp_path / "questions.jsonl", [ROWS[form](*asked) for asked in ASKED])
    before = read_questions(path, purpose="predict").questions
    records, _ = with_contexts(path, tmp_path / "out.jsonl", contexts)
    assert_read_back(before, tmp_path / "out.jsonl", contexts)
    for record, context in zip(records, contexts, strict=True):
        assert record.get("context_ids") == (None if context is None else context.ids)


@pytest.mark.parametrize("form", ROWS)
def test_columns_that_are_not_read_stay(form, tmp_path):
    asked = [{**ROWS[form](*each), "my_note": f"note {number}"} for number, each in enumerate(ASKED)]
    path = write(tmp_path / "questions.jsonl", asked)
    records, form_now = with_contexts(path, tmp_path / "out.jsonl", [NEW] * 3)
    assert [record["my_note"] for record in records] == [row["my_note"] for row in asked]
    if form_now == "own":
        for record, row in zip(records, asked, strict=True):
            assert {**row, "context": NEW.text} == {name: record[name] for name in {**row, "context": ""}}


COLUMNS = sorted(
    {name for row in ROWS.values() for name in row(*ASKED[0])} | {"context_ids", "probabilities", "weight"}
)
VALUES = ["A", "B", 1, 0, "Oxygen", "A passage.", ["x", "y"], None, 0.5]


@settings(max_examples=60)
@given(
    st.sampled_from(sorted(ROWS)),
    st.dictionaries(st.sampled_from(COLUMNS), st.sampled_from(VALUES), max_size=3),
    st.lists(st.sampled_from([NEW, NOTHING, None]), min_size=3, max_size=3),
)
def test_columns_of_other_forms_do_not_change_what_is_read(form, more, contexts):
    """A question in Kaggle's form with a left-over column of its source was read in a third form."""
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "questions.jsonl", [{**more, **ROWS[form](*asked)} for asked in ASKED])
        try:
            before = read_questions(path, purpose="predict").questions
        except DataError:
            reject()
        contexts = [NEW if is_blank(q.context) else each for q, each in zip(before, contexts, strict=True)]
        with_contexts(path, Path(folder) / "out.jsonl", contexts)
        assert_read_back(before, Path(folder) / "out.jsonl", contexts)


WITHOUT_HALVES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@example(["Q\u2028?", "a\x85", "b", "c\u2029"], "")
@example(["Q?", "a", "b", "c"], "\ud83d")
@example(["0", "0", "0", "\0"], "")
@given(st.lists(WITHOUT_HALVES, min_size=4, max_size=4), st.text(st.characters()))
def test_any_text_comes_back(texts, note):
    """U+2028 ended a line for some readers; half of a surrogate pair could not be written at all."""
    prompt, *options, context = texts
    with tempfile.TemporaryDirectory() as folder:
        row = {"prompt": prompt, "A": options[0], "B": options[1], "answer": "A", "note": note}
        path = write(Path(folder) / "questions.jsonl", [row])
        try:
            before = read_questions(path, purpose="predict").questions
        except DataError:
            reject()
        passage = context.replace("\0", " ")  # no document has a NUL
        written = Context(f"x{passage}x", ("a#0",), (1.0,))
        with_contexts(path, Path(folder) / "out.jsonl", [written])
        (line,) = (Path(folder) / "out.jsonl").read_text(encoding="utf-8").splitlines()
        assert json.loads(line)["note"] == note
        assert_read_back(before, Path(folder) / "out.jsonl", [written])


def test_a_number_that_is_none_is_written_as_null(tmp_path):
    """Parquet has NaN, which is no JSON: the new file could not be read by others."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    row = {"id": 7, "prompt": "Which gas?", "A": "Neon", "B": "Oxygen", "answer": "B"}
    more = {"image": {"bytes": b"\x89PNG"}, "share": float("nan"), "shares": [0.5, float("inf")]}
    pq.write_table(pa.Table.from_pylist([row | more]), tmp_path / "q.parquet")
    _, form_now = with_contexts(tmp_path / "q.parquet", tmp_path / "out.jsonl", [NEW])
    assert form_now == "own"
    new = {"context": NEW.text, "context_ids": [*NEW.ids], "context_scores": [*NEW.scores]}
    stored = json.loads((tmp_path / "out.jsonl").read_text())
    assert stored == {**row, "share": None, "shares": [0.5, None], **new}  # images are not read


def test_rows_of_several_files_and_named_columns(tmp_path):
    write(tmp_path / "a.jsonl", [{"q": "One?", "x": "1", "y": "2", "right": 0, "about": "old"}])
    write(tmp_path / "b.jsonl", [{"q": "Two?", "x": "1", "y": "2", "right": 1, "about": ""}])
    columns = {"prompt": "q", "options": ["x", "y"], "answer": "right", "context": "about"}
    entry = {"file_name": ["a.jsonl", "b.jsonl"], "formatting": "mcq", "columns": columns}
    (tmp_path / "dataset_info.json").write_text(json.dumps({"mine": entry}))
    rows = read_rows(find_source("mine", str(tmp_path)))
    assert [row.question.question for row in rows] == ["One?", "Two?"]
    assert written_form(rows, lambda question: not question.context) == "kaggle"
    records = [row.with_context(each, "kaggle") for row, each in zip(rows, [None, NEW], strict=True)]
    assert [record["context"] for record in records] == ["old", NEW.text]


def test_rows_without_ids_are_counted_on_over_the_files_of_a_data_set(tmp_path):
    """Each file began at 0 again: the new file had repeated ids, and was not written in its own form."""
    rows = [{"prompt": f"Which is number {n}?", "A": f"x{n}", "B": f"y{n}", "answer": "A"} for n in range(6)]
    for part in (0, 1):
        write(tmp_path / f"part-{part}.jsonl", rows[3 * part : 3 * part + 3])
    records, form = with_contexts(tmp_path / "part-*.jsonl", tmp_path / "out.jsonl", [NEW] * 6)
    assert form == "own"
    assert not [record for record in records if "id" in record]
    assert [q.id for q in read_questions(tmp_path / "out.jsonl", purpose="train").questions] == list("012345")


def test_files_whose_options_are_counted_in_two_ways_get_a_list(tmp_path):
    """Together, the one blank E of the first file was an option that does not exist: they were refused."""
    rows = [{"prompt": f"Which {n}?", "A": "a", "B": "b", "C": "c", "answer": "A"} for n in range(101)]
    write(tmp_path / "part-1.jsonl", [{**row, "C": "" if row is rows[0] else "c"} for row in rows])
    two = [{name: text for name, text in row.items() if name != "C"} for row in rows]
    write(tmp_path / "part-2.jsonl", [{**row, "prompt": f"Two: {row['prompt']}", "note": "n"} for row in two])
    records, form = with_contexts(tmp_path / "part-*.jsonl", tmp_path / "out.jsonl", [NEW] * 202)
    assert form == "list"
    assert records[-1]["source_note"] == "n"
    read = read_questions(tmp_path / "out.jsonl", purpose="train").questions
    assert [question.options for question in (read[0], read[-1])] == [("a", "b", ""), ("a", "b")]
    assert {question.answer for question in read} == {0}


def test_weights_and_probabilities_stay_what_a_training_reads(tmp_path):
    """With columns that were read by their names, the column weight became source_weight: all rows counted alike."""
    rows = [
        {"stem_x": f"planet {n}?", "question": "z", "choices": ["u", "v"], "query": "r", "gold": 0}
        | {
            "a1": f"mars {n}",
            "a2": f"venus {n}",
            "key": "A",
            "weight": n + 0.5,
            "probabilities": {"A": 0.75, "B": 0.25},
        }
        for n in range(3)
    ]
    path = f"{write(tmp_path / 'w.jsonl', rows)}?prompt=stem_x&options=a1|a2&answer=key"
    _, form = with_contexts(path, tmp_path / "out.jsonl", [NEW] * 3)
    assert form == "kaggle_apart"
    read = read_questions(tmp_path / "out.jsonl", purpose="train").questions
    assert [question.weight for question in read] == [0.5, 1.5, 2.5]
    assert [question.probabilities for question in read] == [(0.75, 0.25)] * 3
