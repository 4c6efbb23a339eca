"""What a multiple-choice model is (head, layout, pooling, objective, prompt), and the file that stores it.

Nothing heavy is imported here, so that contradictions are found before torch is imported.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from llmtuner.data.question import MAX_OPTIONS, MIN_OPTIONS
from llmtuner.data.tokens.stored import check_form
from llmtuner.errors import FieldError, UserError
from llmtuner.files import write_atomic
from llmtuner.mcq.duma_options import DumaOptions
from llmtuner.mcq.fields import check_field, check_type
from llmtuner.mcq.kinds import Kind
from llmtuner.mcq.layouts import layout_of
from llmtuner.mcq.objective import Objective
from llmtuner.runs.vocabulary import Vocabulary
from llmtuner.spec.entry import KINDS, choose_from
from llmtuner.spec.flags import LIKELIHOOD
from llmtuner.spec.heads import HEADS, OPTION_TOKENS
from llmtuner.spec.poolings import NONE, POOLINGS

CONFIG_NAME = "mcq_config.json"
_ONLY_WHERE_SET = ("likelihood_norm", "retrieve")  # no key in the files of other models
FORMAT = 1


@dataclass(frozen=True, slots=True)
class McqSettings:
    """Everything that has to be the same in training and prediction.

    Args:
        head, layout: names as in the flags.
        pooling: a name as in the flag, never "auto"; "none" for heads that pool nothing.
        objective: what is or was minimised.
        kind: "causal" (decoder, chat template) or "encoder" (bidirectional, pairs of texts).
        num_options: the fixed number of options that a joint linear head scores, else None.
        cutoff_len: the most tokens of a question in training; prediction uses it unless another is given.
        prompt: the prompt's form as `llmtuner.data.tokens` stores it.
        base: describes the base model, to notice an adapter of another one.
        likelihood_norm: of the likelihood head; None for other heads.
        duma: sizes of a co-attention head; None for other heads.
        merged_adapters: adapters that were merged into the base model before this one was trained.
        retrieve: how the contexts of the training were retrieved; {} if they were not.
        vocabulary: tokens that were added for the training (`llmtuner.runs.vocabulary.Vocabulary`).
        versions: of the packages that wrote the file.

    Raises:
        FieldError: a value of the wrong type, out of range, or that does not go with the others.
    """

    head: str = "linear"
    layout: str = "shared_prefix"
    pooling: str = "last"
    objective: Objective = field(default_factory=Objective)
    kind: Kind = "causal"
    num_options: int | None = None
    cutoff_len: int | None = None
    prompt: dict[str, Any] = field(default_factory=dict)
    base: dict[str, Any] = field(default_factory=dict)
    likelihood_norm: str | None = None
    duma: DumaOptions | None = None
    merged_adapters: tuple[str, ...] = ()
    retrieve: dict[str, Any] = field(default_factory=dict)
    vocabulary: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise FieldError("kind", self.kind, choose_from(self.kind, KINDS))
        check_field("head", self.head)
        check_field("layout", self.layout)
        if self.pooling not in (NONE, *POOLINGS):
            raise FieldError("pooling", self.pooling, choose_from(self.pooling, POOLINGS))
        if self.layout not in HEADS[self.head].layouts:
            takes = " or ".join(HEADS[self.head].layouts)
            raise FieldError("layout", self.layout, f"it does not go with the head {self.head}, which takes {takes}")
        if (self.pooling == NONE) == HEADS[self.head].pools:
            raise FieldError("pooling", self.pooling, f"it does not go with the head {self.head}")
        check_kind(self.kind, self.head, self.layout)
        if self.pooling != NONE:
            check_pooling(self.kind, self.layout, self.pooling)
        if (self.likelihood_norm is None) == (HEADS[self.head].reads == OPTION_TOKENS):
            raise FieldError(
                "likelihood_norm",
                self.likelihood_norm,
                f"expected for {LIKELIHOOD[0]} only, and the head is {self.head}",
            )
        if self.likelihood_norm is not None:
            check_field("likelihood_norm", self.likelihood_norm)
        if (self.duma is None) == (HEADS[self.head].measures == "duma"):
            raise FieldError("duma", None, f"expected for co-attention heads only, and the head is {self.head}")
        options = range(MIN_OPTIONS, MAX_OPTIONS + 1)
        if self.num_options is not None and (type(self.num_options) is not int or self.num_options not in options):
            raise FieldError("num_options", self.num_options, f"expected a number from {MIN_OPTIONS} to {MAX_OPTIONS}")
        if self.cutoff_len is not None:
            check_field("cutoff_len", self.cutoff_len)
        check_type("prompt", self.prompt, dict)
        check_form(self.prompt)
        check_type("base", self.base, dict)
        check_type("merged_adapters", self.merged_adapters, tuple, of=str)
        check_type("retrieve", self.retrieve, dict)
        check_type("vocabulary", self.vocabulary, dict)
        Vocabulary.from_json(self.vocabulary)
        check_type("versions", self.versions, dict, of=str)

    @property
    def loss(self) -> str:
        """Names and weights of the losses."""
        return self.objective.loss

    def with_(self, **changes: Any) -> McqSettings:
        """A copy with other values."""
        return replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        """The content of mcq_config.json."""
        stored: dict[str, Any] = {"format": FORMAT}
        for each in fields(self):
            if each.name not in _ONLY_WHERE_SET or getattr(self, each.name):
                stored[each.name] = getattr(self, each.name)
            if each.name == "pooling":
                stored["loss"] = self.objective.loss
        stored["objective"] = self.objective.to_json()
        stored["duma"] = {} if self.duma is None else _plain(self.duma)
        return stored

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> McqSettings:
        """Rebuild the settings from what `to_json` returned, without the format.

        Raises:
            FieldError: a key is unknown or missing, or a value is invalid.
        """
        names = [each.name for each in fields(cls)]
        for key in stored:
            if key not in (*names, "loss"):
                raise FieldError(key, None, choose_from(key, [*names, "loss"]))
        missing = [name for name in ("head", "layout", "pooling", "loss", "kind") if name not in stored]
        if missing:
            raise FieldError(missing[0], None, "missing")
        given = {name: stored[name] for name in names if name in stored}
        numbers, measures = given.get("objective", {}), given.pop("duma", {})
        check_type("objective", numbers, dict)
        check_type("duma", measures, dict)
        merged = given.get("merged_adapters", [])
        return cls(
            **{
                **given,
                "objective": Objective.from_json(stored["loss"], numbers),
                "duma": _measures(measures) if measures else None,
                "merged_adapters": tuple(merged) if isinstance(merged, list) else merged,
            }
        )


def _plain(measures: DumaOptions) -> dict[str, Any]:
    return {each.name: getattr(measures, each.name) for each in fields(measures)}


def _measures(stored: Mapping[str, Any]) -> DumaOptions:
    names = [each.name for each in fields(DumaOptions)]
    for key in (*stored, *names):
        if key not in names:
            raise FieldError(f"duma.{key}", None, choose_from(key, names))
        if key not in stored:
            raise FieldError(f"duma.{key}", None, "missing")
    return DumaOptions(**stored)


def read_settings(folder: str | os.PathLike[str]) -> McqSettings | None:
    """The settings stored in a model's or adapter's folder, or None if it has none.

    Raises:
        UserError: the file is damaged, or has a later format.
    """
    path = Path(folder) / CONFIG_NAME
    if not path.is_file():
        return None
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: damaged: not JSON: {error}") from error
    if not isinstance(stored, dict):
        raise UserError(f"{path}: damaged: expected an object, found {type(stored).__name__}")
    if stored.pop("format", None) != FORMAT:
        raise UserError(f"{path}: expected format {FORMAT}; a later version of this project wrote it")
    try:
        return McqSettings.from_json(stored)
    except FieldError as error:
        raise UserError(f"{path}: damaged: {error}") from error


def write_settings(settings: McqSettings, folder: str | os.PathLike[str]) -> Path:
    """Write mcq_config.json atomically."""
    path = Path(folder) / CONFIG_NAME
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in settings.to_json().items())
    return write_atomic(path, f"{{\n{lines}\n}}\n")


def check_pooling(kind: Kind, layout: str, pooling: str) -> None:
    """Refuse a pooling from which a layout or a kind of model could learn nothing.

    Raises:
        FieldError: with the poolings that fit.
    """
    takes = [name for name in layout_of(layout).poolings if kind in POOLINGS[name].kinds]
    if pooling not in takes:
        reason = " of a causal model, whose first token has seen no option" if pooling == "first" else ""
        raise FieldError(
            "pooling", pooling, f"it does not go with the layout {layout}{reason}; it takes {', '.join(takes)}"
        )


def check_kind(kind: Kind, head: str, layout: str | None) -> None:
    """Refuse a head or layout that does not fit the kind of model.

    Raises:
        FieldError: with the reason.
    """
    if kind not in HEADS[head].kinds:
        raise FieldError(
            "head",
            head,
            "it needs the logits of a language model; this model is an encoder: leave it out",
        )
    if layout is not None and kind not in layout_of(layout).kinds:
        raise FieldError("layout", layout, f"{layout_of(layout).why_not}; leave it out to use per_option")
