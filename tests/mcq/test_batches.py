"""Batches of questions: every question once per epoch, the same steps however they are split, little padding."""

from __future__ import annotations

from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtuner.errors import UserError
from llmtuner.mcq.batches import QuestionBatches, by_length, padding_share

SHAPES = [(1 + row % 3, 20 + (row * 37) % 90) for row in range(101)]


def epoch(**settings) -> list[list[list[int]]]:
    """The rows that count, for each batch of each process."""
    world = settings.get("world", 1)
    processes = [QuestionBatches(SHAPES, **{"batch_size": 1, **settings, "rank": rank}) for rank in range(world)]
    actual = [[[pick.row for pick in batch if pick.counted] for batch in process] for process in processes]
    assert all(len(batches) == len(process) for batches, process in zip(actual, processes, strict=True))
    return actual


def steps(accumulation: int, processes: list[list[list[int]]]) -> list[list[int]]:
    """The questions of each optimizer step, over batches and processes."""
    actual = []
    iterators = [iter(process) for process in processes]
    while taken := [list(islice(iterator, accumulation)) for iterator in iterators]:
        if not any(taken):
            return actual
        actual.append(sorted(row for batches in taken for batch in batches for row in batch))
    return actual


@pytest.mark.parametrize(
    ("batch_size", "accumulation", "world"), [(1, 8, 1), (8, 1, 1), (2, 2, 2), (4, 1, 2), (1, 2, 4)]
)
def test_a_step_has_the_same_questions_however_it_is_split(batch_size, accumulation, world):
    split = epoch(batch_size=batch_size, accumulation=accumulation, world=world)
    actual = steps(accumulation, split)
    assert actual == steps(1, epoch(batch_size=8))
    assert [len(step) for step in actual] == [8] * 12 + [5]
    assert max(len(batch) for process in split for batch in process) <= batch_size


@pytest.mark.parametrize(("accumulation", "world"), [(4, 1), (2, 2)])
def test_questions_of_similar_length_share_a_batch_within_a_step(accumulation, world):
    """In random order, half of each batch is padding."""
    lengths = lambda batch: [SHAPES[row][1] for row in batch]  # noqa: E731
    processes = [iter(process) for process in epoch(batch_size=2, accumulation=accumulation, world=world)]
    while batches := [lengths(batch) for process in processes for batch in islice(process, accumulation)]:
        assert any(len(batch) > 1 for batch in batches), "one question alone needs no neighbour"
        ordered = sorted(batches, key=min)
        assert all(max(one) <= min(longer) for one, longer in pairwise(ordered))


@pytest.mark.parametrize(("accumulation", "world"), [(2, 2), (1, 4), (4, 1)])
def test_a_step_by_tokens_has_the_same_questions_however_it_is_split(accumulation, world):
    actual = steps(accumulation, epoch(tokens_per_batch=300, accumulation=accumulation, world=world))
    assert actual == steps(4, epoch(tokens_per_batch=300, accumulation=4))


def test_what_the_order_depends_on_changes_where_the_steps_do():
    """A resumed run compares it: 1 x 8 may resume as 8 x 1, but not with another token budget."""
    by_size = [QuestionBatches(SHAPES, batch_size=b, accumulation=a, world=w) for b, a, w in ((1, 8, 1), (2, 2, 2))]
    assert by_size[0].order_depends_on() == by_size[1].order_depends_on()
    by_tokens = [QuestionBatches(SHAPES, batch_size=1, tokens_per_batch=n, accumulation=2) for n in (300, 400)]
    assert len({str(one.order_depends_on()) for one in (by_size[0], *by_tokens)}) == 3
    order = QuestionBatches(SHAPES, batch_size=8).order_depends_on()
    assert order != QuestionBatches(SHAPES, batch_size=8, seed=7).order_depends_on()
    assert order != QuestionBatches(SHAPES[1:], batch_size=8).order_depends_on()


@pytest.mark.parametrize("more", [{"batch_size": 3}, {"tokens_per_batch": 400}, {"batch_size": 7, "world": 3}])
def test_every_question_comes_once_an_epoch_in_another_order_each_time(more):
    batches = QuestionBatches(SHAPES, **{"batch_size": 1, **more, "world": 1})
    orders = []
    for number in range(3):
        batches.epoch = number
        order = [pick.row for batch in batches for pick in batch if pick.counted]
        assert sorted(order) == list(range(101))
        assert all(pick.epoch == number for batch in batches for pick in batch)
        orders.append(order)
    assert orders[0] != orders[1] != orders[2]
    batches.epoch = 0
    assert [pick.row for batch in batches for pick in batch if pick.counted] == orders[0]


@settings(max_examples=80)
@given(
    shapes=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 60)), min_size=1, max_size=40),
    world=st.integers(1, 4),
    batch_size=st.integers(1, 5),
    accumulation=st.integers(1, 3),
    budget=st.none() | st.integers(1, 400),
)
def test_no_process_runs_ahead_and_nothing_is_lost(shapes, world, batch_size, accumulation, budget):
    """A process with one more batch waits for the others forever."""
    processes = [list(QuestionBatches(shapes, batch_size, budget, accumulation, rank, world)) for rank in range(world)]
    assert len({len(process) for process in processes}) == 1
    assert all(batch for process in processes for batch in process), "an empty batch cannot be collated"
    counted = [pick.row for process in processes for batch in process for pick in batch if pick.counted]
    assert sorted(counted) == list(range(len(shapes)))
    if budget is not None:
        for batch in (batch for process in processes for batch in process):
            padded = sum(shapes[pick.row][0] for pick in batch) * max(shapes[pick.row][1] for pick in batch)
            assert len(batch) == 1 or padded <= budget
    assert len(processes[0]) == len(QuestionBatches(shapes, batch_size, budget, accumulation, 0, world))


@pytest.mark.parametrize("more", [{"batch_size": 4}, {"batch_size": 4, "tokens_per_batch": 350}])
def test_scoring_takes_every_question_once_and_long_ones_together(more):
    batches = by_length(SHAPES, **more)
    assert sorted(row for batch in batches for row in batch) == list(range(101))
    lengths = [SHAPES[row][1] for batch in batches for row in batch]
    assert lengths == sorted(lengths)
    for batch in batches:
        padded = sum(SHAPES[row][0] for row in batch) * max(SHAPES[row][1] for row in batch)
        assert len(batch) <= 4 if "tokens_per_batch" not in more else padded <= 350 or len(batch) == 1


def test_there_must_be_questions():
    with pytest.raises(UserError, match="no questions"):
        QuestionBatches([], batch_size=1)


@pytest.mark.real_data
@pytest.mark.parametrize("layout", ["shared_prefix", "per_option"])
def test_padding_stays_under_a_tenth_on_the_kaggle_questions(layout, real_data, tiny_llama):
    from transformers import AutoTokenizer

    from llmtuner.data.load import read_questions
    from llmtuner.data.prompt import Field
    from llmtuner.data.tokens.fields import Skeleton
    from llmtuner.data.tokens.option import OptionEncoder
    from llmtuner.mcq.questions import QuestionSet

    questions = read_questions(real_data / "kaggle" / "6000_train_examples.csv", purpose="train").questions
    form = Skeleton((1, Field("question"), 4), (Field("option"), 2))
    encoder = OptionEncoder(AutoTokenizer.from_pretrained(tiny_llama), None, 2048, {False: form})
    encoded = QuestionSet(questions, encoder)
    shapes = encoded.shapes(layout)
    if layout == "per_option":
        tokens = [sum(map(len, question.sequences)) for question in encoded.tokens]
    else:
        tokens = [length for _, length in shapes]
    batches = [[pick.row for pick in batch] for batch in QuestionBatches(shapes, 1, tokens_per_batch=8192)]
    assert len(batches) < 400, "batches of many questions"
    assert padding_share(batches, shapes, tokens) < 0.1
