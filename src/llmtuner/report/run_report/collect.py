"""Everything that a report shows, read from the folders and files of a command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmtuner.data.baselines import baselines_of
from llmtuner.data.predictions import Prediction
from llmtuner.data.question import MAX_OPTIONS, Question
from llmtuner.errors import UserError
from llmtuner.metrics import accuracy, baseline, map_at_k
from llmtuner.report.run_report.curves import Training, read_training
from llmtuner.report.run_report.runs import CHANCE, Run, read_runs
from llmtuner.report.run_report.texts import Texts, join_texts
from llmtuner.spec.model_files import PREDICT_RESULTS


@dataclass(frozen=True, slots=True)
class Report:
    """The content of a page.

    Args:
        answers: the right option of each question, 0-based; None where it is unknown.
        texts: None if no file of questions was given.
        notes: what the page leaves out or took from elsewhere, a sentence each.
    """

    runs: tuple[Run, ...]
    answers: tuple[int | None, ...]
    texts: Texts | None
    trainings: tuple[Training, ...]
    notes: tuple[str, ...]

    @property
    def predictions(self) -> tuple[Prediction, ...]:
        """Those of the first run; the others have the same questions in the same order."""
        return self.runs[0].predictions

    @property
    def answered(self) -> int:
        """The number of questions with a known answer."""
        return sum(answer is not None for answer in self.answers)


def collect_report(runs: Sequence[str], questions: Sequence[str] = (), trainings: Sequence[str] = ()) -> Report:
    """Read the runs, their questions and their trainings.

    Args:
        runs: output folders of --do_predict, each DIR or NAME=DIR.
        questions: files of the predicted questions, or names of the registry.
        trainings: output folders of trainings, each DIR or NAME=DIR.

    Raises:
        UserError: folders or files that are missing, cannot be read, or do not belong together.
        OSError: a file cannot be read.
    """
    read = read_runs(runs)
    curves = tuple(read_training(argument) for argument in trainings)
    names = [training.name for training in curves]
    if len(set(names)) < len(names):
        raise UserError(f"--training: two trainings have the same name ({', '.join(names)}); name them: NAME=DIR")
    texts = join_texts(read[0].predictions, list(dict.fromkeys(questions))) if questions else None
    answers = tuple(prediction.answer for prediction in read[0].predictions)
    notes: list[str] = []
    if texts is not None:
        answers, added = _with_answers_of(texts, answers)
        notes += [f"{added:,} answers are those of the question file: the prediction had none."] if added else []
        missing = sum(text is None for text in texts.texts)
        notes += [f"{missing:,} questions are in none of the question files, and have no text here."] if missing else []
    if any(answer is not None for answer in answers):
        missing_in = [run.name for run in read if not run.results]
        notes += [f"{PREDICT_RESULTS} is missing in {name}: baselines are computed here." for name in missing_in]
    return Report(tuple(read), answers, texts, curves, tuple(notes))


def _with_answers_of(texts: Texts, answers: Sequence[int | None]) -> tuple[tuple[int | None, ...], int]:
    """The answers, those that are missing taken from the texts, and how many these are."""
    known = [
        answer if answer is not None or text is None else text.question.answer
        for answer, text in zip(answers, texts.texts, strict=True)
    ]
    return tuple(known), sum(one is None and other is not None for one, other in zip(answers, known, strict=True))


def baseline_figures(report: Report) -> dict[str, Mapping[str, Any]]:
    """The baselines of each run by their keys in predict_results.json: its own, or computed from the questions.

    Its own count only the questions that had an answer when they were predicted.
    """
    computed: Mapping[str, Any] | None = None
    figures: dict[str, Mapping[str, Any]] = {}
    for run in report.runs:
        if CHANCE in run.results and tuple(each.answer for each in run.predictions) == report.answers:
            figures[run.name] = run.results
        else:
            computed = computed or _computed_baselines(report)
            figures[run.name] = computed
    return figures


def _computed_baselines(report: Report) -> dict[str, Any]:
    known = _answered_questions(report)
    if known is not None:
        return baselines_of(known)
    pairs = [(p, answer) for p, answer in zip(report.predictions, report.answers, strict=True) if answer is not None]
    answers = [answer for _, answer in pairs]
    chance = [[0.0] * len(prediction.scores) for prediction, _ in pairs]
    counts = [answers.count(place) for place in range(MAX_OPTIONS)]
    places = [counts[: len(prediction.scores)] for prediction, _ in pairs]
    random = {CHANCE: map_at_k(chance, answers), "floor_random_accuracy": accuracy(chance, answers)}
    return baseline("place", places, answers) | random


def _answered_questions(report: Report) -> list[Question] | None:
    """The questions with an answer; None if one of them has no text."""
    if report.texts is None:
        return None
    texts = [text for text, answer in zip(report.texts.texts, report.answers, strict=True) if answer is not None]
    questions = [text.question for text in texts if text is not None and text.question.answer is not None]
    return questions if len(questions) == len(texts) else None
