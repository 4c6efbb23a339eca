"""Tokens that the model has no embeddings or positions for are noticed before the model is loaded, in stage sft.

Upstream: the name `get_dataset` in `llamafactory.train.sft.workflow` (0.8.0 to 0.9.5), called with the template's
tokens already added to the tokenizer, and before the model is loaded. A template of another model (llama3 on Llama-2)
otherwise ends in "index out of range in self", on a GPU in an assertion of a kernel.
Can go when upstream compares its templates with the model's embeddings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from llmtuner.errors import DataError
from llmtuner.mcq.kinds import has_last_position
from llmtuner.mcq.model import check_vocabulary, positions_of, require_language_model
from patches.sft_data import SEAM, DataCall, Load

_ROWS = 10_000  # of a data set that are looked at together


def apply() -> None:
    """Compare the tokens of the data with the model's embeddings and positions."""
    SEAM.around(_check)


def _check(call: DataCall, load: Load) -> Any:
    from llamafactory.model.loader import load_config

    config = load_config(call.model_args)
    require_language_model(config)
    module = load()
    extents = [extent(dataset) for dataset in _data_sets(module)]
    if not call.model_args.resize_vocab:  # otherwise the embeddings grow with the tokenizer
        check_vocabulary(config, max((each.largest for each in extents), default=-1), call.data_args.template)
    longest = max((each.longest for each in extents), default=0)
    if not call.data_args.packing and has_last_position(config) and longest > positions_of(config):
        raise DataError(
            f"the options of a question are longer than the model: {longest} tokens without its question text, and "
            f"positions for {positions_of(config)}; shorten them, or use a model that reads more"
        )
    return module


def _data_sets(module: Mapping[str, Any]) -> Iterator[Any]:
    for part in module.values():
        yield from part.values() if isinstance(part, dict) else [part]


@dataclass(frozen=True, slots=True)
class Extent:
    """The largest token id of a data set, and the tokens of its longest row."""

    largest: int = -1
    longest: int = 0


def extent(dataset: Any) -> Extent:
    """The extent of a data set; an empty one if it is read while training."""
    import pyarrow.compute as compute

    if not hasattr(dataset, "num_rows") or "input_ids" not in (dataset.column_names or ()):
        return Extent()
    largest, longest = -1, 0
    for batch in dataset.select_columns("input_ids").with_format("arrow").iter(_ROWS):
        rows = batch["input_ids"].combine_chunks()
        largest = max(largest, compute.max(rows.flatten()).as_py() or 0)
        longest = max(longest, compute.max(compute.list_value_length(rows)).as_py() or 0)
    return Extent(largest, longest)
