"""Whether weights would be fitted on scored questions: the score would then be that of a fit, not of a test."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from llmtuner.data.audit.label_errors import pair_up
from llmtuner.data.collect import with_predicted_ids
from llmtuner.data.duplicates import near_groups
from llmtuner.data.load import QuestionFile, read_questions
from llmtuner.data.predictions import Prediction
from llmtuner.data.problems import escaped, quoted
from llmtuner.data.question import Question
from llmtuner.data.registry import PROJECT_DATA, find_source
from llmtuner.errors import UserError
from llmtuner.report.summary import listed_keys

IDS, TEXTS, DIGESTS = "data set and id", "text of the question", "digest of text and options"
Predictions = Sequence[Prediction]


def check_overlap(
    scored: Predictions,
    fitted: Predictions,
    questions: Sequence[str] = (),
    fit_questions: Sequence[str] = (),
) -> str:
    """Refuse a question on both sides; return what was compared: `TEXTS` if both sides' files are given, else `DIGESTS`
    if all predictions have one, else `IDS`.

    Texts are compared as in folds: the same in normal form without case, or near duplicates, which are reworded in a
    word or have their options in another order. Then ids do not count, because files without ids all number their rows
    from 0. For the same reason an id does not count where both sides know the digests of their questions: equal digests
    are the same question under any id.

    Args:
        scored, fitted: the predictions that are blended, and those that the weights are fitted on.
        questions, fit_questions: the files of either; both or none.

    Raises:
        ValueError: a question is on both sides, a file does not fit its predictions, or the package that finds near
            duplicates is not installed.
    """
    if bool(questions) != bool(fit_questions):
        lacking = "--fit_questions" if questions else "--questions"
        raise UserError(f"{lacking} is missing: texts are compared only if the files of both sides are given")
    if not questions:
        return _check_without_texts(scored, fitted)
    both = _repeats(_texts(questions, scored, "the scored runs"), _texts(fit_questions, fitted, "--fit_on"))
    if both:
        question, other = both[0]
        more = f" and {len(both) - 1:,} more" if len(both) > 1 else ""
        raise UserError(
            f"--fit_on: has questions that are scored, by the {TEXTS}: {question.where} is {other.where} "
            f"({quoted(question.question)}){more}, the same or reworded; fit on other questions"
        )
    return TEXTS


def _check_without_texts(scored: Predictions, fitted: Predictions) -> str:
    digests = {each.digest for each in fitted} - {None}
    same = [each for each in scored if each.digest in digests]
    if same:
        raise UserError(
            f"--fit_on: has questions that are scored, by the {DIGESTS}: {_listed(same)}; fit on other questions"
        )
    same = _same_ids(scored, fitted)
    if same:
        raise UserError(
            f"--fit_on: has questions that are scored, by {IDS}: {_listed(same)}; fit on other questions. "
            "If only the ids are equal, as row numbers of two files are, pass the files: --questions FILE "
            "--fit_questions FILE"
        )
    return DIGESTS if all(each.digest for side in (scored, fitted) for each in side) else IDS


def _listed(predictions: Predictions) -> str:
    return listed_keys([(each.dataset, each.id) for each in predictions])


def _same_ids(scored: Predictions, fitted: Predictions) -> list[Prediction]:
    """The scored questions that the fit may have, too: by data set and id, unless their digests are known and differ.

    A run of one data set does not name it, so without a name on either side, the id alone counts.
    """
    named = all(each.dataset for side in (scored, fitted) for each in side)

    def key(prediction: Prediction) -> tuple[str, str]:
        return (prediction.dataset if named else "", prediction.id)

    digests: dict[tuple[str, str], set[str | None]] = defaultdict(set)
    for each in fitted:
        digests[key(each)].add(each.digest)
    return [each for each in scored if any(map(each.is_of, digests.get(key(each), ())))]


def _repeats(scored: Sequence[Question], fitted: Sequence[Question]) -> list[tuple[Question, Question]]:
    """The scored questions that the fit has, too, each with the first of the fit's."""
    try:
        groups = near_groups([*fitted, *scored])
    except ImportError as error:
        raise UserError(f"the package {error.name} is not installed (pip install {error.name})") from error
    first_of = dict(reversed([*zip(groups, fitted, strict=False)]))
    return [
        (question, first_of[group])
        for group, question in zip(groups[len(fitted) :], scored, strict=True)
        if group in first_of
    ]


def _texts(names: Sequence[str], predictions: Predictions, side: str) -> list[Question]:
    """The questions of predictions, each with the prediction's number of options and answer.

    Args:
        names: of data sets: files, how they are read perhaps behind a question mark, or of the registry.
        side: for messages.

    Raises:
        ValueError: a prediction is of none of the files, or does not fit its question.
    """
    files: list[QuestionFile] = []
    for name in names:
        source = find_source(name, str(PROJECT_DATA))
        if source is None:
            raise UserError(f"{quoted(name)}: has no multiple-choice questions; give the file that was predicted")
        files += [read_questions(path, purpose="predict", read_as=read_as) for path, read_as in source.parts]
    read = with_predicted_ids(files, (each.id for each in predictions))
    shown = f"{side} and {', '.join(map(escaped, names))}"
    return [question for question, _ in pair_up(read, predictions, shown)]
