"""The questions of an mcq run: read, split, encoded, with a word on what did not fit."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llmtuner.data.collect import collect, require_answers
from llmtuner.data.question import Question
from llmtuner.data.split import question_key, split_by_key
from llmtuner.data.tokens.fit import FitReport, listed
from llmtuner.data.tokens.form import Encoder
from llmtuner.data.tokens.option import OptionTokens
from llmtuner.errors import DataError, UserError
from llmtuner.mcq.questions import QuestionSet
from llmtuner.mcq.settings import McqSettings

logger = logging.getLogger("llmtuner.mcq")


@dataclass(frozen=True, slots=True)
class RunQuestions:
    """The questions of a run, not yet encoded; `evaluate` by data set."""

    train: list[Question]
    evaluate: dict[str, list[Question]]

    @property
    def everything(self) -> list[Question]:
        """All of them."""
        return [*self.train, *(question for part in self.evaluate.values() for question in part)]


def read_run_questions(data_args: Any, training_args: Any) -> RunQuestions:
    """The questions of --dataset and --eval_dataset, or of --val_size.

    Raises:
        UserError: upstream's ways of handing data over that do not fit questions.
        DataError: defects of the files, or missing answers.
    """
    _refuse_unusable(data_args)
    named = {
        flag: collect(_names(getattr(data_args, flag)), data_args.dataset_dir, max_samples=data_args.max_samples)
        for flag in ("dataset", "eval_dataset")
    }
    train = [question for part in named["dataset"].values() for question in part]
    evaluate = named["eval_dataset"]
    if data_args.val_size > 1e-6:
        keys = [question_key(question.question) for question in train]
        training, validation = split_by_key(keys, data_args.val_size, training_args.seed)
        train, evaluate = [train[row] for row in training], {"validation": [train[row] for row in validation]}
    if training_args.do_train:
        require_answers(train, "training needs")
        if training_args.eval_strategy != "no":
            for part in evaluate.values():
                require_answers(part, "evaluation during training needs")
    if training_args.do_eval and not training_args.do_train:
        for part in evaluate.values():
            require_answers(part, "--do_eval needs")
    return RunQuestions(train if training_args.do_train else [], evaluate)


def _refuse_unusable(data_args: Any) -> None:
    if data_args.streaming:
        raise UserError("--streaming does not go with questions, which are checked as a whole; leave the flag out")
    if data_args.tokenized_path:
        raise UserError("--tokenized_path does not go with --stage mcq, which keeps no cache; leave the flag out")
    if data_args.packing:
        raise UserError("--packing does not go with --stage mcq: shared_prefix packs the options of a question already")
    if data_args.mix_strategy != "concat":
        raise UserError(f"--mix_strategy {data_args.mix_strategy} does not go with --stage mcq; it takes concat")


def _names(value: Any) -> list[str]:
    words = value if isinstance(value, list) else (value or "").split(",")
    return [name.strip() for name in words if name.strip()]


def with_options_counted(settings: McqSettings, questions: Sequence[Question], *, new: bool) -> McqSettings:
    """A joint linear head scores one fixed number of options: take it from the questions, or check them against it.

    Args:
        new: whether the head is made for these questions.

    Raises:
        DataError: the questions have other numbers.
    """
    if settings.layout != "joint" or settings.head == "letter" or not questions:
        return settings
    wanted = len(questions[0].options) if new else settings.num_options
    for question in questions:
        if len(question.options) != wanted:
            first = f"{questions[0].where} has {wanted}" if new else f"this head was trained for {wanted}"
            raise DataError(
                f"{question.where}: id {question.id}: {len(question.options)} options, and {first}; a linear head on a "
                "joint prompt scores one fixed number: use --mcq_layout shared_prefix, or --mcq_head letter"
            )
    return settings.with_(num_options=wanted)


def encode_set(
    questions: Sequence[Question],
    name: str,
    encoder: Encoder,
    data_args: Any,
    *,
    training: bool,
    speaks: bool,
    shuffle_seed: int | None = None,
) -> QuestionSet:
    """Questions with tokens; those of a training that are too long stop it, or are left out by --mcq_drop_long.

    Args:
        name: of the data set, for what is said of it.

    Raises:
        DataError: questions are too long, or none is left.
    """
    encoded = QuestionSet(questions, encoder, shuffle_seed=shuffle_seed)
    report = FitReport(encoded.fits(), encoder.cutoff_len)
    if training and report.too_long:
        if not data_args.mcq_drop_long:
            raise DataError(report.refusal())
        dropped = {length.row for length in report.too_long}
        kept = [question for row, question in enumerate(questions) if row not in dropped]
        if not kept:
            raise DataError(f"--mcq_drop_long leaves no question of {len(questions)}; raise --cutoff_len")
        encoded = QuestionSet(kept, encoder, shuffle_seed=shuffle_seed)
    for line in (*report.lines(training=training), *_unread_options(encoded)) if speaks else ():
        logger.warning("%s: %s", name, line)
    return encoded


def _unread_options(encoded: QuestionSet) -> list[str]:
    """Options that are not blank and give no token all the same, such as signs that the tokenizer throws away."""
    found = [
        f"{question.where}: id {question.id}: option {question.letters[place]}"
        for question, tokens in zip(encoded.questions, encoded.tokens, strict=True)
        if isinstance(tokens, OptionTokens)
        for place, ((begin, end), text) in enumerate(zip(tokens.options, question.options, strict=True))
        if begin == end and text.strip()
    ]
    if not found:
        return []
    return [f"{len(found)} options give no tokens, so that the model sees nothing of them:", *listed(found)]
