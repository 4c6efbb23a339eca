"""What bidirectional encoders read: how many tokens, and of which type each one is."""

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
# Families that count positions from behind the padding token's number, with the number that they have by default.
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
    """RoBERTa begins to count at padding + 1: off by one, the longest questions fail, or lose a token for nothing."""
    model = build(name, causal=False, **SMALL, **FAMILIES[name])
    limit = position_limit(model.config, SimpleNamespace(model_max_length=10**9))
    ids = torch.randint(5, 200, (1, POSITIONS + 1))
    with torch.no_grad():
        assert model(ids[:, :limit]).last_hidden_state.shape[1] == limit
        with pytest.raises((IndexError, RuntimeError)):
            model(ids[:, : limit + 1])


def test_a_tokenizer_may_read_less_than_the_model():
    """A limit of the tokenizer is one of the training, too."""
    config = build("bert", causal=False, **SMALL).config
    assert position_limit(config, SimpleNamespace(model_max_length=16)) == 16


def test_token_types_are_the_tokenizers_own():
    """Off by one, the separator or the option's first token is of the other text's type, in every question."""
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
