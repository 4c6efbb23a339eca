"""The whole audit: defective rows do not stop it, every check can have hits, optional packages may be missing."""

from __future__ import annotations

import json
import random
import sys

import pytest

from llmtuner.data.audit.checks import CHECKS, parse_checks
from llmtuner.data.audit.result import audit_record
from llmtuner.data.audit.run import audit
from llmtuner.data.predictions import Prediction, write_predictions
from llmtuner.errors import DataError, UserError

WORDS = ["tin", "oak", "sun", "ray", "fog", "ice", "elm", "jay", "owl", "ant", "bee", "fox", "hen", "yak"]


def rows(number: int, *, seed: int = 0, start: int = 0) -> list[dict]:
    """Clean questions: random words, four options of equal length, answers spread evenly over the places."""
    rng = random.Random(seed)
    return [
        {
            "id": str(place),
            "prompt": f"Which of these is meant by {' '.join(rng.choices(WORDS, k=9))} {place}?",
            **dict(
                zip("ABCD", (" ".join(pick) for pick in zip(*[rng.sample(WORDS, 8)] * 2, strict=False)), strict=False)
            ),
            "answer": "ABCD"[place % 4],
        }
        for place in range(start, start + number)
    ]


def save(path, records):
    path.write_text("\n".join(json.dumps(record) for record in records))
    return path


def plant(name: str, records: list[dict]) -> list[dict]:
    """The rows of one file with a defect that the named check finds."""
    first = records[0]
    match name:
        case "error":
            return [first | {"answer": "X"}, *records[1:]]
        case "warning" | "damaged":
            return [first | {"B": ""}, *records[1:]]
        case "duplicate" | "same_text":
            return [*records, first | {"id": "again"}]
        case "near_duplicate":
            return [*records, first | {"id": "again", "prompt": first["prompt"].replace("Which of", "which one of")}]
        case "conflict":
            return [*records, first | {"id": "again", "answer": "D"}]
        case "imbalance":
            return [record | {"answer": "A"} for record in records]
        case "shortcut":
            return [record | {record["answer"]: record[record["answer"]] + " and some more"} for record in records]
    raise AssertionError(f"no defect is planted for {name}")


@pytest.fixture
def clean(tmp_path):
    return save(tmp_path / "clean.jsonl", rows(80))


def test_a_clean_file_has_no_hits(clean, tmp_path):
    second = save(tmp_path / "other.jsonl", rows(80, seed=1, start=80))
    result = audit([clean, second])
    assert {name: hits for name, hits in result.checks.items() if hits} == {}
    assert [name for name, hits in result.checks.items() if hits is None] == ["label_error"]
    assert result.notes == ()


def test_equal_options_and_repeated_questions_are_named_behind_letters(tmp_path):
    """Two options were "A)9.20" and "C)9.20", one of them the answer; a lettered copy was no duplicate."""
    path = tmp_path / "lettered.csv"
    path.write_text(
        "prompt,A,B,C,D,answer\n"
        "How many litres does the second of the three jars on the shelf hold?,A)9.20,B)9.25,C)9.20,D)9.15,C\n"
        "What does the scale in the laboratory show for both stones together?,(a) 4 kg,(b) 6 kg,(c) 9 kg,(d) 4 kg,B\n"
        "Which tree has needles that it loses before the winter?,A) spruce,B) pine,C) larch,D) cedar,C\n"
        "Which bacterium makes milk sour in this experiment?,L. casei,B. subtilis,S. aureus,B. cereus,A\n"
        "Which tree has needles that it loses before the winter?,larch,cedar,spruce,pine,A\n"
    )
    result = audit([path], near=False)
    [file] = result.files
    assert file.form.reasons["letters in options"] == (2, 3, 4)
    assert file.form.reasons["equal options"] == (2, 3)
    assert [(warning.kind, warning.line) for warning in file.warnings] == [("equal options", 2), ("equal options", 3)]
    [copies] = result.repeats.same_question
    assert [row.line for row in copies] == [4, 6]
    assert (result.checks["duplicate"], result.checks["conflict"]) == (1, 0)


@pytest.mark.parametrize("name", [n for n in CHECKS if n not in ("leak", "near_leak", "label_error")])
def test_each_check_hits_what_was_planted(name, tmp_path):
    hits = audit([save(tmp_path / "exam.jsonl", plant(name, rows(80)))]).checks[name]
    assert hits == (2 if name == "shortcut" else 1), "the longest option, and the model that goes by it"


@pytest.mark.parametrize(("name", "prompt"), [("leak", "{}"), ("near_leak", "Now then: {}")])
def test_leaks_hit_between_files(name, prompt, clean, tmp_path):
    repeats = [record | {"prompt": prompt.format(record["prompt"])} for record in rows(2)]
    second = save(tmp_path / "other.jsonl", [*rows(80, seed=1, start=80), *repeats])
    assert audit([clean, second]).checks[name] == 2


def test_what_is_in_three_files_is_counted_once(clean, tmp_path):
    """Each pair of files was counted: 30 texts in three files were reported as 90."""
    near = [record | {"prompt": f"Now then: {record['prompt']}"} for record in rows(2)]
    same = [save(tmp_path / name, [*rows(30)[20:], *near]) for name in ("b.jsonl", "c.jsonl")]
    result = audit([clean, *same]).checks
    assert (result["leak"], result["near_leak"]) == (12, 2), "ten and, in the last two files, the two that are near"


@pytest.mark.parametrize(
    ("bad", "unread"), [('9,"ab"x,1,2,3,4,A', 70), ('9,"open,1,2,3,4,A', 70)], ids=["behind a quote", "an open quote"]
)
def test_no_check_is_clean_where_reading_had_ended(bad, unread, tmp_path):
    """Two hundred unreadable lines counted as one, and --fail_on leak missed their leaks."""
    records = rows(80)
    lines = [",".join([r["id"], r["prompt"], *(r[letter] for letter in "ABCD"), r["answer"]]) for r in records]
    part = tmp_path / "part.csv"
    part.write_text("\n".join(["id,prompt,A,B,C,D,answer", *lines[:10], bad, *lines[10:]]) + "\n")
    second = save(tmp_path / "other.jsonl", records[40:])
    result = audit([part, second])
    assert result.files[0].counts.unread == unread
    assert (result.checks["leak"], result.checks["error"]) == (None, 1)
    assert f"{unread} lines after line 12 were not read" in " ".join(result.notes)
    assert audit([part, save(tmp_path / "first.jsonl", records[:4])]).checks["leak"] == 4, "a hit stays one"


def test_one_question_is_no_shortcut(tmp_path):
    [record] = rows(1)
    result = audit([save(tmp_path / "one.jsonl", [record | {"A": "much longer than the others", "answer": "A"}])])
    assert result.files[0].shortcuts[0].map_at_3 == 1.0
    assert result.checks["shortcut"] == 0


def test_predictions_at_chance_are_noted_as_meaningless(clean, tmp_path):
    write_predictions([Prediction(r["id"], (4.0, 3.0, 2.0, 1.0)) for r in rows(80)], tmp_path)
    result = audit([clean], predictions=tmp_path / "predictions.jsonl")
    assert result.label_errors.chance == 0.25
    assert "are the predictions for other questions?" in " ".join(result.notes)


def test_every_file_that_cannot_be_read_is_named(tmp_path):
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("")
    with pytest.raises(DataError, match=r"a\.csv.*\n.*b\.csv"):
        audit([tmp_path / "a.csv", tmp_path / "b.csv"])


def test_label_errors_hit_with_predictions(clean, tmp_path):
    records = rows(80)
    records[5]["answer"] = "D"
    exam = save(tmp_path / "exam.jsonl", records)
    believed = [Prediction(r["id"], tuple(5.0 * (letter == r["answer"]) for letter in "ABCD")) for r in rows(80)]
    write_predictions(believed, tmp_path)
    result = audit([exam], predictions=tmp_path / "predictions.jsonl")
    assert [suspect.row.id for suspect in result.label_errors.suspects] == ["5"]
    assert result.checks["label_error"] == 1


def test_defective_rows_are_listed_and_the_rest_is_audited(tmp_path):
    records = rows(60)
    records[3]["answer"] = "Q"
    records[5]["A"] = 7
    records[7]["prompt"] = "  "
    records[9]["answer"] = ""
    [result] = audit([save(tmp_path / "exam.jsonl", records)]).files
    assert [(problem.line, problem.file) for problem in result.errors] == [
        (line, str(tmp_path / "exam.jsonl")) for line in (4, 6, 8, 10)
    ]
    assert (result.counts.questions, result.counts.unreadable, result.counts.answered) == (58, 2, 57)


def test_a_file_of_nothing_but_defects_is_audited_too(tmp_path):
    result = audit([save(tmp_path / "exam.jsonl", [record | {"answer": "Q"} for record in rows(3)])])
    assert result.checks["error"] == 3
    assert result.files[0].counts.questions == 0
    json.dumps(audit_record(result))


def test_a_test_file_without_answers_has_no_errors(tmp_path):
    result = audit([save(tmp_path / "test.jsonl", [record | {"answer": ""} for record in rows(60)])])
    assert result.checks["error"] == 0
    assert result.files[0].shortcuts == ()


def test_the_result_is_json_and_the_same_each_time(clean):
    first, second = (json.dumps(audit_record(audit([clean])), allow_nan=False) for _ in range(2))
    assert first == second
    [file] = json.loads(first)["files"]
    assert file["counts"]["questions"] == 80
    verdicts = [*file["shortcuts"], file["model"]["score"]]
    assert [entry["worth_a_warning"] for entry in verdicts] == [False] * len(verdicts)
    assert file["positions"][0]["unbalanced"] is False


@pytest.mark.parametrize(
    ("package", "not_done", "message"),
    [
        ("sklearn.linear_model", [], "scikit-learn is not installed"),
        ("datasketch", ["near_duplicate", "near_leak"], "datasketch is not installed"),
        ("cleanlab.filter", ["label_error"], "cleanlab is not installed"),
    ],
)
def test_without_an_optional_package_the_rest_is_done(clean, tmp_path, monkeypatch, package, not_done, message):
    write_predictions([Prediction(record["id"], (1.0, 2.0, 3.0, 4.0)) for record in rows(80)], tmp_path)
    monkeypatch.setitem(sys.modules, package, None)
    result = audit([clean], predictions=tmp_path / "predictions.jsonl")
    assert message in " ".join(result.notes)
    assert [name for name, hits in result.checks.items() if hits is None] == not_done
    assert result.files[0].shortcuts


@pytest.mark.parametrize("path", ["clean.jsonl", "./clean.jsonl"])
def test_a_file_given_twice_is_rejected(clean, monkeypatch, path):
    monkeypatch.chdir(clean.parent)
    with pytest.raises(UserError, match="given twice"):
        audit(["clean.jsonl", path])


def test_a_path_that_is_not_a_file_of_questions_is_rejected(tmp_path):
    (tmp_path / "empty.csv").write_text("")
    for path in (tmp_path, tmp_path / "nowhere.csv", tmp_path / "empty.csv"):
        with pytest.raises(DataError):
            audit([path])


def test_checks_are_known_by_name():
    assert parse_checks("leak, conflict") == ["leak", "conflict"]
    with pytest.raises(UserError, match=r"unknown check; choose from: .* Did you mean conflict"):
        parse_checks("leak,conflcit")
    with pytest.raises(UserError, match="no check is named; choose from: error, warning"):
        parse_checks(" ,")


@pytest.mark.real_data
def test_known_defects_of_the_real_files(real_data):
    result = audit([real_data / "kaggle" / name for name in ("6000_train_examples.csv", "extra_train_set.csv")])
    large, small = result.files
    assert [problem.line for problem in large.warnings if "blank" in problem.what] == [2429, 3534, 4484]
    assert [problem.line for problem in large.warnings if "equal" in problem.what] == [635, 3013, 4565, 4604]
    assert [(problem.line, problem.what) for problem in small.warnings] == [(449, "option A is blank")]
    assert result.checks["same_text"] == 8
    assert result.checks["leak"] == result.checks["error"] == result.checks["imbalance"] == 0
    assert large.model.score.map_at_3 > 0.4811, "the model must beat the best single shortcut"
    assert result.checks["shortcut"] >= 2
