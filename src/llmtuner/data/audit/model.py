"""A logistic model on features that need no knowledge: the score of all shortcuts combined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llmtuner.data.audit.features import NAMES, features
from llmtuner.data.audit.shortcuts import ShortcutScore, score
from llmtuner.data.question import Question
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
    groups = [question_key(question.question) for question in answered]
    if len(set(groups)) < MIN_TEXTS:
        return None
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold
    from sklearn.preprocessing import StandardScaler

    # Legend: Q questions, O options of all questions together, F features.
    blocks = [np.array(features(question)) for question in answered]
    sizes = np.array([len(block) for block in blocks])
    inputs_OF = np.concatenate([block - block.mean(axis=0) for block in blocks])
    right_O = np.concatenate([np.arange(len(b)) == q.answer for q, b in zip(answered, blocks, strict=True)])
    question_O = np.repeat(np.arange(len(answered)), sizes)
    logits_O = np.zeros(len(question_O))
    weights_F = np.zeros(len(NAMES))
    for fitted_Q, held_out_Q in GroupKFold(FOLDS).split(sizes, groups=groups):
        fitted_O, held_out_O = np.isin(question_O, fitted_Q), np.isin(question_O, held_out_Q)
        scale = StandardScaler().fit(inputs_OF[fitted_O])
        model = LogisticRegression(max_iter=1000).fit(scale.transform(inputs_OF[fitted_O]), right_O[fitted_O])
        logits_O[held_out_O] = model.decision_function(scale.transform(inputs_OF[held_out_O]))
        weights_F += model.coef_[0] / FOLDS
    scores = np.split(logits_O, np.cumsum(sizes)[:-1])
    order = np.argsort(-np.abs(weights_F), kind="stable")
    weights = {NAMES[place]: round(float(weights_F[place]), 4) for place in order if weights_F[place]}
    return ShortcutModel(score(NAME, answered, [list(map(float, part)) for part in scores]), weights)
