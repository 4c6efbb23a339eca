"""The check of a submission: each defect has its line, and none hides another."""

from __future__ import annotations

import json

import pytest
from support import load_script

from llmtuner.data.predictions import Prediction, write_predictions
from llmtuner.data.question import Question
from llmtuner.data.submission_check import LISTED, check_submission, require_sound
from llmtuner.errors import DataError, RunError

GOOD = "id,prediction\n0,A B C\n1,B C D\n2,C D E\n"


def written(tmp_path, content, name="submission.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def seen(result):
    """Line and kind of each problem."""
    return [(problem.line, problem.kind) for problem in result.problems]


def questions(*ids, options=5):
    return [
        Question(name, "q", tuple("option" + str(i) for i in range(options)), file="test.csv", line=line)
        for line, name in enumerate(ids, start=2)
    ]


def test_a_submission_of_kaggles_form_is_clean(tmp_path):
    result = check_submission(written(tmp_path, GOOD), questions=questions("0", "1", "2"))
    assert (seen(result), result.warnings, result.rows) == ([], (), 3)
    assert not seen(check_submission(written(tmp_path, GOOD.rstrip("\n"))))  # the last line may lack its end
    assert not seen(check_submission(written(tmp_path, '"id","prediction"\n"0","A B C"\n')))  # quotes are CSV, too


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("\ufeff" + GOOD, [(1, "BOM")]),
        (GOOD.replace("\n", "\r\n"), [(1, "line ends")]),
        (GOOD.replace("\n1", "\r\n1"), [(2, "line ends")]),
        (GOOD.replace("\n", "\r"), [(1, "line ends")]),
        (GOOD.encode("utf-16"), [(1, "encoding")]),
        (GOOD.encode("utf-16-le"), [(1, "encoding")]),
        (b"id,prediction\n0,A B C\n\xe9,A B C\n", [(3, "encoding")]),
        (GOOD + "\n", [(5, "empty line")]),
        (GOOD.replace("1,", "  \n1,"), [(3, "empty line")]),
        (GOOD.replace(",", ";"), [(1, "separator")]),
        (GOOD.replace(",", "\t"), [(1, "separator")]),
        (GOOD.replace("id,", "Id,"), [(1, "header")]),
        (GOOD.replace("id,p", "id, p"), [(1, "header")]),
        (GOOD.replace("id,prediction", "id,pred"), [(1, "header")]),
        (GOOD.removeprefix("id,prediction\n"), [(1, "header")]),
        ("prediction,id\nA B C,0\n", [(1, "header")]),
        (",id,prediction\n0,7,A B C\n", [(1, "extra columns")]),
        ("id,prediction,p\n7,A B C,0.1\n", [(1, "extra columns")]),
        ("id,prediction\n", [(1, "rows")]),
        (GOOD.replace("1,B C D", "1,B,C,D"), [(3, "fields")]),
        (GOOD.replace("1,B C D", "1"), [(3, "fields")]),
        (GOOD.replace("1,B C D", '1,"B C D'), [(3, "quoting")]),
        (GOOD.replace("1,B C D", '1,"B" C D'), [(3, "quoting")]),
        (GOOD.replace("1,B C D", "1,'B C D'"), [(3, "form")]),
        (GOOD.replace("B C D", "BCD"), [(3, "form")]),
        (GOOD.replace("B C D", "B  C D"), [(3, "form")]),
        (GOOD.replace("B C D", "B\tC D"), [(3, "form")]),
        (GOOD.replace("B C D", '"B,C,D"'), [(3, "form")]),
        (GOOD.replace("B C D", "['B'. 'C']"), [(3, "form")]),
        (GOOD.replace("B C D", " B C D"), [(3, "blanks")]),
        (GOOD.replace("B C D", "B C D "), [(3, "blanks")]),
        (GOOD.replace("B C D", ""), [(3, "blank prediction")]),
        (GOOD.replace("B C D", "B C F"), [(3, "letters")]),
        (GOOD.replace("B C D", "b c d"), [(3, "letters")]),
        (GOOD.replace("B C D", "B C \u0410"), [(3, "letters")]),  # Cyrillic A
        (GOOD.replace("B C D", "B C B"), [(3, "repeated letter")]),
        (GOOD.replace("B C D", "B C"), [(3, "number of letters")]),
        (GOOD.replace("B C D", "A B C D"), [(3, "number of letters")]),
        (GOOD.replace("1,", "0,"), [(3, "duplicate id")]),
        (GOOD.replace("1,", "1.0,"), [(3, "float id")]),
        (GOOD.replace("1,", " 1,"), [(3, "blanks")]),
        (GOOD.replace("1,", ","), [(3, "blank id")]),
    ],
)
def test_each_defect_has_its_line_and_hides_no_other(tmp_path, content, expected):
    assert seen(check_submission(written(tmp_path, content))) == expected
    if isinstance(content, str) and content.startswith("id,prediction\n"):
        later = seen(check_submission(written(tmp_path, content + "9,A A B\n")))
        assert [each for each in later if each not in expected] == [(content.count("\n") + 1, "repeated letter")] or (
            content == "id,prediction\n"
        )


@pytest.mark.parametrize(
    ("ids", "row", "expected"),
    [
        (("0", "1", "2"), "1.0,B C D", [(3, "float id")]),
        (("0", "1", "2"), "1e0,B C D", [(3, "float id")]),
        (("0", "001", "2"), "1,B C D", [(3, "leading zeros")]),
        (("0", "1", "2"), "001,B C D", [(3, "leading zeros")]),
        (("0", "001", "2"), "1.0,B C D", [(3, "float id")]),
        (("0", "x7", "2"), "X7,B C D", [(3, "unknown id"), (0, "missing id")]),
        (("0", "1", "2"), "0,B C D", [(3, "duplicate id"), (0, "missing id")]),
        (("0", "1", "2"), "1 ,B C D", [(3, "blanks")]),
        (("0", "1", "2"), ",B C D", [(3, "blank id"), (0, "missing id")]),
        (("0", "1.0", "2"), "1.0,B C D", []),  # the questions themselves have such an id
        (("0", "", "2"), ",B C D", []),
    ],
)
def test_ids_are_compared_as_text_with_those_of_the_questions(tmp_path, ids, row, expected):
    """1, 001 and 1.0 are three rows for Kaggle; a spreadsheet makes them equal."""
    path = written(tmp_path, GOOD.replace("1,B C D", row))
    assert seen(check_submission(path, questions=questions(*ids))) == expected
    sample = written(tmp_path, "id,prediction\n" + "".join(f"{name},A B C\n" for name in ids), "sample.csv")
    assert seen(check_submission(path, sample=sample)) == expected


def test_a_missing_header_hides_no_row(tmp_path):
    result = check_submission(
        written(tmp_path, GOOD.removeprefix("id,prediction\n")), questions=questions("0", "1", "2")
    )
    assert (result.rows, seen(result)) == (3, [(1, "header")])


def test_letters_are_those_of_the_question(tmp_path):
    """Three letters were demanded of a question with two options, and F was refused for one with ten."""
    two, ten = questions("0", options=2), questions("0", options=10)
    for content, asked, expected in (
        ("0,B A", two, []),
        ("0,B A C", two, [(2, "letters"), (2, "number of letters")]),
        ("0,J A F", ten, []),
        ("0,J A", ten, [(2, "number of letters")]),
    ):
        path = written(tmp_path, f"id,prediction\n{content}\n")
        assert seen(check_submission(path, questions=asked)) == expected


def test_a_missing_id_is_shown_with_its_place_in_the_questions(tmp_path):
    path = written(tmp_path, "id,prediction\n0,A B C\n")
    [problem] = check_submission(path, questions=questions("0", "7")).problems
    assert str(problem) == f"{path}: no row for id '7' (test.csv:3)"


def test_another_order_than_the_sample_is_a_warning(tmp_path):
    path = written(tmp_path, GOOD)
    sample = written(tmp_path, "id,prediction\n0,A B C\n2,A B C\n1,A B C\n", "sample.csv")
    result = check_submission(path, sample=sample)
    assert (seen(result), [(each.line, each.kind) for each in result.warnings]) == ([], [(3, "order")])
    assert check_submission(path, sample=written(tmp_path, GOOD, "same.csv")).warnings == ()


def test_sample_and_questions_of_two_exams_are_refused(tmp_path):
    sample = written(tmp_path, "id,prediction\n0,A B C\n9,A B C\n", "sample.csv")
    with pytest.raises(DataError, match=r"sample.csv:3: id '9' is only in the sample"):
        check_submission(written(tmp_path, GOOD), questions=questions("0"), sample=sample)
    with pytest.raises(DataError, match=r"test.csv:4: id '2' is only in the questions"):
        check_submission(written(tmp_path, GOOD), questions=questions("0", "9", "2"), sample=sample)


def test_no_kind_fills_the_message(tmp_path):
    content = "id,prediction\n" + "".join(f"{number}.0,A B C\n" for number in range(500)) + "x,A A B\n"
    result = check_submission(written(tmp_path, content))
    lines = result.lines()
    assert len(lines) == 1 + LISTED + 1 + 1
    assert lines[LISTED + 1] == f"  and {500 - LISTED} more of this kind (float id)"
    assert result.counts == {"float id": 500, "repeated letter": 1}
    assert len(result.record()["problems"]) == 501


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("s.parquet", b"PAR1\0\0", "is a Parquet file, not CSV; a submission is a CSV file"),
        ("s.csv", b"PK\x03\x04xl/worksheets", "is an Excel workbook, not CSV; a submission is a CSV file"),
        ("s.csv", b"\x1f\x8b\x08", "is a gzip archive, not CSV; a submission is a CSV file"),
        ("s.csv", b"", "is empty"),
        ("s.csv", b" \n\n", "only white space"),
    ],
)
def test_what_is_no_text_is_no_submission(tmp_path, name, content, message):
    path = written(tmp_path, content, name)
    with pytest.raises(DataError, match=message):
        check_submission(path)
    assert load_script("check_submission").main([str(path)]) == 2


def test_a_quoted_id_may_have_commas_and_line_breaks(tmp_path):
    """Ids of the user's own file are handed in as they are, so they are no defect of the submission."""
    ids = ("a,b", 'say "x"', "two\nlines", "old\rmac", " blank ")
    predictions = [Prediction(name, (3.0, 2.0, 1.0, 0.0)) for name in ids]
    write_predictions(predictions, tmp_path)
    asked = questions(*ids, options=4)
    assert seen(check_submission(tmp_path / "submission.csv", questions=asked)) == []
    require_sound(tmp_path / "submission.csv", predictions)


def test_our_own_defect_is_a_failed_run(tmp_path):
    predictions = [Prediction("0", (0.0, 1.0, 2.0)), Prediction("1", (0.0, 1.0))]
    write_predictions(predictions, tmp_path)
    path = tmp_path / "submission.csv"
    require_sound(path, predictions)
    for broken in (path.read_text().replace("B A", "A B A"), path.read_text().replace("\n1,", "\n2,")):
        path.write_text(broken)
        with pytest.raises(RunError, match=r"error of the program:\n.*submission.csv"):
            require_sound(path, predictions)
    write_predictions(predictions[::-1], tmp_path)
    with pytest.raises(RunError, match="order"):
        require_sound(path, predictions)


def test_exit_status_and_json(tmp_path, capsys):
    script = load_script("check_submission")
    good, bad = written(tmp_path, GOOD), written(tmp_path, GOOD.replace("B C D", "B C"), "bad.csv")
    assert script.main([str(good), "--sample", str(good)]) == 0
    assert capsys.readouterr().out == f"{good}: 3 rows, clean\n"
    assert script.main([str(bad)]) == 1
    assert f"{bad}:3: prediction 'B C': 2 letters; expected 3 different" in capsys.readouterr().out
    assert script.main([str(bad), "--json"]) == 1
    record = json.loads(capsys.readouterr().out)
    assert record["clean"] is False
    assert [(each["line"], each["kind"]) for each in record["problems"]] == [(3, "number of letters")]
    target = tmp_path / "out.json"
    assert script.main([str(bad), "--json", str(target)]) == 1
    assert json.loads(target.read_text()) == record
    assert script.main([str(bad), "--json", str(target)]) == 2  # never overwrites without being told
    assert script.main([str(bad), "--json", str(bad), "--overwrite"]) == 2
    assert bad.read_text() == GOOD.replace("B C D", "B C")
    assert script.main([str(tmp_path / "no.csv")]) == 2
    assert script.main([str(good), "--questions", str(tmp_path / "no.csv")]) == 2
    assert "error:" in capsys.readouterr().err


def test_markup_for_terminals_in_a_file_is_shown_as_text(tmp_path):
    result = check_submission(written(tmp_path, "id,prediction\n0,\x1b[31m A\n\x1b[2J,A B\n"))
    assert all(line.isprintable() for line in result.lines())


def test_the_json_never_replaces_the_questions(tmp_path, capsys):
    """With --overwrite, the file of --questions was replaced by the list of problems."""
    asked = tmp_path / "q.jsonl"
    asked.write_text('{"id": "0", "prompt": "?", "A": "x", "B": "y", "C": "z"}\n')
    submission = written(tmp_path, "id,prediction\n0,A B C\n")
    words = [str(submission), "--questions", str(asked), "--json", str(asked), "--overwrite"]
    assert load_script("check_submission").main(words) == 2
    assert "is one of the files to read" in capsys.readouterr().err
    assert asked.read_text().startswith('{"id"')
