"""Checks the index of a retrieval before a run. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from llmtuner.errors import UserError
from llmtuner.files import sha256_of_json
from llmtuner.retrieval.index.manifest import Manifest, check_files, read_manifest
from llmtuner.retrieval.settings import Retrieve


def fingerprint(manifest: Manifest) -> str:
    """A digest of an index's content: two builds of the same corpus with the same settings have the same."""
    return sha256_of_json({"inputs": manifest.inputs, "files": manifest.files})


def check_index(settings: Retrieve) -> Retrieve:
    """The settings with the fingerprint of their index, which is there, whole, and the one that was stored.

    Raises:
        UserError: no index, a damaged one, or another one than `settings.fingerprint`.
    """
    folder = Path(settings.index)
    manifest = read_manifest(folder)
    check_files(folder, manifest)
    actual = fingerprint(manifest)
    if settings.fingerprint and settings.fingerprint != actual:
        raise UserError(
            f"{folder}: is another index than the one that this model was trained with (its content differs); build "
            "that one again, or pass the index to use instead as `retrieve`"
        )
    return replace(settings, fingerprint=actual)
