"""The names of a model's weights in its checkpoints.

Transformers saves a model under the names of the files that it was loaded from, and loads those names with
`from_pretrained` alone. A Trainer loads checkpoints by the names in memory: BERT's LayerNorms, `gamma` and `beta` in
files, stayed those of the base model in every training that was resumed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llmtuner.errors import RunError

_CONVERSIONS = "_weight_conversions"  # of a transformers model: from the names of its files to those in memory
_LISTED = 3


@contextmanager
def names_in_memory(model: Any) -> Iterator[None]:
    """Save a model under the names that it has in memory; `from_pretrained` loads those, too."""
    stored = vars(model).get(_CONVERSIONS)
    setattr(model, _CONVERSIONS, [])
    try:
        yield
    finally:
        if stored is None:
            delattr(model, _CONVERSIONS)
        else:
            setattr(model, _CONVERSIONS, stored)


def require_all_loaded(model: Any, loaded: Any) -> None:
    """Check what `load_state_dict` says of a checkpoint.

    Args:
        loaded: has `missing_keys` and `unexpected_keys`. A weight that is tied to one that was loaded is not missing.

    Raises:
        RunError: a weight of the model was not in the checkpoint, or the other way round.
    """
    missing = set(loaded.missing_keys)
    if missing:
        places = {name: tensor.data_ptr() for name, tensor in model.state_dict(keep_vars=True).items()}
        filled = {place for name, place in places.items() if name not in missing}
        missing = {name for name in missing if places.get(name) not in filled}
    for names, defect in ((missing, "lacks"), (set(loaded.unexpected_keys), "has other weights:")):
        if names:
            more = f" and {len(names) - _LISTED:,} more" if len(names) > _LISTED else ""
            raise RunError(
                f"the checkpoint {defect} {', '.join(sorted(names)[:_LISTED])}{more}, so the training cannot go on "
                "from it; start again with --overwrite_output_dir"
            )
