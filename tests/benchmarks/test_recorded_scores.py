"""The comparison of recorded scores reports what a refactoring must not change, and nothing else."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path

import pytest
import recorded_scores
from recorded.cases import CASES
from recorded.compare import differences, other_machine
from recorded.models import with_fewer_options

from llmtuner.spec import HEADS, LOSSES

ROOT = Path(__file__).resolve().parents[2]


def step(stage: str) -> dict:
    return {
        "stage": stage,
        "command": f"--stage {stage}",
        "ids": ["q1", "q2"],
        "rankings": ["AB", "BA"],
        "scores": [[0.7, 0.1], [-3.0, 2.5]],
        "figures": {"train_loss": 1.6, "mcq_head": "linear"},
        "history": [{"step": 1, "loss": 1.7}],
    }


@pytest.fixture
def record() -> dict:
    files = {"model.safetensors": "5f"}
    cases = {"mcq": {"steps": {"predict": step("mcq")}}, "sft": {"steps": {"predict": step("sft")}}}
    return {"about": {"cpu": "A", "torch": "2"}, "cases": {**cases, "make_tiny_llama": {"files": files}}}


def changed(record: dict, *path: str | int, to: object) -> dict:
    """A copy with one value replaced, or removed if `to` is None."""
    later = copy.deepcopy(record)
    place = later["cases"]
    for name in path[:-1]:
        place = place[name]
    if to is None:
        del place[path[-1]]
    else:
        place[path[-1]] = to
    return later


def test_equal_records_have_no_difference(record):
    assert differences(record, json.loads(json.dumps(record))) == []


def test_a_changed_last_bit_of_an_mcq_score_is_found(record):
    """A tolerance would accept a reordered sum, but "changes no score" means no bit changes."""
    path = ("mcq", "steps", "predict", "scores", 1, 0)
    [line] = differences(record, changed(record, *path, to=math.nextafter(-3.0, 0)))
    assert line.startswith("mcq: predict: scores q2:")
    assert "-2.9999999999999996" in line


def test_another_sign_of_zero_is_found(record):
    earlier = changed(record, "mcq", "steps", "predict", "scores", 1, 0, to=0.0)
    assert differences(earlier, changed(earlier, "mcq", "steps", "predict", "scores", 1, 0, to=-0.0))


@pytest.mark.parametrize(("shift", "lines"), [(9e-7, 0), (2e-6, 1)])
def test_an_sft_score_may_differ_by_a_millionth(shift, lines, record):
    """... of one, even if the score is large: the limit is not relative."""
    earlier = changed(record, "sft", "steps", "predict", "scores", 0, 0, to=40.0)
    later = changed(earlier, "sft", "steps", "predict", "scores", 0, 0, to=40.0 + shift)
    assert len(differences(earlier, later)) == lines


@pytest.mark.parametrize("stage", ["mcq", "sft"])
@pytest.mark.parametrize(
    ("path", "to", "difference"),
    [
        (("rankings", 1), "AB", "rankings: 'BA', then 'AB' (place 1)"),
        (("ids", 0), "q9", "ids: 'q1', then 'q9' (place 0)"),
        (("scores", 0), [0.7], "scores q1"),
        (("scores", 0, 0), math.nan, "scores q1"),
        (("figures", "train_loss"), 1.7, "figures train_loss: 1.6, then 1.7"),
        (("figures", "mcq_head"), None, "figures mcq_head: missing"),
        (("history", 0, "loss"), 1.8, "history 0 loss"),
        (("command",), "--stage other", "command"),
    ],
)
def test_everything_that_a_step_records_is_compared(path, to, difference, stage, record):
    [line] = differences(record, changed(record, stage, "steps", "predict", *path, to=to))
    assert line.startswith(f"{stage}: predict: {difference}")


def test_what_is_missing_is_found_and_what_is_new_is_not(record):
    assert differences(record, changed(record, "mcq", to=None)) == ["mcq: missing"]
    assert differences(record, changed(record, "sft", "steps", "predict", to=None)) == ["sft: predict: missing"]
    assert differences(record, changed(record, "new", to={"files": {}})) == []


def test_a_failed_case_is_no_equal_one(record):
    """If neither side had scores, nothing would differ."""
    assert differences(record, changed(record, "mcq", to={"failed": "status 1"})) == ["mcq: failed: no, then status 1"]


def test_another_file_is_found(record):
    [line] = differences(record, changed(record, "make_tiny_llama", "files", "model.safetensors", to="60"))
    assert line == "make_tiny_llama: file model.safetensors: '5f', then '60'"


def test_many_changed_scores_are_counted(record):
    steps = ("mcq", "steps", "predict")
    rows = {"ids": [str(n) for n in range(9)], "rankings": ["AB"] * 9, "scores": [[1.0, 0.0]] * 9}
    earlier = changed(record, *steps, to={**step("mcq"), **rows})
    later = changed(record, *steps, to={**step("mcq"), **rows, "scores": [[1.1, 0.0]] * 9})
    assert len(lines := differences(earlier, later)) == 4
    assert lines[-1] == "mcq: predict: scores: 6 more"


def test_another_processor_is_named(record):
    assert other_machine(record, {"about": {"cpu": "B", "torch": "2"}}) == ["cpu: A, then B"]


def test_a_written_record_has_the_very_floats(record, tmp_path):
    scores = [[0.1 + 0.2, 1 / 3], [5e-324, -0.0]]
    written = changed(record, "mcq", "steps", "predict", "scores", to=scores)
    recorded_scores.write(written, tmp_path / "record.json")
    assert differences(written, json.loads((tmp_path / "record.json").read_text())) == []


def test_the_cases_cover_every_head_layout_and_loss():
    """They derive from the declared entries: a new head or loss need not be named here."""
    names = {case.name for case in CASES}
    assert {f"head/{name}/{layout}" for name, head in HEADS.items() for layout in head.layouts} <= names
    assert {f"loss/{name}" for name in LOSSES} <= names
    assert len({case.name for case in CASES}) == len(CASES)
    folders = [words[words.index("--output_dir") + 1] for case in CASES for words in case.steps.values()]
    assert len(set(folders)) == len(folders), "one command would take the place of another's results"


def test_no_command_has_a_path_of_one_machine():
    """The shuffle of options depends on the name of the data set, which is the path as given."""
    words = [word for case in CASES for words in case.steps.values() for word in words]
    assert {word for word in words if word.startswith(("data/", "models/", "cases/"))}
    assert not [word for word in words if word.startswith("/")]


def test_questions_with_fewer_options_keep_their_answers():
    row = {"id": "1", "A": "a", "B": "b", "C": "c", "D": "d", "E": "e", "answer": "E"}
    assert with_fewer_options(row, 3) == {**row, "C": "e", "D": "", "E": "", "answer": "C"}


def test_the_record_that_ships_is_of_these_cases():
    """Otherwise a comparison would skip cases, or call all of them different; newer cases have no record."""
    stored = json.loads((ROOT / "benchmarks" / "results" / "recorded_scores.json").read_text())["cases"]
    recorded = [case for case in CASES if case.name in stored]
    assert {name for name in stored if "/" in name and not name.startswith("make_tiny")} <= {c.name for c in recorded}
    for case in recorded:
        commands = {name: step["command"] for name, step in stored[case.name]["steps"].items()}
        assert commands == {name: " ".join(words) for name, words in case.steps.items()}
