"""`--val_size` splits multiple-choice data by question.

Upstream: the name `split_dataset` in `llamafactory.data.loader` (0.9.2 to 0.9.5) splits by row. The Kaggle sources
repeat questions, so the same question lands on both sides, and this leak makes the validation score too high.
Can go when upstream splits by a group column.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow.compute as pc

from llmtuner.data.split import NO_SPLIT, question_key, split_by_key
from patches.dataset_files import COLUMN, question_rows
from patches.seam import Seam

SEAM = Seam("llamafactory.data.loader", "split_dataset", ("dataset", "eval_dataset", "data_args", "seed"))


def apply() -> None:
    """Split by question if the data has questions."""
    SEAM.replace(_by_question)


def _by_question(original: Callable[..., Any]) -> Callable[..., Any]:
    def split_dataset(dataset: Any, eval_dataset: Any, data_args: Any, seed: int) -> tuple[dict, dict]:
        splits_rows = dataset is not None and eval_dataset is None and data_args.val_size > NO_SPLIT
        if not splits_rows or data_args.streaming or COLUMN not in dataset.column_names:
            return original(dataset, eval_dataset, data_args, seed)
        # Each row mixed in from another data set gets a key that no question can have.
        texts = pc.struct_field(question_rows(dataset), "question").to_pylist()
        keys = [f"\0{row}" if text is None else question_key(text) for row, text in enumerate(texts)]
        training, validation = split_by_key(keys, data_args.val_size, seed)
        return {"train": dataset.select(training)}, {"validation": dataset.select(validation)}

    return split_dataset
