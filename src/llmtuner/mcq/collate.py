"""Questions into one batch of tensors: what a backbone reads, and where each option's score comes from.

Shape legend: B rows, T tokens of a row, Q questions, N options (padded to the most in the batch), S tokens that count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch

from llmtuner.data.tokens.joint import JointTokens
from llmtuner.data.tokens.option import OptionTokens
from llmtuner.mcq.layout import LAYOUTS, PADDING, Place, Rows, pad_rows
from llmtuner.mcq.pooling import PASSAGES, POOLINGS
from llmtuner.mcq.questions import Example
from llmtuner.mcq.settings import McqSettings

Batch = dict[str, Any]
_Found = tuple[int, list[int]]  # a row, and places in it


@dataclass(frozen=True)
class Collator:
    """A batch holds:

    - ``input_ids [B, T]``, ``position_ids [B, T]``, and ``attention_mask [B, T]``, or for packed rows ``segments
      [B, T]`` and the number ``shared`` (see `llmtuner.mcq.layout.Rows`); ``token_type_ids [B, T]`` for encoders;
    - ``pool_rows [Q, N]`` and ``pool_tokens [Q, N, S]`` (see `llmtuner.mcq.pooling.pool`), or ``letter_ids [Q, N]``;
    - for heads that read tokens, ``passage_rows [Q, M]``, ``passage_tokens [Q, M, S]`` (M is 1 in packed rows, where
      the options share the passage, else N) and ``answer_tokens [Q, N, S]``, in the rows of ``pool_rows``;
    - ``mask [Q, N]``, true where there is an option; ``labels [Q]``, -100 where none counts; ``rows [Q]``.

    Args:
        layout: "shared_prefix", "per_option" or "joint".
        pooling: "last", "first", "mean" or "option"; "none" for letters.
        pad_token_id: fills rows up.
        passage: which tokens are passage and which answer (`llmtuner.mcq.pooling.PASSAGES`), for heads that read them.
    """

    layout: str
    pooling: str
    pad_token_id: int
    passage: str | None = None

    @classmethod
    def of(cls, settings: McqSettings, pad_token_id: int) -> Collator:
        """The collator that the settings need."""
        return cls(settings.layout, settings.pooling, pad_token_id, settings.duma.get("passage"))

    def __call__(self, examples: Sequence[Example]) -> Batch:
        """Collate examples whose tokens are of this layout's kind."""
        if self.layout == "joint":
            batch = self._joint([cast(JointTokens, example.tokens) for example in examples])
        else:
            batch = self._options([cast(OptionTokens, example.tokens) for example in examples])
        batch["labels"] = torch.tensor([example.label for example in examples])
        batch["rows"] = torch.tensor([example.row for example in examples])
        return batch

    def _options(self, questions: Sequence[OptionTokens]) -> Batch:
        rows = LAYOUTS[self.layout](questions, self.pad_token_id)
        span_of = POOLINGS[self.pooling]
        pooled = [
            [_found(place, list(range(*span_of(tokens, option)))) for option, place in enumerate(places)]
            for tokens, places in zip(questions, rows.places, strict=True)
        ]
        batch: Batch = {"input_ids": rows.input_ids_BT, **_pooled(pooled)}
        if self.passage is not None:
            batch |= self._read(questions, rows)
        if rows.packed:
            batch |= {"segments": rows.segments_BT, "position_ids": rows.position_ids_BT, "shared": rows.shared}
            return batch
        batch["attention_mask"] = (rows.segments_BT != PADDING).long()
        starts = [tokens.second for tokens in questions for _ in tokens.sequences]
        if any(starts):
            second = rows.position_ids_BT >= torch.tensor(starts)[:, None]
            batch["token_type_ids"] = (second & (batch["attention_mask"] > 0)).long()
        return batch | {"position_ids": rows.position_ids_BT}

    def _read(self, questions: Sequence[OptionTokens], rows: Rows) -> Batch:
        """The tokens of passage and answer. In packed rows the options share the passage: the first one's will do."""
        spans_of = PASSAGES[self.passage or ""]
        passages: list[list[_Found]] = []
        answers: list[list[_Found]] = []
        for tokens, places in zip(questions, rows.places, strict=True):
            spans = [spans_of(tokens, option) for option in range(len(places))]
            copies = 1 if rows.packed else len(places)
            passages.append([_found(places[option], spans[option][0]) for option in range(copies)])
            answers.append([_found(place, answer) for place, (_, answer) in zip(places, spans, strict=True)])
        passage_rows_QM, passage_tokens_QMS = _padded(passages)
        return {
            "passage_rows": passage_rows_QM,
            "passage_tokens": passage_tokens_QMS,
            "answer_tokens": _padded(answers)[1],
        }

    def _joint(self, questions: Sequence[JointTokens]) -> Batch:
        """Padded on the left, so that the scored place is the last of every row."""
        ids_BT = pad_rows([tokens.scored[::-1] for tokens in questions], self.pad_token_id).flip(1)
        mask_BT = pad_rows([[1] * len(tokens.scored) for tokens in questions], 0).flip(1)
        positions_BT = (mask_BT.cumsum(-1) - 1).clamp(min=0)
        batch: Batch = {"input_ids": ids_BT, "attention_mask": mask_BT, "position_ids": positions_BT}
        letters_QN = pad_rows([tokens.letter_ids for tokens in questions], -1)
        batch["mask"] = letters_QN >= 0
        if self.pooling == "none":
            return batch | {"letter_ids": letters_QN.clamp(min=0)}
        length = ids_BT.shape[1]
        begins = [length - (1 if self.pooling == "last" else len(tokens.scored)) for tokens in questions]
        pooled = _pooled([[(row, list(range(begin, length)))] for row, begin in enumerate(begins)])
        return {**pooled, **batch}


@dataclass(frozen=True)
class Twice:
    """Batches that hold every question twice, the copies behind the originals: two passes under dropout in one."""

    collator: Collator

    def __call__(self, examples: Sequence[Example]) -> Batch:
        """Collate examples and their copies."""
        return self.collator([*examples, *examples])


def _found(place: Place, tokens: list[int]) -> _Found:
    return place.row, [place.index(token) for token in tokens]


def _pooled(options: Sequence[Sequence[_Found]]) -> Batch:
    """Rows and places of the tokens that count, for each question and option; and which options there are."""
    rows_QN, tokens_QNS = _padded(options)
    mask = [[n < len(of_question) for n in range(rows_QN.shape[1])] for of_question in options]
    return {"pool_rows": rows_QN, "pool_tokens": tokens_QNS, "mask": torch.tensor(mask)}


def _padded(options: Sequence[Sequence[_Found]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows [Q, N], 0 where there is no option, and places [Q, N, S], -1 where there is none."""
    most = max(map(len, options))
    longest = max(1, *(len(tokens) for of_question in options for _, tokens in of_question))
    rows_QN, tokens_QNS = [], []
    for of_question in options:
        missing = most - len(of_question)
        rows_QN.append([row for row, _ in of_question] + [0] * missing)
        padded = [tokens + [-1] * (longest - len(tokens)) for _, tokens in of_question]
        tokens_QNS.append(padded + [[-1] * longest] * missing)
    return torch.tensor(rows_QN), torch.tensor(tokens_QNS)
