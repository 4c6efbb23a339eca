"""Token states of a frozen encoder, computed once, so that a head trains on them in seconds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch

from llmtuner.data.question import Question
from llmtuner.data.tokens.option import OptionTokens
from llmtuner.data.tokens.pair import PairEncoder
from llmtuner.files import open_atomic
from llmtuner.mcq.batches import by_length
from llmtuner.mcq.collate import Collator
from llmtuner.mcq.heads.base import TokenStates
from llmtuner.mcq.layouts.per_option import PerOption
from llmtuner.mcq.model import hidden_states
from llmtuner.mcq.pooling import PASSAGES
from llmtuner.mcq.questions import Example
from llmtuner.spec.poolings import POOLINGS

CHUNK = 100  # questions in a file; a stopped run repeats at most so many
TOKENS = 8192  # in a forward pass


@dataclass
class Cached:
    """All token states of a list of questions, in half precision.

    Args:
        tokens: of each question.
        states_TD: of all sequences, concatenated.
        begins: for each question, the row of `states_TD` at which the sequence of each option begins.
        device: of the batches.
    """

    tokens: Sequence[OptionTokens]
    states_TD: torch.Tensor
    begins: Sequence[Sequence[int]]
    device: str = "cpu"

    @cached_property
    def _on_device(self) -> torch.Tensor:
        return self.states_TD.to(self.device)

    @cached_property
    def lengths(self) -> list[int]:
        """The tokens in the longest sequence of each question."""
        return [max(map(len, tokens.sequences)) for tokens in self.tokens]

    def spans(self, passage: str) -> list[tuple[list[np.ndarray], list[np.ndarray]]]:
        """For each question, the rows of `states_TD` with the passage and the answer of each option."""
        spans = []
        for tokens, begins in zip(self.tokens, self.begins, strict=True):
            read = [PASSAGES[passage](tokens, option) for option in range(len(begins))]
            spans.append(
                tuple([begin + np.array(r[place]) for begin, r in zip(begins, read, strict=True)] for place in (0, 1))
            )
        return spans

    def gather(self, places: Sequence[Sequence[np.ndarray]]) -> TokenStates:
        """The states of each question and option, padded to a batch."""
        most, longest = max(map(len, places)), max(1, *(len(one) for options in places for one in options))
        place_QNS = np.zeros((len(places), most, longest), np.int64)
        mask_QNS = np.zeros(place_QNS.shape, bool)
        for question, options in enumerate(places):
            for option, one in enumerate(options):
                place_QNS[question, option, : len(one)] = one
                mask_QNS[question, option, : len(one)] = True
        place, mask = (torch.from_numpy(array).to(self.device) for array in (place_QNS, mask_QNS))
        return TokenStates(self._on_device[place], mask)

    def pooled(self, pooling: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Features [Q, N, D] of all questions, and the mask of their options, [Q, N]."""
        features_QND = torch.zeros(len(self.tokens), max(map(len, self.begins)), self.states_TD.shape[1])
        mask_QN = torch.zeros(features_QND.shape[:2], dtype=torch.bool)
        for question, (tokens, begins) in enumerate(zip(self.tokens, self.begins, strict=True)):
            for option, begin in enumerate(begins):
                first, end = POOLINGS[pooling].load()(tokens, option)
                features_QND[question, option] = self.states_TD[begin + first : begin + end].float().mean(0)
                mask_QN[question, option] = True
        return features_QND.to(self.device), mask_QN.to(self.device)


def cache_states(model: Any, tokenizer: Any, questions: Sequence[Question], folder: Path, cutoff_len: int) -> Cached:
    """Compute the missing chunks on the device of the model, and read all chunks."""
    folder.mkdir(parents=True, exist_ok=True)
    encoded = PairEncoder(tokenizer, None, cutoff_len).encode(list(questions))
    chunks: list[torch.Tensor] = []
    for begin in range(0, len(encoded), CHUNK):
        chunk = encoded[begin : begin + CHUNK]
        path = folder / f"{begin:06d}.npy"
        if not path.is_file():
            states = _compute(model, chunk)
            with open_atomic(path) as file:  # several processes may compute the same chunk
                np.save(file, states)
            print(f"{folder.name}: {begin + len(chunk)} of {len(encoded)}", flush=True)
        chunks.append(torch.from_numpy(np.load(path)))
        length = sum(len(sequence) for tokens in chunk for sequence in tokens.sequences)
        assert len(chunks[-1]) == length, f"{path} has states of other questions; delete the folder"
    (folder / "about.json").write_text(json.dumps({"questions": len(encoded), "cutoff_len": cutoff_len}))
    ends = iter(accumulate((len(sequence) for tokens in encoded for sequence in tokens.sequences), initial=0))
    begins = [[next(ends) for _ in tokens.sequences] for tokens in encoded]
    return Cached(encoded, torch.cat(chunks), begins, str(model.device))


@torch.inference_mode()
def _compute(model: Any, chunk: Sequence[OptionTokens]) -> np.ndarray:
    states: dict[int, list[np.ndarray]] = {}
    collator = Collator("per_option", "last", 0)
    for rows in by_length([PerOption.shape(tokens) for tokens in chunk], batch_size=1, tokens_per_batch=TOKENS):
        batch = collator([Example(chunk[row], 0, row) for row in rows])
        reads = ("input_ids", "position_ids", "attention_mask", "token_type_ids")
        hidden_BTD = hidden_states(model, **{name: batch[name].to(model.device) for name in reads if name in batch})
        hidden_BTD, place = hidden_BTD.half().cpu(), 0
        for row in rows:
            sequences = chunk[row].sequences
            states[row] = [
                hidden_BTD[place + option, : len(sequence)].numpy() for option, sequence in enumerate(sequences)
            ]
            place += len(sequences)
    return np.concatenate([of_option for row in range(len(chunk)) for of_option in states[row]])
