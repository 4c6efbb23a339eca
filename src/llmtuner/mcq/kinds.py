"""The kind of a model: a decoder that reads chat prompts, or an encoder that reads pairs of texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from llmtuner.errors import UserError

Kind = Literal["causal", "encoder"]

# Families with a masked language model and no causal one; a test compares them with transformers' own table.
ENCODERS = frozenset(
    """
    albert bert big_bird camembert convbert data2vec-text deberta deberta-v2 distilbert electra ernie esm
    eurobert flaubert fnet funnel ibert jina_embeddings_v3 layoutlm longformer luke megatron-bert mobilebert modernbert
    modernvbert mpnet mra nomic_bert nystromformer rembert roberta roberta-prelayernorm roc_bert roformer squeezebert
    tapas xlm-roberta xlm-roberta-xl xmod yoso
    """.split()  # noqa: SIM905
)

# Causal families with a table of positions that ends: the key of its length, and the length if config.json has no such
# key. Rotary positions have no end; transformers' tables of GPT-J and CodeGen do.
POSITIONS = {
    "biogpt": ("max_position_embeddings", 1024),
    "codegen": ("n_positions", 2048),
    "ctrl": ("n_positions", 256),
    "gpt2": ("n_positions", 1024),
    "gpt_bigcode": ("n_positions", 1024),
    "gpt_neo": ("max_position_embeddings", 2048),
    "gptj": ("n_positions", 2048),
    "openai-gpt": ("n_positions", 512),
    "opt": ("max_position_embeddings", 2048),
}

# Encoders with such a table. The others have rotary or relative positions, and can read longer texts.
_POSITIONED = frozenset(
    """
    albert bert big_bird camembert convbert data2vec-text distilbert electra ernie ibert layoutlm longformer
    megatron-bert mobilebert mpnet mra nystromformer rembert roberta roberta-prelayernorm roc_bert squeezebert
    xlm-roberta xlm-roberta-xl xmod yoso
    """.split()  # noqa: SIM905
)


def has_last_position(config: Any) -> bool:
    """Whether a model fails on more tokens than it has positions for.

    Args:
        config: transformers' configuration.
    """
    biased = getattr(config, "position_biased_input", False)  # DeBERTa, if it adds positions to its input
    return config.model_type in POSITIONS or config.model_type in _POSITIONED or bool(biased)


def last_position(config: Mapping[str, Any]) -> int | None:
    """The most tokens that a causal model has positions for; None if there is no end."""
    if config.get("model_type") not in POSITIONS:
        return None
    key, default = POSITIONS[config["model_type"]]
    return int(config.get(key) or default)


def model_kind(config: Mapping[str, Any]) -> Kind:
    """The kind of model that a config.json describes.

    Raises:
        UserError: an encoder-decoder (T5, BART), for which there is no layout.
    """
    if config.get("is_encoder_decoder"):
        raise UserError(
            f"model type {config.get('model_type')!r} has encoder and decoder, which no stage can use; use a "
            "causal model (Llama, Qwen, Mistral), or an encoder (BERT, DeBERTa) with --stage mcq"
        )
    if config.get("model_type") in ENCODERS and not config.get("is_decoder"):
        return "encoder"
    return "causal"
