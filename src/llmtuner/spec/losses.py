"""The losses over the options of a question."""

from __future__ import annotations

from dataclasses import dataclass

from llmtuner.spec.entry import Entry, table


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss(Entry):
    """A loss.

    Args:
        smoothed: whether it takes label smoothing.
        soft: whether it can be trained on probabilities of the options: as its expected value when the right option is
            drawn from them. For the others, that expectation is not what they minimise.
        package: a package that it needs beyond the project's own requirements.
    """

    smoothed: bool = False
    soft: bool = False
    package: str = ""


def _loss(name: str, help: str, *, smoothed: bool = False, soft: bool = False, package: str = "") -> Loss:
    code = f"llmtuner.mcq.losses.{name}:{name}"
    return Loss(name=name, code=code, help=help, smoothed=smoothed, soft=soft, package=package)


LOSSES = table(
    _loss("cross_entropy", "softmax over the options", smoothed=True, soft=True),
    _loss("binary", "classifies each option on its own as right or wrong", soft=True),
    _loss("ranknet", "compares the right option with each wrong one", soft=True),
    _loss("lambda_map3", "ranknet, each pair weighted by its effect on MAP@3"),
    _loss("approx_map3", "MAP@3 computed from smooth ranks", soft=True),
    _loss("expected_map3", "expected MAP@3 of rankings drawn from the scores", soft=True),
    _loss("log_expected_map3", "the logarithm of expected_map3"),
    _loss("poly1", "cross_entropy with a larger first term of its series (PolyLoss)", smoothed=True, soft=True),
    _loss("topk_ce", "top-k cross-entropy for k = 1, 2, 3 (needs difftopk)", package="difftopk"),
)
