"""The Trainer of option scores: the speed that it logs, the loss of an evaluation, and the scaling of losses."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from distributed_runs import QUESTIONS, model, question_set
from transformers import TrainerCallback, TrainingArguments

from llmtuner.mcq.choices import resolve
from llmtuner.mcq.device import on_one_device
from llmtuner.mcq.losses import LOSSES
from llmtuner.mcq.questions import Pick
from llmtuner.mcq.run import McqRun
from llmtuner.mcq.trainer import McqTrainer

SECONDS = 7  # the time of an optimizer step by the clock below


def make_trainer(folder: Path, *, callbacks=(), smoothing: float = 0.0, **arguments) -> McqTrainer:
    """A trainer of 21 questions on a tiny Llama: on a CPU, no progress bars, one log line per step."""
    objective = {"label_smoothing": smoothing} if smoothing else {}
    settings, questions = resolve("causal", objective), question_set()
    quiet = {"report_to": "none", "use_cpu": True, "disable_tqdm": True, "logging_steps": 1, "save_strategy": "no"}
    return McqTrainer(
        model(settings),
        TrainingArguments(output_dir=str(folder), max_grad_norm=0.0, **{**quiet, **arguments}),
        McqRun("", settings, training=True),
        train_set=questions,
        eval_set=questions,
        callbacks=list(callbacks),
    )


class Clock(TrainerCallback):
    """A clock by which every optimizer step takes `SECONDS` and everything else takes no time."""

    def __init__(self, monkeypatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def on_step_end(self, args, state, control, **_):
        self.now += SECONDS


def paced(trainer: McqTrainer) -> list[dict]:
    return [line for line in trainer.state.log_history if "loss" in line]


def test_the_pace_is_that_of_the_steps_so_far(tmp_path, monkeypatch):
    """A wrong remaining time still consists of digits and colons, so each figure is compared with the clock."""
    shape = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2, "num_train_epochs": 2}
    trainer = make_trainer(tmp_path, callbacks=[Clock(monkeypatch)], **shape)
    trainer.train()
    lines, steps = paced(trainer), 12  # 21 questions are five steps of 4 and one of 1, twice
    assert [line["time_left"] for line in lines] == [str(timedelta(seconds=SECONDS * n)) for n in range(steps)][::-1]
    asked = [4, 4, 4, 4, 4, 1] * 2
    for step, line in enumerate(lines, start=1):
        assert line["questions_per_second"] == pytest.approx(sum(asked[:step]) / (SECONDS * step), abs=0.01)
    tokens = 2 * sum(length for _, length in trainer.train_dataset.shapes("shared_prefix"))
    assert lines[-1]["tokens_per_second"] == pytest.approx(tokens / (SECONDS * steps), abs=0.1)


def test_a_resumed_run_counts_its_own_steps_only(tmp_path, monkeypatch):
    """Steps of the earlier run took no time in this one: if they count, this run seems to be almost done."""
    shape = {"per_device_train_batch_size": 8, "max_steps": 6, "save_steps": 4, "save_strategy": "steps"}
    make_trainer(tmp_path, **shape).train()
    trainer = make_trainer(tmp_path, callbacks=[Clock(monkeypatch)], **shape)
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))
    assert [line["time_left"] for line in paced(trainer)[4:]] == [str(timedelta(seconds=SECONDS)), "0:00:00"]


def test_an_evaluation_has_no_label_smoothing(tmp_path):
    """A smoothed evaluation loss is not a likelihood, and is higher than that of a training without smoothing."""
    actual = make_trainer(tmp_path, smoothing=0.3).evaluate()
    assert actual["eval_loss"] == pytest.approx(actual["eval_nll"], rel=1e-5)


def test_a_process_that_sees_two_gpus_trains_on_one(tmp_path, monkeypatch):
    """nn.DataParallel cut the indices of rows as it cut the rows: the first step crashed."""
    monkeypatch.setattr(TrainingArguments, "n_gpu", property(lambda self: self.__dict__.get("_n_gpu") or 2))
    given = TrainingArguments(output_dir=str(tmp_path), use_cpu=True)
    used = on_one_device(given)
    assert (given.n_gpu, used.n_gpu, used.train_batch_size) == (2, 1, given.per_device_train_batch_size)
    trainer = make_trainer(tmp_path, max_steps=1)
    trainer.train()
    assert type(trainer.model_wrapped) is type(trainer.model)


def test_a_training_is_smoothed(tmp_path):
    """The first loss of a training is that of its questions' scores, with the given smoothing."""
    trainer = make_trainer(tmp_path, smoothing=0.3, per_device_train_batch_size=QUESTIONS, max_steps=1)
    wanted = mean_loss(trainer, label_smoothing=0.3)
    trainer.train()
    assert paced(trainer)[0]["loss"] == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize(("batch", "accumulation"), [(8, 1), (3, 3), (1, 21)])
def test_a_logged_loss_is_the_mean_over_questions(batch, accumulation, tmp_path):
    """A mean of batch means gives the questions of a short batch more weight."""
    shape = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulation, "num_train_epochs": 1}
    trainer = make_trainer(tmp_path, learning_rate=0.0, **shape)
    wanted = mean_loss(trainer)
    trainer.train()
    asked = [min(batch * accumulation, QUESTIONS - done) for done in range(0, QUESTIONS, batch * accumulation)]
    losses = [line["loss"] for line in paced(trainer)]
    assert len(losses) == len(asked)
    assert sum(n * loss for n, loss in zip(asked, losses, strict=True)) / QUESTIONS == pytest.approx(wanted, rel=1e-4)


def test_a_loss_is_larger_by_the_number_of_processes_over_which_its_gradients_are_averaged(tmp_path, monkeypatch):
    """Without that factor, two processes learn at half the rate of one, and no log shows it."""
    trainer = make_trainer(tmp_path)
    asked = [trainer.train_dataset[row] for row in range(3)]
    batch = trainer.collator(asked)
    alone = trainer.compute_loss(trainer.model, batch, num_items_in_batch=6).item()
    assert alone == pytest.approx(trainer.compute_loss(trainer.model, batch).item() / 2, rel=1e-5)
    monkeypatch.setattr(TrainingArguments, "world_size", 4)
    assert trainer.compute_loss(trainer.model, batch, num_items_in_batch=6).item() == pytest.approx(4 * alone, rel=1e-5)


def test_a_question_that_fills_a_batch_up_adds_nothing(tmp_path):
    """A process that runs out of questions repeats one: if it counted, it would be learnt twice."""
    trainer = make_trainer(tmp_path)
    picks = [Pick(0), Pick(1), Pick(2, counted=False)]
    with_filler, without = (
        trainer.collator([trainer.train_dataset[pick] for pick in part]) for part in (picks, picks[:2])
    )
    losses = [trainer.compute_loss(trainer.model, batch).item() for batch in (with_filler, without)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def mean_loss(trainer: McqTrainer, **more) -> float:
    """Cross-entropy of all questions, one by one, with the model's current scores."""
    predictions, _ = trainer.predict_options(trainer.train_dataset, "test")
    losses = []
    for prediction in predictions:
        scores = torch.tensor([prediction.scores])
        losses.append(LOSSES["cross_entropy"](scores, torch.tensor([prediction.answer]), scores > -torch.inf, **more))
    return float(torch.cat(losses).mean())
