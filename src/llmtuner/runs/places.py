"""How often each place was the right answer in a training, for the baseline of the most frequent place."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping

from llmtuner.errors import UserError
from llmtuner.runs.manifest import Manifest, manifest_or_merged

logger = logging.getLogger("llmtuner.runs")


def training_of(folders: Iterable[str | os.PathLike[str]]) -> Manifest | None:
    """The manifest of the training whose weights are used; None if no folder has one.

    A damaged manifest counts as none, with a warning: it says what a baseline knows, and no score depends on it.

    Args:
        folders: adapters and model, the last training first. Names of the hub have no manifest here.
    """
    for folder in (folder for folder in folders if folder):
        try:
            manifest = manifest_or_merged(folder)
        except (UserError, OSError) as error:
            logger.warning("%s; the most frequent place is counted in the scored questions", error)
            continue
        if manifest is not None:
            return manifest
    return None


def trained_places(folders: Iterable[str | os.PathLike[str]]) -> Mapping[str, int] | None:
    """How often each place was the right answer in the training, by letter; None if unknown."""
    manifest = training_of(folders)
    places = {} if manifest is None else manifest.answer_places
    return {letter: count for letter, count in places.items() if isinstance(count, int)} or None
