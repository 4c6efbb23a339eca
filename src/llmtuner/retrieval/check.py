"""Checks the index and the reranker of a retrieval before a run. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from llmtuner.errors import UserError
from llmtuner.files import sha256_of_json
from llmtuner.retrieval.encoder_of import encoder_of
from llmtuner.retrieval.index.manifest import Manifest, check_files, read_manifest
from llmtuner.retrieval.rerankers import CROSS_ENCODERS, Rerankers
from llmtuner.retrieval.settings import Retrieve

_MOVE = "put the encoder back"


def fingerprint(manifest: Manifest) -> str:
    """A digest of an index's content. Where the index and its corpus are plays no part, and neither does its note."""
    encoder = {name: value for name, value in (manifest.encoder or {}).items() if name != "folder"}
    return sha256_of_json([manifest.retriever, manifest.term_rules, encoder, manifest.files])


def checked(settings: Retrieve, rerankers: Rerankers = CROSS_ENCODERS) -> Retrieve:
    """The settings with absolute paths, and with digests of the index and of the reranker, which are whole.

    Args:
        rerankers: the models that can rerank.

    Raises:
        UserError: no index, a damaged one, one whose encoder has moved, or another one than `settings.fingerprint`; no
            reranker, or another one than `settings.reranker`.
    """
    folder = Path(settings.index)
    manifest = read_manifest(folder)
    check_files(folder, manifest)
    if manifest.encoder is not None:
        encoder_of(folder, manifest, fix=_MOVE)
    actual = fingerprint(manifest)
    if settings.fingerprint and settings.fingerprint != actual:
        raise UserError(f"{folder}: is another index than the stored one (its content differs)")
    reranker = "" if settings.rerank is None else rerankers.digest(settings.rerank)
    if settings.reranker and settings.reranker != reranker:
        raise UserError(f"{settings.rerank}: is another reranker than the stored one (its content differs)")
    return replace(
        settings,
        index=str(folder.resolve()),
        rerank=None if settings.rerank is None else str(Path(settings.rerank).resolve()),
        fingerprint=actual,
        reranker=reranker,
    )
