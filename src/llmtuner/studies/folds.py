"""Cross-validation: each fold of the training data is predicted by a model that was trained on the others."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmtuner.cli.words import Words
from llmtuner.data.problems import quoted
from llmtuner.data.question import Question
from llmtuner.data.soft_targets import PROBABILITIES, WEIGHT
from llmtuner.errors import UserError
from llmtuner.files import write_atomic
from llmtuner.studies.ended_run import RECORD, check_ended, read_record, write_record
from llmtuner.studies.jobs import Job
from llmtuner.studies.training import job_of, without

MANIFEST, FOLDS, DATA = "manifest.json", "folds.json", "data"
FORMAT = 1
OWN = ("output_dir", "overwrite_output_dir", "resume_from_checkpoint", "eval_dataset", "do_eval")
WHOLE = ("max_samples", "streaming", "tokenized_path", "mix_strategy", "interleave_probs")  # need the data as given
_HELD_OUT = ("eval_dataset",)  # no training may choose its best model by it
TRAINED = ("val_size",)  # splits the training data


@dataclass(frozen=True)
class FoldStudy:
    """What is divided and trained.

    Args:
        out: the folder.
        words: the flags of the training, as given; the first may be a config file.
        count: the number of folds.
        seed: of the division; the trainings have their own.
    """

    out: Path
    words: Sequence[str]
    count: int
    seed: int = 0

    def folder(self, fold: int) -> Path:
        """The output folder of a fold's training and prediction."""
        return self.out / f"fold-{fold}"

    def data(self, fold: int, kind: str) -> Path:
        """The questions of a fold: "train" or "predict"."""
        return self.out / DATA / f"fold-{fold}.{kind}.jsonl"

    def job(self, fold: int, given: Words) -> Job:
        """Train on the other folds, then predict this one."""
        words = without(given, "do_predict")  # --mcq_answer_base stays, for --mcq_shots_from: the data have their own
        for name, value in (
            ("do_train", "true"),
            ("do_predict", "true"),
            ("dataset", f"{self.data(fold, 'train')}?answer_base=0"),
            ("eval_dataset", f"{self.data(fold, 'predict')}?answer_base=0"),
            ("output_dir", str(self.folder(fold))),
        ):
            words.set(name, value)
        return job_of(f"fold-{fold}", words, self.folder(fold), not_in_training=_HELD_OUT, not_in_prediction=TRAINED)

    def is_done(self, fold: int) -> bool:
        """Whether a fold's prediction ended."""
        return (self.folder(fold) / RECORD).is_file()

    def finish(self, fold: int, seconds: float) -> None:
        """Record that a fold is done."""
        write_record(self.folder(fold), seconds)

    def stored(self, fold: int) -> dict[str, Any]:
        """What was written when a fold was done: the seconds of its training and prediction, and their digest.

        Raises:
            UserError: it is not done, its record is damaged, or a later run has replaced its predictions.
        """
        folder = self.folder(fold)
        record = read_record(folder)
        if record is None:
            raise UserError(f"{folder}: has no {RECORD}, so it is not done")
        check_ended(folder, record)
        return record


def keys_of(questions: Sequence[Question]) -> list[str]:
    """What stands for each question in folds.json: its id, or DATASET/ID where there are several data sets.

    Raises:
        UserError: a key is not unique.
    """
    several = len({question.dataset for question in questions}) > 1
    keys = [f"{each.dataset}/{each.id}" if several else each.id for each in questions]
    repeated = [key for key, count in Counter(keys).items() if count > 1]
    if repeated:
        more = f" and {len(repeated) - 1:,} more" if len(repeated) > 1 else ""
        raise UserError(
            f"the data repeat id {quoted(repeated[0])}{more}: out-of-fold predictions are told apart by id; give each "
            "question an id of its own"
        )
    return keys


def write_data(study: FoldStudy, questions: Sequence[Question], fold_of: Mapping[str, int]) -> None:
    """Write the training and held-out questions of every fold, with their keys as ids."""
    keys = keys_of(questions)
    lines = [
        json.dumps(_record(key, question), ensure_ascii=False) + "\n"
        for key, question in zip(keys, questions, strict=True)
    ]
    (study.out / DATA).mkdir(parents=True, exist_ok=True)
    for fold in range(study.count):
        held_out = [fold_of[key] == fold for key in keys]
        for kind, wanted in (("train", False), ("predict", True)):
            chosen = [line for line, held in zip(lines, held_out, strict=True) if held is wanted]
            write_atomic(study.data(fold, kind), "".join(chosen))


def _record(key: str, question: Question) -> dict[str, Any]:
    """A question in the form `options`, which takes any text; answers count from 0."""
    record: dict[str, Any] = {"id": key, "question": question.question, "options": list(question.options)}
    record |= {"answer": question.answer}
    if question.context:
        record["context"] = question.context
    if question.probabilities is not None:
        record[PROBABILITIES] = dict(zip(question.letters, question.probabilities, strict=True))
    if question.weight != 1:
        record[WEIGHT] = question.weight
    return record
