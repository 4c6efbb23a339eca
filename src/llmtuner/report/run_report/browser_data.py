"""What the page's list of questions needs, as JSON: texts, probabilities, and what the filters ask for."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llmtuner.data.predictions import Prediction
from llmtuner.metrics import rank_of_answer
from llmtuner.report.run_report.runs import Run
from llmtuner.report.run_report.texts import Text, Texts

LONGEST_PASSAGE = 1_200  # characters; a longer passage is cut, with a note
MOST_BYTES = 24_000_000  # of the texts: a page stays under 30 MB
MISTAKES = 25  # of each run
UNKNOWN, WRONG, RIGHT, TIED = -1, 0, 1, 2  # status of an answer
# Characters of a passage and of any other text, tried until all texts fit.
_LIMITS = ((LONGEST_PASSAGE, 4_000), (600, 2_000), (300, 1_000), (120, 400), (0, 160), (0, 40))
# "</script>" and "<!--" in a text would end the data, and U+2028 was a line end in scripts.
_ESCAPES = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}


@dataclass(frozen=True, slots=True)
class BrowserData:
    """The data of the list.

    Args:
        json: safe inside a script element.
        passage_limit: characters after which a passage is cut.
    """

    json: str
    passage_limit: int


def browser_data(runs: Sequence[Run], answers: Sequence[int | None], texts: Texts | None) -> BrowserData:
    """The questions and their predictions, with passages cut so that the page opens quickly."""
    datasets = list(dict.fromkeys(prediction.dataset for prediction in runs[0].predictions))
    shared = {
        "runs": [run.name for run in runs],
        "datasets": datasets,
        "columns": list(texts.columns) if texts is not None else [],
        "predictions": [
            [_prediction(prediction, answer) for prediction, answer in zip(run.predictions, answers, strict=True)]
            for run in runs
        ],
        "mistakes": [most_certain_mistakes(run.predictions, answers) for run in runs],
    }
    for passage_limit, text_limit in _LIMITS:
        questions = _questions(runs[0].predictions, answers, texts, datasets, passage_limit, text_limit)
        encoded = _safe_json(shared | {"questions": questions, "passage_limit": passage_limit})
        if len(encoded.encode("utf-8", "replace")) <= MOST_BYTES:
            break
    return BrowserData(encoded, passage_limit)


def _safe_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).translate(_ESCAPES)


def _prediction(prediction: Prediction, answer: int | None) -> list[Any]:
    """Ranking, probabilities (null for an option without a score), and the status of the answer."""
    pairs = zip(prediction.probabilities, prediction.scores, strict=True)
    probabilities = [None if score == -math.inf else round(probability, 4) for probability, score in pairs]
    return [prediction.ranking, probabilities, _status(prediction, answer)]


def _status(prediction: Prediction, answer: int | None) -> int:
    if answer is None:
        return UNKNOWN
    rank = rank_of_answer(prediction.scores, answer)
    if rank.above:
        return WRONG
    return TIED if rank.tied > 1 else RIGHT


def most_certain_mistakes(predictions: Sequence[Prediction], answers: Sequence[int | None]) -> list[int]:
    """The places of the wrongly answered questions with the highest probability for a wrong option."""
    confidences = [
        (-max(prediction.probabilities), place)
        for place, (prediction, answer) in enumerate(zip(predictions, answers, strict=True))
        if _status(prediction, answer) == WRONG
    ]
    return [place for _, place in sorted(confidences)[:MISTAKES]]


def _questions(
    predictions: Sequence[Prediction],
    answers: Sequence[int | None],
    texts: Texts | None,
    datasets: list[str],
    passage_limit: int,
    text_limit: int,
) -> list[list[Any]]:
    """For each question: id, data set, answer, and its texts where they are known."""
    questions = []
    for place, (prediction, answer) in enumerate(zip(predictions, answers, strict=True)):
        text = texts.texts[place] if texts is not None else None
        question = [
            _cut(prediction.id, text_limit),
            datasets.index(prediction.dataset),
            -1 if answer is None else answer,
        ]
        questions.append(question + _texts_of(text, texts, passage_limit, text_limit) if text else question)
    return questions


def _texts_of(text: Text, texts: Texts | None, passage_limit: int, text_limit: int) -> list[Any]:
    """Question, options, passage, the passage's number of characters, and the values of the columns."""
    question, columns = text.question, texts.columns if texts is not None else ()
    passage = question.context.strip()
    return [
        _cut(question.question, text_limit),
        [_cut(option, text_limit) for option in question.options],
        passage[:passage_limit],
        len(passage),
        [text.values.get(column, "") for column in columns],
    ]


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]} […]"
