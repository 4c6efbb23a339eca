"""`--tokenized_path` is taken only for the data, tokenizer and flags that it was made with.

Upstream: the name `get_dataset` in `llamafactory.train.sft.workflow` (0.9.2 to 0.9.5). It loads a folder of tokenised
data whatever it was made of ("will ignore other data arguments"), so other data trained on the old rows in silence.
Can go when upstream compares.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Any

from llmtuner.data.digest import data_digest
from llmtuner.data.tokenized import (
    check_is_tokenized,
    damage,
    differences,
    mark_unfinished,
    remove_tokenized,
    remove_unfinished,
    tokenizer_digest,
    write_origin,
)
from llmtuner.errors import UserError
from llmtuner.mcq.rerank import RERANKERS
from llmtuner.retrieval.check import checked
from llmtuner.retrieval.settings import retrieve_of
from patches.sft_data import SEAM, DataCall, Load

# What the rows depend on, besides the content of the data and the tokenizer.
_OF_DATA = (
    "template",
    "cutoff_len",
    "max_samples",
    "val_size",
    "eval_on_each_dataset",
    "train_on_prompt",
    "mask_history",
    "packing",
    "neat_packing",
    "mix_strategy",
    "interleave_probs",
    "tool_format",
    "default_system",
    "enable_thinking",
    "preserve_thinking",
    "mcq_drop_long",
)
_OF_MODEL = ("add_tokens", "add_special_tokens", "new_special_tokens_config")
_OF_TRAINING = ("predict_with_generate", "seed")
logger = logging.getLogger("llmtuner.data")


def apply() -> None:
    """Compare before upstream loads, and record what new tokenised data is made of."""
    SEAM.around(_load_own)


def _load_own(call: DataCall, load: Load) -> Any:
    from llamafactory.extras.misc import has_tokenized_data

    folder = call.data_args.tokenized_path
    if folder is None:
        return load()
    origin = origin_of(call.model_args, call.data_args, call.training_args)
    with call.training_args.main_process_first(desc="check tokenised data", local=True):
        exists = has_tokenized_data(folder)
        if exists and remove_unfinished(folder):
            logger.warning("--tokenized_path %s: a run was killed while it wrote it; it is made anew", folder)
            exists = False
        if exists:
            exists = _usable(folder, origin, overwrite=call.data_args.overwrite_cache)
        elif os.path.exists(folder) and not os.path.isdir(folder):
            raise UserError(f"--tokenized_path {folder}: a file; name a folder")
        if not exists and call.training_args.should_save:
            mark_unfinished(folder)
    try:
        dataset = load()
    except BaseException:
        if not exists and call.training_args.should_save:  # what was written has no record, and is made anew
            remove_unfinished(folder)
        raise
    if not has_tokenized_data(folder):
        remove_unfinished(folder)  # nothing was written
    if not exists and call.training_args.should_save:
        write_origin(folder, origin)
    return dataset


def origin_of(model_args: Any, data_args: Any, training_args: Any) -> dict[str, Any]:
    """What the tokenised rows of a run are made of, by the name of the flag."""
    origin: dict[str, Any] = {
        "dataset": _data(data_args.dataset, data_args.dataset_dir),
        "eval_dataset": _data(data_args.eval_dataset, data_args.dataset_dir),
        "tokenizer": tokenizer_digest(model_args.model_name_or_path),
    }
    settings = retrieve_of(vars(data_args).get)
    if settings is None:
        origin["retrieve"] = None
    else:
        settings = checked(settings, RERANKERS)
        origin["retrieve"] = {**settings.content, "replace": settings.replace}
    for arguments, names in ((data_args, _OF_DATA), (model_args, _OF_MODEL), (training_args, _OF_TRAINING)):
        origin |= {name: getattr(arguments, name) for name in names}
    return origin


def _data(names: Sequence[str] | None, dataset_dir: str) -> Any:
    """The digest of the data; its names if it is on a hub."""
    if not names:
        return None
    digest = data_digest(names, dataset_dir)
    return list(names) if digest is None else digest[0]


def _usable(folder: str, origin: dict[str, Any], *, overwrite: bool) -> bool:
    """Whether a folder's data is that of the run; with `overwrite`, data that is not is deleted.

    Raises:
        UserError: it is no tokenised data, differs, is damaged, or cannot be deleted.
    """
    if overwrite:
        remove_tokenized(folder)
        return False
    check_is_tokenized(folder)
    lines = differences(folder, origin)
    if lines is None:
        logger.warning(
            "--tokenized_path %s does not say what it was made of: its rows are used, whatever --dataset and the other "
            "flags of the data say",
            folder,
        )
    if lines:
        raise UserError(
            f"--tokenized_path {folder} was made of something else:\n"
            + "\n".join(f"  {line}" for line in lines)
            + "\nName another folder, or add --overwrite_cache to make it anew"
        )
    damaged = damage(folder) if lines is not None else ""
    if damaged:
        raise UserError(
            f"--tokenized_path {folder}: {damaged} is damaged: it is not what was written; name another folder, or add "
            "--overwrite_cache to make it anew"
        )
    return True
