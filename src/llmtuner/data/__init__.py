"""Questions: reading and checking files, making prompts, building and auditing data sets.

    from llmtuner.data import read_questions, write_predictions
    questions = read_questions("exam.csv", purpose="predict").questions

Reading:
    read_questions     a file as checked `Question`s in a `QuestionFile`; every defect in one `DataError`
    inspect_questions  the same without stopping at defective rows: an `Inspection` with all errors and warnings
    find_source        the `DataSource` (files) behind a `--dataset` name
    questions_of       the questions of a `DataSource`

Scores:
    Prediction         the scores of one question, with ranking and probabilities
    write_predictions  predictions.jsonl and submission.csv
    read_predictions   the predictions of a predictions.jsonl

Building and auditing have their own entry points: `llmtuner.data.prepare` and `llmtuner.data.audit.run`.

Importing this package is light; its names are imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmtuner.data.collect import questions_of
    from llmtuner.data.load import Inspection, QuestionFile, inspect_questions, read_questions
    from llmtuner.data.predictions import Prediction, read_predictions, write_predictions
    from llmtuner.data.question import Question
    from llmtuner.data.registry import DataSource, find_source
    from llmtuner.errors import DataError

__all__ = [
    "DataError",
    "DataSource",
    "Inspection",
    "Prediction",
    "Question",
    "QuestionFile",
    "find_source",
    "inspect_questions",
    "questions_of",
    "read_predictions",
    "read_questions",
    "write_predictions",
]
_MODULES = {
    "DataError": "llmtuner.errors",
    "DataSource": "llmtuner.data.registry",
    "Inspection": "llmtuner.data.load",
    "Prediction": "llmtuner.data.predictions",
    "Question": "llmtuner.data.question",
    "QuestionFile": "llmtuner.data.load",
    "find_source": "llmtuner.data.registry",
    "inspect_questions": "llmtuner.data.load",
    "questions_of": "llmtuner.data.collect",
    "read_predictions": "llmtuner.data.predictions",
    "read_questions": "llmtuner.data.load",
    "write_predictions": "llmtuner.data.predictions",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
