"""Both stages hand over all files of a prediction at once."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llmtuner.data.baselines import baselines_of
from llmtuner.data.predictions import Prediction, write_predictions
from llmtuner.data.question import Question
from llmtuner.errors import RunError
from patches.letter_scores import _with_scores
from patches.mcq_stage.run import _predict

FILES = {"predict_results.json", "all_results.json", "predictions.jsonl", "submission.csv"}
QUESTIONS = [Question("1", "q", ("a", "b"), 1), Question("2", "q", ("a", "b"), 1)]
PREDICTIONS = [Prediction("1", (0.0, 1.0), 1), Prediction("2", (2.0, 1.0), 1)]


class Upstream:
    """What the patch extends of upstream's trainer."""

    def __init__(self, folder: Path) -> None:
        self.args = SimpleNamespace(output_dir=str(folder))

    def is_world_process_zero(self) -> bool:
        return True

    def save_metrics(self, split: str, metrics: dict, combined: bool = True) -> None:
        Path(self.args.output_dir, f"{split}_results.json").write_text(json.dumps(metrics))

    def save_predictions(self, dataset: object, predict_results: object) -> None:
        Path(self.args.output_dir, "generated_predictions.jsonl").write_text("text")
        if dataset == "broken":
            raise OSError("no space")


def sft_trainer(folder: Path) -> Any:
    trainer = object.__new__(_with_scores(Upstream))
    Upstream.__init__(trainer, folder)
    trainer._predictions = PREDICTIONS
    return trainer


def sft_prediction(folder: Path, dataset: object = None) -> None:
    trainer = sft_trainer(folder)
    metrics = {"predict_map@3": 0.75, "predict_accuracy": 0.5, "predict_dataset": dataset, **baselines_of(QUESTIONS)}
    trainer.save_metrics("predict", metrics)
    trainer.save_predictions(dataset, SimpleNamespace(metrics=metrics))
    assert trainer.args.output_dir == str(folder)


def mcq_prediction(folder: Path) -> None:
    questions = SimpleNamespace(questions=QUESTIONS)
    trainer = SimpleNamespace(
        args=SimpleNamespace(output_dir=str(folder)),
        run=SimpleNamespace(
            settings=SimpleNamespace(layout="joint", head="letter", likelihood_norm=None),
            data=SimpleNamespace(retrieve=None),
            adapters=(),
            model="",
            option_orders=1,
        ),
        train_dataset=None,
        predict_options=lambda _, prefix, orders: (PREDICTIONS, {f"{prefix}_runtime": 1.0}),
        log_metrics=lambda *_: None,
        is_world_process_zero=lambda: True,
    )
    _predict(trainer, questions)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_stage_sft_replaces_generated_texts_and_predictions_together(tmp_path):
    """predict_results.json came first: a run killed after it looked finished beside an earlier run's predictions."""
    sft_prediction(tmp_path)
    assert names(tmp_path) == {*FILES, "generated_predictions.jsonl"}
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(OSError, match="no space"):
        sft_prediction(tmp_path, "broken")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_stage_sft_writes_other_metrics_as_upstream_does(tmp_path):
    sft_trainer(tmp_path).save_metrics("train", {"train_loss": 1.0})
    assert names(tmp_path) == {"train_results.json"}


def test_stage_mcq_leaves_no_text_that_another_model_generated(tmp_path):
    sft_prediction(tmp_path)
    mcq_prediction(tmp_path)
    assert names(tmp_path) == FILES
    assert json.loads((tmp_path / "predict_results.json").read_text())["mcq_head"] == "letter"


@pytest.mark.parametrize(
    ("module", "predicted"), [("letter_scores", sft_prediction), ("mcq_stage.run", mcq_prediction)]
)
def test_a_submission_with_a_defect_of_ours_is_a_failed_run(module, predicted, tmp_path, monkeypatch, capsys):
    """The results stay, so that nothing is lost; the file that Kaggle would refuse is named."""

    def write_wrong(predictions: list[Prediction], folder: Path) -> None:
        write_predictions(predictions, folder)
        (folder / "submission.csv").write_text("id,prediction\n1,B A\n2.0,A B\n")

    predicted(tmp_path)
    assert "problem" not in capsys.readouterr().out
    monkeypatch.setattr(f"patches.{module}.write_predictions", write_wrong)
    with pytest.raises(RunError, match=r"submission.csv:3: id '2.0' is a float"):
        predicted(tmp_path)
    assert names(tmp_path) >= FILES
