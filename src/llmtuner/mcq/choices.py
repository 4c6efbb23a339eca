"""Settings from given values: checks which names go together, and chooses what is not given."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmtuner.errors import FieldError
from llmtuner.mcq.duma_options import DumaOptions, check_stored, resolve_duma
from llmtuner.mcq.fields import check_field
from llmtuner.mcq.kinds import Kind
from llmtuner.mcq.layouts import layout_of
from llmtuner.mcq.objective import NUMBERS, Objective
from llmtuner.mcq.settings import CONFIG_NAME, McqSettings, check_kind, check_pooling
from llmtuner.spec.flags import CO_ATTENTION, FIELDS
from llmtuner.spec.heads import HEADS, OPTION_TOKENS
from llmtuner.spec.norms import DEFAULT_NORM
from llmtuner.spec.poolings import AUTO, NONE

# Supported by the figures in docs/results.md.
AUTO_LAYOUT: dict[Kind, str] = {"causal": "shared_prefix", "encoder": "per_option"}
AUTO_POOLING: dict[Kind, str] = {"causal": "last", "encoder": "mean"}


def resolve(kind: Kind, given: Mapping[str, Any] | None = None, config: Mapping[str, Any] | None = None) -> McqSettings:
    """Settings from given values; what is not given is chosen for the kind of model.

    Args:
        given: values by field: head, layout, pooling, loss and the objective's numbers, duma.width and so on.
        config: the model's config.json, for heads whose sizes follow the model's.

    Raises:
        FieldError: an unknown name, or names that do not go together; the message lists those that do.
    """
    given = {field: value for field, value in (given or {}).items() if value is not None}
    check_names(given)
    head = given.get("head", "linear")
    layout = given.get("layout")
    check_kind(kind, head, layout)
    if layout is None:
        fitting = HEADS[head].layouts
        layout = AUTO_LAYOUT[kind] if AUTO_LAYOUT[kind] in fitting else fitting[0]
    return McqSettings(
        head=head,
        layout=layout,
        pooling=_pooling(kind, head, layout, given.get("pooling", AUTO)),
        objective=objective_of(given),
        kind=kind,
        likelihood_norm=given.get("likelihood_norm", DEFAULT_NORM) if HEADS[head].reads == OPTION_TOKENS else None,
        duma=_duma(head, given, config or {}),
    )


def check_names(given: Mapping[str, Any]) -> None:
    """Reject unknown names.

    Raises:
        FieldError: with the names to choose from, and the nearest one.
    """
    for field in ("head", "layout", "pooling", "likelihood_norm"):
        if given.get(field) is not None:
            check_field(field, given[field])


def objective_of(given: Mapping[str, Any], loss: str | None = None) -> Objective:
    """The objective from given values.

    Args:
        loss: used if none is given.

    Raises:
        FieldError: an invalid value.
    """
    default = Objective()
    numbers = {name: given[name] for name in NUMBERS if given.get(name) is not None}
    chosen = given.get("loss")
    return Objective((loss or default.loss) if chosen is None else chosen, **numbers)


def _pooling(kind: Kind, head: str, layout: str, pooling: str) -> str:
    if layout not in HEADS[head].layouts:  # the settings themselves raise this, with the layouts that fit
        return pooling if pooling != AUTO else AUTO_POOLING[kind]
    if not HEADS[head].pools:
        if pooling != AUTO:
            raise FieldError("pooling", pooling, f"the {head} head pools nothing; leave it out")
        return NONE
    if pooling == AUTO:
        pooling = AUTO_POOLING[kind] if AUTO_POOLING[kind] in layout_of(layout).poolings else "last"
    check_pooling(kind, layout, pooling)
    return pooling


def _duma(head: str, given: Mapping[str, Any], config: Mapping[str, Any]) -> DumaOptions | None:
    check_heads(head, given)
    return resolve_duma(duma_given(given), config) if head in CO_ATTENTION else None


def duma_given(given: Mapping[str, Any]) -> dict[str, Any]:
    """The given sizes of a co-attention head, by their own names."""
    return {field.removeprefix("duma."): value for field, value in given.items() if field.startswith("duma.")}


def check_heads(head: str, given: Mapping[str, Any]) -> None:
    """Refuse values that are for other heads.

    Raises:
        FieldError: one is given.
    """
    for field, value in given.items():
        heads = FIELDS[field].heads if field in FIELDS else ()
        if value is not None and heads and head not in heads:
            plural = "s" if len(heads) > 1 else ""
            raise FieldError(
                field, value, f"it is for the head{plural} {' or '.join(heads)}, and the head is {head}; leave it out"
            )


def settle(stored: McqSettings, given: Mapping[str, Any], where: str) -> McqSettings:
    """Stored settings together with given values, which may repeat stored ones or choose another row layout.

    Args:
        given: values by field; the objective's are ignored.
        where: the folder that the stored settings come from.

    Raises:
        FieldError: a given value contradicts a stored one.
    """
    check_names(given)
    file = str(Path(where) / CONFIG_NAME)
    for field in ("head", "pooling"):
        _check_same(field, stored, given, file)
    check_heads(stored.head, given)
    _check_same("likelihood_norm", stored, given, file)
    if stored.duma is not None:
        check_stored(duma_given(given), stored.duma, stored.base.get("hidden_size"), file)
    layout = given.get("layout")
    if layout in (None, stored.layout):
        return stored
    if layout_of(layout).text != layout_of(stored.layout).text:
        raise FieldError(
            "layout",
            layout,
            f"contradicts {file}, which says {stored.layout}: a joint prompt is another text; leave it out",
        )
    check_kind(stored.kind, stored.head, layout)
    return stored.with_(layout=layout)


def _check_same(field: str, stored: McqSettings, given: Mapping[str, Any], file: str) -> None:
    value, stored_value = given.get(field), getattr(stored, field)
    if value not in (None, stored_value, AUTO):
        raise FieldError(field, value, f"contradicts {file}, which says {stored_value}; leave it out")
