"""The smallest change with which a run fits, and how full a batch is."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from llmtuner.mcq.batches import QuestionBatches
from llmtuner.mcq.probe import longest_and_typical, padded
from llmtuner.mcq.smaller import Size, smaller
from patches.mcq_stage.run import largest_batch

TRAINING = Size(8, 4, tokens=800, longest=100, cutoff_len=512, checkpointing=False, training=True)


def needed(size: Size) -> int:
    """A model of 1,000 bytes whose batches need a byte a token, a tenth of it with gradient checkpointing."""
    weights = 1000 * (size.bits or 32) // 32
    return weights + (size.tokens // 10 if size.checkpointing else size.tokens)


def advice(available: int, size: Size = TRAINING, *, quantizes: bool = False) -> str:
    [line] = smaller(size, needed, available, quantizes=quantizes)
    return line.partition(": about")[0]


@pytest.mark.parametrize(
    ("available", "expected"),
    [
        (1500, "--per_device_train_batch_size 4, --gradient_accumulation_steps 8"),
        (1250, "--per_device_train_batch_size 2, --gradient_accumulation_steps 16"),
        (1100, "--per_device_train_batch_size 1, --gradient_accumulation_steps 32"),
        (1090, "--disable_gradient_checkpointing false"),  # with the batch as it is
        (
            1050,
            "--per_device_train_batch_size 4, --gradient_accumulation_steps 8, --disable_gradient_checkpointing false",
        ),
        (
            1008,
            "--per_device_train_batch_size 1, --gradient_accumulation_steps 32, --disable_gradient_checkpointing "
            "false, --cutoff_len 384",
        ),
    ],
)
def test_changes_that_leave_the_result_alone_come_first(available, expected):
    assert advice(available) == expected


def test_a_step_keeps_its_questions():
    """Batches of 3 with twice as many accumulated made steps of 24 questions instead of 28."""
    size = replace(TRAINING, batch=7, tokens=700)
    assert advice(1400, size) == "--per_device_train_batch_size 1, --gradient_accumulation_steps 28"


def test_weights_are_quantised_only_where_that_is_possible():
    assert "even with" in advice(900)
    assert advice(900, quantizes=True).endswith("--quantization_bit 4")
    assert smaller(TRAINING, needed, 900, quantizes=False)[0].endswith("use a smaller model or more memory")


def test_a_budget_of_tokens_is_halved_down_to_the_longest_question():
    size = replace(TRAINING, batch=None, tokens_per_batch=800)
    assert advice(1400, size) == "--mcq_tokens_per_batch 400, --gradient_accumulation_steps 8"
    assert advice(1100, size) == "--mcq_tokens_per_batch 100, --gradient_accumulation_steps 32"
    assert advice(1060, size).startswith("--mcq_tokens_per_batch 400, "), "not 50: no question has room in it"


def test_a_question_of_several_rows_is_not_divided():
    """Encoders have a row for each option: a budget below the question's five rows was advised, and changed nothing."""
    size = replace(TRAINING, batch=None, tokens_per_batch=800, largest=300)
    assert advice(1400, size) == "--mcq_tokens_per_batch 400, --gradient_accumulation_steps 8"
    assert advice(1100, size) == "--disable_gradient_checkpointing false", (
        "not a budget of 100, which no batch can keep"
    )


@pytest.mark.parametrize(("budget", "copies"), [(1200, 1), (8000, 1), (6000, 2)])
def test_no_batch_of_a_run_has_more_tokens_than_the_largest(budget, copies):
    """With a budget below a question's rows, the bound of the memory was too low."""
    shapes = [(5, 400), (4, 410)] * 4
    run = SimpleNamespace(
        settings=SimpleNamespace(layout="per_option"),
        tokens_per_batch=budget,
        objective=SimpleNamespace(copies=copies),
    )
    train = SimpleNamespace(shapes=lambda _: shapes)
    arguments = SimpleNamespace(training=SimpleNamespace(per_device_train_batch_size=8))
    rows, longest = largest_batch(train, run, arguments)
    batches = QuestionBatches(shapes, batch_size=8, tokens_per_batch=budget // copies)
    largest = max(padded([pick.row for pick in batch], shapes) for batch in batches) * copies
    assert largest <= rows * longest <= max(budget, largest) + longest * copies


def test_a_prediction_has_no_steps_to_keep():
    size = replace(TRAINING, training=False, accumulation=1)
    assert advice(1500, size) == "--per_device_eval_batch_size 4"
    assert "checkpointing" not in advice(1050, size)


def test_the_longest_batch_counts_its_padding():
    shapes = [(1, 10), (1, 90), (4, 30), (1, 20)]
    assert padded([0, 1], shapes) == 180
    assert longest_and_typical([[0, 1], [2], [3]], shapes) == ([0, 1], [2])
    assert longest_and_typical([[0], [1], [3]], shapes) == ([1], [3])
