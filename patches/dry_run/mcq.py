"""The dry run of --stage mcq."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from llmtuner.data.tokens.joint import JointEncoder, JointTokens
from llmtuner.data.tokens.roles import joint_roles, option_roles
from llmtuner.mcq.batches import by_length, largest_question
from llmtuner.mcq.memory import available_bytes
from llmtuner.mcq.orders import orders_of
from llmtuner.mcq.probe import (
    STEPS,
    ProbeTrainer,
    Timed,
    longest_and_typical,
    padded,
    timed_prediction,
    timed_training,
    trained_bytes,
    weight_bytes,
)
from llmtuner.mcq.questions import QuestionSet
from llmtuner.mcq.run import McqRun
from llmtuner.mcq.scored_tokens import scored_tokens
from llmtuner.mcq.smaller import Size
from llmtuner.mcq.targets import without_weight_0
from llmtuner.report.dry_run import Lengths, Measured, Prompt, Steps
from llmtuner.runs.position import Position
from patches.dry_run.parts import (
    PREDICTION,
    TRAINING,
    Bound,
    Examined,
    examine,
    full_length,
    shown_prompt,
    shown_rows,
    speed_of,
    steps_of,
)
from patches.mcq_stage.run import Prepared, largest_batch, load_model, prepare


def dry_mcq(
    run: McqRun, values: Mapping[str, Any], *, processes: int, position: Position | None, sharded: bool
) -> Measured:
    """Everything that tokenizer and model tell of a run.

    Args:
        values: the given flags, converted by upstream's parser, with an output folder of its own.
        processes: that would share the work.
        position: of the checkpoint that it resumes from; None to begin.
        sharded: whether weights are split over processes, so that one cannot make a step alone.

    Raises:
        UserError: the input is wrong.
    """
    available = available_bytes()
    prepared = prepare(run, values)
    if prepared.sets.train is not None:  # or the rows of batches would be those of other questions in the trainer
        counted = without_weight_0(prepared.sets.train)
        prepared = replace(prepared, sets=replace(prepared.sets, train=counted))
    sets, limit = prepared.sets, prepared.reader.encoder.cutoff_len
    named = {**({"training": sets.train} if sets.train is not None else {}), **sets.evaluate}
    measured = Measured(
        prompts=tuple(_prompts(prepared, sets.first)),
        lengths=tuple(_lengths(name, part, limit) for name, part in named.items() if len(part)),
        steps=_steps(prepared, processes, position) if sets.train is not None else None,
    )
    if sharded:
        note = "weights are split over processes: memory and times were not measured"
        return replace(measured, notes=(note,))
    return _with_steps(measured, prepared, values, available, processes)


def _prompts(prepared: Prepared, questions: QuestionSet) -> list[Prompt]:
    encoder, tokenizer = prepared.reader.encoder, prepared.reader.tokenizer
    settings = prepared.run.settings
    shown = []
    for row, why in shown_rows([*map(full_length, questions.tokens)]):
        question, tokens = questions.questions[row], questions.tokens[row]
        sequences = []
        for option, ids in enumerate(tokens.sequences):
            if isinstance(tokens, JointTokens):
                assert isinstance(encoder, JointEncoder), "it made joint prompts"
                roles = joint_roles(encoder, replace(question, answer=None), tokens, len(ids))
            else:
                roles = option_roles(tokens, option)
            sequences.append((ids, roles, scored_tokens(settings, tokens, option)))
        shown.append(shown_prompt(question, tokens, why, tokenizer, sequences))
    return shown


def _lengths(name: str, questions: QuestionSet, limit: int) -> Lengths:
    cut, too_long = (sum(bool(value) for value in values) for values in _cuts(questions))
    return Lengths.of(name, [*map(full_length, questions.tokens)], limit, cut=cut, too_long=too_long)


def _cuts(questions: QuestionSet) -> tuple[list[int], list[int]]:
    return [tokens.cut for tokens in questions.tokens], [tokens.over for tokens in questions.tokens]


def _args(prepared: Prepared) -> Any:
    """The run's training arguments, without evaluations and checkpoints."""
    from transformers.trainer_utils import IntervalStrategy, SaveStrategy

    args = copy.copy(prepared.arguments.training)
    args.save_strategy, args.load_best_model_at_end = SaveStrategy.NO, False
    args.eval_strategy = args.logging_strategy = IntervalStrategy.NO
    args.disable_tqdm = True
    return args


def _probe_args(prepared: Prepared) -> Any:
    """The same for a few steps of one batch each."""
    args = _args(prepared)
    args.gradient_accumulation_steps, args.max_steps = 1, STEPS
    return args


def _trainer(prepared: Prepared, run: McqRun, model: Any, args: Any, **more: Any) -> ProbeTrainer:
    from llamafactory.train.trainer_utils import create_custom_optimizer
    from transformers.trainer_callback import PrinterCallback

    arguments = prepared.arguments
    trainer = ProbeTrainer(
        model,
        args,
        run,
        pad_token_id=prepared.reader.pad_token_id,
        build_optimizer=lambda model: create_custom_optimizer(model, arguments.training, arguments.finetuning),
        processing_class=prepared.reader.tokenizer,
        **more,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _steps(prepared: Prepared, processes: int, position: Position | None) -> Steps:
    """The steps of the run's own batches; counting them needs no model."""
    import torch

    train, args = prepared.sets.train, _args(prepared)
    assert train is not None, "steps are those of a training"
    trainer = _trainer(prepared, prepared.run, torch.nn.Linear(1, 1), args, train_set=train)
    assert trainer.batches is not None, "it has a training set"
    batches = replace(trainer.batches, world=processes)
    counts = {"batches": len(batches), "questions": len(train), "processes": processes}
    return steps_of(trainer, args, position=position, **counts)


def _with_steps(
    measured: Measured, prepared: Prepared, values: Mapping[str, Any], available: int, processes: int
) -> Measured:
    """With memory and times of real steps, if the model can be loaded."""
    import torch

    sizes = _sizes(prepared)
    bound = Bound.before_loading(prepared.config, values, logits=False)
    if bound.weights > available and not torch.cuda.is_available():
        examined = [examine(purpose, size, bound, available, None) for purpose, size in sizes.items()]
        return replace(measured, memory=tuple(e.memory for e in examined), advice=_advice(examined))
    try:
        run, model = load_model(prepared)
    except torch.OutOfMemoryError:
        examined = [examine(purpose, size, bound, available, None) for purpose, size in sizes.items()]
        return replace(measured, memory=tuple(e.memory for e in examined), advice=_advice(examined))
    itemsize = next(model.parameters()).element_size()
    bound = replace(bound, weights=weight_bytes(model), trained=trained_bytes(model), itemsize=itemsize)
    examined, speed = [], []
    if TRAINING in sizes:
        batches = _training_batches(prepared)
        size = replace(sizes[TRAINING], checkpointing=_checkpoints(model))
        each = examine(TRAINING, size, bound, available, partial(_train, prepared, run, model, batches))
        examined.append(each)
        if each.timed is not None and measured.steps is not None:
            shapes = _shapes(prepared, training=True)
            copies = run.objective.copies
            tokens = (copies * padded(batches[0], shapes), copies * padded(batches[1], shapes))
            left = measured.steps.total - measured.steps.done
            accumulated = prepared.arguments.training.gradient_accumulation_steps
            speed.append(speed_of(TRAINING, each.timed, tokens, batches_per_step=accumulated, steps=left))
    if PREDICTION in sizes:
        questions = prepared.sets.evaluate_joined
        assert questions is not None, "a prediction has questions"
        shapes, batches, count = _evaluation_batches(prepared)
        measure = partial(_predict, prepared, run, model, questions, batches)
        each = examine(PREDICTION, sizes[PREDICTION], bound, available, measure)
        examined.append(each)
        if each.timed is not None:
            orders = orders_of(questions.questions, run.option_orders)
            steps = -(-count * sum(orders) // len(orders) // processes)
            tokens = (padded(batches[0], shapes), padded(batches[1], shapes))
            speed.append(speed_of(PREDICTION, each.timed, tokens, batches_per_step=1, steps=steps))
    if run.settings.layout != prepared.run.settings.layout:
        note = f"layout {run.settings.layout}: the model does not take {prepared.run.settings.layout}"
        measured = replace(measured, notes=(*measured.notes, note))
    return replace(measured, memory=tuple(e.memory for e in examined), speed=tuple(speed), advice=_advice(examined))


def _advice(examined: list[Examined]) -> tuple[str, ...]:
    return tuple(f"{each.memory.purpose}: {line}" for each in examined for line in each.advice)


def _checkpoints(model: Any) -> bool:
    return any(getattr(module, "gradient_checkpointing", False) for module in model.modules())


def _shapes(prepared: Prepared, *, training: bool) -> list[tuple[int, int]]:
    questions = prepared.sets.train if training else prepared.sets.evaluate_joined
    assert questions is not None, "it is asked only where there are questions"
    return questions.shapes(prepared.run.settings.layout)


def _sizes(prepared: Prepared) -> dict[str, Size]:
    run, args = prepared.run, prepared.arguments.training
    more: dict[str, Any] = {"cutoff_len": prepared.reader.encoder.cutoff_len, "tokens_per_batch": run.tokens_per_batch}
    sizes = {}
    if prepared.sets.train is not None:
        rows, longest = largest_batch(prepared.sets.train, run, prepared.arguments)
        sizes[TRAINING] = Size(
            batch=None if run.tokens_per_batch else args.per_device_train_batch_size,
            accumulation=args.gradient_accumulation_steps,
            tokens=rows * longest,
            longest=longest,
            largest=largest_question(_shapes(prepared, training=True)) * run.objective.copies,
            checkpointing=not prepared.arguments.model.disable_gradient_checkpointing,
            training=True,
            **more,
        )
    if (run.predicting or run.evaluating) and prepared.sets.evaluate:
        shapes, (largest, _), _ = _evaluation_batches(prepared)
        sizes[PREDICTION] = Size(
            batch=None if run.tokens_per_batch else args.per_device_eval_batch_size,
            accumulation=1,
            tokens=padded(largest, shapes),
            longest=max(length for _, length in shapes),
            largest=largest_question(shapes),
            checkpointing=False,
            training=False,
            **more,
        )
    return sizes


def _training_batches(prepared: Prepared) -> tuple[list[int], list[int]]:
    """The rows of the longest batch that the training can draw, and of a typical one."""
    import torch

    train = prepared.sets.train
    assert train is not None, "batches are those of a training"
    args = _args(prepared)
    trainer = _trainer(prepared, prepared.run, torch.nn.Linear(1, 1), args, train_set=train)
    assert trainer.batches is not None, "it has a training set"
    shapes = _shapes(prepared, training=True)
    drawn = [[pick.row for pick in batch] for batch in trainer.batches]
    longest, typical = longest_and_typical(drawn, shapes)
    if prepared.run.tokens_per_batch is None:  # another epoch may draw all the longest questions together
        size = args.per_device_train_batch_size
        longest = sorted(range(len(shapes)), key=lambda row: shapes[row][1])[-size:]
    return longest, typical


def _evaluation_batches(
    prepared: Prepared,
) -> tuple[list[tuple[int, int]], tuple[list[int], list[int]], int]:
    """The shapes of the questions, the rows of the longest and of a typical batch, and how many batches there are."""
    shapes, args = _shapes(prepared, training=False), prepared.arguments.training
    budget = prepared.run.tokens_per_batch
    batches = by_length(shapes, batch_size=args.per_device_eval_batch_size, tokens_per_batch=budget)
    return shapes, longest_and_typical(batches, shapes), len(batches)


def _train(prepared: Prepared, run: McqRun, model: Any, batches: tuple[list[int], list[int]]) -> Timed:
    train = prepared.sets.train
    assert train is not None, "it is a training"
    longest, typical = batches
    fixed = [longest, longest, typical]
    trainer = _trainer(prepared, run, model, _probe_args(prepared), train_set=train, fixed=fixed)
    timed = timed_training(trainer, trainer.train)
    trainer.model.zero_grad(set_to_none=True)
    return timed


def _predict(
    prepared: Prepared, run: McqRun, model: Any, questions: QuestionSet, batches: tuple[list[int], list[int]]
) -> Timed:
    trainer = _trainer(prepared, run, model, _probe_args(prepared))
    longest, typical = (questions.subset(rows) for rows in batches)
    trainer.predict_options(typical.subset([0]), PREDICTION)  # warm up
    score = partial(trainer.predict_options, prefix=PREDICTION)
    return timed_prediction(model, partial(score, longest), partial(score, typical))
