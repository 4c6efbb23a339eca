"""The result of an audit, and the JSON of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from llmtuner.data.audit.counts import Counts, Lengths
from llmtuner.data.audit.label_errors import LabelErrors
from llmtuner.data.audit.model import ShortcutModel
from llmtuner.data.audit.positions import Positions
from llmtuner.data.audit.quality import Form
from llmtuner.data.audit.repeats import Repeats
from llmtuner.data.audit.shortcuts import ShortcutScore
from llmtuner.data.problems import Problem

VERSION = 1  # of the JSON form; it goes up when a name changes or goes


@dataclass(frozen=True, slots=True)
class FileAudit:
    """What was found in one file.

    Args:
        columns_form: the name of the form that its columns are of.
        errors: what a training would refuse the file for.
        unit: what line numbers count, "line" or "row".
        model: None without scikit-learn, or with too few questions.
    """

    file: str
    columns_form: str
    unit: str
    counts: Counts
    errors: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    form: Form
    lengths: Lengths
    positions: tuple[Positions, ...]
    shortcuts: tuple[ShortcutScore, ...]
    model: ShortcutModel | None

    @property
    def scores(self) -> list[ShortcutScore]:
        """Every shortcut's, the model's last."""
        return [*self.shortcuts, *([self.model.score] if self.model else [])]


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found in all files.

    Args:
        label_errors: None without predictions.
        checks: hits of each of `CHECKS`; None where a check was not looked for, and `notes` say why.
    """

    files: tuple[FileAudit, ...]
    repeats: Repeats
    label_errors: LabelErrors | None
    checks: dict[str, int | None]
    notes: tuple[str, ...]


def as_record(audit: Audit) -> dict[str, Any]:
    """An audit as JSON can hold it, with the verdicts that were reached."""
    record = asdict(audit)
    for file, of_file in zip(audit.files, record["files"], strict=True):
        for found, entry in zip(file.positions, of_file["positions"], strict=True):
            entry["unbalanced"] = found.unbalanced
        scores = [*of_file["shortcuts"], *([of_file["model"]["score"]] if file.model else [])]
        for score, entry in zip(file.scores, scores, strict=True):
            entry["worth_a_warning"] = score.worth_a_warning
    return {"llmtuner_audit": VERSION, **record}
