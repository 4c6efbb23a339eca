"""Which settings a run has: from its flags, or from the model or adapter that it goes on from.

Light, like `settings`: the checks before a run and the run itself ask the same function.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llmtuner.errors import UserError
from llmtuner.mcq.settings import CONFIG_NAME, Kind, McqSettings, model_kind, read_settings, resolve, settle


@dataclass(frozen=True, slots=True)
class Plan:
    """The settings of a run, and what was decided on the way.

    Args:
        source: the folder that the settings are from; None where they are from flags.
        adapters: all adapters in the order in which they are put on the base model.
        merge: whether the given adapters are merged into the base model before a new head is trained.
        notices: lines for the user.
    """

    settings: McqSettings
    source: str | None
    adapters: tuple[str, ...]
    merge: bool
    notices: tuple[str, ...]


def plan_run(
    model: str,
    adapters: Sequence[str],
    given: dict[str, str],
    *,
    training: bool,
    kind: Kind | None = None,
) -> Plan:
    """Settle head, layout and pooling.

    Args:
        model, adapters: folders, or names on the hub.
        given: `mcq_head`, `mcq_layout`, `mcq_pooling` and `mcq_loss`, as far as they are given.
        training: otherwise a linear head must have been trained.
        kind: of a model that is no local folder.

    Raises:
        UserError: what is given contradicts itself or what is stored, or there is no trained head to predict with.
    """
    kind = kind or model_kind(_config(model))
    stored, source = _stored(model, adapters)
    if stored is None:
        settings = resolve(
            kind,
            head=given.get("mcq_head") or "linear",
            layout=given.get("mcq_layout"),
            pooling=given.get("mcq_pooling") or "auto",
            loss=given.get("mcq_loss") or "cross_entropy",
        )
        if not training and settings.head != "letter":
            raise UserError(_no_head(model, adapters))
        if not adapters or not training:
            return Plan(settings, None, tuple(adapters), False, ())
        if settings.head == "letter" and len(adapters) == 1:
            return Plan(settings, None, tuple(adapters), False, ())
        notice = f"{', '.join(adapters)} merged into the base model; a fresh {settings.head} head is trained on top"
        return Plan(settings.with_(merged_adapters=tuple(adapters)), None, tuple(adapters), True, (notice,))
    if stored.kind != kind:
        raise UserError(f"{source}: made for a model of kind {stored.kind}, and {model} is a model of kind {kind}")
    settings = settle(stored, given, source)
    if training and given.get("mcq_loss"):
        settings = settings.with_(loss=resolve(kind, loss=given["mcq_loss"]).loss)
    merged, notices = _merged_first(settings, adapters, source)
    return Plan(settings, source, (*merged, *adapters), False, notices)


def _config(model: str) -> dict[str, object]:
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


def _merged_first(
    settings: McqSettings, adapters: Sequence[str], source: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Adapters that have to be merged before the given ones, because the head was trained on top of them."""
    missing = [adapter for adapter in settings.merged_adapters if adapter not in adapters]
    if not missing or source not in adapters:
        return (), ()
    absent = [adapter for adapter in missing if not Path(adapter).is_dir()]
    if absent:
        raise UserError(
            f"{source} was trained on top of {', '.join(settings.merged_adapters)}, and {', '.join(absent)} is not "
            f"there; pass all of them in order: --adapter_name_or_path {','.join([*missing, *adapters])}"
        )
    return tuple(missing), (f"{', '.join(missing)} merged first: {source} was trained on top",)
