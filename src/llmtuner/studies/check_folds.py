"""The checks of a cross-validation before its first training, and what an earlier start of it left."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmtuner.cli.command import config_file, read_words, settle_words, typed
from llmtuner.cli.flags import Flags
from llmtuner.cli.preflight import preflight
from llmtuner.cli.preflight_scoring import models_of
from llmtuner.cli.words import Words
from llmtuner.data.collect import all_questions
from llmtuner.data.folds import folds_of
from llmtuner.data.question import Question
from llmtuner.data.registry import PROJECT_DATA, find_source
from llmtuner.data.scoring import leaks
from llmtuner.errors import UserError
from llmtuner.files import TEMPORARY
from llmtuner.runs.lock import LOCK
from llmtuner.runs.trained import read_trained
from llmtuner.studies.check_sweep import inputs_of
from llmtuner.studies.ended_run import changed_inputs
from llmtuner.studies.folds import DATA, FOLDS, FORMAT, MANIFEST, OWN, TRAINED, WHOLE, FoldStudy, keys_of
from llmtuner.studies.training import check_runs, differing_flags, flags_of, training_alone, without

_WRITTEN = re.compile(r"fold-\d+\.(train|predict)\.jsonl")  # in the folder of the data
_AFRESH = "pass another --out, or --overwrite to run all folds afresh"


@dataclass(frozen=True)
class CheckedFolds:
    """A cross-validation that can start.

    Args:
        words: the flags of the training, settled.
        fold_of: the fold of each question, by its key, in the order of the data.
        manifest: of this start.
        afresh: whether an earlier start in the folder is deleted.
        notices: lines for the user.
    """

    study: FoldStudy
    words: Words
    questions: Sequence[Question]
    fold_of: Mapping[str, int]
    manifest: Mapping[str, Any]
    afresh: bool
    notices: Sequence[str]


def check_folds(study: FoldStudy, *, overwrite: bool = False) -> CheckedFolds:
    """Check flags, data and folder, and divide the questions; nothing is written.

    Args:
        overwrite: start again in the folder of an earlier start.

    Raises:
        UserError: a mistake in the flags, data or folder, or an earlier start with other inputs.
    """
    stored = _stored(study.out)
    if not study.words:
        raise UserError("no command to run: put the flags of src/train_bash.py behind --")
    given = read_words(list(study.words))
    lines = settle_words(given)
    _check_names(given)
    config, words = config_file(list(study.words)), _whole_run(given, study)
    preflight(typed(_prediction(words), config))
    plan = preflight(typed(training_alone(words), config))
    inputs = {name: value for name, value in inputs_of(plan).items() if name != "eval_dataset"}
    manifest = {
        "format": FORMAT,
        "folds": study.count,
        "seed": study.seed,
        "flags": flags_of(study.words),
        "inputs": inputs,
    }
    if stored is not None and not overwrite:
        _check_stored(study.out, stored, manifest)
        for fold in filter(study.is_done, range(study.count)):
            study.stored(fold)
    questions = _questions(plan.flags)
    keys = keys_of(questions)
    known = [question for question in questions if question.answer is not None]
    notices = [*lines, *plan.notices, *plan.warnings, *leaks(known, before=read_trained(models_of(plan.flags)))]
    if stored is not None and not overwrite:
        return CheckedFolds(study, given, questions, _division(study, keys), stored, False, notices)
    folds = folds_of(questions, study.count, study.seed)
    manifest |= {"questions": len(questions), "groups": folds.groups, "largest_group": folds.largest}
    if folds.largest > len(questions) / study.count + 1:
        notices.append(
            f"a group of near duplicates has {folds.largest:,} of {len(questions):,} questions, so its fold is larger "
            "than the others"
        )
    fold_of = dict(zip(keys, folds.fold_of, strict=True))
    return CheckedFolds(study, given, questions, fold_of, manifest, stored is not None, notices)


def _whole_run(given: Words, study: FoldStudy) -> Words:
    """A training and a prediction with all questions, in a folder that does not exist: no earlier run counts."""
    words = without(given)
    words.set("do_train", "true")
    words.set("do_predict", "true")
    words.set("output_dir", str(study.folder(0) / "new"))
    return words


def _prediction(words: Words) -> Words:
    """The flags of a fold's prediction, here of all questions: what it refuses is known before anything is trained."""
    words = without(words, *TRAINED)
    words.set("eval_dataset", *words.values("dataset"))
    return words


def _check_names(given: Words) -> None:
    own = [name for name in OWN if name in given]
    if own:
        raise UserError(f"--{own[0]}: the folds set it; leave it out (the folder of all: --out)")
    check_runs(given)
    whole = [name for name in WHOLE if name in given]
    if whole:
        raise UserError(
            f"--{whole[0]}: folds divide whole data sets; leave it out, or pass a file with these questions"
        )
    if "dataset" not in given:
        raise UserError("--dataset is missing: name the questions to divide")


def _questions(flags: Flags) -> list[Question]:
    """All questions of the training data, in order.

    Raises:
        UserError: a data set is of another kind, or sampled.
    """
    questions: list[Question] = []
    for name in flags.names("dataset"):
        source = find_source(name, flags["dataset_dir"] or str(PROJECT_DATA))
        if source is None:
            raise UserError(f"data set {name!r} has no multiple-choice questions, which folds need")
        if source.num_samples is not None:
            raise UserError(f"data set {name!r}: num_samples draws other questions in every run; pass its file")
        questions += all_questions(source)
    return questions


def _stored(out: Path) -> dict[str, Any] | None:
    """The manifest of an earlier start; None in a new or empty folder.

    Raises:
        UserError: it is the folder of something else, or its manifest is damaged.
    """
    special = next((char for char in ",?*[" if char in str(out)), None)
    if special is not None:
        raise UserError(
            f"--out {out}: {special} has a meaning in --dataset, which names files in this folder; rename it"
        )
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out}: not a folder")
    path = out / MANIFEST
    if not path.is_file():
        if out.is_dir() and not all(map(_is_begun, out.iterdir())):
            raise UserError(
                f"--out {out}: not empty, and not the folder of folds (it has no {MANIFEST}); name a new one"
            )
        return None
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read: {error}; pass another --out") from error
    kinds = {"folds": int, "flags": list, "inputs": dict}
    is_ours = isinstance(stored, dict) and all(isinstance(stored.get(name), kind) for name, kind in kinds.items())
    if not is_ours or stored.get("format") != FORMAT:
        raise UserError(f"{path}: not the manifest of folds; pass another --out")
    return stored


def _is_begun(path: Path) -> bool:
    """Whether it is what a start writes before its manifest, and leaves if it is killed."""
    if path.name == DATA and path.is_dir():
        return all(_WRITTEN.fullmatch(each.name) or TEMPORARY.fullmatch(each.name) for each in path.iterdir())
    return path.name in (LOCK, FOLDS) or TEMPORARY.fullmatch(path.name) is not None


def _check_stored(out: Path, stored: Mapping[str, Any], manifest: Mapping[str, Any]) -> None:
    path = out / MANIFEST
    for name in ("folds", "seed"):
        if stored.get(name) != manifest[name]:
            raise UserError(f"{path}: was begun with --{name} {stored.get(name)}, not {manifest[name]}; {_AFRESH}")
    differing = differing_flags(stored["flags"], manifest["flags"])
    if differing:
        raise UserError(f"{path}: was begun with other flags ({' '.join(differing[:5])}); {_AFRESH}")
    changed = changed_inputs(stored["inputs"], manifest["inputs"])
    if changed:
        raise UserError(f"{path}: was begun with another {' and '.join(changed)}; {_AFRESH}")


def _division(study: FoldStudy, keys: Sequence[str]) -> dict[str, int]:
    """The folds of an earlier start: another version of a package might divide otherwise."""
    path = study.out / FOLDS
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read: {error}; {_AFRESH}") from error
    is_division = isinstance(stored, dict) and all(type(fold) is int for fold in stored.values())
    if not is_division or list(stored) != list(keys) or not set(stored.values()) <= {*range(study.count)}:
        raise UserError(f"{path}: does not fit the data; {_AFRESH}")
    return stored
