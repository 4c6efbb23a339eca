"""Rows of a training of joint prompts, computed for a whole batch in Arrow instead of token by token."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa


def training_rows(
    prompts: pa.Array, responses: pa.Array, *, ignored: int, train_on_prompt: bool
) -> dict[str, pa.Array]:
    """The columns `input_ids`, `attention_mask` and `labels` of prompts, each followed by its response.

    Args:
        prompts, responses: list<int32>, one list a row, none of them null.
        ignored: the label of a prompt's tokens.
        train_on_prompt: the prompt's tokens are labels, too.

    Returns:
        The columns in the types that `datasets` chooses for lists of these names.
    """
    import pyarrow as pa

    # Legend: R rows, T tokens of all rows together.
    prompt_lengths_R, lengths_R = _lengths(prompts), _lengths(prompts) + _lengths(responses)
    ends_R = np.cumsum(lengths_R)
    place_T = np.arange(ends_R[-1] if len(ends_R) else 0) - np.repeat(ends_R - lengths_R, lengths_R)
    of_prompt_T = place_T < np.repeat(prompt_lengths_R, lengths_R)
    ids_T = np.empty(len(place_T), dtype=np.int32)
    ids_T[of_prompt_T], ids_T[~of_prompt_T] = _values(prompts), _values(responses)
    labels_T = ids_T.astype(np.int64)
    if not train_on_prompt:
        labels_T[of_prompt_T] = ignored
    offsets = pa.array(np.concatenate([[0], ends_R]), type=pa.int32())
    columns = {"input_ids": ids_T, "attention_mask": np.ones(len(ids_T), dtype=np.int8), "labels": labels_T}
    return {name: pa.ListArray.from_arrays(offsets, pa.array(values_T)) for name, values_T in columns.items()}


def _lengths(lists: pa.Array) -> np.ndarray:
    import pyarrow.compute as pc

    return pc.list_value_length(lists).to_numpy(zero_copy_only=False).astype(np.int64)


def _values(lists: pa.Array) -> np.ndarray:
    return lists.flatten().to_numpy(zero_copy_only=False)
