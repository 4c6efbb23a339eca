"""Multiple-choice rows are tokenised field by field, before upstream's processors. Only their context is cut.

Upstream: `llamafactory.data.loader._get_preprocessed_dataset` (0.9.0 to 0.9.5). It turns "</s>" in a question into the
end token, and cuts a long prompt at its end, where the options and the template's closing tokens are.
Can go when upstream tokenises contents separately from templates and lets the data say what may be cut.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from llmtuner.data.collect import require_answers
from llmtuner.data.pauses import garbage_collection_paused
from llmtuner.data.question import Question
from llmtuner.data.tokens.coverage import SAMPLE, check_tokenizer
from llmtuner.data.tokens.fit import Length, settle_too_long
from llmtuner.data.tokens.joint import JointEncoder, JointTokens
from llmtuner.spec.flags import with_flags
from patches.dataset_files import COLUMN, NO_ANSWER, as_question, question_rows
from patches.seam import Seam

SEAM = Seam(
    "llamafactory.data.loader",
    "_get_preprocessed_dataset",
    ("dataset", "data_args", "training_args", "stage", "template", "tokenizer", "processor", "is_eval"),
)
TOKENS = "_mcq_tokens"  # JointTokens as a dictionary, read by the patch of the processor
_IDS = pa.list_(pa.int32())
_TOKENS = pa.struct(
    [
        ("prompt", _IDS),
        ("response", _IDS),
        ("letter_prefix", _IDS),
        ("letter_ids", _IDS),
        ("cut", pa.int64()),
        ("over", pa.int64()),
    ]
)
# Called with (for evaluation?, encoder, questions, their tokens) for each batch that is encoded.
Watcher = Callable[[bool, JointEncoder, list[Question], list[JointTokens]], None]
_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)
logger = logging.getLogger("llmtuner.data")


@contextmanager
def watched(watcher: Watcher) -> Iterator[None]:
    """Within the block, the watcher sees the questions that are encoded, with their tokens."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


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
            generates = is_eval and training_args.predict_with_generate
            if not generates:
                _require_answers(dataset)
            unread = check_tokenizer(tokenizer, _first_questions(dataset), allow=data_args.allow_unknown_tokens)
            if unread and training_args.should_log:
                logger.warning(with_flags("\n".join(unread)))
            encoder = JointEncoder(tokenizer, template, data_args.cutoff_len)
            dataset, lengths = _encode(dataset, encoder, data_args, is_eval=is_eval)
            more = {"training": not is_eval, "drop": data_args.mcq_drop_long, "num_rows": len(dataset)}
            settled = settle_too_long(lengths, data_args.cutoff_len, **more)
            if len(settled.rows) < len(dataset):
                dataset = dataset.select(settled.rows)
            if not generates:
                dataset = dataset.remove_columns(COLUMN)  # scoring alone reads the question again
            for line in settled.lines if training_args.should_log else ():
                logger.warning(with_flags(line))
        return original(dataset, data_args, training_args, stage, template, tokenizer, processor, is_eval)

    return _get_preprocessed_dataset


def _first_questions(dataset: Any) -> list[Question]:
    """The questions that the tokenizer is checked on; rows of other data sets are passed over."""
    first = islice((row for row in dataset.select_columns(COLUMN) if row[COLUMN] is not None), SAMPLE)
    return [as_question(row[COLUMN]) for row in first]


def _require_answers(dataset: Any) -> None:
    rows = question_rows(dataset)
    unanswered = rows.filter(pc.equal(pc.struct_field(rows, "answer"), NO_ANSWER)).to_pylist()
    require_answers([as_question(row) for row in unanswered], "training and the evaluation loss need")


def _encode(dataset: Any, encoder: JointEncoder, data_args: Any, *, is_eval: bool) -> tuple[Any, list[Length]]:
    """The data set with a column of tokens (null in rows of other data), and how each question met the limit."""
    from datasets import Dataset
    from datasets.utils import tqdm

    rows = question_rows(dataset)
    size = data_args.preprocessing_batch_size
    size = size if size and size > 0 else len(rows)  # upstream's 0 and -1: all at once
    batches, lengths = [], []
    with garbage_collection_paused():
        for begin in tqdm(range(0, len(rows), size), desc="Tokenising questions field by field", unit="batch"):
            numbered = [(begin + place, row) for place, row in enumerate(rows.slice(begin, size).to_pylist())]
            questions = {number: as_question(row) for number, row in numbered if row is not None}
            encoded = dict(zip(questions, encoder.encode([*questions.values()]), strict=True))
            watcher = _watcher.get()
            if watcher is not None:
                watcher(is_eval, encoder, [*questions.values()], [*encoded.values()])
            lengths += [
                Length(number, question.where, question.id, encoded[number].cut, encoded[number].over)
                for number, question in questions.items()
            ]
            columns = [_as_column(encoded[number]) if number in encoded else None for number, _ in numbered]
            batches.append(pa.array(columns, type=_TOKENS))
    table = dataset.with_format("arrow")[:].append_column(TOKENS, pa.chunked_array(batches, type=_TOKENS))
    # One chunk: `datasets` pickles a table batch by batch, and a slice of a column is pickled as the whole column.
    return Dataset(table.combine_chunks()), lengths


def _as_column(tokens: JointTokens) -> dict[str, Any]:
    return {name: getattr(tokens, name) for name in _TOKENS.names}
