"""Scores many questions: batches by length, over several processes, results in the order of the input."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch

from llmtuner.data.duplicates import question_digest
from llmtuner.data.predictions import Prediction
from llmtuner.data.question import Question
from llmtuner.data.tokens.option import OptionTokens
from llmtuner.errors import RunError
from llmtuner.mcq.bad_weights import refuse_bad_weights
from llmtuner.mcq.batches import by_length
from llmtuner.mcq.collate import Batch, Collator
from llmtuner.mcq.compare import is_about_memory, is_ours
from llmtuner.mcq.device import device_of, to_device
from llmtuner.mcq.orders import InOrders
from llmtuner.mcq.outputs import Scores
from llmtuner.mcq.questions import QuestionSet
from llmtuner.mcq.shot_states import (
    Obstacle,
    ShotStates,
    agree,
    behind_shots,
    obstacle_of,
    prepare_attention,
    shots_of,
)
from llmtuner.metrics import figures, interval_figures
from llmtuner.spec.norms import NORMS

OptionScores = tuple[float, ...]
UNSCORED = -math.inf  # an option that cannot be scored: it ranks last
NOT_READ = ("labels", "rows", "targets", "weights")  # keys of a batch that the model does not read


@dataclass(frozen=True)
class Scoring:
    """How questions are scored.

    Args:
        collator: makes batches of the model's layout.
        batch_size: questions per forward pass.
        tokens_per_batch: padded tokens per forward pass, instead of the batch size.
        rank, world: this process and how many share the work.
        gather: joins the lists of all processes.
        precision: the context of a forward pass (autocast).
        forward: called with the model and a batch's inputs for its scores.
        progress: called after each batch with its number of questions, each order of one counted by itself.
        orders: cyclic orders of the options that joint prompts are scored in, at most; each is a question of a batch.
        reuse_shots: whether the states of shots may be computed once; not for weights that are split over processes.
        notice: called with lines for the user.
    """

    collator: Collator
    batch_size: int = 8
    tokens_per_batch: int | None = None
    rank: int = 0
    world: int = 1
    gather: Callable[[list[Any]], list[Any]] = list
    precision: Callable[[], AbstractContextManager[Any]] = nullcontext
    forward: Callable[[Any, Batch], Scores] = lambda model, inputs: model(**inputs)
    progress: Callable[[int], None] = lambda _: None
    orders: int = 1
    reuse_shots: bool = True
    notice: Callable[[str], None] = lambda _: None


@dataclass(frozen=True, slots=True)
class Scored:
    """The scores of a question's options; `sums`, the log-probabilities of their texts, from the likelihood head only.

    Both are `UNSCORED` for an option that cannot be scored.
    """

    scores: OptionScores
    sums: OptionScores | None = None


def predict_questions(model: torch.nn.Module, questions: QuestionSet, scoring: Scoring) -> list[Prediction]:
    """The predictions of questions, in their order.

    Raises:
        RunError: a score is not finite.
        UserError: so are weights, as they were loaded.
    """
    scored = _scored(model, questions, scoring)
    predictions = as_predictions(questions.questions, [row.scores for row in scored])
    rows = zip(predictions, questions.tokens, scored, strict=True)
    return [
        replace(prediction, loglikelihood=row.sums, option_tokens=_option_tokens(tokens))
        if row.sums is not None and isinstance(tokens, OptionTokens)
        else prediction
        for prediction, tokens, row in rows
    ]


def _option_tokens(tokens: OptionTokens) -> tuple[int, ...]:
    return tuple(end - begin for begin, end in map(tokens.scored, range(tokens.count)))


def score_questions(model: torch.nn.Module, questions: QuestionSet, scoring: Scoring) -> list[OptionScores]:
    """Scores of every question's options before the softmax, in the order of the questions.

    In several orders of the options: the logarithms of the averaged probabilities.

    Batch size and the other questions of a batch change no score beyond rounding.

    Args:
        model: with a head attached (`llmtuner.mcq.model.attach_head`); it is set to eval mode and back.

    Raises:
        RunError: a score is not finite.
        UserError: so are weights, as they were loaded.
    """
    return [row.scores for row in _scored(model, questions, scoring)]


def _scored(model: torch.nn.Module, questions: QuestionSet, scoring: Scoring) -> list[Scored]:
    if scoring.orders > 1:
        several = InOrders(questions, scoring.orders)
        return [Scored(scores) for scores in several.averaged([row.scores for row in _pass(model, several, scoring)])]
    norm = scoring.collator.norm
    scored = _pass(model, questions, scoring)
    if norm is None or not NORMS[norm].neutral:
        return scored
    neutral = _pass(model, questions.neutral(), replace(scoring, progress=lambda _: None))
    return [replace(row, scores=_minus(row.scores, base.scores)) for row, base in zip(scored, neutral, strict=True)]


def _minus(scores: OptionScores, neutral: OptionScores) -> OptionScores:
    return tuple(UNSCORED if score == UNSCORED else score - base for score, base in zip(scores, neutral, strict=True))


@torch.inference_mode()
def _pass(model: torch.nn.Module, questions: QuestionSet, scoring: Scoring) -> list[Scored]:
    """Score every question once."""
    shapes = questions.shapes(scoring.collator.layout)
    batches = by_length(shapes, batch_size=scoring.batch_size, tokens_per_batch=scoring.tokens_per_batch)
    was_training = model.training
    model.eval()
    scored: list[tuple[int, Scored]] = []
    try:
        states = _states_of_shots(model, questions, scoring)
        # All processes make the same number of passes, since a sharded model needs all of them in each pass.
        for place in range(scoring.rank, -(-len(batches) // scoring.world) * scoring.world, scoring.world):
            rows = batches[place] if place < len(batches) else batches[0]
            scored += _score_rows(model, questions, rows, scoring, states)
            scoring.progress(len(rows) if place < len(batches) else 0)
    except RunError:
        refuse_bad_weights(model, trained=was_training)
        raise
    finally:
        model.train(was_training)
    scores = dict(scoring.gather(scored))
    return [scores[row] for row in range(len(questions))]


def _states_of_shots(model: torch.nn.Module, questions: QuestionSet, scoring: Scoring) -> ShotStates | None:
    """The states of the shots in front of the questions; None if they have none, or cannot be used again.

    The first question is scored with and without them, and the scores are compared.
    """
    ids = shots_of(questions.tokens)
    if not ids:
        return None
    obstacle = obstacle_of(model, scoring.collator)
    if not scoring.reuse_shots:
        obstacle = Obstacle("the model's weights are split over processes")
    if obstacle is None:
        states, obstacle = _tried(model, questions, ids, scoring)
        if obstacle is None:
            return states
    scoring.notice(str(obstacle))
    return None


def _tried(
    model: torch.nn.Module, questions: QuestionSet, ids: list[int], scoring: Scoring
) -> tuple[ShotStates | None, Obstacle | None]:
    """The states of tokens, or why the model does not take them."""
    prepare_attention(model)
    try:
        with scoring.precision():
            states = ShotStates.record(model, ids)
        if not states.usable:
            return None, Obstacle("its keys and values are not stored token by token")
        if not states.precede(questions.tokens[0]):
            return None, Obstacle("nothing stands between them and the options")
        [(_, cached)] = _score_batch(model, questions, [0], scoring, states)
    except (RuntimeError, ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        if is_ours(error) or is_about_memory(error):
            raise
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        return None, Obstacle(f"the model refuses them ({first_line[:200]})")
    [(_, again)] = _score_batch(model, questions, [0], scoring)
    if not agree(cached.scores, again.scores, next(model.parameters()).dtype):
        return None, Obstacle("the scores of the first question would be others")
    return states, None


def _score_rows(
    model: torch.nn.Module, questions: QuestionSet, rows: Sequence[int], scoring: Scoring, states: ShotStates | None
) -> list[tuple[int, Scored]]:
    """The scores of a batch; questions with other shots are scored apart."""
    behind = [row for row in rows if states is not None and states.precede(questions.tokens[row])]
    others = [row for row in rows if row not in behind]
    scored = _score_batch(model, questions, behind, scoring, states) if behind else []
    return scored + (_score_batch(model, questions, others, scoring) if others else [])


def _score_batch(
    model: torch.nn.Module,
    questions: QuestionSet,
    rows: Sequence[int],
    scoring: Scoring,
    states: ShotStates | None = None,
) -> list[tuple[int, Scored]]:
    examples = [questions[row] for row in rows]
    collated = scoring.collator(examples) if states is None else behind_shots(scoring.collator, examples, states)
    batch = to_device(collated, device_of(model))
    with scoring.precision():
        output = scoring.forward(model, {name: batch[name] for name in batch if name not in NOT_READ})
    scored = []
    exists_QN, mask_QN = batch["mask"].cpu(), output["mask"].cpu()
    numbers = [output[name].float().cpu() for name in ("scores", "sums") if output.get(name) is not None]
    for place, (row, exists_N, mask_N) in enumerate(zip(rows, exists_QN, mask_QN, strict=True)):
        values = []
        for number_QN in numbers:
            number_N = number_QN[place]
            if not torch.isfinite(number_N[mask_N]).all():
                question, found = questions.questions[row], tuple(number_N[mask_N].tolist())
                raise RunError(f"{question.where}: id {question.shown_id}: the scores are not finite: {found}")
            values.append(tuple(number_N.where(mask_N, torch.tensor(UNSCORED))[exists_N].tolist()))
        scored.append((row, Scored(*values)))
    return scored


def as_predictions(questions: Sequence[Question], scores: Sequence[OptionScores]) -> list[Prediction]:
    """Scores with the other fields of predictions.jsonl."""
    pairs = zip(questions, scores, strict=True)
    return [Prediction(q.id, s, q.answer, q.dataset, digest=question_digest(q)) for q, s in pairs]


def figures_of(predictions: Sequence[Prediction]) -> dict[str, float]:
    """Every metric over the questions that have an answer; {} if none has.

    A metric that is infinite, because no right option can be scored, is left out.
    """
    scores, answers = _known(predictions)
    if not answers:
        return {}
    return {name: value for name, value in figures(scores, answers).items() if math.isfinite(value)}


def interval_of(predictions: Sequence[Prediction], prefix: str) -> dict[str, float]:
    """The interval of MAP@3 by its keys in predict_results.json; {} if no question has an answer."""
    scores, answers = _known(predictions)
    return interval_figures(prefix, scores, answers) if answers else {}


def _known(predictions: Sequence[Prediction]) -> tuple[list[OptionScores], list[int]]:
    """The scores and answers of the questions that have an answer."""
    known = [(prediction.scores, prediction.answer) for prediction in predictions if prediction.answer is not None]
    return [scores for scores, _ in known], [answer for _, answer in known]
