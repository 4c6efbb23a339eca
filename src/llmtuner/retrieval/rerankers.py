"""Which models can read the best hits again, and how they are loaded. Nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from llmtuner.errors import UserError
from llmtuner.files import sha256_of_json
from llmtuner.retrieval.encoder_folder import encoder_folder

Reranker = Callable[[str, Sequence[str]], Sequence[float]]  # of a query and passages: a score each, larger is better


@dataclass(frozen=True, slots=True)
class Rerankers:
    """Models of one kind.

    Args:
        digest: of a model's content, by its folder; the model is not loaded.
        load: the model in a folder.
    """

    digest: Callable[[str], str]
    load: Callable[[str], Reranker]


def _digest(folder: str) -> str:
    """A digest of a cross-encoder's weights and vocabulary.

    Raises:
        UserError: no folder, or files are missing or damaged.
    """
    if not Path(folder).is_dir():  # an encoder, which `encoder_folder` would advise, cannot rerank
        raise UserError(
            f"`rerank` {folder}: no such folder; give the folder of a cross-encoder, or of a training of --stage mcq"
        )
    try:
        return sha256_of_json(encoder_folder(folder).fingerprint)
    except UserError as error:
        raise UserError(f"`rerank` {error}") from error


def _load(folder: str) -> Reranker:
    from llmtuner.retrieval.rerank import CrossEncoder

    return CrossEncoder(folder)


# Scorers of --stage mcq are read by llmtuner.mcq.rerank, which this room may not import.
CROSS_ENCODERS = Rerankers(_digest, _load)
