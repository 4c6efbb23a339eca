"""Multiple-choice rows are tokenised field by field, before upstream's processors. Only their context is cut.

Upstream: `llamafactory.data.loader._get_preprocessed_dataset` (0.9.0 to 0.9.5). It turns "</s>" in a question into the
end token, and cuts a long prompt at its end, where the options and the template's closing tokens are.
Can go when upstream tokenises contents separately from templates and lets the data say what may be cut.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict
from itertools import islice
from typing import Any

from llmtuner.data.collect import require_answers
from llmtuner.data.question import Question
from llmtuner.data.tokens.coverage import SAMPLE, check_tokenizer
from llmtuner.data.tokens.fit import Length, settle_too_long
from llmtuner.data.tokens.joint import JointEncoder
from llmtuner.spec.flags import with_flags
from patches.dataset_converter import COLUMN
from patches.dataset_files import as_question
from patches.seam import Seam

SEAM = Seam(
    "llamafactory.data.loader",
    "_get_preprocessed_dataset",
    ("dataset", "data_args", "training_args", "stage", "template", "tokenizer", "processor", "is_eval"),
)
TOKENS = "_mcq_tokens"  # JointTokens as a dictionary, read by the patch of the processor
FIT = "_mcq_fit"  # how each question met the limit; in a separate column, because reading the tokens again is slow
logger = logging.getLogger("llmtuner.data")


def apply() -> None:
    """Add the tokens, report what was cut, and call upstream."""
    SEAM.replace(_with_our_tokens)


def _with_our_tokens(original: Callable[..., Any]) -> Callable[..., Any]:
    def _get_preprocessed_dataset(
        dataset: Any,
        data_args: Any,
        training_args: Any,
        stage: str,
        template: Any,
        tokenizer: Any,
        processor: Any = None,
        is_eval: bool = False,
    ) -> Any:
        if dataset is not None and stage == "sft" and COLUMN in (dataset.column_names or []):
            needs_answers = not (is_eval and training_args.predict_with_generate)
            if needs_answers:
                _require_answers(dataset)
            unread = check_tokenizer(tokenizer, _first_questions(dataset), allow=data_args.allow_unknown_tokens)
            if unread and training_args.should_log:
                logger.warning(with_flags("\n".join(unread)))
            dataset = _encode(dataset, JointEncoder(tokenizer, template, data_args.cutoff_len), data_args)
            more = {"training": not is_eval, "drop": data_args.mcq_drop_long, "num_rows": len(dataset)}
            settled = settle_too_long(_lengths(dataset), data_args.cutoff_len, **more)
            if len(settled.rows) < len(dataset):
                dataset = dataset.select(settled.rows)
            for line in settled.lines if training_args.should_log else ():
                logger.warning(with_flags(line))
        return original(dataset, data_args, training_args, stage, template, tokenizer, processor, is_eval)

    return _get_preprocessed_dataset


def _first_questions(dataset: Any) -> list[Question]:
    """The questions that the tokenizer is checked on; rows of other data sets are passed over."""
    first = islice((row for row in dataset.select_columns(COLUMN) if row[COLUMN] is not None), SAMPLE)
    return [as_question(row[COLUMN]) for row in first]


def _require_answers(dataset: Any) -> None:
    questions = [as_question(row) for row in dataset[COLUMN] if row is not None]
    require_answers(questions, "training and the evaluation loss need")


def _encode(dataset: Any, encoder: JointEncoder, data_args: Any) -> Any:
    def encode_batch(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        rows = [row for row in batch[COLUMN] if row is not None]
        questions = [as_question(row) for row in rows]
        encoded = encoder.encode(questions)
        fits = [
            {"where": question.where, "id": question.id, "cut": tokens.cut, "over": tokens.over}
            for question, tokens in zip(questions, encoded, strict=True)
        ]
        pairs = iter(zip(map(asdict, encoded), fits, strict=True))
        columns = [(None, None) if row is None else next(pairs) for row in batch[COLUMN]]
        return {TOKENS: [tokens for tokens, _ in columns], FIT: [fit for _, fit in columns]}

    return dataset.map(
        encode_batch,
        batched=True,
        batch_size=data_args.preprocessing_batch_size,
        num_proc=data_args.preprocessing_num_workers,
        load_from_cache_file=False,  # a fingerprint of the template's internal state is unreliable
        desc="Tokenising questions field by field",
    )


def _lengths(dataset: Any) -> list[Length]:
    return [Length(row=row, **fit) for row, fit in enumerate(dataset[FIT]) if fit is not None]
