"""The result of an audit, and its JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from llmtuner.data.audit.counts import Counts, Lengths
from llmtuner.data.audit.label_errors import LabelErrors
from llmtuner.data.audit.model import ShortcutModel
from llmtuner.data.audit.positions import Positions
from llmtuner.data.audit.quality import QualitySummary
from llmtuner.data.audit.repeats import Repeats
from llmtuner.data.audit.shortcuts import ShortcutScore
from llmtuner.data.problems import Problem

VERSION = 1  # of the JSON; increased when a key is renamed or removed


@dataclass(frozen=True, slots=True)
class FileAudit:
    """The audit of one file.

    Args:
        columns_form: the name of the file's form, by its columns.
        errors: the defects for which a training would reject the file.
        unit: the unit of line numbers, "line" or "row".
        form: the quality of the questions by their form.
        model: None without scikit-learn, or with too few questions.
    """

    file: str
    columns_form: str
    unit: str
    counts: Counts
    errors: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    form: QualitySummary
    lengths: Lengths
    positions: tuple[Positions, ...]
    shortcuts: tuple[ShortcutScore, ...]
    model: ShortcutModel | None

    @property
    def scores(self) -> list[ShortcutScore]:
        """The scores of all shortcuts, then that of the model."""
        return [*self.shortcuts, *([self.model.score] if self.model else [])]


@dataclass(frozen=True, slots=True)
class Audit:
    """The audit of all files.

    Args:
        label_errors: None without predictions.
        checks: number of hits of each of `CHECKS`; None for a skipped check, with the reason in `notes`.
        notes: what was skipped or is of limited use, and why.
    """

    files: tuple[FileAudit, ...]
    repeats: Repeats
    label_errors: LabelErrors | None
    checks: dict[str, int | None]
    notes: tuple[str, ...]


def audit_record(audit: Audit) -> dict[str, Any]:
    """An audit as JSON values, with its verdicts (`unbalanced`, `worth_a_warning`)."""
    record = asdict(audit)
    for file, file_record in zip(audit.files, record["files"], strict=True):
        for positions, entry in zip(file.positions, file_record["positions"], strict=True):
            entry["unbalanced"] = positions.unbalanced
        entries = [*file_record["shortcuts"], *([file_record["model"]["score"]] if file.model else [])]
        for score, entry in zip(file.scores, entries, strict=True):
            entry["worth_a_warning"] = score.worth_a_warning
    return {"llmtuner_audit": VERSION, **record}
