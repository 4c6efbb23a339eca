"""The questions of a run: read, split and encoded, with a report of those that did not fit."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import islice

from llmtuner.data.collect import collect, require_answers, split_questions
from llmtuner.data.question import Question
from llmtuner.data.split import NO_SPLIT
from llmtuner.data.tokens.coverage import check_tokenizer
from llmtuner.data.tokens.encoder import PromptEncoder
from llmtuner.mcq.questions import QuestionSet
from llmtuner.mcq.rerank import RERANKERS
from llmtuner.mcq.run import McqRun, RunData
from llmtuner.retrieval.in_run import with_contexts
from llmtuner.retrieval.settings import Retrieve
from llmtuner.spec.flags import with_flags

logger = logging.getLogger("llmtuner.mcq")


@dataclass(frozen=True, slots=True)
class RunQuestions:
    """The questions of a run, not yet encoded; `evaluate` maps data set names to questions."""

    train: list[Question]
    evaluate: dict[str, list[Question]]

    @property
    def everything(self) -> list[Question]:
        """All questions."""
        return [*self.train, *(question for part in self.evaluate.values() for question in part)]


@dataclass(frozen=True, slots=True)
class RunSets:
    """The questions of a run with their tokens; `evaluate` maps data set names to questions."""

    train: QuestionSet | None
    evaluate: dict[str, QuestionSet]

    @property
    def first(self) -> QuestionSet:
        """The training set, or else the first evaluation set."""
        return self.train or next(iter(self.evaluate.values()))

    @property
    def evaluate_joined(self) -> QuestionSet | None:
        """All evaluation sets as one, in order, without encoding them again."""
        if not self.evaluate:
            return None
        first, *rest = self.evaluate.values()
        return first.joined(rest)


def read_run_questions(run: McqRun, *, seed: int, evaluates_in_training: bool, speaks: bool) -> RunQuestions:
    """Read the questions to train on, and those to evaluate: given, or held out of the training questions.

    Args:
        seed: the seed of the split.
        speaks: whether this process reports what was retrieved.

    Raises:
        DataError: the files have defects, or answers are missing.
        UserError: the index of --retrieve cannot be used.
    """
    data = run.data
    parts, evaluate = (
        collect(names, data.dataset_dir, max_samples=data.max_samples) for names in (data.train, data.evaluate)
    )
    if data.retrieve is not None:
        parts, evaluate = _with_contexts([parts, evaluate], data.retrieve, speaks=speaks)
    train = [question for part in parts.values() for question in part]
    if data.val_size > NO_SPLIT:
        train, validation = split_questions(train, data.val_size, seed)
        evaluate = {"validation": validation}
    if run.training:
        require_answers(train, "training needs")
    for part in evaluate.values():
        if run.training and evaluates_in_training:
            require_answers(part, "evaluation during training needs")
        elif run.evaluating and not run.training:
            require_answers(part, "--do_eval needs")
    return RunQuestions(train if run.training else [], evaluate)


def _with_contexts(
    sets: list[dict[str, list[Question]]], settings: Retrieve, *, speaks: bool
) -> list[dict[str, list[Question]]]:
    """All sets with their contexts; the index is opened once."""
    everything = [question for parts in sets for questions in parts.values() for question in questions]
    filled = iter(with_contexts(everything, settings, RERANKERS, speaks=speaks))
    return [{name: list(islice(filled, len(questions))) for name, questions in parts.items()} for parts in sets]


def encode(questions: RunQuestions, encoder: PromptEncoder, data: RunData, *, seed: int, speaks: bool) -> RunSets:
    """The questions with their tokens.

    Args:
        seed: the seed for permuting options.
        speaks: whether this process reports the questions that did not fit.

    Raises:
        DataError: the tokenizer cannot read them, training questions are too long, or none is left.
    """
    for name, part in {"training": questions.train, **questions.evaluate}.items():
        lines = check_tokenizer(encoder.tokenizer, part, allow=data.allow_unknown_tokens)
        if lines and speaks:
            logger.warning("%s: %s", name, with_flags("\n".join(lines)))
    train = None
    if questions.train:
        shuffled = QuestionSet(questions.train, encoder, shuffle_seed=seed if data.shuffle_options else None)
        train = fitted(shuffled, "training", encoder.cutoff_len, training=True, drop=data.drop_long, speaks=speaks)
    evaluate = {
        name: fitted(QuestionSet(part, encoder), name, encoder.cutoff_len, training=False, drop=False, speaks=speaks)
        for name, part in questions.evaluate.items()
    }
    return RunSets(train, evaluate)


def fitted(
    questions: QuestionSet, name: str, cutoff_len: int, *, training: bool, drop: bool, speaks: bool
) -> QuestionSet:
    """The questions that a run uses, and a warning about those that do not fit.

    Args:
        name: the name of the set, for the warning.
        drop: the value of --mcq_drop_long.

    Raises:
        DataError: training questions are too long, or none is left.
    """
    questions, lines = questions.fitted(cutoff_len, training=training, drop=drop)
    for line in lines if speaks else ():
        logger.warning("%s: %s", name, with_flags(line))
    return questions
