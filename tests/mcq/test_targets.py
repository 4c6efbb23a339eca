"""Trainings on probabilities and weights equal the trainings on answers that they stand for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from distributed_runs import RandomEncoder, model, question_set
from transformers import TrainingArguments

from llmtuner.errors import DataError, FieldError
from llmtuner.mcq.choices import resolve
from llmtuner.mcq.losses import LOSSES
from llmtuner.mcq.losses.criterion import Criterion
from llmtuner.mcq.objective import Objective
from llmtuner.mcq.questions import QuestionSet, permuted
from llmtuner.mcq.run import McqRun
from llmtuner.mcq.trainer import McqTrainer
from llmtuner.spec import losses as spec

SOFT = [name for name, loss in spec.LOSSES.items() if loss.soft]
HARD = [name for name, loss in spec.LOSSES.items() if not loss.soft]
SCORES = torch.randn(6, 5, generator=torch.Generator().manual_seed(0)) * 2
MASK = torch.arange(5) < torch.tensor([5, 4, 3, 5, 4, 2])[:, None]
ANSWERS = torch.tensor([0, 3, 2, 0, 3, 1])
TARGETS = (torch.rand(6, 5, generator=torch.Generator().manual_seed(1)) * MASK).double()
TARGETS = (TARGETS / TARGETS.sum(-1, keepdim=True)).float()


def one_hot() -> torch.Tensor:
    return torch.nn.functional.one_hot(ANSWERS, 5).float()


@pytest.mark.parametrize("objective", [*SOFT, "cross_entropy:0.5+expected_map3:2"])
@pytest.mark.parametrize("more", [{}, {"rdrop_alpha": 0.5}])
def test_certain_probabilities_are_answers_bit_by_bit(objective, more):
    """A teacher that is sure must teach what the answer does, gradients included."""
    results = []
    for targets in (None, one_hot()):
        scores = SCORES.clone().requires_grad_()
        losses = Criterion(Objective(objective, **more))(scores, ANSWERS, MASK, targets_QN=targets)
        losses.sum().backward()
        results.append((losses, scores.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


@pytest.mark.parametrize("name", SOFT)
def test_a_soft_loss_is_the_expectation_over_right_options(name):
    result = Criterion(Objective(name))(SCORES, ANSWERS, MASK, targets_QN=TARGETS)
    expected = torch.zeros(6)
    for row in range(6):
        for option in range(int(MASK[row].sum())):
            alone = LOSSES[name](SCORES[row : row + 1], torch.tensor([option]), MASK[row : row + 1])
            expected[row] += TARGETS[row, option] * alone[0]
    torch.testing.assert_close(result, expected)


def test_soft_cross_entropy_and_binary_by_their_formulas():
    log_p = SCORES.masked_fill(~MASK, -1e30).log_softmax(-1)
    wanted = -(TARGETS * log_p).where(MASK, 0.0).sum(-1)
    torch.testing.assert_close(Criterion(Objective("cross_entropy"))(SCORES, ANSWERS, MASK, 1.0, TARGETS), wanted)
    each = torch.nn.functional.binary_cross_entropy_with_logits(SCORES, TARGETS, reduction="none")
    wanted = each.where(MASK, 0.0).sum(-1) / MASK.sum(-1)
    torch.testing.assert_close(Criterion(Objective("binary"))(SCORES, ANSWERS, MASK, 1.0, TARGETS), wanted)


def test_a_permuted_question_permutes_its_probabilities():
    [question] = question_set().questions[:1]
    options = tuple("abcde")
    question = replace(question, options=options, answer=3, probabilities=(0.1, 0.2, 0.05, 0.6, 0.05))
    turned = permuted(question, "key")
    assert turned.options != options
    by_option = dict(zip(options, question.probabilities, strict=True))
    assert turned.probabilities == tuple(by_option[option] for option in turned.options)


def make_trainer(folder: Path, questions, *, layout=None, loss: str = "cross_entropy", **arguments) -> McqTrainer:
    given = {"loss": loss} | ({"layout": layout} if layout else {})
    settings = resolve("causal", given)
    quiet = {"report_to": "none", "use_cpu": True, "disable_tqdm": True, "logging_steps": 1, "save_strategy": "no"}
    # Plain SGD: Adam turns the rounding of a gradient that should be 0, as the head's bias has, into whole steps.
    shape = {"per_device_train_batch_size": 64, "max_steps": 2, "learning_rate": 0.5, "max_grad_norm": 0.0}
    shape |= {"optim": "sgd"}
    return McqTrainer(
        model(settings),
        TrainingArguments(output_dir=str(folder), **{**quiet, **shape, **arguments}),
        McqRun("", settings, training=True),
        train_set=QuestionSet(questions, RandomEncoder()),
    )


def trained(folder: Path, questions, **more) -> tuple[list[float], dict[str, torch.Tensor]]:
    """The losses of two steps and the trained weights."""
    trainer = make_trainer(folder, questions, **more)
    trainer.train()
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    return losses, {name: p.detach().clone() for name, p in trainer.model.named_parameters() if p.requires_grad}


def assert_same(first, second, *, tolerance: float) -> None:
    assert first[0] == pytest.approx(second[0], rel=max(tolerance, 1e-12), abs=tolerance)
    for name, weights in first[1].items():
        torch.testing.assert_close(weights, second[1][name], rtol=tolerance, atol=tolerance)


def soft(questions):
    """Probabilities for every second question."""
    made = []
    for row, question in enumerate(questions):
        shares = torch.rand(len(question.options), generator=torch.Generator().manual_seed(row))
        targets = tuple((shares / shares.sum()).tolist())
        made.append(replace(question, probabilities=targets) if row % 2 else question)
    return made


def certain(questions):
    return [
        replace(q, probabilities=tuple(float(place == q.answer) for place in range(len(q.options)))) for q in questions
    ]


def test_a_training_on_certain_probabilities_is_that_on_answers(tmp_path):
    questions = question_set().questions
    assert_same(trained(tmp_path, questions), trained(tmp_path, certain(questions)), tolerance=0)


def test_probabilities_change_a_training(tmp_path):
    """Without this, a trainer that drops them would pass every equivalence."""
    questions = question_set().questions
    losses, _ = trained(tmp_path, questions, max_steps=1)
    assert trained(tmp_path, soft(questions), max_steps=1)[0][0] != pytest.approx(losses[0], rel=1e-4)


def test_a_row_of_weight_2_is_the_row_twice(tmp_path):
    """A mean over rows would divide by one row too few."""
    questions = soft(question_set().questions)
    doubled = [replace(question, weight=2.0) if row < 4 else question for row, question in enumerate(questions)]
    assert_same(trained(tmp_path, doubled), trained(tmp_path, [*questions, *questions[:4]]), tolerance=2e-5)
    assert trained(tmp_path, questions, max_steps=1)[0][0] != pytest.approx(trained(tmp_path, doubled)[0][0], rel=1e-4)


def test_weights_that_are_all_alike_count_like_none(tmp_path):
    questions = question_set().questions
    halves = [replace(question, weight=0.25) for question in questions]
    assert_same(trained(tmp_path, questions), trained(tmp_path, halves), tolerance=2e-5)


def test_a_row_of_weight_0_is_absent_bit_by_bit(tmp_path):
    """In a batch it would take the place of another row, so that the steps are others."""
    questions = question_set().questions
    marked = [replace(question, weight=0.0) if row % 5 == 0 else question for row, question in enumerate(questions)]
    left = [question for row, question in enumerate(questions) if row % 5]
    small = {"per_device_train_batch_size": 4, "max_steps": 3}
    assert_same(trained(tmp_path, marked, **small), trained(tmp_path, left, **small), tolerance=0)


def test_a_batch_is_its_parts_accumulated(tmp_path):
    questions = [replace(question, weight=1.0 + row % 3) for row, question in enumerate(soft(question_set().questions))]
    whole = trained(tmp_path, questions)
    parts = trained(tmp_path, questions, per_device_train_batch_size=3, gradient_accumulation_steps=7)
    assert_same(whole, parts, tolerance=2e-5)


def test_packed_rows_are_plain_rows(tmp_path):
    questions = [replace(question, weight=1.0 + row % 3) for row, question in enumerate(soft(question_set().questions))]
    packed, plain = (trained(tmp_path, questions, layout=name) for name in ("shared_prefix", "per_option"))
    assert_same(packed, plain, tolerance=1e-4)


@pytest.mark.parametrize("name", HARD)
def test_the_other_losses_refuse_probabilities(name, tmp_path):
    questions = soft(question_set().questions)
    with pytest.raises(FieldError, match=f"which {name} does not take; choose from: {SOFT[0]}"):
        make_trainer(tmp_path, questions, loss=f"cross_entropy+{name}")
    make_trainer(tmp_path, [replace(question, weight=2.0) for question in question_set().questions], loss=name)


def test_nothing_left_to_train_on_is_refused(tmp_path):
    with pytest.raises(DataError, match="all training questions have weight 0"):
        make_trainer(tmp_path, [replace(question, weight=0.0) for question in question_set().questions])
