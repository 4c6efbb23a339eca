"""Settle `--retrieve`: from the flags, or as it is stored with the model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from llmtuner.cli.flags import Flags
from llmtuner.data.registry import PROJECT_DATA, find_source
from llmtuner.data.tokens.stored import form_of
from llmtuner.errors import UserError
from llmtuner.mcq.rerank import RERANKERS
from llmtuner.mcq.run import McqRun
from llmtuner.retrieval.check import checked
from llmtuner.retrieval.settings import FIELDS, FLAG, Retrieve, with_flags
from llmtuner.runs.places import training_of
from llmtuner.spec.flags import FLAGS

OFF = "none"
STORED = "stored with the model"
_PREFIX = f"{FLAG}_"


def settle_retrieve(
    flags: Flags, adapters: list[str], run: McqRun | None
) -> tuple[Flags, McqRun | None, tuple[str, ...]]:
    """The flags and the run with the retrieval that they ask for, and lines for the user.

    A training uses what is given, and says if the model that it trains further had contexts. A prediction uses what its
    model was trained with, as far as nothing else is given: contexts from another index, or none, are other inputs than
    those that the model has learned from.

    Raises:
        UserError: a flag of the retrieval without an index; an index or reranker that is missing, damaged or not the
            stored one.
    """
    given = {name: flags[_PREFIX + name] for name in FIELDS if _PREFIX + name in flags}
    try:
        stored = None if flags["do_train"] else _stored(flags, adapters, run)
        if flags["do_train"] and FLAG not in flags and not given:
            settings, lines = None, _dropped(flags, adapters, run)
        elif flags[FLAG] == OFF or (FLAG not in flags and stored is None):
            settings, lines = None, _without(flags, given, stored)
        elif FLAG in flags:
            settings, lines = _chosen(flags[FLAG], given, stored)
        else:
            assert stored is not None, "one of the two is given"
            settings, lines = _as_stored(stored, given)
    except UserError as error:
        raise UserError(with_flags(str(error), _PREFIX)) from error
    if settings is not None and run is not None and not form_of(run.settings.prompt).context:
        lines = (*lines, f"--{FLAG}: the prompt (--mcq_prompt) leaves contexts out, so the model reads no passage")
    if run is not None:
        run = replace(run, data=replace(run.data, retrieve=settings))
        if run.training:  # also where the model that is trained further had contexts, and this training has none
            run = run.with_settings(retrieve={} if settings is None else settings.to_json())
    return (flags.without(FLAG) if settings is None else _with(flags, settings)), run, lines


def unfilled(flags: Flags) -> tuple[str, ...]:
    """Warnings about data sets that get no contexts, because their rows are no questions; the files were checked."""
    if FLAG not in flags:
        return ()
    names = dict.fromkeys([*flags.names("dataset"), *flags.names("eval_dataset")])
    dataset_dir = flags["dataset_dir"] or str(PROJECT_DATA)
    others = [name for name in names if find_source(name, dataset_dir) is None]
    return tuple(f"--{FLAG}: {name} has no multiple-choice questions; its rows stay as they are" for name in others)


def _stored(flags: Flags, adapters: list[str], run: McqRun | None) -> Retrieve | None:
    """What the model was trained with."""
    stored: Any = None if run is None else run.settings.retrieve
    if not stored:
        manifest = training_of([*reversed(adapters), flags["model_name_or_path"]])
        stored = None if manifest is None else manifest.retrieve
    try:
        return Retrieve.from_json(stored) if stored else None
    except UserError as error:
        raise UserError(f"{[flags['model_name_or_path'], *adapters][-1]}: stored settings: {error}") from error


def _dropped(flags: Flags, adapters: list[str], run: McqRun | None) -> tuple[str, ...]:
    """A line where a training has no contexts, and the model that it starts from was trained with some."""
    try:
        before = _stored(flags, adapters, run)
    except UserError:  # of another version, perhaps: this training does not use it
        return ()
    if before is None:
        return ()
    return (
        f"the model that is trained further had contexts of {before.index}, and this training retrieves none: pass "
        f"--{FLAG} and its other flags again, or --{FLAG} {OFF} if that is meant",
    )


def _without(flags: Flags, given: dict[str, Any], stored: Retrieve | None) -> tuple[str, ...]:
    if given:
        raise UserError(f"`{next(iter(given))}` needs --{FLAG} INDEX, the folder that scripts/build_index.py wrote")
    if stored is None:
        return ()
    return (f"--{FLAG} {OFF}: no contexts are retrieved; the model was trained with those of {stored.index}",)


def _chosen(index: str, given: dict[str, Any], stored: Retrieve | None) -> tuple[Retrieve, tuple[str, ...]]:
    """Another place, or another index; its other settings are those of the training, if it had any."""
    if stored is None:
        return checked(Retrieve(index=index, **given), RERANKERS), ()
    settings = checked(replace(_changed(stored, given), index=index, fingerprint=""), RERANKERS)
    taken = {name: getattr(stored, name) for name in FIELDS if name not in given}
    lines = [
        f"--{_PREFIX}{name} {_word(value)}, as in the training"
        for name, value in taken.items()
        if value != FLAGS[_PREFIX + name].default
    ]
    if settings.fingerprint != stored.fingerprint:
        lines.insert(0, f"--{FLAG} {index}: the model was trained with contexts of another index, {stored.index}")
    return settings, (*lines, *_other_reranker(settings, stored))


def _as_stored(stored: Retrieve, given: dict[str, Any]) -> tuple[Retrieve, tuple[str, ...]]:
    try:
        settings = checked(_changed(stored, given), RERANKERS)
    except UserError as error:
        raise UserError(f"{error}\n{_moved(stored, given)} now; --{FLAG} {OFF} works without contexts") from error
    return settings, (
        f"contexts are retrieved from {stored.index}, as in the training; --{FLAG} {OFF} works without them",
        *_other_reranker(settings, stored),
    )


def _moved(stored: Retrieve, given: dict[str, Any]) -> str:
    """What to do if what the training used lies elsewhere now."""
    if stored.rerank is None or "rerank" in given:
        return f"The model was trained with contexts of this index. If it has moved, pass --{FLAG} with its folder"
    return (
        f"The model was trained with contexts of {stored.index}, reranked by {stored.rerank}. If one of them has "
        f"moved, pass --{FLAG} or `rerank` with its folder"
    )


def _other_reranker(settings: Retrieve, stored: Retrieve) -> tuple[str, ...]:
    """A line where a given reranker is not the stored one, as for an index."""
    if settings.reranker == stored.reranker:
        return ()
    before = "without a reranker" if stored.rerank is None else f"with another one, {stored.rerank}"
    return (f"--{_PREFIX}rerank {settings.rerank}: the model was trained {before}",)


def _changed(stored: Retrieve, given: dict[str, Any]) -> Retrieve:
    """The stored settings with given ones; a reranker that is given need not be the stored one."""
    return replace(stored, **given, reranker="" if "rerank" in given else stored.reranker)


def _with(flags: Flags, settings: Retrieve) -> Flags:
    """The flags with the settings, which upstream's data loader reads from them."""
    values = {FLAG: settings.index, **{_PREFIX + name: getattr(settings, name) for name in FIELDS}}
    for name, value in values.items():
        if value is not None:
            origin = flags.given[name].origin if name in flags else STORED
            flags = flags.with_(origin, **{name: _word(value)})
    return flags


def _word(value: Any) -> str:
    """A value as the word of its flag."""
    return str(value).lower() if isinstance(value, bool) else str(value)
