"""Multiple-choice files are read by our checked readers.

Upstream: `llamafactory.data.loader._load_single_dataset` (0.9.0 to 0.9.5) reads CSV through pandas, which turns the
option texts "None" and "NA" into missing values, 007 into 7 and 3.10 into 3.1, and shifts all columns if every row ends
in a comma.
Can go when upstream lets a data set bring its own reader.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from llmtuner.data.collect import questions_of
from llmtuner.data.question import Question
from llmtuner.errors import UserError
from patches.seam import Seam

SEAM = Seam(
    "llamafactory.data.loader",
    "_load_single_dataset",
    ("dataset_attr", "model_args", "data_args", "training_args"),
)
NO_ANSWER = -1  # keeps one type for the answer column if answers are missing


def apply() -> None:
    """Read the data sets with our mark; leave the rest to upstream."""
    SEAM.replace(_with_our_readers)


def as_columns(question: Question) -> dict[str, Any]:
    """Turn a question into a row of a `datasets.Dataset`."""
    row = asdict(question)
    return row | {
        "options": list(question.options),
        "answer": NO_ANSWER if question.answer is None else question.answer,
    }


def as_question(row: dict[str, Any]) -> Question:
    """Restore the question from such a row."""
    answer = None if row["answer"] == NO_ANSWER else row["answer"]
    return Question(**(row | {"options": tuple(row["options"]), "answer": answer}))


def _with_our_readers(original: Callable[..., Any]) -> Callable[..., Any]:
    def _load_single_dataset(dataset_attr: Any, model_args: Any, data_args: Any, training_args: Any) -> Any:
        source = getattr(dataset_attr, "mcq_source", None)
        if source is None:
            return original(dataset_attr, model_args, data_args, training_args)
        if data_args.streaming:
            raise UserError(
                f"--streaming does not go with the multiple-choice data set {source.name!r}: its files are checked "
                "as a whole before the run; leave the flag out"
            )
        from datasets import Dataset
        from llamafactory.data.converter import align_dataset

        dataset = Dataset.from_list([as_columns(question) for question in questions_of(source)])
        if data_args.max_samples is not None:
            dataset = dataset.select(range(min(data_args.max_samples, len(dataset))))
        return align_dataset(dataset, dataset_attr, data_args, training_args)

    return _load_single_dataset
