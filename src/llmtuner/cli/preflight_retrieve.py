"""Settle `--retrieve`: from the flags, or as it is stored with the model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from llmtuner.cli.flags import Flags
from llmtuner.errors import UserError
from llmtuner.mcq.run import McqRun
from llmtuner.retrieval.check import check_index
from llmtuner.retrieval.encoder_folder import encoder_folder
from llmtuner.retrieval.settings import FIELDS as _FIELDS
from llmtuner.retrieval.settings import FLAG, Retrieve
from llmtuner.runs.places import training_of

OFF = "none"
STORED = "stored with the model"


def settle_retrieve(
    flags: Flags, adapters: list[str], run: McqRun | None
) -> tuple[Flags, McqRun | None, tuple[str, ...]]:
    """The flags and the run with the retrieval that they ask for, and lines for the user.

    A training uses what is given. A prediction without the flag uses what its model was trained with: contexts from
    another index, or none, are other inputs than those that it has learned.

    Raises:
        UserError: a flag of the retrieval without an index; an index that is missing, damaged or not the stored one.
    """
    lines: list[str] = []
    settings = _given(flags)
    if settings is None and FLAG not in flags and not flags["do_train"]:
        settings = _stored(flags, adapters, run)
        if settings is not None:
            lines.append(f"contexts are retrieved from {settings.index}, as in the training; --retrieve {OFF}: not")
    if settings is None:
        return flags.without(FLAG), run, tuple(lines)
    settings = check_index(settings)
    if settings.rerank is not None:
        encoder_folder(settings.rerank)
    values = {f"{FLAG}_{name}": _word(getattr(settings, name)) for name in _FIELDS}
    flags = flags.with_(STORED, **{FLAG: settings.index, **{k: v for k, v in values.items() if v is not None}})
    if run is not None:
        run = replace(run, data=replace(run.data, retrieve=settings))
        if run.training:
            run = run.with_settings(retrieve=settings.to_json())
    return flags, run, tuple(lines)


def _given(flags: Flags) -> Retrieve | None:
    fields = [name for name in _FIELDS if f"{FLAG}_{name}" in flags]
    if FLAG not in flags or flags[FLAG] == OFF:
        if fields and (flags["do_train"] or FLAG in flags):
            raise UserError(f"--{FLAG}_{fields[0]} needs --{FLAG} INDEX, the folder that scripts/build_index.py wrote")
        return None
    return Retrieve(index=flags[FLAG], **{name: flags[f"{FLAG}_{name}"] for name in _FIELDS})


def _stored(flags: Flags, adapters: list[str], run: McqRun | None) -> Retrieve | None:
    """What the model was trained with; values that are given replace it."""
    stored: Any = None if run is None else run.settings.retrieve
    if not stored:
        manifest = training_of([*reversed(adapters), flags["model_name_or_path"]])
        stored = None if manifest is None else manifest.retrieve
    given = {name: flags[f"{FLAG}_{name}"] for name in _FIELDS if f"{FLAG}_{name}" in flags}
    if not stored:
        if given:
            name = next(iter(given))
            raise UserError(f"--{FLAG}_{name} needs --{FLAG} INDEX, because the model was trained without one")
        return None
    return replace(Retrieve.from_json(stored), **given)


def _word(value: Any) -> str | None:
    """A value as the word of its flag."""
    return None if value is None else str(value).lower() if isinstance(value, bool) else str(value)
