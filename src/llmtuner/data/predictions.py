"""The output files of a prediction: predictions.jsonl, which can be read again, and a submission for Kaggle."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llmtuner.data.forms.row import is_formula
from llmtuner.data.problems import quoted, terminal_path
from llmtuner.data.question import LETTERS, MIN_OPTIONS
from llmtuner.data.sniff import read_text
from llmtuner.errors import DataError
from llmtuner.files import write_atomic

PREDICTIONS, SUBMISSION = "predictions.jsonl", "submission.csv"
_DIGEST = re.compile("[0-9a-f]{16}")
BEST = 3  # letters for each question in Kaggle's submission


@dataclass(frozen=True, slots=True)
class Prediction:
    """The scores of one question.

    Args:
        scores: one number for each option before the softmax, in the options' order; minus infinity for an option
            that cannot be scored (null in the file): it ranks last.
        answer: 0-based index, or None if it is unknown.
        loglikelihood: log-probability of each option's text; None for heads that do not compute it.
        option_tokens: the number of its tokens; None without it, and for predictions of other tools.
        digest: of the question (`question_digest`); None if its texts are unknown.
    """

    id: str
    scores: tuple[float, ...]
    answer: int | None = None
    dataset: str = ""
    loglikelihood: tuple[float, ...] | None = None
    option_tokens: tuple[int, ...] | None = None
    digest: str | None = None

    def is_of(self, digest: str | None) -> bool:
        """Whether it can be of the question with that digest; an unknown one on either side fits any."""
        return None in (self.digest, digest) or self.digest == digest

    @property
    def ranking(self) -> str:
        """Letters, best first; equal scores in the order of the letters."""
        order = sorted(range(len(self.scores)), key=lambda i: (-self.scores[i], i))
        return "".join(LETTERS[i] for i in order)

    @property
    def probabilities(self) -> tuple[float, ...]:
        """Softmax of the scores over the options."""
        import numpy as np  # reading and writing files does not need it

        shifted = np.exp(np.asarray(self.scores, dtype=np.float64) - max(self.scores))
        return tuple(float(p) for p in shifted / shifted.sum())


def prediction_record(prediction: Prediction, *, with_dataset: bool) -> dict[str, object]:
    """A prediction as an object of predictions.jsonl."""
    letters = LETTERS[: len(prediction.scores)]
    record: dict[str, object] = {
        "id": prediction.id,
        "ranking": list(prediction.ranking),
        "probabilities": dict(zip(letters, prediction.probabilities, strict=True)),
        "scores": dict(zip(letters, map(_or_null, prediction.scores), strict=True)),
    }
    if prediction.loglikelihood is not None:
        record["loglikelihood"] = dict(zip(letters, map(_or_null, prediction.loglikelihood), strict=True))
    if prediction.option_tokens is not None:
        record["option_tokens"] = dict(zip(letters, prediction.option_tokens, strict=True))
    if prediction.answer is not None:
        record["answer"] = LETTERS[prediction.answer]
    if prediction.digest is not None:
        record["digest"] = prediction.digest
    if with_dataset:
        record["dataset"] = prediction.dataset
    return record


def _or_null(score: float) -> float | None:
    """JSON has no infinity."""
    return None if score == -math.inf else score


def write_predictions(predictions: Sequence[Prediction], output_dir: str | os.PathLike[str]) -> list[Path]:
    """Write predictions.jsonl and submission.csv, each atomically; return their paths."""
    folder = Path(output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    with_dataset = len({prediction.dataset for prediction in predictions}) > 1
    records = [prediction_record(prediction, with_dataset=with_dataset) for prediction in predictions]
    lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in records]
    ids = submission_ids(predictions)
    rows = [[name, " ".join(p.ranking[:BEST])] for name, p in zip(ids, predictions, strict=True)]
    table = [_csv_line(row) for row in (["id", "prediction"], *rows)]
    return [
        write_atomic(folder / PREDICTIONS, "".join(lines)),
        write_atomic(folder / SUBMISSION, "".join(table)),
    ]


def _csv_line(cells: list[str]) -> str:
    """A row of a CSV file. Ids with CR or LF are put into quotes; a writer of lines in LF leaves a lone CR bare."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue().removesuffix("\r\n") + "\n"


def submission_ids(predictions: Sequence[Prediction]) -> list[str]:
    """The ids in a submission: DATASET/ID where two data sets have an id in common, so that no rows are mixed up."""
    datasets_by_id: dict[str, set[str]] = {}
    for prediction in predictions:
        datasets_by_id.setdefault(prediction.id, set()).add(prediction.dataset)
    if all(len(datasets) == 1 for datasets in datasets_by_id.values()):
        return [prediction.id for prediction in predictions]
    return [f"{prediction.dataset}/{prediction.id}" for prediction in predictions]


def read_predictions(path: str | os.PathLike[str]) -> list[Prediction]:
    """The predictions of a predictions.jsonl.

    Raises:
        DataError: no such file, or an invalid line, with file, line, and what was found and expected.
    """
    file = Path(path)
    lines = [(number, line) for number, line in enumerate(read_text(file).split("\n"), start=1) if line.strip()]
    return [_prediction(line, f"{terminal_path(file)}:{number}") for number, line in lines]


def _prediction(line: str, location: str) -> Prediction:
    expected = 'expected a line of predictions.jsonl: {"id": "7", "scores": {"A": 0.1, "B": 2.3}, ...}'
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{location}: not JSON: {error}; {expected}") from error
    if not isinstance(record, dict) or "id" not in record or not isinstance(record.get("scores"), dict):
        raise DataError(f"{location}: no id with scores in {quoted(record)}; {expected}")
    scores, answer = record["scores"], record.get("answer")
    letters = LETTERS[: len(scores)]
    if len(scores) < MIN_OPTIONS or "".join(sorted(scores)) != letters:
        raise DataError(f"{location}: scores of {quoted(list(scores))}; expected one for each letter from A")
    if is_formula(str(record["id"])):
        raise DataError(f"{location}: id {quoted(record['id'])} would run as a formula in a spreadsheet; rename it")
    values = _numbers(scores, letters, "scores", location)
    if answer is not None and (not isinstance(answer, str) or len(answer) != 1 or answer not in letters):
        raise DataError(f"{location}: answer {quoted(answer)} is not one of {letters}")
    answer_index = None if answer is None else letters.index(answer)
    sums, counts, digest = (record.get(name) for name in ("loglikelihood", "option_tokens", "digest"))
    if digest is not None and (not isinstance(digest, str) or _DIGEST.fullmatch(digest) is None):
        raise DataError(f"{location}: digest {quoted(digest)}; expected 16 hexadecimal digits")
    return Prediction(
        id=str(record["id"]),
        scores=values,
        answer=answer_index,
        dataset=str(record.get("dataset", "")),
        loglikelihood=None if sums is None else _numbers(sums, letters, "loglikelihood", location),
        option_tokens=None if counts is None else _counts(counts, letters, location),
        digest=digest,
    )


def _numbers(stored: object, letters: str, key: str, location: str) -> tuple[float, ...]:
    """A number for each letter; null, for an option that cannot be scored, is minus infinity."""
    if not isinstance(stored, dict) or "".join(sorted(stored)) != letters:
        raise DataError(f"{location}: {key} {quoted(stored)}; expected a number for each letter of the scores")
    known = [value for value in stored.values() if value is not None]
    if not known or not all(map(_is_finite, known)):
        found = quoted(list(stored.values()))
        raise DataError(f"{location}: {key} must be finite numbers, or null for options without one, found {found}")
    return tuple(-math.inf if stored[letter] is None else float(stored[letter]) for letter in letters)


def _counts(stored: object, letters: str, location: str) -> tuple[int, ...]:
    whole = isinstance(stored, dict) and all(type(count) is int and count >= 0 for count in stored.values())
    if not isinstance(stored, dict) or not whole or "".join(sorted(stored)) != letters:
        raise DataError(f"{location}: option_tokens {quoted(stored)}; expected a whole number for each letter")
    return tuple(stored[letter] for letter in letters)


def _is_finite(score: object) -> bool:
    """Whether a value is a number that fits into a float; Python's integers are unbounded."""
    return isinstance(score, int | float) and not isinstance(score, bool) and abs(score) <= sys.float_info.max
