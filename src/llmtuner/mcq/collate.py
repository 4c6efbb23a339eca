"""Collates questions into a batch of tensors: what a backbone reads, and where each option's score comes from.

Shape legend: B rows, T tokens of a row, Q questions, N options (padded to the most in the batch), S pooled tokens,
or tokens of an option's text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from llmtuner.data.tokens.joint import JointTokens
from llmtuner.data.tokens.option import OptionTokens
from llmtuner.mcq.layouts import layout_of
from llmtuner.mcq.layouts.base import PADDING, Place, Rows
from llmtuner.mcq.pooling import PASSAGES
from llmtuner.mcq.questions import Example, Tokens
from llmtuner.mcq.settings import McqSettings
from llmtuner.spec.heads import HEADS, LETTERS, OPTION_TOKENS, STATES
from llmtuner.spec.norms import NORMS
from llmtuner.spec.poolings import POOLINGS

Batch = dict[str, Any]
_Spot = tuple[int, list[int]]  # a row, and indices in it


@dataclass(frozen=True)
class Collator:
    """A batch holds:

    - ``input_ids [B, T]``, ``position_ids [B, T]``, and ``attention_mask [B, T]``, or for packed rows ``segments
      [B, T]`` and the number ``shared`` (see `llmtuner.mcq.layouts.base.Rows`); ``token_type_ids [B, T]`` for encoders;
    - for heads that read states, ``pool_rows [Q, N]`` and ``pool_tokens [Q, N, S]`` (see `llmtuner.mcq.pooling.pool`),
      with N = 1 if one vector stands for all options;
    - for those that read letters, ``letter_ids [Q, N]``;
    - for those that read the options' tokens, ``target_ids [Q, N, S]``, the tokens of each option's text, padded with
      -1; ``predict_tokens [Q, N, S]``, the indices of the tokens before them, in the rows of ``pool_rows [Q, N]``; and
      the norm's ``divisors [Q, N]``;
    - for heads that read tokens, ``passage_rows [Q, M]``, ``passage_tokens [Q, M, S]`` (M is 1 in packed rows, where
      the options share the passage, else N) and ``answer_tokens [Q, N, S]``, in the rows of ``pool_rows``;
    - ``mask [Q, N]``, true where there is an option; ``labels [Q]``, -100 where the label is ignored; ``rows [Q]``;
    - where a question has them, ``targets [Q, N]``, the options' probabilities (1 for the answer of a question without
      any), and ``weights [Q]``.

    Args:
        layout: its name.
        pooling: its name; "none" for heads that pool nothing.
        pad_token_id: the padding.
        passage: which tokens are passage and which answer (`llmtuner.mcq.pooling.PASSAGES`), for heads that read them.
        reads: what the head reads (`llmtuner.spec.heads`).
        norm: its name, for heads that read the options' tokens.
    """

    layout: str
    pooling: str
    pad_token_id: int
    passage: str | None = None
    reads: str = STATES
    norm: str | None = None

    @classmethod
    def of(cls, settings: McqSettings, pad_token_id: int) -> Collator:
        """The collator that the settings need."""
        passage = None if settings.duma is None else settings.duma.passage
        reads = HEADS[settings.head].reads
        return cls(settings.layout, settings.pooling, pad_token_id, passage, reads, settings.likelihood_norm)

    def __call__(self, examples: Sequence[Example]) -> Batch:
        """Collate examples whose tokens are of this layout's text."""
        questions: list[Any] = [example.tokens for example in examples]
        rows = layout_of(self.layout).rows(questions)
        batch = {**self._rows(questions, rows), "mask": _option_mask(questions)}
        of_head: dict[str, Callable[[Any, Rows], Batch]] = {
            STATES: self._states,
            LETTERS: self._letters,
            OPTION_TOKENS: self._option_tokens,
        }
        batch |= of_head[self.reads](questions, rows)
        if self.passage is not None:
            batch |= self._passages(questions, rows)
        batch["labels"] = torch.tensor([example.label for example in examples])
        batch["rows"] = torch.tensor([example.row for example in examples])
        if any(example.probabilities is not None for example in examples):
            batch["targets"] = _targets(examples)
        if any(example.weight != 1 for example in examples):
            batch["weights"] = torch.tensor([example.weight for example in examples])
        return batch

    def masked(self, examples: Sequence[Example]) -> Batch:
        """A batch in which every layout has `segments`, as packed rows do, so that the mask is made of them."""
        batch = self(examples)
        if "segments" not in batch:
            real_BT = batch.pop("attention_mask") > 0
            batch["segments"] = torch.zeros_like(batch["input_ids"]).masked_fill(~real_BT, PADDING)
        return batch | {"shared": 0}

    def _rows(self, questions: Sequence[Tokens], rows: Rows) -> Batch:
        """What the backbone reads."""
        layout = layout_of(self.layout)
        pad = _pad_left if layout.pads_left else pad_rows
        positions_BT = pad([row.positions for row in rows.rows], 0)
        segments_BT = pad([row.segments for row in rows.rows], PADDING)
        batch: Batch = {"input_ids": pad([row.ids for row in rows.rows], self.pad_token_id)}
        if layout.packed:
            return batch | {"segments": segments_BT, "position_ids": positions_BT, "shared": rows.shared}
        batch["attention_mask"] = (segments_BT != PADDING).long()
        starts = [tokens.second for tokens, places in zip(questions, rows.places, strict=True) for _ in places]
        if any(starts):
            second_BT = positions_BT >= torch.tensor(starts)[:, None]
            batch["token_type_ids"] = (second_BT & (batch["attention_mask"] > 0)).long()
        return batch | {"position_ids": positions_BT}

    def _states(self, questions: Sequence[Tokens], rows: Rows) -> Batch:
        pooled_rows_QN, pooled_tokens_QNS = _padded(self._pooled(questions, rows))
        return {"pool_rows": pooled_rows_QN, "pool_tokens": pooled_tokens_QNS}

    def _letters(self, questions: Sequence[JointTokens], _: Rows) -> Batch:
        return {"letter_ids": pad_rows([tokens.letter_ids for tokens in questions], -1).clamp(min=0)}

    def _option_tokens(self, questions: Sequence[OptionTokens], rows: Rows) -> Batch:
        """The tokens of the options' texts, and those before them, of which the first may lie in the shared prefix."""
        divisor_of = NORMS[self.norm or ""].load()
        predictors: list[list[_Spot]] = []
        targets: list[list[_Spot]] = []
        divisors = []
        for tokens, places in zip(questions, rows.places, strict=True):
            spans = [tokens.scored(option) for option in range(tokens.count)]
            predictors.append([_spot(place, range(b - 1, e - 1)) for place, (b, e) in zip(places, spans, strict=True)])
            targets.append([(0, ids[b:e]) for ids, (b, e) in zip(tokens.sequences, spans, strict=True)])
            divisors.append([max(1, divisor_of(tokens, option)) for option in range(tokens.count)])
        rows_QN, predictors_QNS = _padded(predictors)
        return {
            "pool_rows": rows_QN,
            "predict_tokens": predictors_QNS,
            "target_ids": _padded(targets)[1],
            "divisors": pad_rows(divisors, 1).float(),
        }

    def _pooled(self, questions: Sequence[Tokens], rows: Rows) -> list[list[_Spot]]:
        """For each question and option, the row and the indices of the tokens that are averaged."""
        span_of = POOLINGS[self.pooling].load()
        longest = max(len(row.ids) for row in rows.rows)
        pooled = []
        for tokens, places in zip(questions, rows.places, strict=True):
            spots = [_spot(place, range(*span_of(tokens, option))) for option, place in enumerate(places)]
            if layout_of(self.layout).pads_left:
                spots = [(row, [token + longest - len(rows.rows[row].ids) for token in spot]) for row, spot in spots]
            pooled.append(spots)
        return pooled

    def _passages(self, questions: Sequence[OptionTokens], rows: Rows) -> Batch:
        """The tokens of passage and answer. In packed rows the options share the passage, so one entry is enough."""
        spans_of = PASSAGES[self.passage or ""]
        passages: list[list[_Spot]] = []
        answers: list[list[_Spot]] = []
        for tokens, places in zip(questions, rows.places, strict=True):
            spans = [spans_of(tokens, option) for option in range(len(places))]
            copies = 1 if layout_of(self.layout).packed else len(places)
            passages.append([_spot(places[option], spans[option][0]) for option in range(copies)])
            answers.append([_spot(place, answer) for place, (_, answer) in zip(places, spans, strict=True)])
        passage_rows_QM, passage_tokens_QMS = _padded(passages)
        return {
            "passage_rows": passage_rows_QM,
            "passage_tokens": passage_tokens_QMS,
            "answer_tokens": _padded(answers)[1],
        }


@dataclass(frozen=True)
class Twice:
    """Batches that hold every question twice, copies after originals: two passes under dropout in one."""

    collator: Collator

    def __call__(self, examples: Sequence[Example]) -> Batch:
        """Collate examples and their copies."""
        return self.collator([*examples, *examples])


def _option_mask(questions: Sequence[Tokens]) -> torch.Tensor:
    """Which options exist: [Q, N]."""
    most = max(tokens.count for tokens in questions)
    return torch.tensor([[n < tokens.count for n in range(most)] for tokens in questions])


def _targets(examples: Sequence[Example]) -> torch.Tensor:
    """The probabilities of the options, [Q, N]: 1 for the answer where a question has no others, and 0 for padding."""
    most = max(example.tokens.count for example in examples)
    targets_QN = torch.zeros(len(examples), most)
    for target_N, example in zip(targets_QN, examples, strict=True):
        if example.probabilities is not None:
            target_N[: len(example.probabilities)] = torch.tensor(example.probabilities)
        elif example.label >= 0:
            target_N[example.label] = 1.0
    return targets_QN


def _spot(place: Place, tokens: Sequence[int]) -> _Spot:
    return place.row, [place.index(token) for token in tokens]


def _padded(options: Sequence[Sequence[_Spot]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows [Q, N], 0 where there is no option, and indices [Q, N, S], -1 for padding."""
    most = max(map(len, options))
    longest = max(1, *(len(tokens) for of_question in options for _, tokens in of_question))
    rows_QN, tokens_QNS = [], []
    for of_question in options:
        missing = most - len(of_question)
        rows_QN.append([row for row, _ in of_question] + [0] * missing)
        padded = [tokens + [-1] * (longest - len(tokens)) for _, tokens in of_question]
        tokens_QNS.append(padded + [[-1] * longest] * missing)
    return torch.tensor(rows_QN), torch.tensor(tokens_QNS)


def pad_rows(rows: Sequence[Sequence[int]], filler: int) -> torch.Tensor:
    """Rows of numbers, padded on the right: [B, T]."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[filler] * (longest - len(row))] for row in rows])


def _pad_left(rows: Sequence[Sequence[int]], filler: int) -> torch.Tensor:
    """Rows of numbers, padded on the left: [B, T]."""
    longest = max(map(len, rows))
    return torch.tensor([[*[filler] * (longest - len(row)), *row] for row in rows])
