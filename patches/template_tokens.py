"""Tokens that the model has no embeddings for are noticed before the model is loaded, in stage sft.

Upstream: the name `get_dataset` in `llamafactory.train.sft.workflow` (0.8.0 to 0.9.5), called with the template's
tokens already added to the tokenizer, and before the model is loaded. A template of another model (llama3 on Llama-2)
otherwise ends in "index out of range in self", on a GPU in an assertion of a kernel.
Can go when upstream compares its templates with the model's embeddings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from llmtuner.mcq.model import check_vocabulary
from patches.seam import Seam

SEAM = Seam(
    "llamafactory.train.sft.workflow",
    "get_dataset",
    ("template", "model_args", "data_args", "training_args", "stage", "tokenizer", "processor"),
)
_ROWS = 10_000  # of a data set that are looked at together


def apply() -> None:
    """Compare the largest token of the data with the model's embeddings."""
    SEAM.replace(_with_check)


def _with_check(original: Callable[..., Any]) -> Callable[..., Any]:
    def get_dataset(
        template: Any,
        model_args: Any,
        data_args: Any,
        training_args: Any,
        stage: str,
        tokenizer: Any,
        processor: Any = None,
    ) -> Any:
        module = original(template, model_args, data_args, training_args, stage, tokenizer, processor)
        if not model_args.resize_vocab:  # otherwise the embeddings grow with the tokenizer
            from llamafactory.model.loader import load_config

            config, largest = load_config(model_args), max(map(_largest_token, _data_sets(module)), default=-1)
            check_vocabulary(config, largest, data_args.template)
        return module

    return get_dataset


def _data_sets(module: Mapping[str, Any]) -> Iterator[Any]:
    for part in module.values():
        yield from part.values() if isinstance(part, dict) else [part]


def _largest_token(dataset: Any) -> int:
    """The largest token id of a data set; -1 if it is read while training."""
    import pyarrow.compute as compute

    if not hasattr(dataset, "with_format") or "input_ids" not in (dataset.column_names or ()):
        return -1
    largest = -1
    for batch in dataset.select_columns("input_ids").with_format("arrow").iter(_ROWS):
        ids = batch["input_ids"].combine_chunks().flatten()
        largest = max(largest, compute.max(ids).as_py() or -1)
    return largest
