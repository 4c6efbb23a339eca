"""Small models of every family, and questions of random tokens, for the tests of the engine."""

from __future__ import annotations

import random

import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from llmtuner.data.tokens.option import OptionTokens

SIZES = {
    "vocab_size": 200,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
}
MODELS = {
    "llama": {"model_type": "llama", "num_key_value_heads": 4},
    "llama-gqa": {"model_type": "llama", "num_key_value_heads": 2},
    "qwen2": {"model_type": "qwen2", "num_key_value_heads": 2},
    "qwen3": {"model_type": "qwen3", "num_key_value_heads": 2, "head_dim": 8},
    "mistral-wide": {"model_type": "mistral", "num_key_value_heads": 2, "sliding_window": 400},
    "mistral-narrow": {"model_type": "mistral", "num_key_value_heads": 2, "sliding_window": 9},
    "gemma2": {"model_type": "gemma2", "num_key_value_heads": 2, "head_dim": 8, "sliding_window": 9},
    "gemma3": {"model_type": "gemma3_text", "num_key_value_heads": 2, "head_dim": 8, "sliding_window": 9},
    "phi3": {"model_type": "phi3", "num_key_value_heads": 2},
    "gpt_neox": {"model_type": "gpt_neox"},
}


def build(name: str, *, causal: bool = True, **more) -> torch.nn.Module:
    """A random model of a family, in the state after loading."""
    torch.manual_seed(0)
    settings = {**SIZES, **MODELS.get(name, {}), **more}
    config = AutoConfig.for_model(settings.pop("model_type", name), **settings)
    loader = AutoModelForCausalLM if causal else AutoModel
    model = loader.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():  # larger than at initialisation, so that attention has an effect
            if parameter.dim() > 1:
                parameter.mul_(4)
    return model.eval()


def question(draw: random.Random, prefix: int, lengths: list[int], shared: int = 0) -> OptionTokens:
    """Random tokens; the first `shared` tokens of the option text are equal in all options."""
    tokens = lambda n: [draw.randrange(3, 200) for _ in range(n)]  # noqa: E731
    start, common = tokens(prefix), tokens(shared)
    options = [common + tokens(length) for length in lengths]
    return OptionTokens(
        sequences=[[*start, *option, 2] for option in options],
        context=(1, prefix // 2),
        question=(prefix // 2, prefix),
        options=[(prefix, prefix + len(option)) for option in options],
        cut=0,
        over=0,
    )


def hard_questions() -> list[OptionTokens]:
    """Ragged options, options with a common first half, equal options, one option that is a prefix of another."""
    draw = random.Random(0)
    ragged = question(draw, 20, [3, 9, 1, 6, 4])
    common = question(draw, 12, [4, 4, 5], shared=5)
    equal = question(draw, 15, [4, 4])
    equal.sequences[1][:] = equal.sequences[0]
    begins = question(draw, 10, [6, 6, 6, 6])
    begins.sequences[2][:] = [*begins.sequences[0][:13], 2]
    begins.options[2] = (10, 13)
    return [ragged, common, equal, begins]


ANSWERS = [1, 0, 1, 2]  # one for each of the hard questions
