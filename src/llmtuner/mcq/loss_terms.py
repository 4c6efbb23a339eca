"""What --mcq_loss says: losses and their weights. Light, so that a mistake is found before torch is imported."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from llmtuner.errors import UserError
from llmtuner.suggest import did_you_mean

LOSS_NAMES = (
    "cross_entropy",
    "binary",
    "ranknet",
    "lambda_map3",
    "approx_map3",
    "expected_map3",
    "log_expected_map3",
    "poly1",
    "topk_ce",
)
SMOOTHED = ("cross_entropy", "poly1")  # those that take --label_smoothing_factor
FORM = "NAME[:WEIGHT][+NAME[:WEIGHT]...]"
_PLUS = re.compile(r"(?<![0-9.][eE])\+")  # but not the one of 1e+16


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
        UserError: a name that is not known, a weight that is no number above 0, a name twice, or another form.
    """
    terms: list[LossTerm] = []
    for part in _PLUS.split(text):
        name, colon, weight = (piece.strip() for piece in part.partition(":"))
        if not name:
            raise UserError(f"--mcq_loss {text}: a name is missing; the form is {FORM}")
        if name not in LOSS_NAMES:
            raise UserError(
                f"--mcq_loss {text}: there is no loss {name!r}; known: {', '.join(LOSS_NAMES)}."
                f"{did_you_mean(name, LOSS_NAMES)}"
            )
        if any(name == term.name for term in terms):
            raise UserError(f"--mcq_loss {text}: {name} stands there twice; add its weights up")
        terms.append(LossTerm(name, _weight(weight, text) if colon else 1.0))
    return tuple(terms)


def _weight(number: str, text: str) -> float:
    try:
        weight = float(number)
    except ValueError:
        raise UserError(f"--mcq_loss {text}: {number!r} is no weight; the form is {FORM}") from None
    if not (math.isfinite(weight) and weight > 0):
        raise UserError(f"--mcq_loss {text}: a weight must be above 0, found {number}; leave a loss out that counts 0")
    return weight


def loss_text(terms: tuple[LossTerm, ...]) -> str:
    """The terms in one form, however they were written."""
    return "+".join(map(str, terms))


def check_smoothing(terms: tuple[LossTerm, ...], label_smoothing: float) -> None:
    """Refuse label smoothing where no term takes it.

    Raises:
        UserError: none does.
    """
    if label_smoothing and not any(term.name in SMOOTHED for term in terms):
        raise UserError(
            f"--label_smoothing_factor is for {' and '.join(SMOOTHED)}, and --mcq_loss is {loss_text(terms)}; leave it "
            "out"
        )
