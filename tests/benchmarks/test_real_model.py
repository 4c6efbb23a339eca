"""The comparison on a real language model: sets without leaks, runs in order, a report that pairs questions."""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import real_model
import torch
from real import report as reports
from real import summary as summary_module
from real.kept import Keeper, Kept
from real.made import MADE
from real.plain_loop import TEMPERATURE, contrast, losses_of
from real.plots import curves, plot
from real.reproduced import reproduced
from real.rows import ROWS, runs_of
from real.runs import Run, Setting
from real.sets import CORES, POOLS, TABLE, Pool, Sizes, as_row, with_contexts_of_others, write_rows, write_set
from real.summary import summary
from real.tables import BEGIN, END, SETS, page
from real.titles import title_of_file, title_of_way
from real_model import chosen

from llmtuner.data.load import read_questions
from llmtuner.data.question import Question
from llmtuner.data.split import question_key
from llmtuner.errors import UserError
from llmtuner.spec.norms import NORMS
from llmtuner.studies.ended_run import RECORD
from llmtuner.studies.jobs import Command
from llmtuner.studies.sweep import Sweep

ROOT = Path(__file__).resolve().parents[2]


def question(number, text=None, context=""):
    return Question(str(number), text or f"question {number}", ("x", "y"), number % 2, context=context)


@pytest.fixture
def setting(tmp_path):
    return Setting(model="MODEL", template="smollm2", encoder="ENCODER", work=tmp_path)


def test_every_set_of_a_row_is_written_by_something():
    known = {*POOLS, *MADE}
    assert {name for row in ROWS.values() for name in row.sets} <= known
    assert {*POOLS} <= {*CORES} & {*TABLE}


def test_no_training_question_is_scored(tmp_path, monkeypatch):
    """ScienceQA repeats 286 texts of its validation questions in its training questions."""
    train = [question(n) for n in range(40)]
    test = [question(100 + n, text=f"Question  {n}" if n < 20 else None) for n in range(30)]
    monkeypatch.setitem(POOLS, "made", lambda data: Pool(train, test))
    written = write_set("made", tmp_path, tmp_path, Sizes(100, 30))
    files = {
        part: read_questions(tmp_path / "made" / f"{part}.jsonl", purpose="predict").questions
        for part in ("train", "test")
    }
    assert written == {"train": 20, "test": 30, "test_300": 30}
    keys = {part: {question_key(each.question) for each in rows} for part, rows in files.items()}
    assert not keys["train"] & keys["test"]
    before = (tmp_path / "made" / "train.jsonl").read_bytes()
    write_set("made", tmp_path, tmp_path, Sizes(100, 30))
    assert (tmp_path / "made" / "train.jsonl").read_bytes() == before


def test_a_question_is_the_same_about_another_context_unless_the_set_says_otherwise():
    """DREAM asks "What does the man mean?" about many dialogues; without them most of it would be left out."""
    rows = [question(n, "What does he mean?", f"dialogue {n}") for n in range(5)]
    assert len(Pool().drawn(rows, 9)) == 1
    assert len(Pool(by_context=True).drawn(rows, 9)) == 5


def test_contexts_of_others_are_others():
    rows = [question(n, context=f"passage {n // 2}") for n in range(10)]
    moved = with_contexts_of_others(rows)
    assert [each.id for each in moved] == [each.id for each in rows]
    assert all(a.context != b.context for a, b in zip(rows, moved, strict=True))


def test_a_row_is_read_back():
    each = Question("7", "Which?", ("a", "b", "c"), 2, context="A passage.")
    assert as_row(each) == {
        "id": "7",
        "prompt": "Which?",
        "context": "A passage.",
        "A": "a",
        "B": "b",
        "C": "c",
        "answer": "C",
    }


def test_the_real_sets(real_data, tmp_path):
    """The counts that docs/results name; learning rates are chosen on questions that no other set has."""
    texts = {}
    for name in ("arc_easy", "qasc", "kaggle", "rates", "dream"):
        written = write_set(name, real_data, tmp_path, CORES[name])
        assert (written["train"], written["test"]) == (CORES[name].train, CORES[name].test)
        for part in ("train", "test"):
            rows = read_questions(tmp_path / name / f"{part}.jsonl", purpose="predict").questions
            texts[name, part] = {question_key(each.question) for each in rows}
    assert not texts["arc_easy", "train"] & texts["arc_easy", "test"]
    of_rates = texts["rates", "train"] | texts["rates", "test"]
    assert not of_rates & (texts["kaggle", "train"] | texts["kaggle", "test"])
    first = (tmp_path / "arc_easy" / "test.jsonl").read_text().splitlines()[0]
    assert not json.loads(first)["prompt"].startswith("Question:")


@pytest.mark.parametrize("name", ROWS)
def test_runs_of_a_row_have_folders_of_their_own(setting, name):
    seeds = (1, 2) if ROWS[name].seeds > 1 else (1,)
    runs = [run for seed in seeds for run in runs_of([name], setting, seed)]
    assert len({run.piece.folder for run in runs}) == len(runs) > 0
    assert runs_of([name], setting, 99) == []


def test_a_run_that_two_rows_need_is_one_run(setting):
    """With other words the second row would be refused, after the first one has run for hours."""
    words, shared = {}, set()
    for run in runs_of([*ROWS], setting, 1):
        folder, said = run.piece.folder, (list(run.sweep.words), run.script)
        shared |= {run.way for _ in filter(None, [words.get(folder)])}
        assert words.setdefault(folder, said) == said
    assert shared == {"letters", "likelihood_gold", "step2_gold", "step2"}


def test_a_row_reports_its_own_file_of_a_shared_run(setting):
    """`reading` scores the runs of `steps` without passages, too, which is no step."""
    for part in ("test", "closed"):
        write_rows(setting.work / "data" / "s" / f"{part}.jsonl", [as_row(question(n)) for n in range(2)])
    run = predict(setting, "step2", 1, [1, -1])
    run = replace(run, sweep=replace(run.sweep, words=("--eval_dataset", f"{setting.work}/data/s/closed.jsonl")))
    assert reported([replace(run, file="s/test")], setting)["steps"]["s"]["scores"] == []
    (scored,) = reported([replace(run, file="s/closed")], setting)["steps"]["s"]["scores"]
    assert scored["file"] == "s/closed"


def test_what_starts_from_a_training_waits_for_it(setting):
    runs = {(run.way, run.reported): run for run in runs_of(["steps"], setting, 1) if run.set == "qasc"}
    train, letters = runs["step1_train", False], runs["step1", True]
    assert (train.wave, letters.wave) == (0, 1)
    assert letters.needs == train.piece.folder
    assert not letters.can_start()
    train.piece.folder.mkdir(parents=True)
    (train.piece.folder / RECORD).write_text("{}")
    assert letters.can_start()
    assert str(train.piece.folder) in letters.sweep.words


def predict(setting, way, seed, scores, file="data/s/test.jsonl"):
    """A finished run; the scores are those of the right options."""
    sweep = Sweep(
        setting.work / "runs" / "steps" / "s" / way, ("--eval_dataset", str(setting.work / file)), {}, (seed,)
    )
    run = Run("steps", "s", way, sweep, seed)
    write_predictions_of(run, scores)
    return run


def write_predictions_of(run, scores):
    """End a run: the right option has the given score, the other one 0."""
    run.piece.folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "id": str(n),
            "ranking": "AB",
            "probabilities": {"A": 0.5, "B": 0.5},
            "scores": {"AB"[n % 2]: a, "BA"[n % 2]: 0.0},
            "answer": "AB"[n % 2],
        }
        for n, a in enumerate(scores)
    ]
    (run.piece.folder / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (run.piece.folder / "predict_results.json").write_text(json.dumps({"floor_random_map@3": 0.75, "predict_map@3": 1}))
    run.piece.finish({}, 3.0)


def reported(runs, setting):
    """The rows of a report on runs that have ended."""
    keeper = Keeper(setting.work / "kept.jsonl", setting)
    keeper.keep(runs)
    return reports.report(runs, keeper)


def test_the_report_pairs_the_questions_of_two_ways(setting):
    """Each step is compared with the step before it; a way without a partner that is done has no difference."""
    write_rows(setting.work / "data" / "s" / "test.jsonl", [as_row(question(n)) for n in range(4)])
    runs = [predict(setting, "step2", 1, [1, 1, -1, -1]), predict(setting, "duma", 1, [1, 1, 1, -1])]
    runs.append(predict(setting, "duma", 2, [1, 1, 1, 1]))
    rows = reported(runs, setting)
    of_set = rows["steps"]["s"]
    scores = {each["way"]: each for each in of_set["scores"]}
    assert scores["step2"]["map@3"]["mean"] == 0.75
    assert scores["duma"]["map@3"]["seeds"] == [0.875, 1.0]
    assert (scores["duma"]["map@3"]["mean"], scores["duma"]["accuracy"]["mean"]) == (0.9375, 0.875)
    (difference,) = of_set["differences"]
    assert (difference["first"], difference["second"]) == (["duma", "s/test"], ["step2", "s/test"])
    assert (difference["questions"], difference["seeds"]) == (4, [2, 1])
    assert difference["map@3"]["difference"] == pytest.approx(0.1875)
    low, high = difference["map@3"]["interval"]
    assert low <= 0.1875 <= high
    assert of_set["files"]["s/test"]["random_map@3"] == 0.75
    assert any("duma" in line and "+0.188" in line for line in reports.printed({"rows": rows}))


def test_a_pair_is_joined_by_id_on_the_questions_of_both(setting):
    """Two files of a pair may have other questions, or the same ones in another order."""
    first = reports.Scored({1: {"a": (1.0, 1.0), "b": (0.5, 0.0)}})
    second = reports.Scored({1: {"b": (1.0, 1.0), "c": (0.0, 0.0)}})
    cells = {("x", "f"): first, ("y", "g"): second}
    (difference,) = reports._differences(cells, [(("x", "f"), ("y", "g")), (("x", "f"), ("z", "g"))])
    assert difference["questions"] == 1
    assert difference["map@3"]["difference"] == -0.5


def test_every_pair_names_ways_and_files_of_its_row(setting):
    """A misspelt way would leave its difference out in silence."""
    for name, row in ROWS.items():
        cells: dict[str, set[tuple[str, str]]] = {}
        for run in runs_of([name], setting, 1):
            words = list(run.sweep.words)
            files = words[words.index("--eval_dataset") + 1].split(",") if run.reported else ()
            short = [file.removeprefix(f"{setting.work}/data/").removesuffix(".jsonl") for file in files]
            ways = [run.way, *(f"{run.way}_{norm}" for norm in NORMS if name == "knows")]
            cells.setdefault(run.set, set()).update((way, file) for way in ways for file in short)
        for set_, known in cells.items():
            named = {cell for pair in row.pairs(set_) for cell in pair}
            unknown = {cell for cell in named - known if not optional(name, *cell)}
            assert not unknown, (name, set_)


def optional(row, way, file):
    """Cells that only some sets have."""
    shots = "5_shots" in way
    closed = row == "knows" and (file.endswith("_closed") or file.endswith("/test"))
    return shots or closed or file.endswith("_worldtree")


def test_chosen_ways_keep_what_they_start_from(setting):
    runs = runs_of(["steps"], setting, 1)
    ways = {(run.set, run.way) for run in chosen(runs, ["step2_on_step1", "duma"])}
    assert ways == {(s, w) for s in ("arc_easy", "qasc") for w in ("step1_train", "step2_on_step1", "duma")}
    assert chosen(runs, None) == runs
    assert {run.set for run in chosen(runs, None, ["qasc"])} == {"qasc"}
    only = {(run.set, run.way) for run in chosen(runs, ["step1"], ["qasc"])}
    assert only == {("qasc", "step1_train"), ("qasc", "step1")}


def test_planted_answers_are_gone_after_the_cleaning(real_data, tmp_path):
    """A question with two answers is a contradiction, which cleaning removes; no scored question is trained on."""
    sizes = {**CORES, "cleaning": Sizes(60, 0)}
    write_set("kaggle", real_data, tmp_path / "data", CORES["kaggle"])
    MADE["cleaning"](tmp_path, real_data, sizes)
    files = {
        name: read_questions(tmp_path / "data" / "cleaning" / f"{name}.jsonl", purpose="train").questions
        for name in ("uncleaned", "cleaned")
    }
    assert (len(files["uncleaned"]), len(files["cleaned"])) == (72, 48)
    scored = read_questions(tmp_path / "data" / "kaggle" / "test.jsonl", purpose="train").questions
    assert not {question_key(q.question) for q in scored} & {question_key(q.question) for q in files["uncleaned"]}


def test_useful_passages_apart(real_data, tmp_path):
    written = write_set("kaggle_passages", real_data, tmp_path, CORES["kaggle_passages"])
    assert (written["test_useful"], written["test_not_useful"]) == (345, 155)


def test_every_way_and_file_has_a_title(setting):
    """A new row whose table would stop with a KeyError after a day of trainings."""
    for name in ROWS:
        for run in runs_of([name], setting, 1):
            if run.reported:
                assert title_of_way(run.way, name)
                words = list(run.sweep.words)
                for file in words[words.index("--eval_dataset") + 1].split(","):
                    short = file.removeprefix(f"{setting.work}/data/").removesuffix(".jsonl")
                    assert title_of_file(short)
                assert run.set in SETS


def test_the_page_has_the_tables_between_its_marks(setting):
    write_rows(setting.work / "data" / "s" / "test.jsonl", [as_row(question(n)) for n in range(4)])
    runs = [predict(setting, "step2", 1, [1, 1, -1, -1]), predict(setting, "duma", 1, [1, 1, 1, -1])]
    result = {"rows": {"steps": {"qasc": reported(runs, setting)["steps"]["s"]}}}
    text = json.dumps(result).replace("s/test", "qasc/test")
    once = page(f"Before.\n{BEGIN}\nold\n{END}\nBehind.\n", json.loads(text))
    assert "| STEP3, DUMA | 0.875 [" in once
    assert "| STEP3, DUMA | STEP2, linear | +0.125 [" in once
    assert "--rows reading`" in once
    assert "old" not in once
    assert once.startswith("Before.")
    assert once.endswith("Behind.\n")
    assert page(once, json.loads(text)) == once
    with pytest.raises(ValueError, match="has no line"):
        page("no marks", result)


def test_the_pages_of_the_results_have_the_stored_figures():
    """A table that is edited by hand, or left as it was after a new run."""
    result = json.loads((ROOT / "benchmarks" / "results" / "real_model.json").read_text(encoding="utf-8"))
    text = (ROOT / "docs" / "results" / "real_model.md").read_text(encoding="utf-8")
    assert page(text, result) == text
    first = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert summary(first, [result]) == first


def test_the_summary_has_each_step_and_the_one_before():
    """STEP2 has two partners; the table has the difference from the first, the letters."""

    def score(way, mean, file):
        return {"way": way, "file": file, "map@3": {"mean": mean}, "seeds": [1, 2]}

    def gain(first, second, difference, file):
        figure = {"difference": difference, "interval": [difference - 0.1, difference + 0.1]}
        return {"first": [first, file], "second": [second, file], "map@3": figure}

    def of_set(ways, gains, file, **baselines):
        return {
            "scores": [score(way, mean, file) for way, mean in ways.items()],
            "differences": [gain(*each, file) for each in gains],
            "files": {file: {"longest_map@3": 0.4, "random_map@3": 0.25, **baselines}},
        }

    gains = [("step2", "step1", 0.3), ("step2", "likelihood", 0.2)]
    small = of_set({"step2": 0.8, "step1": 0.5, "likelihood": 0.6, "untrained_letters": 0.3}, gains, "arc_easy/test")
    large = of_set(
        {"step2": 0.9}, [], "qasc/test", **{"passage_map@3": 0.7, "passage_map@3_low": 0.65, "passage_map@3_high": 0.75}
    )
    results = [
        {"model": "small-float32-0123abcd", "rows": {"steps": {"arc_easy": small}}},
        {"model": "large", "rows": {"steps": {"qasc": large}}},
    ]
    text = summary(f"{summary_module.BEGIN}\n{summary_module.END}", results)
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert lines[0] == "| model | step | ARC-Easy, 2 seeds | QASC, 2 seeds |"
    assert lines[2:] == [
        "| small | letters, not trained | 0.300 | not run |",
        "| small | STEP1, letters | 0.500 | not run |",
        "| small | likelihood, trained | 0.600 | not run |",
        "| small | STEP2, linear | 0.800 (+0.300 [+0.200, +0.400]) | not run |",
        "| | *longest option* | 0.400 |  |",
        "| | *chance* | 0.250 |  |",
        "| large | STEP2, linear | not run | 0.900 |",
        "| | *longest option* |  | 0.400 |",
        "| | *most like the passage (BM25)* |  | 0.700 [0.650, 0.750] |",
        "| | *chance* |  | 0.250 |",
    ]


def test_the_curve_counts_questions(setting, tmp_path):
    """STEP1's checkpoints are scored one by one; a training that evaluates has its points in its log."""
    scores = [{"way": f"step1_{step}", "map@3": {"mean": value}} for step, value in ((50, 0.5), (25, 0.4))]
    scores.append({"way": "step1", "map@3": {"mean": 0.45}})  # the end of the training was no point
    files = {"arc_easy/test_300": {"random_map@3": 0.458}}
    rows = {"curve": {"arc_easy": {"scores": scores, "files": files}}}
    for part, count in (("train", 60), ("test_300", 1)):
        write_rows(setting.work / "data" / "arc_easy" / f"{part}.jsonl", [as_row(question(n)) for n in range(count)])
    run = next(run for run in runs_of(["curve"], setting, 1) if run.way == "step2")
    run.piece.folder.mkdir(parents=True)
    entries = [{"step": 25, "eval_map@3": 0.6, "eval_loss": 1.0}]
    (run.piece.folder / "trainer_state.json").write_text(json.dumps({"log_history": entries}))
    write_predictions_of(run, [1])
    keeper = Keeper(tmp_path / "kept.jsonl", setting)
    keeper.keep([run])
    points = curves([run], rows, keeper)
    assert points == {"step1": [(60, 0.45), (200, 0.4), (400, 0.5)], "step2": [(200, 0.6)]}
    assert title_of_way("step1_50", "curve") == f"{title_of_way('step1', 'curve')}, 400 questions", "it was a rate"
    plot({"rows": rows, "curves": points}, tmp_path / "curve.svg")
    first = (tmp_path / "curve.svg").read_bytes()
    assert first.count(b'id="line2d_') > len(points)
    plot({"rows": rows, "curves": points}, tmp_path / "curve.svg")
    assert (tmp_path / "curve.svg").read_bytes() == first


def test_another_machine_goes_on_with_the_kept_runs(setting, tmp_path):
    """The work folder is gone, with trainings of days; the ranks, ties included, give the same report."""
    files = [setting.work / "data" / "s" / "test.jsonl"]
    write_rows(files[0], [as_row(question(n)) for n in range(4)])
    runs = [predict(setting, "step2", seed, [1, 0, -1, -1]) for seed in (1, 2)]
    first = reported(runs, setting)
    assert first["steps"]["s"]["scores"][0]["map@3"]["mean"] == (1 + 0.75 + 0.5 + 0.5) / 4
    other = replace(setting, work=tmp_path / "other", model="/elsewhere/MODEL")
    other.work.mkdir()
    (setting.work / "data").rename(other.work / "data")
    moved = [
        Run("steps", "s", "step2", replace(run.sweep, out=other.work / "runs/steps/s/step2", words=words), run.seed)
        for run in runs
        for words in [("--eval_dataset", str(other.work / "data/s/test.jsonl"))]
    ]
    keeper = Keeper(setting.work / "kept.jsonl", other)
    assert reports.report(moved, keeper) == first
    assert keeper.waiting(moved) == []
    before = keeper.path.read_bytes()
    keeper.keep(moved)
    assert keeper.path.read_bytes() == before


def test_a_kept_run_is_that_run(setting):
    """Other flags or other questions would give figures of two different runs in one table."""
    path = setting.work / "data" / "s" / "test.jsonl"
    write_rows(path, [as_row(question(n)) for n in range(4)])
    run = predict(setting, "step2", 1, [1, 1, -1, -1])
    reported([run], setting)
    keeper = Keeper(setting.work / "kept.jsonl", setting)
    changed = replace(run, sweep=replace(run.sweep, words=[*run.sweep.words, "--mcq_head", "duma"]))
    with pytest.raises(UserError, match=r"steps/s/step2/seed-1 ran with other flags"):
        keeper.get(changed)
    write_rows(path, [as_row(question(n)) for n in range(4, 8)])
    with pytest.raises(UserError, match=r"had other questions in s/test; is --data or --sizes another one"):
        keeper.get(run)
    with keeper.path.open("a") as file:
        file.write('{"run": 1}\n')
    with pytest.raises(UserError, match=r"line 2: not a kept run"):
        Keeper(keeper.path, setting)


def test_two_files_of_kept_runs_are_compared_question_by_question():
    """Equal scores of two machines could come from different ranks."""

    def kept(run, above, tied=None, flags=()):
        ranks = {"s/test": {"": {"above": above} | ({"tied": tied} if tied else {})}}
        return Kept("m", run, list(flags), {}, "c", "h", 1, ranks)

    first = [
        kept("same", "012"),
        kept("moved", "0012"),
        kept("tied", "000", "111"),
        kept("flags", "0"),
        kept("one", "0"),
    ]
    second = [kept("same", "012"), kept("moved", "1002"), kept("tied", "000", "121"), kept("flags", "1", flags=["--x"])]
    assert [*reproduced(first, second)] == [
        "same: 0 of 3 ranks differ, MAP@3 by at most 0.0000",
        "moved: 2 of 4 ranks differ, MAP@3 by at most 0.0000",
        "tied: 1 of 3 ranks differ, MAP@3 by at most 0.0833",
        "flags: other flags or questions, so not compared",
        "4 runs in both files, 1 of them with equal ranks; MAP@3 differs by at most 0.0833",
    ]


def test_a_training_is_done_again_only_for_a_score_that_is_missing(setting):
    """Letters are scored from the training's adapter, which a kept file does not have."""
    runs = [run for run in runs_of(["steps"], setting, 1) if run.set == "arc_easy"]
    for part in ("train", "test"):
        write_rows(setting.work / "data" / "arc_easy" / f"{part}.jsonl", [as_row(question(0))])
    of_way = {run.way: run for run in runs}
    for way in ("step1", "step2", "step1_train"):
        write_predictions_of(of_way[way], [1])
    keeper = Keeper(setting.work / "kept.jsonl", setting)
    keeper.keep(runs)
    waiting = {run.way for run in keeper.waiting(runs)}
    assert not waiting & {"step1", "step2"}
    assert {"step1_train", "step2_on_step1", "duma"} <= waiting
    write_predictions_of(of_way["step2_on_step1"], [1])
    keeper.keep(runs)
    assert "step1_train" not in {run.way for run in keeper.waiting(runs)}


def test_a_report_leaves_the_rows_that_it_was_not_asked_for(tmp_path):
    """Rows are measured in different weeks; a report on one of them would drop the others."""
    args = argparse.Namespace(out=tmp_path / "out.json", seeds="1", sizes="cores", rows=["knows"], ways=None, sets=None)
    args.out.write_text(json.dumps({"model": "m", "reports": {"steps": {"commit": "a"}}, "rows": {"steps": {"s": 1}}}))
    result = real_model._with_earlier_rows({"knows": {"k": 2}}, args, "m")
    assert [*result["rows"].items()] == [("steps", {"s": 1}), ("knows", {"k": 2})]
    assert result["reports"]["steps"] == {"commit": "a"}
    assert result["reports"]["knows"]["command"].endswith("--rows knows")
    assert [*real_model._with_earlier_rows({"knows": {}}, args, "other")["rows"]] == ["knows"]


def test_a_script_that_fails_is_not_done(setting, tmp_path, monkeypatch):
    """The plain loop runs beside the sweeps: with a log, several at a time, and again after a failure."""
    program = tmp_path / "program.py"
    program.write_text("import sys\nprint('seed', sys.argv[1])\nsys.exit(int(sys.argv[1]) - 1)\n")
    runs = [run for seed in (1, 2) for run in runs_of(["trainer"], setting, seed) if run.script]
    logs = [tmp_path / f"{run.seed}.log" for run in runs]
    commands = {run.seed: Command([str(run.seed)], log, program) for run, log in zip(runs, logs, strict=True)}
    monkeypatch.setattr(real_model, "_script", lambda run: commands[run.seed])
    assert real_model._run_scripts(runs, 2, None) == 1
    assert [run.piece.stored() is not None for run in runs] == [True, False]
    assert [log.read_text() for log in logs] == ["seed 1\n", "seed 2\n"]


def test_the_contrastive_term_wants_the_right_option_far_from_the_others():
    """-log of a softmax over the right option's other pass and the wrong options, of cosines over the temperature."""
    first = torch.tensor([[2.0, 0.0], [0.0, 3.0], [1.0, 1.0]])
    second = torch.tensor([[5.0, 0.0], [9.0, 9.0], [9.0, 9.0]])
    near = torch.tensor([1.0, 0.0, math.sqrt(0.5)]) / TEMPERATURE
    assert contrast(first, second, 0) == pytest.approx(float(near.logsumexp(0) - near[0]), rel=1e-5)
    assert contrast(first, second, 2) > contrast(first, second, 0)


def test_without_a_weight_the_plain_loop_has_one_pass_and_cross_entropy():
    calls = []

    def model(ids_BT, mask_BT):
        calls.append(len(ids_BT))
        return ids_BT[:, 0].float(), torch.eye(len(ids_BT))

    part = [([[1], [2]], 1), ([[3], [1], [1]], 0)]
    losses = losses_of(model, part, 0, 0.0)
    assert calls == [5]
    expected = [torch.tensor([1.0, 2.0]).logsumexp(0) - 2, torch.tensor([3.0, 1.0, 1.0]).logsumexp(0) - 3]
    assert torch.allclose(torch.stack(losses), torch.stack(expected))
    more = losses_of(model, part, 0, 0.5)
    assert calls == [5, 5, 5]
    assert all(b > a for a, b in zip(losses, more, strict=True))


def test_figures_of_seeds_stand_beside_their_seeds():
    """With --seeds 3,1 the figure of seed 3 stood beside seed 1."""
    figures = reports._figures(reports.Scored({3: {"a": (1.0, 1.0)}, 1: {"a": (0.0, 0.0)}}))
    assert figures["seeds"] == [1, 3]
    assert figures["map@3"]["seeds"] == [0.0, 1.0]
