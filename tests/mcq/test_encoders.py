"""What bidirectional encoders read: how many tokens, and the type of each token."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from models import build
from support import wordpiece

from llmtuner.data.question import Question
from llmtuner.data.tokens.pair import PairEncoder
from llmtuner.mcq.collate import Collator
from llmtuner.mcq.model import position_limit
from llmtuner.mcq.questions import Example

POSITIONS = 24
SMALL = {"num_hidden_layers": 1, "max_position_embeddings": POSITIONS, "type_vocab_size": 2}
# Families whose positions start after the id of the padding token, with their default id.
PADDED = {"pad_token_id": 1}
FAMILIES = {
    "bert": {},
    "electra": {},
    "roberta": PADDED,
    "xlm-roberta": PADDED,
    "camembert": PADDED,
    "mpnet": PADDED,
    "ibert": PADDED,
    "data2vec-text": PADDED,
}


@pytest.mark.parametrize("name", FAMILIES)
def test_as_many_tokens_as_the_model_has_positions_for(name):
    """RoBERTa's positions start at padding + 1: off by one, the longest questions fail or lose a token needlessly."""
    model = build(name, causal=False, **SMALL, **FAMILIES[name])
    limit = position_limit(model.config, SimpleNamespace(model_max_length=10**9))
    ids = torch.randint(5, 200, (1, POSITIONS + 1))
    with torch.no_grad():
        assert model(ids[:, :limit]).last_hidden_state.shape[1] == limit
        with pytest.raises((IndexError, RuntimeError)):
            model(ids[:, : limit + 1])


def test_a_tokenizer_may_read_less_than_the_model():
    """The tokenizer's limit also applies to training."""
    config = build("bert", causal=False, **SMALL).config
    assert position_limit(config, SimpleNamespace(model_max_length=16)) == 16


def test_token_types_are_the_tokenizers_own():
    """Off by one, the separator or the option's first token gets the type of the other text, in every question."""
    tokenizer = wordpiece()
    questions = [
        Question("1", "What boils?", ("water, at 100 degrees", "a rock"), context="Liquids turn into gases."),
        Question("2", "Which is a metal?", ("iron", "wood and water", "air")),
    ]
    encoded = PairEncoder(tokenizer, None, 128).encode(questions)
    batch = Collator("per_option", "mean", tokenizer.pad_token_id)(
        [Example(tokens, 0, row) for row, tokens in enumerate(encoded)]
    )
    pairs = [
        (f"{question.context} {question.question}".strip(), option)
        for question in questions
        for option in question.options
    ]
    expected = tokenizer(*map(list, zip(*pairs, strict=True)), padding=True, return_tensors="pt")
    for name in ("input_ids", "attention_mask", "token_type_ids"):
        assert torch.equal(batch[name], expected[name]), name
