"""The states of shots, computed once for a whole prediction: a prefix of every question's prefix.

Each layer's keys and values of the shots' tokens are kept, and put before those of every row of a batch. The rows are
then collated without these tokens, at the positions that they have behind them.

Shape legend: B rows, T tokens of a row, S tokens of the shots, H heads, D width of a head.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import DynamicCache

from llmtuner.data.tokens.joint import JointTokens
from llmtuner.data.tokens.option import OptionTokens, Span
from llmtuner.mcq.attention import SPLIT, choose_attention
from llmtuner.mcq.collate import Batch, Collator
from llmtuner.mcq.layouts.base import PREFIX
from llmtuner.mcq.model import backbone_of, backbone_output
from llmtuner.mcq.pooling import last, own
from llmtuner.mcq.questions import Example, Tokens
from llmtuner.mcq.unwrap import unwrap
from llmtuner.spec.poolings import NONE, POOLINGS

_ATTENTIONS = ("eager", "sdpa", SPLIT)  # those that take a mask of numbers
_LAYERS = {"full_attention", "sliding_attention"}
# How far scores may differ, as a share of 1 + |score|: by rounding alone.
TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}
HALF_TOLERANCE = 5e-2


class ShotStates(DynamicCache):
    """Keys and values of the shots, for `past_key_values`; it records one forward pass and is not changed by others.

    Windows are a matter of the mask, so that all layers keep all tokens.

    Attributes:
        ids: the shots' tokens.
    """

    def __init__(self, ids: Sequence[int]) -> None:
        super().__init__()
        self.ids = list(ids)
        self._recording = True
        self._states: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of the shots and of the rows behind them: [B, H, S + T, D]."""
        if self._recording:
            self._states[layer_idx] = key_states, value_states
            return key_states, value_states
        rows = key_states.shape[0]
        keys, values = (state.expand(rows, -1, -1, -1) for state in self._states[layer_idx])
        return torch.cat([keys, key_states], dim=-2), torch.cat([values, value_states], dim=-2)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """The number of tokens before a row."""
        return 0 if self._recording else len(self.ids)

    def precede(self, tokens: Tokens) -> bool:
        """Whether a question begins with these shots, and everything that is scored lies behind them."""
        length = len(self.ids)
        if tokens.shots != length or tokens.sequences[0][:length] != self.ids:
            return False
        if isinstance(tokens, JointTokens):
            return len(tokens.scored) > length
        return min(begin for begin, _ in tokens.options) > length

    @property
    def usable(self) -> bool:
        """Whether every layer has keys and values of all tokens, one row of them."""
        shapes = [state.shape for states in self._states.values() for state in states]
        return bool(shapes) and all(len(s) == 4 and s[0] == 1 and s[2] == len(self.ids) for s in shapes)

    @classmethod
    def record(cls, model: Any, ids: Sequence[int]) -> ShotStates:
        """Compute the states of some tokens, with the adapters of the model."""
        states = cls(ids)
        device = next(model.parameters()).device
        ids_1S = torch.tensor([states.ids], device=device)
        positions_1S = torch.arange(len(states.ids), device=device)[None]
        segments_1S = torch.full_like(ids_1S, PREFIX)
        backbone_output(model, ids_1S, positions_1S, segments=segments_1S, past=states)
        states._recording = False
        return states


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why the states of shots are computed for each question again."""

    reason: str

    def __str__(self) -> str:
        return f"shots: their states are computed for each question again, because {self.reason}"


def obstacle_of(model: Any, collator: Collator) -> Obstacle | None:
    """What speaks against using the states again, as far as model and head tell."""
    base, backbone = unwrap(model), backbone_of(model)
    config, read = base.config.get_text_config(), inspect.signature(type(backbone).forward).parameters
    kinds = set(getattr(config, "layer_types", None) or ())
    attention = backbone.config._attn_implementation
    if collator.pooling != NONE and POOLINGS[collator.pooling].load() not in (last, own):
        return Obstacle(f"the pooling {collator.pooling} reads them")
    if getattr(base, "_is_stateful", False) or not {"past_key_values", "position_ids"} <= set(read):
        return Obstacle(f"{config.model_type} has no keys and values that could be put before other rows")
    if kinds - _LAYERS or getattr(config, "alibi", False):
        return Obstacle(f"{config.model_type} has layers of another kind than full attention and windows")
    if attention not in _ATTENTIONS:
        return Obstacle(f"the attention {attention} takes no mask for them")
    return None


def prepare_attention(model: Any) -> None:
    """Let a model take a mask of numbers in every precision."""
    base = unwrap(model)
    if base.config._attn_implementation == "sdpa":
        choose_attention(base)


def shots_of(questions: Sequence[Tokens]) -> list[int]:
    """The tokens of the shots in front of the first question; [] if it has none."""
    if not questions:
        return []
    return list(questions[0].sequences[0][: questions[0].shots])


def behind_shots(collator: Collator, examples: Sequence[Example], states: ShotStates) -> Batch:
    """A batch of questions without the tokens of their shots, whose states come from `states`."""
    length = len(states.ids)
    batch = collator.masked([replace(each, tokens=without_shots(each.tokens, length)) for each in examples])
    batch["position_ids"] = batch["position_ids"] + length
    return batch | {"past": states}


def without_shots(tokens: Any, length: int) -> Any:
    """A question's tokens without the first `length`; spans are moved."""
    if isinstance(tokens, JointTokens):
        return replace(tokens, prompt=tokens.prompt[length:], shots=0)
    assert isinstance(tokens, OptionTokens), "encoders have no shots"

    def moved(span: Span) -> Span:
        return max(0, span[0] - length), max(0, span[1] - length)

    return replace(
        tokens,
        sequences=[sequence[length:] for sequence in tokens.sequences],
        context=moved(tokens.context),
        question=moved(tokens.question),
        options=[moved(span) for span in tokens.options],
        shots=0,
    )


def agree(cached: Sequence[float], again: Sequence[float], dtype: torch.dtype) -> bool:
    """Whether the scores of a question differ by rounding only."""
    bound = TOLERANCE.get(dtype, HALF_TOLERANCE)
    pairs = [(one, two) for one, two in zip(cached, again, strict=True) if one != two]  # -inf equals itself
    return all(abs(one - two) <= bound * (1 + abs(two)) for one, two in pairs)
