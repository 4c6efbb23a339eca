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


def model_kind(config: Mapping[str, Any]) -> Kind:
    """The kind of model that a config.json describes.

    Raises:
        UserError: an encoder-decoder (T5, BART), for which there is no layout.
    """
    if config.get("is_encoder_decoder"):
        raise UserError(
            f"model type {config.get('model_type')!r} has an encoder and a decoder; use a model with only one of them"
        )
    if config.get("model_type") in ENCODERS and not config.get("is_decoder"):
        return "encoder"
    return "causal"
