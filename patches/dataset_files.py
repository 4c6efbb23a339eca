"""Multiple-choice files are read by our checked readers.

Upstream: `llamafactory.data.loader._load_single_dataset` (0.9.0 to 0.9.5) reads CSV through pandas, which turns the
option texts "None" and "NA" into missing values, 007 into 7 and 3.10 into 3.1, and shifts all columns if every row ends
in a comma.
Can go when upstream lets a data set bring its own reader.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from llmtuner.data.collect import questions_of
from llmtuner.data.pauses import garbage_collection_paused
from llmtuner.data.question import Question
from llmtuner.errors import UserError
from llmtuner.mcq.rerank import RERANKERS
from llmtuner.retrieval.in_run import with_contexts
from llmtuner.retrieval.settings import retrieve_of
from patches.seam import Seam

SEAM = Seam(
    "llamafactory.data.loader",
    "_load_single_dataset",
    ("dataset_attr", "model_args", "data_args", "training_args"),
)
NO_ANSWER = -1  # keeps one type for the answer column if answers are missing
COLUMN = "_mcq"  # holds the question itself, for the patches that split and encode
_MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
_QUESTION = pa.struct(
    [
        ("id", pa.string()),
        ("question", pa.string()),
        ("options", pa.list_(pa.string())),
        ("answer", pa.int64()),
        ("context", pa.string()),
        ("dataset", pa.string()),
        ("file", pa.string()),
        ("line", pa.int64()),
    ]
)
# The columns that upstream's processors expect, and our own.
ALIGNED = pa.schema(
    [
        ("_prompt", _MESSAGES),
        ("_response", _MESSAGES),
        ("_system", pa.string()),
        ("_tools", pa.string()),
        ("_images", pa.null()),
        ("_videos", pa.null()),
        ("_audios", pa.null()),
        (COLUMN, _QUESTION),
    ]
)


def apply() -> None:
    """Read the data sets with our mark; leave the rest to upstream."""
    SEAM.replace(_with_our_readers)


def as_columns(question: Question) -> dict[str, Any]:
    """Turn a question into a row of a `datasets.Dataset`."""
    return {
        "id": question.id,
        "question": question.question,
        "options": list(question.options),
        "answer": NO_ANSWER if question.answer is None else question.answer,
        "context": question.context,
        "dataset": question.dataset,
        "file": question.file,
        "line": question.line,
    }


def as_question(row: dict[str, Any]) -> Question:
    """Restore the question from such a row."""
    answer = None if row["answer"] == NO_ANSWER else row["answer"]
    return Question(**(row | {"options": tuple(row["options"]), "answer": answer}))


def question_rows(dataset: Any) -> pa.ChunkedArray:
    """The column of questions, in the order of the data set; null in rows of other data."""
    return dataset.select_columns(COLUMN).with_format("arrow")[:][COLUMN]


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
        from llamafactory.data.converter import get_dataset_converter

        # What upstream's align_dataset does, without a temporary data set: its map took a minute for 200,000 rows.
        convert = get_dataset_converter(dataset_attr.formatting, dataset_attr, data_args)
        questions = questions_of(source)[: data_args.max_samples]
        retrieve = retrieve_of(vars(data_args).get)
        if retrieve is not None:
            questions = with_contexts(questions, retrieve, RERANKERS, speaks=training_args.should_log)
        with garbage_collection_paused():
            rows = [convert(as_columns(question)) for question in questions]
            return Dataset(pa.Table.from_pylist(rows, schema=ALIGNED))

    return _load_single_dataset
