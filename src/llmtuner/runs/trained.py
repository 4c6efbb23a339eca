"""trained_questions.txt, beside a model's weights: digests of all questions that it and its base were trained on."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import reduce
from operator import or_
from pathlib import Path

from llmtuner.data.problems import terminal_path
from llmtuner.data.trained import TrainedQuestions
from llmtuner.errors import UserError
from llmtuner.files import write_atomic

TRAINED = "trained_questions.txt"


def read_trained(folders: Iterable[str | os.PathLike[str]]) -> TrainedQuestions:
    """The questions that the models or adapters in folders were trained on; none where a folder does not say it.

    Args:
        folders: names of the hub have no file here.

    Raises:
        UserError: a file is damaged.
    """
    return reduce(or_, (trained_in(folder) or TrainedQuestions() for folder in folders if folder), TrainedQuestions())


def trained_in(folder: str | os.PathLike[str]) -> TrainedQuestions | None:
    """As `read_trained`; None if the folder has no such file.

    Raises:
        UserError: the file is damaged.
    """
    path = Path(folder) / TRAINED
    try:
        return TrainedQuestions.parse(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise UserError(f"{terminal_path(path)}: damaged: {error}; copy the file again, or delete it") from error


def write_trained(trained: TrainedQuestions, folder: Path) -> Path:
    """Write the file; an existing one is replaced.

    Raises:
        OSError: it cannot be written.
    """
    return write_atomic(folder / TRAINED, trained.text())
