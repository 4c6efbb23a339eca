"""Every form reads the rows of its public files as they come: each with the same three questions."""

from __future__ import annotations

import json

import pytest
from public_forms import ASKED, LETTERS, ROWS, TEXTS, hub_choices, nested

from llmtuner.data.forms import FORMS
from llmtuner.data.load import read_questions
from llmtuner.data.read_as import parse_query
from llmtuner.errors import DataError

WITH_PASSAGE = {"scienceqa", "openbookqa", "qasc", "race", "agieval", "dream", "sciq"}
WITH_PASSAGE |= {"qasc_nested", "belebele", "reclor", "logiqa", "cosmosqa", "siqa", "copa"}
FEWER = {"siqa": 3, "copa": 2, "piqa": 2, "winogrande": 2}  # options
DRAWN_ORDER = {"sciq", "gpqa"}


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read(path, purpose="train"):
    return read_questions(path, purpose=purpose)


def test_every_form_has_a_row_here():
    assert ROWS.keys() == FORMS.keys()


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_recognised_and_read(tmp_path, form):
    reading = read(write(tmp_path / "exam.jsonl", [ROWS[form](*asked) for asked in ASKED]))
    assert reading.form == form
    assert [question.question for question in reading.questions] == [question for question, _ in ASKED]
    assert [question.options[question.answer] for question in reading.questions] == [TEXTS[a] for _, a in ASKED]
    for question in reading.questions:
        assert len(question.options) == FEWER.get(form, 4)
        assert set(question.options) <= set(TEXTS)
        assert form in DRAWN_ORDER or list(question.options) == [text for text in TEXTS if text in question.options]
        assert question.context == ("A passage." if form in WITH_PASSAGE else "")
    assert [warning for warning in reading.warnings if "never used" not in warning.what] == []


@pytest.mark.parametrize("form", FORMS)
def test_a_passage_is_the_context_in_every_form(tmp_path, form):
    """A passage in a column that the form did not know was lost without a word."""
    for name in ("context", "article", "passage", "support", "fact1", "para", "abstract", "background", "hint"):
        rows = [{**ROWS[form](*asked)} for asked in ASKED]
        for row in rows:
            row.pop("support", None)
            row[name] = "Another passage."
        contexts = {question.context for question in read(write(tmp_path / "exam.jsonl", rows)).questions}
        assert len(contexts) == 1
        assert "passage." in contexts.pop()


@pytest.mark.parametrize("form", [form for form in FORMS if FORMS[form].answer])
@pytest.mark.parametrize("blank", [None, "", " ", -1, "-1", float("nan")])
def test_a_missing_answer_is_no_answer(tmp_path, form, blank):
    """The test files of public exams have -1 or a blank; they were refused."""
    rows = [{**ROWS[form](*asked), FORMS[form].answer: blank} for asked in ASKED]
    path = write(tmp_path / "exam.jsonl", rows)
    if isinstance(blank, float):  # JSON has no NaN; Parquet has
        import pyarrow as pa
        import pyarrow.parquet as pq

        if form in ("agieval",):
            return  # its column "other" has no type
        path = tmp_path / "exam.parquet"
        pq.write_table(pa.Table.from_pylist(rows), path)
    assert [question.answer for question in read(path, "predict").questions] == [None, None, None]
    with pytest.raises(DataError, match="answer"):
        read(path)


def test_labels_are_matched_whatever_they_are(tmp_path):
    """ARC has letters in some rows and numbers in others, and a hub's copy had them out of order."""
    for labels in ("1234", "BADC", "ABDE", ["first", "second", "third", "fourth"]):
        rows = [{"question": q, "choices": hub_choices(labels), "answerKey": labels[a]} for q, a in ASKED]
        assert [q.answer for q in read(write(tmp_path / "exam.jsonl", rows)).questions] == [2, 0, 1]
        rows = [{"question": nested(q, labels), "answerKey": labels[a]} for q, a in ASKED]
        assert [q.answer for q in read(write(tmp_path / "exam.jsonl", rows)).questions] == [2, 0, 1]


@pytest.mark.parametrize(
    ("labels", "answer", "message"), [("ABCD", "E", "not one of the labels"), ("AABC", "A", "label of several")]
)
def test_a_label_that_is_not_there_or_there_twice_is_refused(tmp_path, labels, answer, message):
    rows = [{"question": "Q?", "choices": hub_choices(labels), "answerKey": answer}]
    with pytest.raises(DataError, match=message):
        read(write(tmp_path / "exam.jsonl", rows), "predict")


def test_the_order_that_is_drawn_is_the_same_each_time_and_no_favour(tmp_path):
    rows = [ROWS["gpqa"](f"Question {number}?", 0) | {"Correct Answer": f"right {number}"} for number in range(400)]
    first = read(write(tmp_path / "exam.jsonl", rows)).questions
    again = read(write(tmp_path / "again.jsonl", rows[::-1])).questions[::-1]
    assert [question.options for question in first] == [question.options for question in again]
    places = [question.answer for question in first]
    assert all(70 < places.count(place) < 130 for place in range(4))


def test_two_answers_that_differ_are_refused(tmp_path):
    row = ROWS["mmlu_pro"](*ASKED[0]) | {"answer": "A"}
    with pytest.raises(DataError, match="answer_index means option C, answer 'A' does not"):
        read(write(tmp_path / "exam.jsonl", [row]), "predict")


def test_marks_are_kept_where_not_every_option_has_its_own(tmp_path):
    row = ROWS["agieval"](*ASKED[0])
    row["options"][1] = "(A)Neon"
    assert read(write(tmp_path / "exam.jsonl", [row])).questions[0].options[1] == "(A)Neon"


@pytest.mark.parametrize(
    "value", [None, "a, b", {"text": ["a"]}, {"text": ["a"], "label": []}, [{"text": "a"}], {}, {"A": 1}]
)
def test_options_in_another_shape_are_refused(tmp_path, value):
    row = ROWS["choices"](*ASKED[0]) | {"choices": value}
    with pytest.raises(DataError, match="column choices must be"):
        read(write(tmp_path / "exam.jsonl", [row]), "predict")


def test_a_row_without_one_right_mark_is_refused(tmp_path):
    row = ROWS["truthfulqa"](*ASKED[0])
    row["mc1_targets"]["labels"] = [1, 1, 0, 0]
    with pytest.raises(DataError, match="2 right options"):
        read(write(tmp_path / "exam.jsonl", [row]), "predict")


def test_texts_that_are_not_read_are_named_once(tmp_path):
    """A passage in a column of another name was ignored in silence."""
    rows = [
        ROWS["choices"](*asked)
        | {"notes": "long text " * 9, "topic": "physics", "solution": "It is so.", "rationale": "r"}
        for asked in ASKED
    ]
    path = write(tmp_path / "exam.jsonl", rows)
    messages = [str(warning) for warning in read(path).warnings]
    assert len(messages) == 2
    assert "'solution', 'rationale'" in messages[0]
    assert "'notes' is not used" in messages[1]
    assert "?context=notes" in messages[1]


@pytest.mark.parametrize("shape", ["list", "object"])
def test_a_passage_beside_an_option_is_the_context(tmp_path, shape):
    """EXAMS has a passage beside each option, in `para`; all of them were lost in silence."""
    paras = ["One passage.", "One passage.", "Another.", ""]
    choices = {"text": TEXTS, "label": list(LETTERS), "para": paras}
    if shape == "list":
        choices = [dict(zip(choices, cells, strict=True)) for cells in zip(*choices.values(), strict=True)]
    row = {"question": {"stem": "Q?", "choices": choices}, "answerKey": "B"}
    [question] = read(write(tmp_path / "exam.jsonl", [row])).questions
    assert (question.options[question.answer], question.context) == ("Neon", "One passage.\nAnother.")


def test_objects_of_key_and_value_are_options(tmp_path):
    row = ROWS["medqa"](*ASKED[0])
    row["options"] = [{"key": letter, "value": text} for letter, text in row["options"].items()]
    assert read(write(tmp_path / "exam.jsonl", [row])).questions[0].options == tuple(TEXTS)


def test_labels_beside_the_texts_of_truthfulqa(tmp_path):
    """The authors' own file; the hub's copy has two lists."""
    row = {"question": "Q?", "mc1_targets": {"Neon": 0, "Oxygen": 1}, "mc2_targets": {"Neon": 0, "Oxygen": 1}}
    assert read(write(tmp_path / "exam.jsonl", [row])).questions[0].answer == 1


def test_an_answer_in_a_list_of_one(tmp_path):
    """AGIEval on the hub, in the form of lm-evaluation-harness, has gold: [1]."""
    path = write(tmp_path / "exam.jsonl", [ROWS["lm_eval"](*asked) | {"gold": [asked[1]]} for asked in ASKED])
    assert [question.answer for question in read(path).questions] == [2, 0, 1]


def test_mmlus_rows_in_one_column(tmp_path):
    """MMLU's auxiliary_train on the hub holds each row as an object in the column `train`."""
    path = write(tmp_path / "exam.jsonl", [{"train": ROWS["mmlu"](*asked)} for asked in ASKED])
    reading = read(path)
    assert [question.answer for question in reading.questions] == [2, 0, 1]
    assert ["the rows are those of the column 'train'" in str(warning) for warning in reading.warnings] == [True]


def test_rows_that_their_authors_call_wrong_are_named(tmp_path):
    """MMLU-Redux keeps MMLU's answer in rows where it is wrong; they were read without a word."""
    rows = [ROWS["mmlu_redux"](*asked) for asked in ASKED]
    rows[1]["error_type"] = "wrong_groundtruth"
    [warning] = read(write(tmp_path / "exam.jsonl", rows)).warnings
    assert warning.line == 2
    assert "error_type is not 'ok'" in warning.what


def test_an_id_of_the_usual_name_where_the_forms_own_is_absent(tmp_path):
    """The row number took its place."""
    row = ROWS["mmlu_pro"](*ASKED[0]) | {"id": "q7"}
    del row["question_id"]
    reading = read(write(tmp_path / "exam.jsonl", [row]))
    assert (reading.questions[0].id, reading.numbered) == ("q7", False)


@pytest.mark.parametrize(
    "name", ["Pre-Revision Explanation", "解析", "chain_cot", "generated_solution", "explaination"]
)
def test_what_explains_the_answer_under_a_longer_name_is_never_used(tmp_path, name):
    """The advice was to use it as the context, from which the answer can be copied."""
    rows = [ROWS["kaggle"](*asked) | {name: "It is so. " * 9} for asked in ASKED]
    [warning] = read(write(tmp_path / "exam.jsonl", rows)).warnings
    assert "never used, because it explains the right answer" in warning.what


@pytest.mark.parametrize("name", ["long_answer", "Correct Answer", "analysis", "model_output", "答案分析"])
def test_a_column_that_repeats_the_answer_is_not_advised_as_the_context(tmp_path, name):
    rows = [ROWS["kaggle"](*asked) | {name: "It is so. " * 9} for asked in ASKED]
    [warning] = read(write(tmp_path / "exam.jsonl", rows)).warnings
    assert f"'{name}' is not used" in str(warning)
    assert "context" not in str(warning)


def test_the_remarks_of_gpqas_authors_are_no_passages(tmp_path):
    remarks = {"Pre-Revision Correct Answer": "It is so. " * 9, "Feedback_NEV_2": "I saw it. " * 9}
    path = write(tmp_path / "exam.jsonl", [ROWS["gpqa"](*asked) | remarks for asked in ASKED])
    assert ["'Explanation'" in str(warning) for warning in read(path).warnings] == [True]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("passages", ["long text " * 9, "more"], "?context=passages"),
        ("passage", [{"title": "t", "text": "long text"}], "'passage' is not read as the context: it holds objects"),
        ("article", {"text": "long text"}, "'article' is not read as the context: it holds objects"),
        ("documents", [{"text": "long text " * 9}], "'documents' is not used"),
    ],
)
def test_texts_in_lists_and_objects_are_named(tmp_path, name, value, words):
    """A passage in a list or an object was lost without a word."""
    path = write(tmp_path / "exam.jsonl", [ROWS["kaggle"](*asked) | {name: value} for asked in ASKED])
    [warning] = read(path).warnings
    assert words in str(warning)


def test_too_many_options_say_what_to_do(tmp_path):
    row = ROWS["choices"](*ASKED[0]) | {"choices": [f"o{n}" for n in range(13)]}
    with pytest.raises(DataError, match="13 options; expected 2 to 10; leave out wrong options"):
        read(write(tmp_path / "exam.jsonl", [row]))


@pytest.mark.parametrize(
    ("form", "column", "advice"),
    [
        ("swag", "ending4", "?options=ending0|ending1|ending2|ending3|ending4"),
        ("medmcqa", "ope", "?options=opa|opb|opc|opd|ope"),
        ("winogrande", "option3", "?options=option1|option2|option3"),
        ("sciq", "distractor4", "remove it"),
        ("gpqa", "Incorrect Answer 4", "remove it"),
    ],
)
def test_an_option_beyond_the_forms_own_is_not_lost(tmp_path, form, column, advice):
    """It was left out in silence."""
    rows = [ROWS[form](*asked) | {column: "Argon"} for asked in ASKED]
    path = write(tmp_path / "exam.jsonl", rows)
    with pytest.raises(DataError) as error:
        read(path)
    assert f"option column '{column}': more options than this form has" in str(error.value)
    assert advice in str(error.value)
    if "?" in advice:
        as_advised = parse_query(advice[1:], "exam.jsonl")
        questions = read_questions(path, purpose="train", read_as=as_advised).questions
        assert [question.options[-1] for question in questions] == ["Argon"] * 3
        assert [question.options[question.answer] for question in questions] == [TEXTS[a] for _, a in ASKED]


def test_a_passage_in_the_object_of_the_question_is_named(tmp_path):
    rows = [ROWS["ai2_nested"](*asked) for asked in ASKED]
    for row in rows:
        row["question"]["passage"] = "long text " * 9
    path = write(tmp_path / "exam.jsonl", rows)
    [warning] = read(path).warnings
    assert "?context=question.passage" in str(warning)
    as_advised = parse_query("context=question.passage", "exam.jsonl")
    questions = read_questions(path, purpose="train", read_as=as_advised).questions
    assert questions[0].context == "long text " * 9


@pytest.mark.parametrize("value", ["https://example.org/" + "p" * 60, "0f" * 32, "images/val/" + "7" * 40 + ".png"])
def test_a_link_a_hash_or_a_path_is_no_passage(tmp_path, value):
    """Each was named as a passage that is lost, hashes and paths with the advice to use them as the context."""
    rows = [ROWS["kaggle"](*asked) | {"other": value} for asked in ASKED]
    assert read(write(tmp_path / "exam.jsonl", rows)).warnings == ()


def test_a_passage_without_spaces_is_named(tmp_path):
    rows = [ROWS["kaggle"](*asked) | {"原文": "长江是中国最长的河流。" * 5} for asked in ASKED]
    [warning] = read(write(tmp_path / "exam.jsonl", rows)).warnings
    assert "?context=原文" in str(warning)


def test_links_among_texts_are_not_advised_as_the_context(tmp_path):
    values = ["https://example.org/" + "p" * 60, "long text " * 20, "long text " * 20]
    rows = [ROWS["kaggle"](*asked) | {"page": value} for asked, value in zip(ASKED, values, strict=True)]
    [warning] = read(write(tmp_path / "exam.jsonl", rows)).warnings
    assert "context" not in str(warning)


def test_the_origin_that_a_build_writes_is_no_passage(tmp_path):
    """Every run on a built set advised the path of the raw file as the context."""
    origin = {"source": "6k5", "file": "my data/" + "folder/" * 6 + "train.csv", "line": 2, "original_id": "7"}
    rows = [ROWS["kaggle"](*asked) | origin for asked in ASKED]
    assert read(write(tmp_path / "exam.jsonl", rows)).warnings == ()


@pytest.mark.parametrize(("form", "columns"), [("scienceqa", ("hint", "lecture")), ("qasc", ("fact1", "fact2"))])
def test_contexts_that_belong_together_are_one_context(tmp_path, form, columns):
    """Half of the answer stands in the second fact."""
    row = ROWS[form](*ASKED[0]) | dict(zip(columns, ("First.", "Second."), strict=True))
    assert read(write(tmp_path / "exam.jsonl", [row])).questions[0].context == "First.\nSecond."


@pytest.mark.parametrize(
    ("form", "second", "agrees"),
    [
        ("medqa", "zebra", False),
        ("medqa", "a", True),
        ("medqa", " b ", False),
        ("mmlu_pro", "D", False),
        ("mmlu_pro", "A", True),
    ],
)
def test_a_second_answer_that_fits_no_option_does_not_agree(tmp_path, form, second, agrees):
    """Only one that fitted another option was refused."""
    options, column = (
        ({"A": "a", "B": "b", "C": "a"}, "answer_idx") if form == "medqa" else (["a", "b"], "answer_index")
    )
    row = {"question": "Q?", "options": options, column: "A" if form == "medqa" else 0, "answer": second}
    path = write(tmp_path / "exam.jsonl", [row])
    if agrees:  # also where two options have the same text
        assert read(path).questions[0].answer == 0
    else:
        with pytest.raises(DataError, match=f"{column} means option A, answer '{second}' does not"):
            read(path)
