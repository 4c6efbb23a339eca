"""The curves of a training: which file they come from, and what is left out."""

from __future__ import annotations

import json

import pytest
from report_files import write_training

from llmtuner.errors import UserError
from llmtuner.report.run_report.curves import MOST_POINTS, read_training


def test_loss_and_map3_by_step(tmp_path):
    training = read_training(f"A={write_training(tmp_path / 'run', steps=4)}")
    assert training.name == "A"
    assert training.losses == {
        "training": ((1.0, 2.0), (2.0, 1.0), (3.0, 2 / 3), (4.0, 0.5)),
        "evaluation": ((2.0, 1.5), (4.0, 1.5)),
    }
    assert training.map3 == {"evaluation": ((2.0, 0.52), (4.0, 0.54))}


def test_a_stopped_training_is_read_from_its_newest_checkpoint(tmp_path):
    """checkpoint-10 is newer than checkpoint-9, which is behind it in the order of the names."""
    write_training(tmp_path / "checkpoint-9", steps=2)
    write_training(tmp_path / "checkpoint-10", steps=4)
    assert len(read_training(str(tmp_path)).losses["training"]) == 4


def test_a_log_without_a_state_gives_the_loss(tmp_path):
    lines = [json.dumps({"current_steps": step, "loss": 1.0 / step}) for step in (1, 2)]
    (tmp_path / "trainer_log.jsonl").write_text("\n".join([*lines, '{"current_st']), encoding="utf-8")
    training = read_training(str(tmp_path))
    assert (training.losses, training.map3) == ({"training": ((1.0, 1.0), (2.0, 0.5))}, {})


def test_values_that_are_not_finite_are_left_out_and_a_repeated_step_counts_once(tmp_path):
    history = [{"step": 1, "loss": 3.0}, {"step": 1, "loss": 2.0}, {"step": 2, "loss": float("nan")}, {"loss": 1.0}]
    (tmp_path / "trainer_state.json").write_text(json.dumps({"log_history": history}), encoding="utf-8")
    assert read_training(str(tmp_path)).losses == {"training": ((1.0, 2.0),)}


def test_data_sets_have_curves_of_their_own(tmp_path):
    history = [{"step": 1, "eval_exam_map@3": 0.5, "eval_my_set_map@3": 0.6, "eval_exam_runtime": 3}]
    (tmp_path / "trainer_state.json").write_text(json.dumps({"log_history": history}), encoding="utf-8")
    assert set(read_training(str(tmp_path)).map3) == {"exam", "my_set"}


def test_a_long_curve_is_averaged(tmp_path):
    write_training(tmp_path, steps=5 * MOST_POINTS)
    points = read_training(str(tmp_path)).losses["training"]
    assert len(points) == MOST_POINTS
    assert points[-1][0] == 5 * MOST_POINTS


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("trainer_state.json", "{", "not JSON"),
        ("trainer_state.json", '{"log_history": 3}', "no log_history"),
        ("trainer_log.jsonl", '{\n{"loss": 1}\n', "not JSON"),
        ("other.json", "{}", "neither trainer_state.json nor trainer_log.jsonl"),
    ],
)
def test_what_is_no_training_is_refused(tmp_path, name, content, message):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_training(str(tmp_path))
    with pytest.raises(UserError, match="no such folder"):
        read_training(str(tmp_path / "missing"))
