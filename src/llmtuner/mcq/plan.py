"""Which settings a run has: from its flags, or from the model or adapter that it goes on from.

Light, like `settings`: the checks before a run and the run itself ask the same function.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmtuner.errors import UserError
from llmtuner.mcq.duma_options import DUMA_HEADS, resolve_duma
from llmtuner.mcq.loss_terms import loss_text, parse_loss
from llmtuner.mcq.settings import CONFIG_NAME, McqSettings, model_kind, read_settings, resolve, settle

GROWN = ("option_mean", *DUMA_HEADS)  # heads that are the linear one and something that starts at zero


@dataclass(frozen=True, slots=True)
class Plan:
    """The settings of a run, and what was decided on the way.

    Args:
        settings: as they will be saved, but for what only the data and the model tell.
        source: the folder that the settings are from; None where they are from flags.
        adapters: all adapters in the order in which they are put on the base model.
        merge_all: whether all of them are merged into the base model before a new adapter is trained.
        notices: lines for the user.
    """

    settings: McqSettings
    source: str | None
    adapters: tuple[str, ...]
    merge_all: bool
    notices: tuple[str, ...]


def plan_run(
    model: str,
    adapters: Sequence[str],
    given: Mapping[str, Any],
    *,
    training: bool,
    new_adapter: bool = False,
    config: Mapping[str, Any] | None = None,
) -> Plan:
    """Settle head, layout and pooling, and which adapters are merged before training.

    Args:
        model, adapters: folders, or names on the hub.
        given: values of `llmtuner.mcq.settings.FLAGS`, as far as they are given.
        training: otherwise a linear head must have been trained.
        new_adapter: whether a new adapter is asked for on top of the given ones.
        config: of a model that is no local folder.

    Raises:
        UserError: what is given contradicts itself or what is stored, or there is no trained head to predict with.
    """
    config = config or _config(model)
    kind = model_kind(config)
    stored, source = _stored(model, adapters)
    if stored is None:
        settings = resolve(kind, given, config)
        if not training and settings.head != "letter":
            raise UserError(_no_head(model, adapters))
        complete: tuple[str, ...] = tuple(adapters)
        notices: tuple[str, ...] = ()
    else:
        if stored.kind != kind:
            raise UserError(f"{source}: made for a model of kind {stored.kind}, and {model} is a model of kind {kind}")
        grown = _grown(stored, given, config, source) if training else stored
        settings = settle(grown, given, source)
        if given.get("mcq_loss") is not None:
            settings = _with_loss(settings, loss_text(parse_loss(given["mcq_loss"])), source, training=training)
        complete, notices = _with_those_below(settings, adapters, source)
        if grown is not stored:
            notices += (
                f"the {stored.head} head of {source} goes on as a {settings.head} head, with its scores at first",
            )
    if not training or not complete:
        return Plan(settings, source or None, complete, False, notices)
    # A fresh linear head makes a new adapter; letters and stored heads go on with the last one.
    fresh_head = stored is None and settings.head != "letter"
    merge_all = fresh_head or new_adapter
    merged = complete if merge_all else complete[:-1]
    if merge_all:
        trained = f"a fresh {settings.head} head is" if fresh_head else "a new adapter is"
        notices += (f"{', '.join(complete)} merged into the base model; {trained} trained on top",)
    settings = settings.with_(merged_adapters=tuple(map(_stored_path, merged)))
    return Plan(settings, source or None, complete, merge_all, notices)


def _grown(stored: McqSettings, given: Mapping[str, Any], config: Mapping[str, Any], source: str) -> McqSettings:
    """STEP3 on STEP2's model: a head that starts from the trained linear one, which is a part of it.

    Raises:
        UserError: the stored head is no such one.
    """
    head = given.get("mcq_head")
    if head not in GROWN or head == stored.head:
        return stored
    if stored.head != "linear" or stored.layout == "joint":
        found = f"{stored.head} head" + (" over joint prompts" if stored.layout == "joint" else "")
        raise UserError(
            f"--mcq_head {head}: {source} has a {found}, and only STEP2's linear head, one score an option, goes on as "
            "another one; start from a model with that, or from the base model"
        )
    return stored.with_(head=head, duma=resolve_duma(given, config) if head in DUMA_HEADS else {})


def _with_loss(settings: McqSettings, loss: str, source: str, *, training: bool) -> McqSettings:
    """Training may go on with another loss; a prediction has none to choose."""
    if not training and loss != settings.loss:
        raise UserError(
            f"--mcq_loss {loss} contradicts {Path(source) / CONFIG_NAME}, which says {settings.loss}; leave the flag "
            "out"
        )
    return settings.with_(loss=loss)


def _config(model: str) -> dict[str, Any]:
    path = Path(model) / "config.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: not JSON: {error}") from error


def _stored(model: str, adapters: Sequence[str]) -> tuple[McqSettings | None, str]:
    """The settings nearest to the end: the last adapter's that has some, else the model's."""
    for folder in (*reversed(adapters), model):
        settings = read_settings(folder)
        if settings is not None:
            return settings, folder
    return None, ""


def _no_head(model: str, adapters: Sequence[str]) -> str:
    if adapters:
        return (
            f"--adapter_name_or_path {adapters[-1]}: no {CONFIG_NAME} in it, so it has no trained head (an adapter of "
            "--stage sft has none); pass the --output_dir of a --stage mcq training, or --mcq_head letter to rank by "
            "the letters' probabilities"
        )
    return (
        f"--model_name_or_path {model}: no {CONFIG_NAME} in it, so it has no trained head; pass the --output_dir of a "
        "--stage mcq training as --adapter_name_or_path (or as --model_name_or_path, after full or freeze tuning), or "
        "--mcq_head letter to rank by the letters' probabilities"
    )


def _stored_path(adapter: str) -> str:
    """A folder's whole path, so that it is found from any other folder; a hub's name as it is."""
    return str(Path(adapter).resolve()) if Path(adapter).is_dir() else adapter


def _with_those_below(
    settings: McqSettings, adapters: Sequence[str], source: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The given adapters, behind those that have to be merged first because this one was trained on top of them.

    Where as many stand in front of it already, the list is taken as complete: folders may have moved.

    Raises:
        UserError: other adapters than those that it was trained on top of, or behind it one without a head.
    """
    below = settings.merged_adapters
    if not adapters:
        return (), ()
    if adapters[-1] != source:
        raise UserError(
            f"--adapter_name_or_path {','.join(adapters)}: {adapters[-1]} has no {CONFIG_NAME}, so it was not trained "
            f"with the head of {source}, and no score would be meant; leave it out"
        )
    *front, _ = adapters
    if front:
        _check_front(front, below, source)
    if front or not below:
        return tuple(adapters), ()
    absent = [adapter for adapter in below if not Path(adapter).is_dir()]
    if absent:
        raise UserError(
            f"{source} was trained on top of {', '.join(below)}, and {', '.join(absent)} is not there; pass all of "
            f"them in this order, wherever they are now: --adapter_name_or_path {','.join([*below, *adapters])}"
        )
    return (*below, *adapters), (f"{', '.join(below)} merged first: {source} was trained on top",)


def _check_front(front: Sequence[str], below: Sequence[str], source: str) -> None:
    """Refuse adapters that others would be merged under than those that it was trained on top of."""
    moved = [
        not Path(old).is_dir() or Path(old).resolve() == Path(new).resolve()
        for old, new in zip(below, front, strict=False)
    ]
    if len(front) == len(below) and all(moved):
        return
    trained = f"on top of {', '.join(below)}" if below else "on the base model alone"
    raise UserError(
        f"--adapter_name_or_path {','.join([*front, source])}: {source} was trained {trained}, and other adapters in "
        f"front of it change every score; pass {source} alone, which brings what it needs"
    )
