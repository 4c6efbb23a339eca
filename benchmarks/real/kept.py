"""What is kept of each run that ended, one line a run: enough for the report, so another machine can go on.

A line has the run's flags and the SHA-256 of the files that they name, so a run that would differ now is not taken for
the one that was kept. The right answers' ranks are strings, a character a question in the order of the scored file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from evidence.norms import scores_by_norm

from llmtuner.data.load import read_questions
from llmtuner.data.predictions import Prediction, read_predictions
from llmtuner.data.question import Question
from llmtuner.errors import UserError
from llmtuner.files import sha256_of_unchanged, write_atomic
from llmtuner.metrics import Ranks
from llmtuner.report.run_report.curves import read_training
from real.runs import MADE_BY, Run, Setting

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
AS_PREDICTED = ""  # the norm of a prediction that has one score for each option
Norms = Mapping[str, Mapping[str, str]]  # above and tied, by norm


@dataclass(frozen=True)
class Kept:
    """A run that ended.

    Args:
        flags: without the paths of this machine.
        files: SHA-256 of every file of questions that the flags name.
        ranks: of the right answers, by scored file and norm: `above` and, if some tie, `tied` (see `metrics.Ranks`).
        points: step and MAP@3 of each evaluation during the training.
    """

    model: str
    run: str
    flags: Sequence[str]
    files: Mapping[str, str]
    commit: str
    hardware: str
    seconds: float
    ranks: Mapping[str, Norms] = field(default_factory=dict)
    points: Sequence[tuple[int, float]] = ()


class Keeper:
    """The file of kept runs, as this comparison sees it."""

    def __init__(self, path: Path, setting: Setting) -> None:
        """Read the file, if there is one.

        Raises:
            UserError: it is damaged.
        """
        self.path, self.setting, self.model = path, setting, Path(setting.model).name
        self._lines: dict[tuple[str, str], Kept] = {(each.model, each.run): each for each in read_kept(path)}
        self._questions: dict[str, list[Question]] = {}

    def get(self, run: Run) -> Kept | None:
        """What was kept of a run; None if it has not ended, here or elsewhere.

        Raises:
            UserError: it was another run, with other flags or other questions.
        """
        kept = self._lines.get(self._key(run))
        if kept is not None:
            self._check(run, kept)
        return kept

    def keep(self, runs: Iterable[Run]) -> None:
        """Add the runs that ended in this work folder, and write the file if there are any."""
        new = {
            self._key(run): run for run in runs if self._key(run) not in self._lines and run.piece.stored() is not None
        }
        if new:
            self._lines |= {key: self._kept(run) for key, run in new.items()}
            lines = [json.dumps(asdict(self._lines[key])) + "\n" for key in sorted(self._lines)]
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(self.path, "".join(lines))

    def waiting(self, runs: Sequence[Run]) -> list[Run]:
        """The runs that are to be done: those that were not kept, and the trainings that these start from."""
        scored = [run for run in runs if run.reported and self.get(run) is None]
        needed = {run.needs for run in scored}
        return [run for run in runs if run in scored or run.piece.folder in needed]

    def ids(self, file: str) -> list[str]:
        """The ids of a scored file, in the order of its ranks."""
        return [question.id for question in self.questions(file)]

    def questions(self, file: str) -> list[Question]:
        """The questions of a scored file, such as qasc/test, that have an answer."""
        if file not in self._questions:
            read = read_questions(self._path(file), purpose="predict").questions
            self._questions[file] = [question for question in read if question.answer is not None]
        return self._questions[file]

    def _path(self, file: str) -> Path:
        return self.setting.work / "data" / f"{file}.jsonl"

    def _key(self, run: Run) -> tuple[str, str]:
        """The model, and the folder of the run below WORK/runs."""
        return self.model, run.piece.folder.relative_to(self.setting.work / "runs").as_posix()

    def _flags(self, run: Run) -> list[str]:
        setting = self.setting
        places = {str(setting.work): "WORK", setting.model: "MODEL", setting.encoder: "ENCODER"}
        return [_replaced(word, places) for word in run.script or run.sweep.words]

    def _files(self, run: Run) -> dict[str, str]:
        """SHA-256 of the files of questions, by name."""
        folder = f"{self.setting.work / 'data'}/"
        named = [part for word in run.script or run.sweep.words for part in word.partition("=")[2].split(",")]
        named += [part for word in run.sweep.words for part in word.split(",")]
        paths = dict.fromkeys(part for part in named if part.startswith(folder))
        return {path.removeprefix(folder).removesuffix(".jsonl"): sha256_of_unchanged(path) for path in paths}

    def _check(self, run: Run, kept: Kept) -> None:
        place = f"{self.path}: {kept.run}"
        if [*kept.flags] != self._flags(run):
            raise UserError(f"{place} ran with other flags; name another file with --kept, or delete its line")
        files = self._files(run)
        changed = [name for name, digest in kept.files.items() if files.get(name) != digest]
        if changed:
            raise UserError(
                f"{place} had other questions in {', '.join(changed)}; is --data or --sizes another one? Name another "
                "file with --kept, or delete its line"
            )

    def _kept(self, run: Run) -> Kept:
        origin_file = run.piece.folder.with_name(f"{run.piece.folder.name}.{MADE_BY}")
        origin = json.loads(origin_file.read_text(encoding="utf-8")) if origin_file.is_file() else {}
        return Kept(
            model=self.model,
            run=self._key(run)[1],
            flags=self._flags(run),
            files=self._files(run),
            commit=origin.get("commit", "unknown"),
            hardware=origin.get("hardware", "unknown"),
            seconds=round(float((run.piece.stored() or {})["seconds"])),
            ranks=dict(self._ranks(run)) if run.reported else {},
            points=self._points(run),
        )

    @staticmethod
    def _points(run: Run) -> list[tuple[int, float]]:
        if "--eval_strategy" not in run.sweep.words:
            return []
        of_sets = read_training(str(run.piece.folder)).map3
        return [(int(step), value) for evaluated in of_sets.values() for step, value in evaluated]

    def _ranks(self, run: Run) -> Iterator[tuple[str, Norms]]:
        by_file: dict[str, dict[str, Prediction]] = {}
        for prediction in read_predictions(run.piece.folder / "predictions.jsonl"):
            by_file.setdefault(self._file(prediction, run), {})[prediction.id] = prediction
        for file, by_id in by_file.items():
            questions = self.questions(file)
            predictions = [by_id[question.id] for question in questions]
            of_norms = {AS_PREDICTED: [prediction.scores for prediction in predictions]}
            if "pmi" in run.sweep.words:
                of_norms |= {n: s for n, s in scores_by_norm(questions, predictions).items() if n != "pmi"}
            answers = [int(question.answer or 0) for question in questions]
            yield file, {norm: _texts(Ranks.of(scores, answers)) for norm, scores in of_norms.items()}

    def _file(self, prediction: Prediction, run: Run) -> str:
        """The file of a question; a prediction of one file does not name it."""
        words = list(run.sweep.words)
        path = prediction.dataset or words[words.index("--eval_dataset") + 1]
        return path.removeprefix(f"{self.setting.work / 'data'}/").removesuffix(".jsonl")


def read_ranks(texts: Mapping[str, str]) -> Ranks:
    """The ranks that a line stores."""
    above, tied = (np.array([int(digit, 36) for digit in texts.get(key, "")], dtype=int) for key in ("above", "tied"))
    return Ranks(above, tied if len(tied) else np.ones_like(above))


def _texts(ranks: Ranks) -> dict[str, str]:
    texts = {"above": "".join(_DIGITS[each] for each in ranks.above_Q)}
    if (ranks.tied_Q > 1).any():
        texts["tied"] = "".join(_DIGITS[each] for each in ranks.tied_Q)
    return texts


def _replaced(word: str, places: Mapping[str, str]) -> str:
    for path, name in places.items():
        word = word.replace(path, name)
    return word


def read_kept(path: Path) -> Iterator[Kept]:
    """The lines of a file; none if it does not exist.

    Raises:
        UserError: a line is damaged.
    """
    if not path.is_file():
        return
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            stored: dict[str, Any] = json.loads(line)
            yield Kept(**stored)
        except (ValueError, TypeError) as error:
            raise UserError(f"{path}, line {number}: not a kept run: {error}; delete the line") from None
