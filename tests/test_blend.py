"""scripts/blend.py: what it writes, what it joins, and what it refuses."""

from __future__ import annotations

import csv
import json
import math
import os
import re
from pathlib import Path

import pytest
from support import load_script

from llmtuner.runs.lock import locked

Row = tuple[str, list[float | None], str | None]
A: list[Row] = [
    ("1", [0.6, 0.3, 0.1], "B"),
    ("01", [0.1, 0.2, 0.7], "C"),
    ("10", [0.25, 0.25, 0.5], "B"),
    ("2", [0.2, 0.7, 0.1], "A"),
]
B: list[Row] = [
    ("2", [0.1, 0.8, 0.1], "A"),
    ("10", [0.8, 0.15, 0.05], "B"),
    ("01", [0.5, 0.3, 0.2], "C"),
    ("1", [0.2, 0.6, 0.2], "B"),
]
OTHER: list[Row] = [(f"v{name}", values, answer) for name, values, answer in A]


def save(
    folder: str, rows: list[Row], datasets: list[str] | None = None, digests: str | None = None, **stated: float
) -> str:
    """A folder of a prediction. The digest of each question is a letter of `digests`, "?" for none."""
    path = Path(folder)
    path.mkdir()
    lines = []
    for row, (name, probabilities, answer) in enumerate(rows):
        scores = [None if p is None else math.log(p) for p in probabilities]
        record: dict = {"id": name, "scores": dict(zip("ABCDEFGHIJ", scores, strict=False))}
        if answer:
            record["answer"] = answer
        if datasets:
            record["dataset"] = datasets[row]
        if digests and digests[row] != "?":
            record["digest"] = digests[row] * 16
        lines.append(json.dumps(record))
    (path / "predictions.jsonl").write_text("\n".join(lines) + "\n")
    (path / "predict_results.json").write_text(json.dumps(stated))
    return folder


def blend(*arguments: str) -> int:
    return load_script("blend").main([*arguments, "--out", "out"])


def lines_of(folder: str = "out") -> list[dict]:
    return [json.loads(line) for line in Path(folder, "predictions.jsonl").read_text().splitlines()]


def refused(capsys, *arguments: str) -> str:
    assert blend(*arguments) == 2
    assert not Path("out").exists(), "nothing is written"
    return capsys.readouterr().err


@pytest.fixture(autouse=True)
def runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    longest = {"floor_longest_map@3": 0.5, "floor_longest_accuracy": 0.3}
    save("a", A, **longest, **{"floor_place_map@3": 0.1}, floor_place_accuracy=0.1, floor_place_from="train")
    save("b", B, **longest, **{"floor_place_map@3": 0.2}, floor_place_accuracy=0.2, floor_place_from="train")


def test_rows_in_another_order_are_joined_by_id_as_text(capsys):
    """Joined by place, MAP@3 would be 0.583; "1" and "01" are two questions."""
    assert blend("a", "b") == 0
    rows = lines_of()
    assert [row["id"] for row in rows] == ["1", "01", "10", "2"]
    expected = [[0.4, 0.45, 0.15], [0.3, 0.25, 0.45], [0.525, 0.2, 0.275], [0.15, 0.75, 0.1]]
    for row, probabilities in zip(rows, expected, strict=True):
        assert list(row["probabilities"].values()) == pytest.approx(probabilities)
        assert list(row["scores"].values()) == pytest.approx([math.log(p) for p in probabilities])
    results = json.loads(Path("out/predict_results.json").read_text())
    assert results["predict_map@3"] == pytest.approx(17 / 24)
    printed = capsys.readouterr().out
    assert "blend - a (the best part): +0.104 [" in printed
    record = json.loads(Path("out/blend.json").read_text())
    assert [part["weight"] for part in record["parts"]] == [0.5, 0.5]
    assert [part["map@3"] for part in record["parts"]] == pytest.approx([29 / 48, 27 / 48])
    assert record["difference"]["map@3"]["difference"] == pytest.approx(5 / 48)


def test_the_files_are_those_of_a_prediction_and_can_be_compared_and_blended_again(capsys):
    assert blend("a", "b") == 0
    with Path("out/submission.csv").open(newline="") as file:
        assert [row["prediction"] for row in csv.DictReader(file)] == ["B A C", "C A B", "A C B", "B A C"]
    assert load_script("blend").main(["out", "a", "--out", "again"]) == 0
    capsys.readouterr()
    assert load_script("compare").main(["out", "again"]) == 0
    assert "out - again" in capsys.readouterr().out


def test_baselines_come_from_the_runs_where_they_agree():
    assert blend("a", "b") == 0
    results = json.loads(Path("out/predict_results.json").read_text())
    assert results["floor_longest_map@3"] == 0.5
    assert results["floor_random_map@3"] == pytest.approx(11 / 18)
    assert not [name for name in results if "floor_place" in name], "places of two trainings are no baseline of it"


def test_given_weights_are_shares():
    assert blend("a", "b", "--weights", "3,1") == 0
    assert lines_of()[0]["probabilities"]["A"] == pytest.approx(0.75 * 0.6 + 0.25 * 0.2)
    assert [part["weight"] for part in json.loads(Path("out/blend.json").read_text())["parts"]] == [0.75, 0.25]


def test_several_data_sets_with_equal_ids():
    """Joined by id alone, rows of two data sets would be mixed up."""
    rows: list[Row] = [("0", [0.9, 0.1], "A"), ("0", [0.2, 0.3, 0.5], "C")]
    save("x", rows, ["s", "t"])
    save("y", rows[::-1], ["t", "s"])
    assert blend("x", "y") == 0
    assert [(row["dataset"], len(row["scores"])) for row in lines_of()] == [("s", 2), ("t", 3)]
    assert lines_of()[0]["probabilities"] == pytest.approx({"A": 0.9, "B": 0.1})


def test_questions_without_answers_are_blended_but_not_scored(capsys):
    save("x", [(name, values, None) for name, values, _ in A])
    save("y", [(name, values, None) for name, values, _ in B])
    assert blend("x", "y") == 0
    assert "no scores" in capsys.readouterr().out
    assert "answer" not in lines_of()[0]
    assert json.loads(Path("out/predict_results.json").read_text()) == {}


def test_blank_options_stay_null_where_no_run_scores_them():
    save("x", [("7", [None, 0.5, 0.5], "B"), ("8", [None, 0.4, 0.6], "B")])
    save("y", [("7", [None, 0.8, 0.2], "B"), ("8", [0.2, 0.4, 0.4], "B")])
    assert blend("x", "y") == 0
    first, second = lines_of()
    assert first["scores"]["A"] is None
    assert first["probabilities"] == pytest.approx({"A": 0, "B": 0.65, "C": 0.35})
    assert second["probabilities"]["A"] == pytest.approx(0.1)


def test_logits_of_runs_that_score_no_common_option_are_refused(capsys):
    save("x", [("7", [None, 0.5], "B")])
    save("y", [("7", [0.5, None], "B")])
    message = refused(capsys, "x", "y", "--mean", "logit")
    assert "'7'" in message
    assert "--mean probability" in message


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ([row for row in B if row[0] != "10"], "'10'"),
        ([*B, ("extra", [0.5, 0.3, 0.2], "A")], "'extra'"),
        ([(n, v, "A" if n == "01" else a) for n, v, a in B], "'01'"),
        ([(n, v, None if n == "01" else a) for n, v, a in B], "'01'"),
        ([(n, [*v[:2]] if n == "2" else v, a) for n, v, a in B], "'2'"),
        ([*B, B[0]], "'2'"),
    ],
    ids=["a missing row", "one more row", "another answer", "no answer", "other options", "an id twice"],
)
def test_other_questions_are_refused_with_their_ids(rows, named, capsys):
    save("c", rows)
    assert named in refused(capsys, "a", "c")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a"], "at least two runs"),
        (["a", "b", "./a"], "given twice"),
        (["a", "b", "--weights", "1"], "1 weights for 2 runs"),
        (["a", "b", "--weights", "0,0"], "one above 0"),
        (["a", "b", "--weights", "1,-1"], "at least 0"),
        (["a", "b", "--weights", "nan,1"], "at least 0"),
        (["a", "b", "--weights", "x,1"], "expected fit, or numbers"),
        (["a", "b", "--weights", "fit"], "needs --fit_on"),
        (["a", "b", "--fit_on", "v", "w"], "is for --weights fit"),
        (["a", "b", "--weights", "fit", "--fit_on", "v"], "1 runs for 2 to blend"),
        (["a", "b", "--weights", "fit", "--fit_on", "a", "b"], "questions that are scored, by data set and id"),
        (["a", "nowhere"], "not a folder"),
        (["a", "unfinished"], "did not finish"),
    ],
)
def test_mistakes(arguments, message, capsys):
    save("v", OTHER)
    save("w", OTHER)
    save("unfinished", B)
    Path("unfinished/predict_results.json").unlink()
    assert message in refused(capsys, *arguments)


def test_predictions_that_are_not_those_of_the_stated_score_are_refused(capsys):
    """Two copies of one run were blended under two names; only compare.py noticed it."""
    save("mixed", A, **{"predict_map@3": 0.123})
    assert "they are of different runs" in refused(capsys, "b", "mixed")
    Path("mixed/predict_results.json").write_text("[")
    assert "not JSON" in refused(capsys, "b", "mixed")


def test_a_folder_in_use_is_refused_and_a_part_is_never_replaced(capsys):
    Path("out").mkdir()
    Path("out/mine").write_text("")
    assert blend("a", "b") == 2
    assert "not empty" in capsys.readouterr().err
    assert load_script("blend").main(["a", "b", "--out", "./a", "--overwrite"]) == 2
    assert "one of the runs" in capsys.readouterr().err
    assert blend("a", "b", "--overwrite") == 0


def test_fitted_weights_come_from_the_other_questions(capsys):
    """Run b is right on the questions of the fit, and a is wrong: b gets all, however they do on those that count."""
    save("v", [(f"v{q}", [0.1, 0.9], "A") for q in range(20)])
    save("w", [(f"v{q}", [0.9, 0.1], "A") for q in reversed(range(20))])
    assert blend("a", "b", "--weights", "fit", "--fit_on", "v", "w") == 0
    record = json.loads(Path("out/blend.json").read_text())
    assert [part["weight"] for part in record["parts"]] == [0.0, 1.0]
    assert record["fit"]["questions"] == 20
    assert record["fit"]["nll"] == pytest.approx(-math.log(0.9))
    assert record["fit"]["nll_equal"] == pytest.approx(-math.log(0.5))
    assert "none of them is scored, by data set and id" in capsys.readouterr().out


QUESTIONS = "id,prompt,A,B,C,answer\n"


def files(scored_text: str = "Which bone?") -> list[str]:
    """Question files of both sides; all ids are equal, and the first text can be made so."""
    Path("scored.csv").write_text(
        QUESTIONS + "".join(f"{n},{scored_text if n == '1' else f'Scored {n}'},x,y,z,{a}\n" for n, _, a in A)
    )
    Path("fitted.csv").write_text(
        QUESTIONS + "".join(f"{n},{'which  BONE?' if n == '2' else f'Fitted {n}'},x,y,z,{a}\n" for n, _, a in A)
    )
    return ["--questions", "scored.csv", "--fit_questions", "fitted.csv"]


FITTING = ("a", "b", "--weights", "fit", "--fit_on", "v", "w")


def test_with_the_files_texts_are_compared_and_equal_row_numbers_are_no_leak(capsys):
    save("v", A)
    save("w", B)
    assert "--questions FILE" in refused(capsys, *FITTING)
    assert blend(*FITTING, *files("Which muscle?")) == 0
    assert json.loads(Path("out/blend.json").read_text())["fit"]["compared"] == "text of the question"


def test_a_question_on_both_sides_is_refused_by_its_text_whatever_its_id(capsys):
    save("v", A)
    save("w", B)
    message = refused(capsys, *FITTING, *files())
    assert re.search(r"/scored\.csv:2 is /.*/fitted\.csv:5 ", message)


def test_files_that_do_not_fit_the_predictions_are_refused(capsys):
    save("v", OTHER)
    save("w", OTHER)
    assert "in none of the files" in refused(capsys, *FITTING, *files("Which muscle?"))
    assert "--fit_questions is missing" in refused(capsys, *FITTING, "--questions", "scored.csv")


def test_a_files_columns_may_stand_behind_its_name(capsys):
    """The reader's message recommends it, and the path of a file was asked for."""
    save("v", A)
    save("w", B)
    _, scored, _, fitted = files("Which muscle?")
    for name in (scored, fitted):
        text = Path(name).read_text()
        Path(name).write_text(text.replace("id,prompt,A,B,C,answer", "id,q,o1,o2,o3,key"))
    names = [f"{name}?prompt=q&options=o1|o2|o3&answer=key" for name in (scored, fitted)]
    assert blend(*FITTING, "--questions", names[0], "--fit_questions", names[1]) == 0


def test_ids_are_compared_without_data_sets_where_one_side_names_none(capsys):
    """A run of one data set does not store its name: "1" of no set may be "1" of any."""
    save("v", A, ["s", "s", "t", "t"])
    save("w", A, ["s", "s", "t", "t"])
    assert "'1'" in refused(capsys, *FITTING)


@pytest.mark.parametrize(
    ("digests", "message"),
    [
        ("1234", None),
        ("123a", "digest of text and options: 'v2'"),
        ("123?", "data set and id: '2'"),
    ],
)
def test_digests_tell_whether_an_id_is_the_same_question(digests, message, capsys):
    """Row numbers of two files were refused, and a question that both files have under different ids was fitted on."""
    names = ("1", "2", "10", "v2") if digests == "123a" else ("1", "01", "10", "2")
    for folder in ("s", "t"):
        save(folder, [(name, [0.5, 0.3, 0.2], "A") for name in ("x1", *names[1:])], digests="cbda")
    for folder in ("v", "w"):
        save(folder, [(name, [0.5, 0.3, 0.2], "A") for name in names], digests=digests)
    command = ("s", "t", "--weights", "fit", "--fit_on", "v", "w")
    if message is not None:
        assert message in refused(capsys, *command)
        return
    assert blend(*command) == 0
    assert json.loads(Path("out/blend.json").read_text())["fit"]["compared"] == "digest of text and options"


def test_json_takes_the_place_of_the_table(capsys):
    assert blend("a", "b", "--json") == 0
    assert json.loads(capsys.readouterr().out)["best_part"] == "a"
    Path("kept.json").write_text("x")
    assert load_script("blend").main(["a", "b", "--out", "more", "--json", "kept.json"]) == 2
    assert not Path("more").exists()


def test_a_file_of_json_that_cannot_be_written_is_refused_before_the_blend(capsys):
    """The blend was written, and a second start with another file refused its folder."""
    Path("folder").mkdir()
    for path, message in (("nowhere/x.json", "does not exist"), ("folder", "is a folder")):
        assert load_script("blend").main(["a", "b", "--out", "more", "--json", path, "--overwrite"]) == 2
        assert message in capsys.readouterr().err
        assert not Path("more").exists()


def test_weights_whose_sum_is_no_number_are_shares():
    assert blend("a", "b", "--weights", "1e308,1e308") == 0
    assert [part["weight"] for part in json.loads(Path("out/blend.json").read_text())["parts"]] == [0.5, 0.5]


def test_a_question_that_is_only_reworded_on_the_other_side_is_refused(capsys):
    """Folds and the audit count near duplicates as one question; weights must not be fitted on them either."""
    save("v", A)
    save("w", B)
    flags = files("Which muscle?")
    long = "1,Which of these muscles lifts the {} arm above the shoulder of a man?,deltoid,biceps,soleus,{}\n"
    for name, word in (("scored.csv", "left"), ("fitted.csv", "whole")):
        content = Path(name).read_text().splitlines(keepends=True)
        content[1] = long.format(word, A[0][2])
        Path(name).write_text("".join(content))
    message = refused(capsys, *FITTING, *flags)
    assert re.search(r"/scored\.csv:2 is /.*/fitted\.csv:2 ", message)
    assert "reworded" in message


def test_a_baseline_stays_that_differs_in_its_last_bits():
    """Sums over rows in another order differ there: the row of the longest option was missing in the table."""
    for folder, figure in (("p", 0.44727530077848554), ("q", 0.44727530077848543)):
        save(folder, A, **{"floor_longest_map@3": figure, "floor_longest_accuracy": 0.25})
    assert blend("p", "q") == 0
    assert json.loads(Path("out/predict_results.json").read_text())["floor_longest_accuracy"] == 0.25


def test_a_right_option_that_no_logit_mean_can_score_is_no_part_of_the_fit():
    """The error named no file, no question and no way out."""
    rows = [("n0", [None, 0.5, 0.5], "A"), *((f"n{q}", [0.1, 0.8, 0.1], "AB"[q % 2]) for q in range(1, 9))]
    save("v", rows)
    save("w", [("n0", [1.0, None, None], "A"), *((f"n{q}", [0.5, 0.3, 0.2], "AB"[q % 2]) for q in range(1, 9))])
    assert blend("a", "b", "--mean", "logit", "--weights", "fit", "--fit_on", "v", "w") == 0
    fit = json.loads(Path("out/blend.json").read_text())["fit"]
    assert fit["questions"] == 8
    assert fit["nll"] <= fit["nll_equal"]


def test_the_number_of_scored_questions_is_stated_as_by_a_prediction():
    some = [*A[:2], *((name, values, None) for name, values, _ in A[2:])]
    save("p", some)
    save("q", some)
    assert blend("p", "q") == 0
    assert json.loads(Path("out/predict_results.json").read_text())["predict_scored_questions"] == 2


def test_files_without_ids_that_were_predicted_as_one_data_set_fit(capsys):
    for part, rows in (("scored", A), ("fitted", OTHER)):
        for half in (0, 1):
            text = "".join(f"{part} {q}?,x,y,z,{a}\n" for q, _, a in rows[2 * half : 2 * half + 2])
            Path(f"{part}-{half}.csv").write_text("prompt,A,B,C,answer\n" + text)
    for folder in "pqvw":
        save(folder, [(str(row), values, answer) for row, (_, values, answer) in enumerate(A)])
    files_of = {part: [f"{part}-0.csv", f"{part}-1.csv"] for part in ("scored", "fitted")}
    more = ("--questions", *files_of["scored"], "--fit_questions", *files_of["fitted"])
    assert blend("p", "q", "--weights", "fit", "--fit_on", "v", "w", *more) == 0


def with_digests(folder: str, *digests: str | None) -> str:
    save(folder, [(name, values, None) for name, values, _ in A[: len(digests)]])
    path = Path(folder, "predictions.jsonl")
    lines = map(json.loads, path.read_text().splitlines())
    text = [json.dumps(line | ({"digest": d * 16} if d else {})) for line, d in zip(lines, digests, strict=True)]
    path.write_text("\n".join(text))
    return folder


def test_two_exams_without_answers_are_not_one_because_their_rows_have_numbers(capsys):
    """Predictions of two test files without ids, both numbered from 0, were blended and compared."""
    one, other = with_digests("one", "a", None, "c"), with_digests("other", "a", "b", "d")
    assert "other was scored on other questions than one, or with options in another order, for id '10'; compare" in (
        refused(capsys, one, other)
    )
    assert blend(one, with_digests("same", None, "b", "c")) == 0
    assert [line["digest"][0] for line in lines_of()] == ["a", "b", "c"], "of the first part that knows it"


def test_the_digest_of_the_first_run_that_knows_it_counts(capsys):
    """A run of an earlier version at the head let two exams behind it through."""
    runs = with_digests("old", None), with_digests("two", "a"), with_digests("three", "b")
    assert "three was scored on other questions than two" in refused(capsys, *runs)


def test_a_second_blend_into_the_folder_is_refused_and_told_who_writes(capsys):
    """Two at the same time mixed their files, or ended in "[Errno 2]" for a file that the other had renamed."""
    with locked(Path("out"), flag="--out"):
        for more in ([], ["--overwrite"]):
            assert blend("a", "b", *more) == 2
            assert f"--out out: another run writes to it (process {os.getpid()} on " in capsys.readouterr().err
        assert [path.name for path in Path("out").iterdir()] == [".lock"]
    assert blend("a", "b") == 0, "the lock that a killed one leaves does not make the folder one of something else"
