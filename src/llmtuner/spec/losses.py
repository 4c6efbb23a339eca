"""The losses over the options of a question."""

from __future__ import annotations

from dataclasses import dataclass

from llmtuner.spec.entry import Entry, table


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss(Entry):
    """A loss.

    Args:
        smoothed: whether it takes label smoothing.
        package: a package that it needs beyond the project's own requirements.
    """

    smoothed: bool = False
    package: str = ""


def _loss(name: str, help: str, *, smoothed: bool = False, package: str = "") -> Loss:
    return Loss(name=name, code=f"llmtuner.mcq.losses.{name}:{name}", help=help, smoothed=smoothed, package=package)


LOSSES = table(
    _loss("cross_entropy", "softmax over the options", smoothed=True),
    _loss("binary", "classifies each option on its own as right or wrong"),
    _loss("ranknet", "compares the right option with each wrong one"),
    _loss("lambda_map3", "ranknet, each pair weighted by its effect on MAP@3"),
    _loss("approx_map3", "MAP@3 computed from smooth ranks"),
    _loss("expected_map3", "expected MAP@3 of rankings drawn from the scores"),
    _loss("log_expected_map3", "the logarithm of expected_map3"),
    _loss("poly1", "cross_entropy with a larger first term of its series (PolyLoss)", smoothed=True),
    _loss("topk_ce", "top-k cross-entropy for k = 1, 2, 3 (needs difftopk)", package="difftopk"),
)
