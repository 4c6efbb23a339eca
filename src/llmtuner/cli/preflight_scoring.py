"""Warnings about a run's questions that only the run knows: which are scored, and on which its model was trained."""

from __future__ import annotations

from collections.abc import Sequence

from llmtuner.cli.flags import Flags
from llmtuner.data.collect import questions_in, trained_and_held_out
from llmtuner.data.question import Question
from llmtuner.data.registry import PROJECT_DATA
from llmtuner.data.scoring import scoring_oddities
from llmtuner.data.soft_targets import PROBABILITIES, WEIGHT
from llmtuner.errors import UserError
from llmtuner.mcq.prompts import refuse_scored_shots, require_reserve
from llmtuner.mcq.run import McqRun
from llmtuner.mcq.targets import check_targets
from llmtuner.runs.places import trained_places
from llmtuner.runs.trained import read_trained


def scoring_warnings(flags: Flags) -> tuple[str, ...]:
    """Lines for the user; the files have been checked before.

    Raises:
        UserError: --val_size leaves no question on one side.
    """
    training, scored = trained_and_scored(flags)
    before = read_trained(models_of(flags)) if scored else None
    places = None if flags["do_train"] else trained_places(models_of(flags))
    return tuple(scoring_oddities(scored, training, before=before, places=places))


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
