"""DUMA and CDUMA against their formulas, written out option by option and head by head."""

from __future__ import annotations

import math

import pytest
import torch
from test_heads import Inputs
from torch.nn.functional import layer_norm

from llmtuner.mcq.duma_options import resolve_duma
from llmtuner.mcq.heads import HEADS
from llmtuner.mcq.heads.base import OptionHead
from llmtuner.mcq.settings import McqSettings

HIDDEN = 24  # the hidden size in Inputs
CASES = {
    "duma": ("duma", {"width": 12, "heads": 3}),
    "duma-2-layers": ("duma", {"width": 12, "heads": 2, "layers": 2, "share": False}),
    "duma-paper": ("duma", {"preset": "paper", "heads": 4}),
    "duma-paper-2-layers": ("duma", {"preset": "paper", "heads": 4, "layers": 2}),
    "cduma": ("cduma", {"width": 12, "heads": 3}),
    "cduma-2-layers": ("cduma", {"width": 12, "heads": 2, "layers": 2, "share": False}),
    "cduma-paper": ("cduma", {"preset": "paper", "heads": 4}),
}

Weights = dict[str, torch.Tensor]


def make(name: str, measures: dict) -> OptionHead:
    """A head without any zero weight."""
    duma = resolve_duma(measures, {"hidden_size": HIDDEN, "num_attention_heads": 4})
    torch.manual_seed(0)
    head = HEADS[name].make(HIDDEN, McqSettings(head=name, duma=duma))
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return head.eval()


def affine(weights: Weights, layer: str, states: torch.Tensor) -> torch.Tensor:
    return states @ weights[f"{layer}.weight"].T + weights[f"{layer}.bias"]


def attend(weights: Weights, module: str, heads: int, query_SW: torch.Tensor, keys_TW: torch.Tensor) -> torch.Tensor:
    """softmax(x W_q (y W_k)^T / sqrt(W / H)) y W_v, followed by W_o if there is one."""
    views = []
    parts = [
        affine(weights, f"{module}.mcq_{name}", states).chunk(heads, dim=-1)
        for name, states in (("query", query_SW), ("key", keys_TW), ("value", keys_TW))
    ]
    for query, key, value in zip(*parts, strict=True):
        views.append((query @ key.T / math.sqrt(query.shape[-1])).softmax(-1) @ value)
    joined = torch.cat(views, dim=-1)
    return affine(weights, f"{module}.mcq_output", joined) if f"{module}.mcq_output.weight" in weights else joined


def normed(weights: Weights, layer: str, states: torch.Tensor) -> torch.Tensor:
    return layer_norm(states, states.shape[-1:], weights[f"{layer}.weight"], weights[f"{layer}.bias"])


def reference(
    head: OptionHead, measures: dict, features_ND: torch.Tensor, passage: torch.Tensor, answers: list[torch.Tensor]
) -> torch.Tensor:
    """Scores of one question by the formulas: [N].

    Args:
        passage: the passage's states, [P, D].
        answers: each option's own states, [A, D].
    """
    weights, heads = dict(head.state_dict()), measures["heads"]
    plain = measures.get("preset") == "paper"
    layers, two_ways = measures.get("layers", 1), measures.get("share") is False

    def narrow(states: torch.Tensor) -> torch.Tensor:
        return states if plain else normed(weights, "mcq_narrow_norm", affine(weights, "mcq_narrow", states))

    seen = []
    for answer in answers:
        u, v = narrow(passage), narrow(answer)
        for layer in range(layers):
            first = 0 if plain else layer * (2 if two_ways else 1)
            second = first + 1 if two_ways else first
            of_u = attend(weights, f"mcq_attend.{first}", heads, u, v)
            of_v = attend(weights, f"mcq_attend.{second}", heads, v, u)
            if not plain:
                of_u, of_v = (normed(weights, f"mcq_norm.{layer}", x) for x in (u + of_u, v + of_v))
            u, v = of_u, of_v
        seen.append((u, v))
    scores = []
    for option, (u, v) in enumerate(seen):
        gated = v
        if "mcq_gate.weight" in weights:
            rivals = torch.cat([rival for place, (_, rival) in enumerate(seen) if place != option])
            compared = attend(weights, "mcq_across", heads, v, rivals)
            gate = torch.sigmoid(affine(weights, "mcq_gate", torch.cat([v, compared], dim=-1)))
            gated = gate * v + (1 - gate) * compared
        pooled = torch.cat([u.mean(0), gated.mean(0)])
        scores.append(affine(weights, "mcq_score", features_ND[option])[0] + weights["mcq_fuse.weight"][0] @ pooled)
    return torch.stack(scores)


@pytest.mark.parametrize("case", CASES)
def test_scores_are_those_of_the_formulas(case):
    """Without the passage's residual, or with CDUMA's gate inverted, a head still trains, but is a different head."""
    name, measures = CASES[case]
    head, inputs = make(name, measures), Inputs()
    actual = inputs.score(head)
    for row, options in enumerate(inputs.mask.sum(-1).tolist()):
        passage = inputs.passage.states[row, 0][inputs.passage.mask[row, 0]]
        answers = [inputs.answer.states[row, o][inputs.answer.mask[row, o]] for o in range(options)]
        expected = reference(head, measures, inputs.features[row], passage, answers)
        torch.testing.assert_close(actual[row, :options], expected, rtol=1e-5, atol=1e-5)
        assert expected.std() > 0.1, "equal scores show nothing"


def test_option_mean_is_its_formula():
    """A mean over padding, or over all options, would train as well."""
    torch.manual_seed(0)
    head, inputs = HEADS["option_mean"].make(HIDDEN, McqSettings(head="option_mean")), Inputs()
    torch.nn.init.normal_(head.mcq_others.weight)
    actual = inputs.score(head)
    for row, options in enumerate(inputs.mask.sum(-1).tolist()):
        for option in range(options):
            rivals = [inputs.features[row, rival] for rival in range(options) if rival != option]
            expected = affine(dict(head.state_dict()), "mcq_score", inputs.features[row, option])[0]
            expected = expected + head.mcq_others.weight[0] @ torch.stack(rivals).mean(0)
            torch.testing.assert_close(actual[row, option], expected, rtol=1e-5, atol=1e-5)
