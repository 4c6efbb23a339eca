"""Finds the encoder that an index was built with. Nothing heavy is imported here."""

from __future__ import annotations

import os
from pathlib import Path

from llmtuner.errors import UserError
from llmtuner.retrieval.encoder_folder import EncoderFolder, encoder_folder
from llmtuner.retrieval.index.manifest import Manifest
from llmtuner.retrieval.minilm import minilm_folder

PASS = "pass --encoder with its folder"  # the fix of a command that has the flag


def encoder_of(
    folder: Path, manifest: Manifest, given: str | os.PathLike[str] | None = None, *, fix: str = PASS
) -> EncoderFolder:
    """The encoder of an index: the folder that was given, where it was, or MiniLM's.

    Args:
        folder: of the index.
        fix: what to do where it is not there.

    Raises:
        UserError: it is not there, or is another one.
    """
    assert manifest.encoder is not None, "the table says that this retriever encodes"
    known = dict(manifest.encoder)
    place = known.pop("folder")
    if given is not None:
        encoder = encoder_folder(given)
        if encoder.fingerprint != known:
            raise UserError(_other(folder, place, known, encoder, fix))
        return encoder
    if Path(place).is_dir():
        encoder = encoder_folder(place)
        if encoder.fingerprint == known:
            return encoder
    try:
        default = encoder_folder(minilm_folder())
    except UserError:
        default = None
    if default is not None and default.fingerprint == known:
        return default
    if Path(place).is_dir():
        raise UserError(_other(folder, place, known, encoder, fix))
    raise UserError(
        f"{folder}: its encoder is not where it was ({place}); {fix} (weights with SHA-256 "
        f"{known['weights_sha256'][:12]}...), or build the index again"
    )


def _other(folder: Path, place: str, known: dict[str, object], encoder: EncoderFolder, fix: str) -> str:
    differences = [name for name, value in encoder.fingerprint.items() if known.get(name) != value]
    return (
        f"{encoder.path}: is another encoder than that of {folder} ({place}): {', '.join(differences)} differ; {fix}: "
        "the encoder of the index, or build the index again with this one"
    )
