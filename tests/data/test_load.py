"""From files to questions: accepted variants, warnings, and the guarantees of every reader and form.

tests/test_bad_input.py has the table of rejected files, through the whole program.
"""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmtuner.data.forms import FORMS
from llmtuner.data.load import read_questions
from llmtuner.data.readers import READERS
from llmtuner.errors import DataError

cells = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
COLUMNS = ["id", "prompt", "A", "B", "C", "answer"]
SHARED_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def write_csv(path: Path, rows: list[list[str]], **dialect) -> Path:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, **dialect).writerows(rows)
    path.write_bytes(buffer.getvalue().encode())
    return path


def read(path, purpose="train"):
    return read_questions(path, purpose=purpose).questions


@given(prompt=cells, options=st.tuples(cells, cells, cells.filter(str.strip)), index=st.integers(0, 2))
@SHARED_FOLDER
def test_any_text_comes_back_from_csv_as_it_was_written(tmp_path, prompt, options, index):
    """pandas turns NA into a missing value, 007 into 7 and 3.10 into 3.1."""
    path = write_csv(tmp_path / "exam.csv", [COLUMNS, ["7", prompt, *options, "ABC"[index]]])
    [question] = read(path, "predict")
    assert (question.id, question.question, question.options, question.answer) == ("7", prompt, options, index)


@given(prompt=cells, options=st.lists(cells, min_size=2, max_size=10).filter(lambda o: o[-1].strip()), data=st.data())
@SHARED_FOLDER
def test_any_text_comes_back_from_jsonl(tmp_path, prompt, options, data):
    """U+2028 and similar characters are line breaks to str.splitlines, but text to JSON."""
    gold = data.draw(st.integers(0, len(options) - 1))
    path = tmp_path / "exam.jsonl"
    record = {"query": prompt, "choices": options, "gold": gold}
    path.write_text(json.dumps(record, ensure_ascii=False) + "\n", encoding="utf-8", newline="")
    [question] = read(path, "predict")
    assert (question.question, list(question.options), question.answer) == (prompt, options, gold)


@given(st.permutations(COLUMNS))
@SHARED_FOLDER
def test_columns_are_read_by_name(tmp_path, order):
    """One of Kaggle's files orders its options C, E, D, B, A: read by position, the answers are wrong."""
    row = {"id": "1", "prompt": "W?", "A": "a", "B": "b", "C": "c", "answer": "C"}
    path = write_csv(tmp_path / "exam.csv", [order, [row[name] for name in order]])
    [question] = read(path)
    assert (question.options, question.answer_letter) == (("a", "b", "c"), "C")


@pytest.mark.parametrize("text", ["None", "NA", "nan", "null", "007", "3.10", "1e5", "True", "#N/A", "-"])
def test_cells_that_look_like_something_else_are_text(tmp_path, text):
    path = write_csv(tmp_path / "exam.csv", [COLUMNS, [text.strip("-#") or "x", text, text, "b", text + "!", "B"]])
    [question] = read(path)
    assert question.question == question.options[0] == text


@pytest.mark.parametrize(
    ("before", "separator"), [(b"\xef\xbb\xbf", "\n"), (b"", "\r\n"), (b"\xef\xbb\xbf", "\r\n"), (b"", "\r")]
)
def test_the_forms_in_which_excel_saves_are_accepted(tmp_path, before, separator):
    text = separator.join(["prompt,A,B,answer", "Grüße?,α,β,A", '"two', 'lines",c,d,B', ""])
    path = tmp_path / "excel.csv"
    path.write_bytes(before + text.encode())
    questions = read(path)
    assert [q.question for q in questions] == ["Grüße?", f"two{separator}lines"]
    assert [q.line for q in questions] == [2, 3], "the line where a row begins, also with line breaks inside"
    assert [q.id for q in questions] == ["0", "1"]


def test_an_index_column_of_pandas_is_accepted(tmp_path):
    path = write_csv(tmp_path / "exam.csv", [["", "prompt", "A", "B", "answer"], ["0", "W?", "a", "b", "A"]])
    assert read(path)[0].options == ("a", "b")


@pytest.mark.parametrize("name", ["context", "wikipedia_excerpt", "hint"])
def test_a_passage_has_several_names(tmp_path, name):
    path = write_csv(tmp_path / "exam.csv", [["prompt", name, "A", "B", "answer"], ["W?", "a passage", "a", "b", "A"]])
    assert read(path)[0].context == "a passage"


@pytest.mark.parametrize("written", ["b", " B ", "b "])
def test_a_letter_in_another_form_is_accepted_with_a_note(tmp_path, written):
    path = write_csv(tmp_path / "exam.csv", [["prompt", "A", "B", "answer"], ["W?", "a", "b", written]])
    reading = read_questions(path, purpose="train")
    assert reading.questions[0].answer_letter == "B"
    [note] = reading.warnings
    assert f"{path}:2: answer " in str(note)


def test_blank_and_equal_options_stay_and_give_a_warning(tmp_path):
    rows = [["prompt", *"ABCDE", "answer"], ["W?", "a", "", "c", "a", "e", "A"]]
    reading = read_questions(write_csv(tmp_path / "exam.csv", rows), purpose="train")
    assert reading.questions[0].options == ("a", "", "c", "a", "e")
    assert [str(w).split(": ", 1)[1] for w in reading.warnings] == [
        "option B is blank",
        "options A and D are equal: 'a'",
    ]


def mixed(tmp_path, rows_with_blank_end: int, rows: int) -> Path:
    body = [["W?", "a", "b", "c", "d", "e", "A"] for _ in range(rows - rows_with_blank_end)]
    body += [["W?", "a", "b", "c", "", " ", "A"] for _ in range(rows_with_blank_end)]
    return write_csv(tmp_path / "exam.csv", [["prompt", *"ABCDE", "answer"], *body])


def test_blank_ends_in_many_rows_mean_fewer_options(tmp_path):
    reading = read_questions(mixed(tmp_path, 50, 200), purpose="train")
    assert {len(question.options) for question in reading.questions} == {3, 5}
    assert len(reading.warnings) == 1
    assert "50 of 200 rows" in str(reading.warnings[0])


def test_a_rare_blank_end_is_a_defect_and_stays_an_option(tmp_path):
    """Two of Kaggle's 6,000 rows have no text in E; ranked among four options they would score too well."""
    reading = read_questions(mixed(tmp_path, 1, 200), purpose="train")
    assert {len(question.options) for question in reading.questions} == {5}
    assert len(reading.warnings) == 2, "options D and E of one row"


def test_an_answer_that_points_to_an_option_that_is_not_there(tmp_path):
    rows = [["prompt", "A", "B", "C", "answer"], ["W?", "a", "b", "", "C"]]
    with pytest.raises(DataError, match="answer C points to a blank option"):
        read(write_csv(tmp_path / "exam.csv", rows))


def test_the_same_id_twice_is_warned_of(tmp_path):
    rows = [["id", "prompt", "A", "B", "answer"], ["7", "W?", "a", "b", "A"], ["7", "V?", "a", "b", "B"]]
    [warning] = read_questions(write_csv(tmp_path / "exam.csv", rows), purpose="train").warnings
    assert "id '7' is repeated in lines 2, 3" in str(warning)


def test_ids_keep_their_leading_zeros_and_numbers_become_text(tmp_path):
    path = tmp_path / "exam.jsonl"
    path.write_text(
        '{"id": "007", "prompt": "W?", "A": "a", "B": "b"}\n{"id": 8, "prompt": "V?", "A": "a", "B": "b"}\n'
    )
    assert [question.id for question in read(path, "predict")] == ["007", "8"]


def test_prediction_needs_no_answers_and_no_prompt(tmp_path):
    path = write_csv(tmp_path / "test.csv", [["prompt", "A", "B"], ["", "a", "b"], ["W?", "a", "b"]])
    reading = read_questions(path, purpose="predict")
    assert not reading.labelled
    assert [str(warning) for warning in reading.warnings] == [f"{path}:2: the question has no text"]


def test_a_file_that_changes_is_read_again(tmp_path):
    """The cache must not serve yesterday's file."""
    path = write_csv(tmp_path / "exam.csv", [["prompt", "A", "B", "answer"], ["W?", "a", "b", "A"]])
    assert read(path)[0].question == "W?"
    write_csv(path, [["prompt", "A", "B", "answer"], ["What now?", "a", "b", "A"]])
    assert read(path)[0].question == "What now?"


def test_scienceqa_never_reads_the_solution(tmp_path):
    record = {"question": "W?", "choices": ["a", "b"], "answer": 1, "hint": "h", "lecture": "l", "solution": "It is b."}
    path = tmp_path / "exam.json"
    path.write_text(json.dumps([record, {**record, "hint": "", "lecture": None}]))
    first, second = read(path)
    assert (first.context, second.context) == ("h\nl", "")
    assert "It is b" not in repr(first)


def test_messages_cannot_move_the_cursor(tmp_path):
    path = write_csv(tmp_path / "exam.csv", [["prompt", "A", "B", "answer"], ["W?", "a", "b", "\x1b[2J"]])
    with pytest.raises(DataError) as error:
        read(path)
    assert "\x1b" not in str(error.value)


@pytest.mark.parametrize("suffix", list(READERS))
def test_every_reader_gives_the_same_questions(tmp_path, suffix):
    records = [{"id": "1", "prompt": "W?", "A": "007", "B": "None", "answer": "B", "context": "c"}]
    path = tmp_path / f"exam{suffix}"
    if suffix == ".csv":
        write_csv(path, [list(records[0]), list(records[0].values())])
    elif suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(records), path)
    elif suffix == ".arrow":
        import pyarrow as pa

        table = pa.Table.from_pylist(records)
        with pa.ipc.new_stream(str(path), table.schema) as writer:
            writer.write_table(table)
    elif suffix == ".xlsx":
        openpyxl = pytest.importorskip("openpyxl")
        book = openpyxl.Workbook()
        for row in (list(records[0]), list(records[0].values())):
            book.active.append(row)
        book.save(path)
    elif suffix == ".tsv":
        path.write_text("\t".join(records[0]) + "\n" + "\t".join(records[0].values()) + "\n")
    else:
        path.write_text(json.dumps(records if suffix == ".json" else records[0]))
    [question] = read(path)
    assert (question.id, question.options, question.answer, question.context) == ("1", ("007", "None"), 1, "c")


ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = re.findall(r"^\| `(\w+)`.*\| `(\{.*\})` \|$", (ROOT / "data" / "README.md").read_text(), re.MULTILINE)


def test_every_form_is_documented():
    assert sorted(form for form, _ in EXAMPLES) == sorted(FORMS)


@pytest.mark.parametrize(("form", "row"), EXAMPLES)
def test_the_row_in_the_documentation_is_read(tmp_path, form, row):
    path = tmp_path / "exam.jsonl"
    path.write_text(row + "\n")
    reading = read_questions(path, purpose="predict")
    [question] = reading.questions
    assert (reading.form, question.options[question.answer]) == (form, "y")


@pytest.mark.real_data
def test_the_known_defects_of_kaggles_6000(real_data):
    reading = read_questions(real_data / "kaggle" / "6000_train_examples.csv", purpose="train")
    assert len(reading.questions) == 6000
    warnings = {(warning.line - 2, warning.what.split(":")[0]) for warning in reading.warnings}
    assert {(2427, "option B is blank"), (3532, "option E is blank"), (4482, "option E is blank")} <= warnings
    assert {line for line, defect in warnings if "equal" in defect} == {633, 3011, 4563, 4602}


@pytest.mark.real_data
def test_kaggles_500_with_their_columns_out_of_order(real_data):
    path = real_data / "kaggle" / "extra_train_set.csv"
    reading = read_questions(path, purpose="train")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [q.options for q in reading.questions] == [tuple(row[letter] for letter in "ABCDE") for row in rows]
    assert any(w.what == "option A is blank" and reading.questions[447].line == w.line for w in reading.warnings)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "rows", "form", "counts"),
    [
        ("arc/arc_easy.jsonl", 2376, "lm_eval", {4}),
        ("scienceqa/train.parquet", 6508, "scienceqa", {2, 3, 4}),
        ("scienceqa/validation.parquet", 2144, "scienceqa", {2, 3, 4}),
    ],
)
def test_arc_and_scienceqa_as_they_come(real_data, name, rows, form, counts):
    reading = read_questions(real_data / name, purpose="train")
    assert (len(reading.questions), reading.form) == (rows, form)
    assert {len(question.options) for question in reading.questions} == counts
