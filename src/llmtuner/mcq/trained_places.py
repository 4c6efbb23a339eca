"""How often each place is the right answer in the data that a run's model was trained on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from transformers import TrainerCallback

from llmtuner.data.collect import answer_places, trained_and_held_out
from llmtuner.data.registry import PROJECT_DATA
from llmtuner.files import split_paths
from llmtuner.mcq.questions import QuestionSet
from llmtuner.mcq.run import McqRun
from llmtuner.runs.places import trained_places
from llmtuner.spec.flags import FLAGS


def places_of_run(run: McqRun, train_set: QuestionSet | None) -> Mapping[str, int] | None:
    """By letter; None if unknown.

    Args:
        train_set: the questions that this run trained on; None for a prediction alone, which looks into the manifest
            of the training.
    """
    if train_set is not None:
        return answer_places(train_set.questions)
    return trained_places([*reversed(run.adapters), run.model])


class FlagsOfRun(TrainerCallback):
    """Brings the flags of a run to upstream's trainer, which gets neither the adapters' folders nor the questions.

    Args:
        values: the given flags, converted by upstream's parser.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    @property
    def retrieves(self) -> bool:
        """Whether the run retrieves the contexts of its questions."""
        return bool(self._values.get("retrieve"))

    def places(self) -> Mapping[str, int] | None:
        """By letter; None if unknown. For a training, counted in the questions that it uses of its data sets."""
        if not self._values.get("do_train"):
            return trained_places(
                [
                    *reversed(split_paths(self._values.get("adapter_name_or_path") or "")),
                    self._values.get("model_name_or_path") or "",
                ]
            )
        dataset_dir = self._values.get("dataset_dir") or str(PROJECT_DATA)
        trained, _ = trained_and_held_out(
            self._names("dataset"),
            dataset_dir,
            max_samples=self._values.get("max_samples"),
            val_size=self._values.get("val_size") or 0.0,
            seed=self._values.get("seed", FLAGS["seed"].default),
        )
        return answer_places(trained) or None

    def _names(self, flag: str) -> list[str]:
        value = self._values.get(flag) or ""
        return [name.strip() for name in (value.split(",") if isinstance(value, str) else value) if name.strip()]

    @classmethod
    def among(cls, callbacks: Iterable[object]) -> FlagsOfRun:
        """The first such callback; without one, the flags are unknown."""
        return next((callback for callback in callbacks if isinstance(callback, cls)), cls({}))
