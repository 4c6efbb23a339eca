"""Columns of any name: behind a path, in the registry, and suggested where a file is in no known form."""

from __future__ import annotations

import csv
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmtuner.cli.flags import Flags
from llmtuner.cli.words import Words
from llmtuner.data.collect import read_source
from llmtuner.data.forms.mapped import ColumnNames
from llmtuner.data.load import read_questions
from llmtuner.data.read_as import parse_query, split_query
from llmtuner.data.registry import find_source
from llmtuner.errors import DataError, UserError

HEADER = ["key", "q", "o1", "o2", "o3", "right", "text"]
ROWS = [["7", "Q?", "a", "b", "c", "2", "A passage."], ["8", "R?", "d", "e", "f", "3", ""]]
QUERY = "prompt=q&options=o1|o2|o3&answer=right&context=text&id=key&answer_base=1"


@pytest.fixture
def exam(tmp_path):
    path = tmp_path / "exam.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([HEADER, *ROWS])
    return path


def questions(name, folder):
    source = find_source(str(name), str(folder))
    return [question for file in read_source(source, purpose="train") for question in file.questions]


def test_names_behind_a_path(exam, tmp_path):
    first, second = questions(f"{exam}?{QUERY}", tmp_path)
    assert (first.id, first.question, first.options, first.answer) == ("7", "Q?", ("a", "b", "c"), 1)
    assert (first.context, second.context, second.answer) == ("A passage.", "", 2)


def test_names_in_the_registry_give_the_same_questions(exam, tmp_path):
    columns = {"prompt": "q", "options": ["o1", "o2", "o3"], "answer": "right", "context": "text", "id": "key"}
    entry = {"formatting": "mcq", "file_name": "exam.csv", "columns": columns, "answer_base": 1}
    (tmp_path / "dataset_info.json").write_text(json.dumps({"mine": entry}))
    mine, direct = questions("mine", tmp_path), questions(f"{exam}?{QUERY}", tmp_path)
    assert [(q.id, q.question, q.options, q.answer, q.context) for q in mine] == [
        (q.id, q.question, q.options, q.answer, q.context) for q in direct
    ]
    with pytest.raises(DataError, match="no column 'oo'"):
        questions("mine?context=oo", tmp_path)


def test_a_name_behind_an_entry_leaves_the_entrys_other_names(tmp_path):
    """They were all dropped, so that the answers of another column were read, as our own advice of a context said."""
    (tmp_path / "exam.jsonl").write_text(
        '{"question": "Q?", "A": "a", "B": "b", "answer": "A", "fixed": "B", "t": "p"}\n'
    )
    entry = {"formatting": "mcq", "file_name": "exam.jsonl", "columns": {"answer": "fixed"}}
    (tmp_path / "dataset_info.json").write_text(json.dumps({"mine": entry}))
    [question] = questions("mine?context=t", tmp_path)
    assert (question.answer, question.context) == (1, "p")


def test_the_flags_base_is_only_a_default(tmp_path):
    """--mcq_answer_base 0 replaced the 1 of a registry's entry, so that all of its answers were shifted by one."""
    for name in ("one", "unsaid"):
        row = {"question": "Q?", "choices": ["a", "b", "c"], "answer": 1}
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    entry = {"formatting": "mcq", "file_name": "one.jsonl", "answer_base": 1}
    both = {"formatting": "mcq", "sources": ["one", "unsaid"]}
    entries = {"one": entry, "unsaid": {"formatting": "mcq", "file_name": "unsaid.jsonl"}, "both": both}
    (tmp_path / "dataset_info.json").write_text(json.dumps(entries))
    given = Words.from_argv(["--dataset", "both,one,unsaid,one?answer_base=0", "--mcq_answer_base", "0"])
    names = Flags.of(given).with_answer_base().names("dataset")
    assert [[question.answer for question in questions(name, tmp_path)] for name in names] == [[0, 1], [0], [1], [1]]


def test_a_known_form_keeps_its_other_columns(tmp_path):
    path = tmp_path / "exam.jsonl"
    path.write_text(
        '{"question": "Q?", "choices": ["a", "b"], "answer": 0, "subject": "s", "notes": "n", "hint": "h"}\n'
    )
    [question] = questions(f"{path}?context=notes", tmp_path)
    assert (question.options, question.answer, question.context) == (("a", "b"), 0, "n")


def test_named_options_do_not_lose_the_answer_that_the_forms_own_tell(tmp_path):
    """A prediction had no answers, and said nothing."""
    row = {"question": "Q?", "correct_answer": "r", "distractor1": "a", "distractor2": "b", "distractor3": "c"}
    (tmp_path / "exam.jsonl").write_text(json.dumps(row) + "\n")
    names = "options=distractor1|distractor2|correct_answer"
    [question] = questions(f"{tmp_path / 'exam.jsonl'}?{names}", tmp_path)
    assert (question.options, question.answer) == (("a", "b", "r"), 2)


def test_a_path_that_exists_as_written_wins(tmp_path):
    path = tmp_path / "exam.csv?answer=x.csv"
    path.write_text("prompt,A,B,answer\nQ?,a,b,B\n")
    assert questions(path, tmp_path)[0].answer == 1
    assert split_query(str(path)) == (str(path), "")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("anwser=x", "did you mean answer?"),
        ("prompt=q&prompt=q", "prompt is given twice"),
        ("prompt=", "prompt names no column"),
        ("options=a||b", "options names no column"),
        ("options=o1|o1", "names a column twice"),
        ("answer_base=2", "use one of auto, 0, 1, letter, text"),
        ("answer=nowhere", "no column 'nowhere'"),
        ("answer=right", "add options=NAME"),
        ("prompt=key&options=o1|o2&context=solution", "no column 'solution'"),
    ],
)
def test_a_mistake_behind_a_path_is_named(exam, tmp_path, query, message):
    with pytest.raises((UserError, DataError)) as error:
        questions(f"{exam}?{query}", tmp_path)
    assert message in str(error.value)


def test_an_explanation_is_no_context(tmp_path):
    path = tmp_path / "exam.csv"
    path.write_text("prompt,A,B,answer,solution\nQ?,a,b,B,It is b\n")
    with pytest.raises(DataError, match="explains the right answer"):
        questions(f"{path}?context=solution", tmp_path)


names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12).filter(str.strip)


@given(st.lists(names, min_size=5, max_size=5, unique=True))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_name_comes_back_from_a_query(chosen):
    """A name may hold & | = ? % or a comma, which separates data sets."""
    columns = ColumnNames(prompt=chosen[0], options=(chosen[1], chosen[2]), answer=chosen[3], context=chosen[4])
    query = columns.as_query()
    assert "," not in query
    assert parse_query(query, "exam.csv").columns == columns


@pytest.mark.parametrize(
    "header",
    [
        ["题目", "选项A", "选项B", "选项C", "答案"],
        ["prompt", "option_a", "option_b", "option_c", "answer"],
        ["question", "option1", "option2", "option3", "label"],
        ["text", "Option A", "Option B", "Option C", "correct"],
        ["question", "choice1", "choice2", "choice3", "answer"],
    ],
)
def test_the_names_that_are_suggested_read_the_file(tmp_path, header):
    """The advice was to rename two of the columns; the others were lost."""
    path = tmp_path / "exam.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, ["Q?", "a", "b", "c", "B"], ["R?", "d", "e", "f", "C"]])
    with pytest.raises(DataError, match="to read it, add to its path") as error:
        read_questions(path, purpose="train")
    query = str(error.value).rsplit(": ?", 1)[1]
    read = questions(f"{path}?{query}", tmp_path)
    assert [(q.options, q.answer) for q in read] == [(("a", "b", "c"), 1), (("d", "e", "f"), 2)]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"stem": "Q?", "ans0": "a", "ans1": "b", "ans2": "c", "label": "C"}, "options=ans0|ans1|ans2&answer=label"),
        (
            {"Question": "Q?", "Option 1": "a", "Option 2": "b", "Answer Key": "B", "Context": "p", "ID": "x"},
            "options=Option%201|Option%202&answer=Answer%20Key&context=Context&id=ID",
        ),
        ({"input": "Q?", "A": "a", "B": "b", "target": "B"}, "prompt=input&options=A|B&answer=target"),
        ({"Question": "Q?", "Options": ["a", "b"], "Answer": "B"}, "options=Options&answer=Answer"),
        ({"instruction": "Q?", "option_a": "a", "option_b": "b", "answer": "B"}, "prompt=instruction&options=option_a"),
        ({"text": "Q?", "options": ["a", "b"], "correct_answer_num": "B"}, "answer=correct_answer_num"),
    ],
)
def test_a_suggestion_leaves_nothing_out(tmp_path, row, words):
    """It left out the option numbered 0, the answer, or the passage, and the file was then read without them."""
    path = tmp_path / "exam.jsonl"
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError, match="to read it, add to its path") as error:
        read_questions(path, purpose="train")
    query = str(error.value).rsplit(": ?", 1)[1]
    assert words in query
    [question] = questions(f"{path}?{query}", tmp_path)
    assert question.answer == len(question.options) - 1
    assert question.context == row.get("Context", "")


def test_a_column_named_by_the_user_is_not_misspelt(tmp_path):
    path = tmp_path / "exam.csv"
    path.write_text("prompt,A,B,answer,Passage\nQ?,a,b,B,p\n")
    assert questions(f"{path}?context=Passage", tmp_path)[0].context == "p"


def test_letters_out_of_order_are_refused(tmp_path):
    """An answer B could mean the column B, or the second one."""
    path = tmp_path / "exam.csv"
    path.write_text("prompt,A,B,C,answer\nQ?,a,b,c,B\n")
    with pytest.raises(DataError, match=r"letters out of order.*write options=A\|B\|C"):
        questions(f"{path}?options=C|B|A", tmp_path)


def test_one_of_a_numbered_row_of_columns_is_not_suggested_as_another(tmp_path):
    """`choice2` was taken for a misspelt `choices`."""
    path = tmp_path / "exam.jsonl"
    path.write_text('{"question": "Q?", "answer": 1, "choice2": "b"}\n')
    with pytest.raises(DataError, match="missing column 'choices'; found"):
        read_questions(path, purpose="train")


def test_nothing_is_suggested_that_would_not_read_the_file(tmp_path):
    path = tmp_path / "exam.csv"
    path.write_text("question,choices,answer\nQ?,\"['a', 'b']\",0\n")
    with pytest.raises(DataError) as error:
        read_questions(path, purpose="train")
    assert "add to its path" not in str(error.value)


def test_rows_without_ids_are_counted_on_from_file_to_file(tmp_path):
    """Two files without ids gave the ids 0, 1, ... twice."""
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("prompt,A,B,answer\nQ?,a,b,B\nR?,a,b,A\n")
    entry = {"formatting": "mcq", "file_name": ["a.csv", "b.csv"]}
    (tmp_path / "dataset_info.json").write_text(json.dumps({"both": entry}))
    assert [question.id for question in questions("both", tmp_path)] == ["0", "1", "2", "3"]


def test_a_column_of_answers_that_has_no_usual_name_is_asked_for(tmp_path):
    """The suggested names left it out, so that a file with answers was read as one without any."""
    path = tmp_path / "exam.csv"
    path.write_text("stem,opt1,opt2,opt3,loesung\nQ?,a,b,c,2\n")
    with pytest.raises(DataError, match="&answer=NAME") as error:
        read_questions(path, purpose="predict")
    query = str(error.value).rsplit(": ?", 1)[1].split("&answer")[0]
    with pytest.raises(DataError, match=r"missing column 'answer'.*name it: &answer=NAME"):
        questions(f"{path}?{query}", tmp_path)
    assert questions(f"{path}?{query}&answer=loesung&answer_base=1", tmp_path)[0].answer == 1
