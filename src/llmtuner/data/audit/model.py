"""A logistic model on features that need no knowledge: the score of all shortcuts combined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llmtuner.data.audit.features import NAMES, features
from llmtuner.data.audit.shortcuts import ShortcutScore, ranked, score, scores_of
from llmtuner.data.question import MAX_OPTIONS, Question
from llmtuner.data.split import question_key

FOLDS = 5
MIN_TEXTS = 50  # different question texts; with fewer, the model fits chance
NAME = "logistic model, cross-validated"


@dataclass(frozen=True, slots=True)
class ShortcutModel:
    """The score of the model on held-out questions, and its weights.

    Args:
        weights: mean coefficient over the folds for each standardised feature, largest first.
    """

    score: ShortcutScore
    weights: dict[str, float]


def shortcut_model(questions: Sequence[Question]) -> ShortcutModel | None:
    """Cross-validate a logistic regression over options, in five folds by question text.

    Each feature is replaced by its difference from the mean over the question's options, as in a conditional logit:
    only differences between the options of one question count. The result is deterministic.

    Returns:
        None if fewer than `MIN_TEXTS` different texts have an answer.

    Raises:
        ImportError: scikit-learn is not installed.
    """
    answered = [question for question in questions if question.answer is not None]
    return _cross_validated(answered, [features(question) for question in answered])


def guesses(questions: Sequence[Question]) -> tuple[list[ShortcutScore], ShortcutModel | None]:
    """`shortcut_scores` and `shortcut_model` in one pass, in which the texts are split into words only once.

    Raises:
        ImportError: scikit-learn is not installed.
    """
    import sklearn  # noqa: F401  # before the work, not after it

    answered = [question for question in questions if question.answer is not None]
    scores, rows = [], []
    for question in answered:
        scores.append(ranked(question))
        rows.append(features(question))
    return scores_of(answered, scores) if answered else [], _cross_validated(answered, rows)


def _cross_validated(answered: Sequence[Question], rows: Sequence[list[list[float]]]) -> ShortcutModel | None:
    """The model of questions, all with answers, and their features."""
    keys = [question_key(question.question) for question in answered]
    numbers = {key: number for number, key in enumerate(sorted(set(keys)))}
    if len(numbers) < MIN_TEXTS:
        return None
    groups = [numbers[key] for key in keys]  # scikit-learn sorts numbers ten times faster than texts
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold
    from sklearn.preprocessing import StandardScaler

    # Legend: Q questions, O options of all questions together, F features.
    sizes = np.array([len(question.options) for question in answered])
    starts = np.cumsum(sizes) - sizes
    question_O = np.repeat(np.arange(len(answered)), sizes)
    place_O = np.arange(len(question_O)) - starts[question_O]
    places_OP = place_O[:, None] == np.arange(MAX_OPTIONS)
    inputs_OF = np.hstack([[option for options in rows for option in options], places_OP])
    inputs_OF -= (np.add.reduceat(inputs_OF, starts) / sizes[:, None])[question_O]
    right_O = np.zeros(len(inputs_OF), dtype=bool)
    right_O[starts + np.array([question.answer for question in answered])] = True
    logits_O = np.zeros(len(question_O))
    weights_F = np.zeros(inputs_OF.shape[1])
    for _, held_out_Q in GroupKFold(FOLDS).split(sizes, groups=groups):
        is_held_out_Q = np.zeros(len(answered), dtype=bool)
        is_held_out_Q[held_out_Q] = True
        held_out_O = is_held_out_Q[question_O]
        fitted_O = ~held_out_O
        scale = StandardScaler().fit(inputs_OF[fitted_O])
        model = LogisticRegression(max_iter=1000, solver="newton-cholesky").fit(
            scale.transform(inputs_OF[fitted_O]), right_O[fitted_O]
        )
        logits_O[held_out_O] = model.decision_function(scale.transform(inputs_OF[held_out_O]))
        weights_F += model.coef_[0] / FOLDS
    logits = logits_O.tolist()
    scores = [logits[start : start + size] for start, size in zip(starts.tolist(), sizes.tolist(), strict=True)]
    order = np.argsort(-np.abs(weights_F), kind="stable")
    names = [*NAMES, *(f"stands at place {place + 1}" for place in range(MAX_OPTIONS))]
    weights = {names[column]: round(float(weights_F[column]), 4) for column in order if weights_F[column]}
    return ShortcutModel(score(NAME, answered, scores), weights)
