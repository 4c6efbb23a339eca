"""Token states of a frozen encoder, computed once: heads are then trained on them in seconds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from llmtuner.data.option import OptionTokens
from llmtuner.data.pair import PairEncoder
from llmtuner.data.question import Question
from llmtuner.mcq.batches import by_length
from llmtuner.mcq.collate import Collator
from llmtuner.mcq.heads.base import TokenStates
from llmtuner.mcq.layout import row_shape
from llmtuner.mcq.model import hidden_states
from llmtuner.mcq.pooling import PASSAGES, POOLINGS
from llmtuner.mcq.questions import Example

CHUNK = 100  # questions a file: what a run that is stopped has to compute again at most
TOKENS = 8192  # a forward pass


@dataclass
class Cached:
    """All token states of a list of questions, in half precision, mapped from a file a chunk.

    Args:
        tokens: of each question.
        states: for each question and option, its sequence's states, [T, D].
    """

    tokens: Sequence[OptionTokens]
    states: list[list[np.ndarray]]

    def batch(self, rows: Sequence[int], pooling: str, passage: str) -> tuple[torch.Tensor, ...]:
        """What a head reads: features [Q, N, D], there [Q, N], and the states of passage and answer."""
        most = max(len(self.states[row]) for row in rows)
        part = Cached([self.tokens[row] for row in rows], [self.states[row] for row in rows])
        spans: tuple[list[list[np.ndarray]], list[list[np.ndarray]]] = ([], [])
        for tokens, of_question in zip(part.tokens, part.states, strict=True):
            read = [PASSAGES[passage](tokens, option) for option in range(len(of_question))]
            for place in range(2):
                spans[place].append([states[span[place]] for states, span in zip(of_question, read, strict=True)])
        return *part.pooled(pooling), _pad(spans[0], most), _pad(spans[1], most)

    def pooled(self, pooling: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Features [Q, N, D] of all questions, and which options there are [Q, N]."""
        width, most = self.states[0][0].shape[1], max(map(len, self.states))
        features = torch.zeros(len(self.states), most, width)
        there = torch.zeros(len(self.states), most, dtype=torch.bool)
        for question, of_question in enumerate(self.states):
            for option, states_TD in enumerate(of_question):
                span = slice(*POOLINGS[pooling](self.tokens[question], option))
                features[question, option] = torch.from_numpy(states_TD[span].astype(np.float32).mean(0))
                there[question, option] = True
        return features, there


def _pad(spans: list[list[np.ndarray]], most: int) -> TokenStates:
    longest = max(1, *(len(span) for of_question in spans for span in of_question))
    states = torch.zeros(len(spans), most, longest, spans[0][0].shape[1])
    there = torch.zeros(len(spans), most, longest, dtype=torch.bool)
    for question, of_question in enumerate(spans):
        for option, span in enumerate(of_question):
            states[question, option, : len(span)] = torch.from_numpy(span)
            there[question, option, : len(span)] = True
    return TokenStates(states, there)


def cache_states(model: Any, tokenizer: Any, questions: Sequence[Question], folder: Path, cutoff_len: int) -> Cached:
    """Compute what is not there yet, and map it."""
    folder.mkdir(parents=True, exist_ok=True)
    encoded = PairEncoder(tokenizer, None, cutoff_len).encode(list(questions))
    states: list[list[np.ndarray]] = []
    for begin in range(0, len(encoded), CHUNK):
        chunk = encoded[begin : begin + CHUNK]
        path = folder / f"{begin:06d}.npy"
        lengths = [len(sequence) for tokens in chunk for sequence in tokens.sequences]
        if not path.is_file():
            partial = path.with_suffix(".part.npy")
            np.save(partial, _compute(model, chunk))
            partial.rename(path)
            print(f"{folder.name}: {begin + len(chunk)} of {len(encoded)}", flush=True)
        mapped = np.load(path, mmap_mode="r")
        assert len(mapped) == sum(lengths), f"{path}: of other questions; delete the folder"
        pieces = iter(np.split(mapped, np.cumsum(lengths)[:-1]))
        states += [[next(pieces) for _ in tokens.sequences] for tokens in chunk]
    (folder / "about.json").write_text(json.dumps({"questions": len(encoded), "cutoff_len": cutoff_len}))
    return Cached(encoded, states)


@torch.inference_mode()
def _compute(model: Any, chunk: Sequence[OptionTokens]) -> np.ndarray:
    found: dict[int, list[np.ndarray]] = {}
    collator = Collator("per_option", "last", 0)
    for rows in by_length([row_shape("per_option", tokens) for tokens in chunk], batch_size=1, tokens_per_batch=TOKENS):
        batch = collator([Example(chunk[row], 0, row) for row in rows])
        reads = ("input_ids", "position_ids", "attention_mask", "token_type_ids")
        hidden_BTD = hidden_states(model, **{name: batch[name] for name in reads if name in batch})
        place = 0
        for row in rows:
            sequences = chunk[row].sequences
            found[row] = [
                hidden_BTD[place + option, : len(sequence)].half().numpy() for option, sequence in enumerate(sequences)
            ]
            place += len(sequences)
    return np.concatenate([states for row in range(len(chunk)) for states in found[row]])
