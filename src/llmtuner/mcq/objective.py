"""What a training minimises: weighted losses, label smoothing, a warm-up, R-Drop, dropout. Light: no torch."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from llmtuner.errors import FieldError
from llmtuner.mcq.fields import check_field
from llmtuner.spec.entry import choose_from
from llmtuner.spec.flags import FIELDS
from llmtuner.spec.losses import LOSSES

START = "cross_entropy"  # the loss during a warm-up
FORM = "NAME[:WEIGHT][+NAME[:WEIGHT]...]"
_PLUS = re.compile(r"(?<![0-9.][eE])\+")  # but not the plus in 1e+16


@dataclass(frozen=True, slots=True)
class LossTerm:
    """One loss of a mixture."""

    name: str
    weight: float = 1.0

    def __str__(self) -> str:
        return self.name if self.weight == 1 else f"{self.name}:{repr(self.weight).removesuffix('.0')}"


def parse_loss(text: str) -> tuple[LossTerm, ...]:
    """The terms of `cross_entropy:0.5+expected_map3:0.5`.

    Raises:
        FieldError: an unknown name, a weight that is not a number above 0, a repeated name, or malformed text.
    """
    terms: list[LossTerm] = []
    for part in _PLUS.split(text):
        name, colon, weight = (piece.strip() for piece in part.partition(":"))
        if not name:
            raise FieldError("loss", text, f"a name is missing; the form is {FORM}")
        if name not in LOSSES:
            raise FieldError("loss", text, f"{'' if name == text else f'{name}: '}{choose_from(name, LOSSES)}")
        if any(name == term.name for term in terms):
            raise FieldError("loss", text, f"{name} is listed twice; add up its weights")
        terms.append(LossTerm(name, _weight(weight, text) if colon else 1.0))
    return tuple(terms)


def _weight(number: str, text: str) -> float:
    try:
        weight = float(number)
    except ValueError:
        raise FieldError("loss", text, f"{number!r} is not a weight; the form is {FORM}") from None
    if not (math.isfinite(weight) and weight > 0):
        raise FieldError("loss", text, f"a weight must be above 0, found {number}; leave out a loss of weight 0")
    return weight


def loss_text(terms: tuple[LossTerm, ...]) -> str:
    """The terms in canonical form, however they were written."""
    return "+".join(map(str, terms))


@dataclass(frozen=True, slots=True)
class Objective:
    """What is minimised, one number per question, and the dropout in training.

    Args:
        loss: names and weights; stored in canonical form.
        label_smoothing: of the losses that take it, and of a warm-up's cross-entropy.
        warmup_ratio: share of the steps, from the first on, whose loss is cross-entropy (plus R-Drop, if used).
        rdrop_alpha: weight of R-Drop; 0 for none.
        dropout: of the whole model; None for the model's own.

    Raises:
        FieldError: an invalid value, or values that contradict each other.
    """

    loss: str = START
    label_smoothing: float = 0.0
    warmup_ratio: float = 0.0
    rdrop_alpha: float = 0.0
    dropout: float | None = None

    def __post_init__(self) -> None:
        check_field("loss", self.loss)
        object.__setattr__(self, "loss", loss_text(parse_loss(self.loss)))
        for name in NUMBERS:
            if getattr(self, name) is not None:
                check_field(name, getattr(self, name))
        if self.warmup_ratio and self.loss == START:
            raise FieldError(
                "warmup_ratio", self.warmup_ratio, f"a warm-up uses {START}, which is the loss already; leave it out"
            )
        if (
            self.label_smoothing
            and not self.warmup_ratio
            and not any(LOSSES[term.name].smoothed for term in self.terms)
        ):
            smoothed = " and ".join(name for name, loss in LOSSES.items() if loss.smoothed)
            raise FieldError(
                "label_smoothing",
                self.label_smoothing,
                f"it is for {smoothed}, and the loss is {self.loss}; leave it out",
            )

    @property
    def terms(self) -> tuple[LossTerm, ...]:
        """The losses and their weights."""
        return parse_loss(self.loss)

    @property
    def copies(self) -> int:
        """How many times a training batch holds each of its questions."""
        return 2 if self.rdrop_alpha else 1

    def require_packages(self) -> None:
        """Report a missing package before a model is loaded for nothing.

        Raises:
            FieldError: a loss needs a package that is not installed.
        """
        for term in self.terms:
            package = LOSSES[term.name].package
            if package and find_spec(package) is None:
                raise FieldError("loss", term.name, f"it needs the package {package}: pip install {package}")

    def require_dropout(self, anything_drops: bool, *, lora: bool) -> None:
        """Refuse R-Drop without dropout: its two passes would be the same.

        Args:
            anything_drops: whether the model, its adapters or its head have any dropout in training.
            lora: whether adapters are trained, whose dropout could be set.

        Raises:
            FieldError: R-Drop is given, and nothing has dropout.
        """
        if self.rdrop_alpha and not anything_drops:
            add = "`lora_dropout` 0.1 or `dropout` 0.1" if lora else "`dropout` 0.1"
            raise FieldError(
                "rdrop_alpha",
                self.rdrop_alpha,
                "this model has no dropout, so both passes are the same and R-Drop has no effect; "
                f"add {add}, or leave it out",
            )

    def to_json(self) -> dict[str, float]:
        """The numbers that differ from the defaults, by the names of their flags; the loss is stored separately."""
        # A dropout of 0 removes the model's own dropout; for the other numbers 0 is the default.
        numbers = {name: getattr(self, name) for name in NUMBERS}
        return {
            FIELDS[name].name: number
            for name, number in numbers.items()
            if number or (name == "dropout" and number is not None)
        }

    @classmethod
    def from_json(cls, loss: Any, numbers: Mapping[str, Any]) -> Objective:
        """Rebuild the objective from its loss and what `to_json` returned.

        Raises:
            FieldError: an unknown name, or an invalid value.
        """
        names = {FIELDS[name].name: name for name in NUMBERS}
        unknown = sorted(set(numbers) - set(names))
        if unknown:
            raise FieldError("objective", unknown[0], choose_from(unknown[0], names))
        return cls(loss, **{names[flag]: number for flag, number in numbers.items()})


NUMBERS = ("label_smoothing", "warmup_ratio", "rdrop_alpha", "dropout")
