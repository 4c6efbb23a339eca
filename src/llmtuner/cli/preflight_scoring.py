"""Warnings about a run's questions that only the run knows: which are scored, and on which its model was trained."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmtuner.cli.flags import Flags
from llmtuner.data.collect import questions_in, trained_and_held_out
from llmtuner.data.digest import data_digest
from llmtuner.data.problems import terminal_path
from llmtuner.data.question import Question
from llmtuner.data.registry import PROJECT_DATA
from llmtuner.data.scoring import scoring_oddities
from llmtuner.data.soft_targets import PROBABILITIES, WEIGHT
from llmtuner.errors import UserError
from llmtuner.mcq.prompts import refuse_scored_shots, require_reserve
from llmtuner.mcq.run import McqRun
from llmtuner.mcq.targets import check_targets
from llmtuner.runs.manifest import Manifest
from llmtuner.runs.places import trainings_of

_OF_DATA = ("dataset", "dataset_dir", "max_samples", "val_size", "seed")  # what says which questions were trained on


def scoring_warnings(flags: Flags) -> tuple[str, ...]:
    """Lines for the user; the files have been checked before.

    Raises:
        UserError: --val_size leaves no question on one side.
    """
    trained, scored = trained_and_scored(flags)
    # Earlier trainings matter only to what is scored.
    stored = stored_trainings([] if flags["do_train"] and not scored else models_of(flags))
    return tuple(stored.oddities(scored, *([trained] if flags["do_train"] else [])))


def check_shots(flags: Flags, run: McqRun) -> None:
    """Refuse shots that are also scored, and training questions without a shot to take their own place.

    An evaluation within a training may score its shots: with --val_size both are drawn from the same questions. Such a
    question sees the reserve in its own place, too.

    Raises:
        DataError: naming the questions.
    """
    if "shots" not in run.settings.prompt:
        return
    trained, scored = trained_and_scored(flags)
    require_reserve(trained, run.settings.prompt)
    if flags["do_predict"] or not flags["do_train"]:
        refuse_scored_shots(scored, run.settings.prompt)
    else:
        require_reserve(scored, run.settings.prompt)


def check_later_scoring(questions: Sequence[Question], run: McqRun | None) -> None:
    """Refuse questions that a prediction with the trained model would refuse, before that model is trained.

    Args:
        questions: those that it will score.
        run: of the training.

    Raises:
        DataError: naming the questions.
    """
    if run is not None and "shots" in run.settings.prompt:
        refuse_scored_shots(questions, run.settings.prompt)


def check_training_targets(flags: Flags, run: McqRun | None) -> None:
    """Refuse probabilities and weights of training questions where they would not count.

    Args:
        run: of stage mcq; None for other stages, which train on the letter.

    Raises:
        UserError: naming the first such question.
    """
    trained, _ = trained_and_scored(flags)
    if run is not None:
        check_targets(trained, run.objective)
        return
    for question in trained:
        for column in (PROBABILITIES, WEIGHT):
            if getattr(question, column) not in (None, 1.0):
                raise UserError(
                    f"{question.where}: the column {column} is for --stage mcq; --stage {flags['stage']} trains on the "
                    "answer's letter alone. Remove the column, or change the stage"
                )


def trained_and_scored(flags: Flags) -> tuple[Sequence[Question], Sequence[Question]]:
    """The questions that a run trains on, none if it only predicts, and those that it scores.

    Raises:
        UserError: --val_size leaves no question on one side.
    """
    dataset_dir = flags["dataset_dir"] or str(PROJECT_DATA)
    names, limit = flags.names("dataset"), flags["max_samples"]
    scored: Sequence[Question] = questions_in(flags.names("eval_dataset"), dataset_dir, max_samples=limit)
    if not flags["do_train"]:
        return [], scored
    trained, held_out = trained_and_held_out(
        names, dataset_dir, max_samples=limit, val_size=flags["val_size"], seed=flags["seed"]
    )
    return trained, held_out or scored


def models_of(flags: Flags) -> list[str]:
    """Adapters and model, the last training first."""
    return [*reversed(flags.names("adapter_name_or_path")), flags["model_name_or_path"]]


@dataclass(frozen=True)
class EarlierTrainings:
    """The trainings behind a model, the last one first.

    Args:
        questions: of each training; none where its files are not here, or are not what they were.
        changed: the data sets whose content has changed since a model was trained on them.
    """

    questions: Sequence[Sequence[Question]]
    changed: Sequence[str]

    def oddities(self, scored: Sequence[Question], *running: Sequence[Question]) -> list[str]:
        """As `scoring_oddities`; and what cannot be known.

        Args:
            scored: the questions that are scored.
            running: the questions of a training that starts now.
        """
        lines = scoring_oddities(scored, *running, *self.questions)
        if self.changed and any(question.answer is not None for question in scored):
            names = ", ".join(terminal_path(name) for name in self.changed)
            lines.append(
                f"{names}: changed since the model was trained on it, so whether scored questions were among the "
                "training data is not known; train again, or score questions that are surely new"
            )
        return lines


def stored_trainings(folders: Sequence[str | os.PathLike[str]]) -> EarlierTrainings:
    """The questions that a model was trained on, as far as their files are here.

    Args:
        folders: adapters and model, the last training first.
    """
    trainings = recorded_trainings(folders)
    changed = [_has_changed(each) for each in trainings]
    questions = [[] if other else _trained_on(each) for each, other in zip(trainings, changed, strict=True)]
    names = [str(each["dataset"]) for each, other in zip(trainings, changed, strict=True) if other]
    return EarlierTrainings(questions, list(dict.fromkeys(names)))


def recorded_trainings(folders: Sequence[str | os.PathLike[str]]) -> list[Mapping[str, Any]]:
    """The data of each different training behind a model, the last one first, as a manifest has it in `earlier`.

    Args:
        folders: as in `stored_trainings`. The folders of earlier trainings may be gone.
    """
    records = [record for each in trainings_of(folders) for record in (_record(each), *each.earlier)]
    return list({repr(sorted(each.items())): each for each in records}.values())


def _record(training: Manifest) -> Mapping[str, Any]:
    chosen = {name: training.settings.get(name) for name in _OF_DATA}
    return {**chosen, "sha256": None if training.data is None else training.data.sha256}


def _has_changed(training: Mapping[str, Any]) -> bool:
    """Whether data sets that are here have another content than in the training."""
    names, dataset_dir = _names(training), str(training.get("dataset_dir") or PROJECT_DATA)
    if not training.get("sha256") or not names:  # from Python, data has no name
        return False
    try:
        digest = data_digest(names, dataset_dir)
    except (UserError, OSError):  # moved, or on another machine
        return False
    return digest is not None and digest[0] != training["sha256"]


def _trained_on(training: Mapping[str, Any]) -> Sequence[Question]:
    limit, val_size, seed = (training.get(name) for name in ("max_samples", "val_size", "seed"))
    try:
        return trained_and_held_out(
            _names(training),
            str(training.get("dataset_dir") or PROJECT_DATA),
            max_samples=limit if isinstance(limit, int) else None,
            val_size=val_size if isinstance(val_size, float) else 0.0,
            seed=seed if isinstance(seed, int) else 0,
        )[0]
    except (UserError, OSError):  # moved, or on another machine: no leak can be counted, and none is an error
        return []


def _names(settings: Mapping[str, Any]) -> list[str]:
    return [name.strip() for name in str(settings.get("dataset") or "").split(",") if name.strip()]
