"""scripts/compare.py: pairs, seeds, JSON, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support import load_script

from llmtuner.data.predictions import read_predictions
from llmtuner.metrics import accuracy, interval_figures, map_at_k
from llmtuner.report.paired import paired_difference
from llmtuner.report.prediction_scores import measured

QUESTIONS = 60
ANSWERS = np.random.default_rng(5).integers(4, size=QUESTIONS)


def scores_of(skill: float, seed: int) -> np.ndarray:
    """Scores whose right option is higher by `skill`; every tenth question ties."""
    scores_QN = np.random.default_rng(seed).normal(size=(QUESTIONS, 4))
    scores_QN[np.arange(QUESTIONS), ANSWERS] += skill
    scores_QN[::10] = 0.0
    return scores_QN


def save(folder: Path, scores_QN: np.ndarray, *, order: list[int] | None = None, **more: float) -> Path:
    """The files of a prediction."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        json.dumps(
            {
                "id": f"q{row}",
                "scores": dict(zip("ABCD", map(float, scores_QN[row]), strict=True)),
                "answer": "ABCD"[ANSWERS[row]],
            }
        )
        for row in (range(QUESTIONS) if order is None else order)
    ]
    (folder / "predictions.jsonl").write_text("\n".join(lines) + "\n")
    figures = {"predict_map@3": map_at_k(scores_QN, ANSWERS), "predict_accuracy": accuracy(scores_QN, ANSWERS)}
    figures |= interval_figures("predict", list(scores_QN), list(ANSWERS))
    figures |= {"floor_random_map@3": 11 / 24, "floor_random_accuracy": 0.25}
    (folder / "predict_results.json").write_text(json.dumps(figures | more))
    return folder


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Two seeds of a weak run, three of a strong one, in the working directory."""
    monkeypatch.chdir(tmp_path)
    for name, skill, seeds in (("weak", 0.2, 2), ("strong", 1.5, 3)):
        for seed in range(seeds):
            save(Path(f"{name}-{seed}"), scores_of(skill, seed + 10 * len(name)))
    return tmp_path


def compare(*arguments: str) -> int:
    return load_script("compare").main(list(arguments))


def as_json(capsys, *arguments: str) -> dict:
    assert compare(*arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


def per_question(scores_QN: np.ndarray, k: int) -> list[float]:
    return [map_at_k([scores], [answer], k) for scores, answer in zip(scores_QN, ANSWERS, strict=True)]


def test_the_json_has_every_pair_by_the_contract(runs, capsys):
    result = as_json(capsys, "weak-0", "weak-1", "strong=strong-0")
    assert set(result) == {"runs", "pairs"}
    assert list(result["runs"]) == ["weak-0", "weak-1", "strong"]
    assert [(pair["a"], pair["b"]) for pair in result["pairs"]] == [
        ("weak-0", "weak-1"),
        ("weak-0", "strong"),
        ("weak-1", "strong"),
    ]
    for pair in result["pairs"]:
        for metric in ("map@3", "accuracy"):
            each = pair[metric]
            assert set(each) == {"difference", "low", "high", "p", "p_holm"}
            assert each["low"] <= each["difference"] <= each["high"]
            assert each["p"] <= each["p_holm"] <= 1
            assert sum(pair["counts"][metric][name] for name in ("wins", "losses", "ties")) == QUESTIONS
            runs_of = result["runs"]
            assert each["difference"] == pytest.approx(runs_of[pair["a"]][metric] - runs_of[pair["b"]][metric])
    strong = result["pairs"][1]
    assert strong["map@3"]["high"] < 0
    assert strong["map@3"]["p_holm"] == pytest.approx(3 * strong["map@3"]["p"])
    assert result["runs"]["strong"]["seeds"][0]["baselines"]["random"]["map@3"] == pytest.approx(11 / 24)


def test_a_pair_is_that_of_the_values_per_question(runs, capsys):
    """Ties count as their expected value; the rows of the files are joined by id."""
    [pair] = as_json(capsys, "weak-0", "strong-0")["pairs"]
    scores = [scores_of(0.2, 40), scores_of(1.5, 60)]
    for metric, k in (("map@3", 3), ("accuracy", 1)):
        first, second = (np.array(per_question(each, k)) for each in scores)
        expected = paired_difference(first, second)
        assert pair[metric]["difference"] == pytest.approx(expected.difference)
        assert pair[metric]["low"] == pytest.approx(expected.low, abs=0.02)
        assert pair[metric]["p"] == pytest.approx(expected.p, abs=1e-9)
        assert pair["counts"][metric]["wins"] == expected.wins
        assert pair["counts"][metric]["needed"] == expected.needed


def test_the_order_of_rows_changes_no_digit(runs, capsys):
    before = as_json(capsys, "a=weak-0", "b=strong-0")
    save(Path("weak-0"), scores_of(0.2, 40), order=list(np.random.default_rng(0).permutation(QUESTIONS)))
    assert as_json(capsys, "a=weak-0", "b=strong-0") == before


def test_baselines_that_differ_in_their_last_bits_are_one_row(runs, capsys):
    """Questions in another order give another sum: each run had a row, and no score was held against chance."""
    save(Path("weak-1"), scores_of(-3, 1), **{"floor_random_map@3": 11 / 24 + 1e-16})
    assert compare("a=weak-0", "b=weak-1") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines if line.startswith("random")] == ["random"]
    assert any(line.startswith("b ") and line.endswith("not above chance") for line in lines)


def test_several_folders_are_seeds_of_one_arm(runs, capsys):
    result = as_json(capsys, "weak=weak-0,weak-1", "strong=strong-0,strong-1,strong-2")
    weak = result["runs"]["weak"]
    assert [seed["folder"] for seed in weak["seeds"]] == ["weak-0", "weak-1"]
    assert weak["map@3"] == pytest.approx(np.mean([seed["map@3"] for seed in weak["seeds"]]))
    assert weak["map@3_low"] < weak["map@3"] < weak["map@3_high"]
    [pair] = result["pairs"]
    assert pair["map@3"]["difference"] == pytest.approx(weak["map@3"] - result["runs"]["strong"]["map@3"])
    assert compare("weak=weak-0,weak-1", "strong=strong-0,strong-1,strong-2") == 0
    text = capsys.readouterr().out
    assert "weak (2 seeds)" in text
    assert "strong (3 seeds)" in text
    assert "Intervals draw seeds and questions." in text
    assert sum(line.startswith("random") for line in text.splitlines()) == 1


def test_seeds_that_differ_in_a_baseline_have_a_row_each(runs, capsys):
    for seed, place in enumerate((0.5, 0.25)):
        more = {"floor_place_map@3": place, "floor_place_accuracy": place}
        save(Path(f"weak-{seed}"), scores_of(0.2, 40 + seed), **more)
    assert compare("weak=weak-0,weak-1") == 0
    places = [line.split("  ")[0] for line in capsys.readouterr().out.splitlines() if "place" in line]
    assert places == [f'most frequent place, training data of "weak, weak-{seed}"' for seed in (0, 1)]


def test_the_text_has_the_figures_of_the_json(runs, capsys):
    [pair] = as_json(capsys, "weak-0", "strong-0")["pairs"]
    assert compare("weak-0", "strong-0") == 0
    lines = capsys.readouterr().out.splitlines()
    shown = [line.split() for line in lines if line.startswith("weak-0 - strong-0")]
    for words, metric in zip(shown, ("map@3", "accuracy"), strict=True):
        each, counts = pair[metric], pair["counts"][metric]
        assert words[3:6] == [f"{each['difference']:+.3f}", f"[{each['low']:+.3f},", f"{each['high']:+.3f}]"]
        assert words[6:8] == [f"{each['p']:.4f}", f"{each['p_holm']:.4f}"]
        assert words[8:] == [f"{counts[name]:,}" for name in ("wins", "losses", "ties", "needed")]


def test_against_pairs_all_others_with_one_run_and_corrects_for_these(runs, capsys):
    result = as_json(capsys, "weak-0", "weak-1", "strong-0", "strong-1", "--against", "weak-1")
    assert [(pair["a"], pair["b"]) for pair in result["pairs"]] == [
        ("weak-0", "weak-1"),
        ("strong-0", "weak-1"),
        ("strong-1", "weak-1"),
    ]
    smallest = min(pair["map@3"]["p"] for pair in result["pairs"])
    assert min(pair["map@3"]["p_holm"] for pair in result["pairs"]) == pytest.approx(3 * smallest)
    assert compare("weak-0", "strong-0", "--against", "week-0") == 2
    assert "--against week-0: unknown name; choose from: weak-0, strong-0" in capsys.readouterr().err


def test_ten_runs_have_a_line_for_each_pair(runs, capsys):
    names = [save(Path(f"a-run-with-a-long-name-{seed}"), scores_of(0.5, seed)).name for seed in range(10)]
    assert compare(*names) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("a-run-with-a-long-name-0 - ") for line in lines) == 2 * 9
    assert max(map(len, lines)) <= 140
    assert compare(*names, "--against", names[3]) == 0
    assert sum(" - " in line for line in capsys.readouterr().out.splitlines()) == 2 * 9


def test_a_difference_line_agrees_with_the_table(runs, capsys):
    """Other random numbers gave the same pair two intervals in one output."""
    assert compare("weak-0", "strong-0", "--difference", "weak-0", "strong-0") == 0
    text = capsys.readouterr().out
    [line] = [line for line in text.splitlines() if line.startswith("MAP@3 of weak-0 - strong-0: ")]
    assert line.endswith(f" (95 %, {QUESTIONS} questions)")
    in_table = next(row for row in text.splitlines() if row.startswith("weak-0 - strong-0"))
    assert line.split("strong-0: ")[1].split(" (")[0].split(None, 1)[1] in in_table


def test_json_goes_to_a_file_and_replaces_none(runs, capsys):
    assert compare("weak-0", "strong-0", "--json", "out.json") == 0
    assert "weak-0 - strong-0" in capsys.readouterr().out, "the table is printed as well"
    assert len(json.loads(Path("out.json").read_text())["pairs"]) == 1
    assert compare("weak-0", "--json", "out.json") == 2
    assert "--json out.json: exists; choose another path, or pass --overwrite" in capsys.readouterr().err
    assert compare("weak-0", "--json", "out.json", "--overwrite") == 0
    assert json.loads(Path("out.json").read_text())["pairs"] == []
    assert compare("--json", "weak-0", "strong-0") == 2
    assert "--json weak-0: is a folder; if it is one of the predictions, put --json last" in capsys.readouterr().err
    assert compare("weak-0", "--json", "nowhere/out.json") == 2
    assert "does not exist; create it" in capsys.readouterr().err


def test_a_folder_may_have_commas_and_equals_signs_in_its_name(runs, capsys, monkeypatch):
    """A sweep's folders are named after its settings; the name was cut at the first sign."""
    for seed in range(2):
        save(Path(f"lr=1,rank=8/seed-{seed}"), scores_of(0.2, seed))
    assert list(as_json(capsys, "lr=1,rank=8/seed-0")["runs"]) == ["seed-0"]
    result = as_json(capsys, "low=lr=1,rank=8/seed-0,lr=1,rank=8/seed-1", "weak-0,weak-1")
    assert list(result["runs"]) == ["low", "weak-0,weak-1"]
    assert [len(run["seeds"]) for run in result["runs"].values()] == [2, 2]
    monkeypatch.chdir("weak-0")
    assert list(as_json(capsys, ".", "here=.", "../weak-1")["runs"]) == ["weak-0", "here", "weak-1"]


def test_names_cannot_forge_lines(runs, capsys):
    assert compare("a\nerror: b=weak-0", "strong-0") == 0
    assert all(line.isprintable() for line in capsys.readouterr().out.splitlines())


def rewritten(folder: str, change) -> None:
    path = Path(folder) / "predictions.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(record) + "\n" for record in change(records)))


def restate(folder: str) -> None:
    """Make the stated score that of the predictions."""
    predictions = read_predictions(Path(folder) / "predictions.jsonl")
    path = Path(folder) / "predict_results.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | measured(predictions)))


def test_a_score_that_is_not_that_of_the_predictions_is_refused(runs, capsys):
    """An old predict_results.json beside new predictions: the table and the pairs told different stories."""
    path = Path("weak-0/predict_results.json")
    results = json.loads(path.read_text())
    path.write_text(json.dumps(results | {"predict_map@3": results["predict_map@3"] - 0.002}))
    assert compare("weak-0", "strong-0") == 2
    assert "weak-0/predict_results.json: predict_map@3 is" in capsys.readouterr().err
    restate("weak-0")
    assert compare("weak-0", "strong-0") == 0


def without(*keys: str):
    return lambda records: [{k: v for k, v in record.items() if k not in keys} for record in records]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda records: records[7:], "has no id 'q0', 'q1', 'q2', 'q3', 'q4' and 2 more"),
        (lambda records: [*records, records[3]], "weak, weak-1 repeats id 'q3'"),
        (lambda records: [*records[1:], records[0] | {"id": "0q0"}], "and has no id 'q0'"),
        (lambda records: [records[0] | {"answer": "ABCD"[ANSWERS[0] - 1]}, *records[1:]], "for id 'q0'; predict again"),
        (lambda records: [record | {"dataset": "exam"} for record in records], "and has no id 'q0'"),
        (without("answer"), "predictions.jsonl: has no answers, although predict_results.json has scores"),
        (without("scores"), "predictions.jsonl:1: no id with scores"),
        (lambda records: [], "weak-1/predictions.jsonl: is empty"),
    ],
    ids=["missing", "repeated", "renamed", "other answer", "other data set", "no answers", "no scores", "empty"],
)
def test_a_seed_with_other_questions_is_refused(runs, capsys, change, message):
    rewritten("weak-1", change)
    assert compare("weak=weak-0,weak-1", "strong-0") == 2
    output = capsys.readouterr()
    assert message in output.err
    assert output.out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["weak=weak-0,weak-0"], "weak: weak-0 is given twice"),
        (["weak=weak-0,./weak-0"], "weak: weak-0 is given twice"),
        (["a=weak-0", "a=weak-1"], "weak-0 and weak-1 have the same name a; name them: NAME=weak-1"),
        (["weak=weak-0,nowhere"], "nowhere"),
        (["weak="], "weak=: expected NAME=FOLDER, with commas between folders"),
        (["=weak-0"], "=weak-0: expected NAME=FOLDER, with commas between folders"),
        (["weak=weak-0,,weak-1"], "weak=weak-0,,weak-1: expected NAME=FOLDER, with commas between folders"),
        (["weak-0", "--difference", "weak-0", "strong"], "unknown name strong; choose from: weak-0"),
    ],
)
def test_arguments_that_name_no_arms_are_refused(runs, capsys, arguments, message):
    assert compare(*arguments) == 2
    output = capsys.readouterr()
    assert message in output.err
    assert output.out == ""


def test_a_seed_without_predictions_is_refused(runs, capsys):
    Path("weak-1/predictions.jsonl").unlink()
    assert compare("weak=weak-0,weak-1") == 2
    assert "weak-1/predictions.jsonl: not found; several seeds are scored from their" in capsys.readouterr().err


def test_a_run_without_predictions_has_a_score_but_no_pairs(runs, capsys):
    Path("weak-1/predictions.jsonl").unlink()
    result = as_json(capsys, "weak-0", "weak-1", "strong-0")
    assert [(pair["a"], pair["b"]) for pair in result["pairs"]] == [("weak-0", "strong-0")]
    assert result["runs"]["weak-1"]["map@3"] > 0
    assert as_json(capsys, "weak-0", "weak-1", "--against", "weak-1")["pairs"] == []


@pytest.mark.parametrize("value", [None, "0.5", True, float("nan")])
def test_a_score_that_is_no_number_is_refused(runs, capsys, value):
    """It ended in a traceback."""
    save(Path("weak-0"), scores_of(0.2, 40), **{"floor_random_accuracy": value})
    assert compare("weak-0") == 2
    assert "predict_results.json: floor_random_accuracy is" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "[1]", '{"a": ', "[" * 100_000])
def test_damaged_results_are_named(runs, capsys, content):
    """The message had line and column, but no file."""
    Path("weak-0/predict_results.json").write_text(content)
    assert compare("weak-0") == 2
    assert "weak-0/predict_results.json: " in capsys.readouterr().err


def test_a_repeated_id_is_refused_without_a_second_run(runs, capsys):
    rewritten("weak-0", lambda records: [*records, records[3]])
    assert compare("weak-0") == 2
    assert "weak-0 repeats id 'q3'" in capsys.readouterr().err


def test_one_question_is_no_comparison(runs, capsys):
    for name in ("weak-0", "strong-0"):
        rewritten(name, lambda records: records[:1])
        restate(name)
    assert as_json(capsys, "weak-0", "strong-0")["pairs"] == []
    assert compare("weak-0", "strong-0") == 0
    assert "no pairs: differences need at least two questions" in capsys.readouterr().err
    # The line had an interval without width.
    assert compare("weak-0", "strong-0", "--difference", "weak-0", "strong-0") == 2
    assert "--difference weak-0 strong-0: differences need at least two questions" in capsys.readouterr().err


def test_a_page_with_the_runs_side_by_side(tmp_path, capsys):
    """The contract names --html; several seeds have no place on a page of single runs."""
    for name, scores in (("a", [1.0, 0.0]), ("b", [0.0, 1.0])):
        folder = tmp_path / name
        folder.mkdir()
        rows = [
            {
                "id": str(n),
                "ranking": "AB",
                "probabilities": {"A": 0.5, "B": 0.5},
                "scores": {"A": scores[0], "B": scores[1]},
            }
            | {"answer": "AB"[n % 2]}
            for n in range(6)
        ]
        (folder / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / "predict_results.json").write_text(json.dumps({"predict_map@3": 0.75, "predict_accuracy": 0.5}))
    page, script = tmp_path / "page.html", load_script("compare")
    words = [f"one={tmp_path / 'a'}", f"two={tmp_path / 'b'}", "--html", str(page)]
    assert script.main(words) == 0, capsys.readouterr().err
    assert "one" in page.read_text()
    assert "two" in page.read_text()
    assert script.main(words) == 2
    assert "pass --overwrite" in capsys.readouterr().err
    seeds = [f"one={tmp_path / 'a'},{tmp_path / 'b'}", "--html", str(tmp_path / "other.html")]
    assert script.main(seeds) == 2
    assert "one has several folders" in capsys.readouterr().err
    assert not (tmp_path / "other.html").exists()
    # The message named a temporary file, ".page.html.123-abc", after all the work.
    assert script.main([*words[:-1], str(tmp_path / "nowhere" / "page.html")]) == 2
    assert f"--html {tmp_path / 'nowhere' / 'page.html'}: the folder" in capsys.readouterr().err
