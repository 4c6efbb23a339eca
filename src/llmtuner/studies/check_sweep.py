"""The checks of a sweep before its first piece runs, and what an earlier start of it left."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmtuner.cli.command import config_file, typed
from llmtuner.cli.flags import Flags
from llmtuner.cli.preflight import Plan, flag_message, preflight
from llmtuner.cli.record import prompt_content, retrieve_digests
from llmtuner.cli.words import FLAG_NAME, Words
from llmtuner.data.digest import data_digest
from llmtuner.data.registry import PROJECT_DATA
from llmtuner.errors import UserError
from llmtuner.files import TEMPORARY
from llmtuner.runs.base import model_folder
from llmtuner.runs.lock import LOCK
from llmtuner.runs.weights import base_fingerprint, vocabulary_digest
from llmtuner.studies.ended_run import changed_inputs, check_ended
from llmtuner.studies.sweep import FORMAT, MANIFEST, Piece, Sweep
from llmtuner.studies.training import differing_flags, flags_of, training_alone

LONGEST_NAME = 255  # bytes of a folder's name


@dataclass(frozen=True)
class CheckedSweep:
    """A sweep whose pieces can start.

    Args:
        words: the shared flags, settled.
        inputs: digests of the data and models of each combination, by its name.
        waiting: pieces that have to run, in order.
        notices: lines for the user.
        afresh: whether pieces that were done run again.
    """

    sweep: Sweep
    words: Words
    inputs: Mapping[str, Mapping[str, Any]]
    waiting: Sequence[Piece]
    notices: Sequence[str]
    afresh: bool = False


def check_sweep(sweep: Sweep, *, overwrite: bool = False) -> CheckedSweep:
    """Check every combination as its command would be checked, before anything runs.

    Args:
        overwrite: run all pieces again.

    Raises:
        UserError: everything that is wrong, in one message.
    """
    check_folder(sweep, overwrite=overwrite)
    given, lines = sweep.read()
    notices, problems = dict.fromkeys(lines), dict[str, str]()
    inputs: dict[str, Mapping[str, Any]] = {}
    for piece in _first_pieces(sweep):
        try:
            plan = _plan(piece, given, config_file(list(sweep.words)))
            inputs[piece.combination] = inputs_of(plan)
            notices |= dict.fromkeys([*plan.notices, *plan.warnings])
        except UserError as error:
            problems.setdefault(flag_message(error), piece.combination)
    if problems:
        raise UserError("\n".join(f"{where}: {what}" if where else what for what, where in problems.items()))
    waiting = [piece for piece in sweep.pieces() if overwrite or not _is_done(piece, inputs[piece.combination])]
    return CheckedSweep(sweep, given, inputs, waiting, [*notices], overwrite)


def check_folder(sweep: Sweep, *, overwrite: bool = False) -> None:
    """Refuse a folder of something else, or of a sweep with other flags. Values and seeds may be added.

    Args:
        overwrite: other flags are welcome.

    Raises:
        UserError: with the first difference.
    """
    out = sweep.out
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out}: not a folder")
    if not out.is_dir() or all(_is_begun(path) for path in out.iterdir()):
        return
    stored = stored_manifest(out)
    if stored is None:
        raise UserError(f"--out {out}: not empty, and not the folder of a sweep (it has no {MANIFEST}); name a new one")
    if overwrite:
        return
    afresh = "pass another --out, or --overwrite to run all pieces afresh"
    if list(stored["set"]) != list(sweep.values):
        swept, asked = (" and ".join(names) or "nothing" for names in (stored["set"], sweep.values))
        raise UserError(f"{out / MANIFEST}: the sweep is over {swept}, not over {asked}; {afresh}")
    differing = differing_flags(stored["flags"], flags_of(sweep.words))
    if differing:
        shown = " ".join(differing[:5])
        raise UserError(f"{out / MANIFEST}: the sweep was begun with other flags ({shown}); {afresh}")


def _is_begun(path: Path) -> bool:
    """Whether it is what a start writes before its manifest, and leaves if it is killed."""
    return path.name == LOCK or TEMPORARY.fullmatch(path.name) is not None


def stored_manifest(out: Path) -> dict[str, Any] | None:
    """What an earlier start of the sweep wrote; None if there was none.

    Raises:
        UserError: the file is damaged, or of another version.
    """
    path = out / MANIFEST
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read: {error}; pass another --out") from error
    kinds = {"format": int, "flags": list, "set": dict, "seeds": list}
    if not isinstance(stored, dict) or any(not isinstance(stored.get(name), kind) for name, kind in kinds.items()):
        raise UserError(f"{path}: not the manifest of a sweep; pass another --out")
    are_settings = all(_is_setting(name, values) for name, values in stored["set"].items())
    if not are_settings or not all(type(seed) is int for seed in stored["seeds"]):
        raise UserError(f"{path}: not the manifest of a sweep; pass another --out")
    if stored["format"] != FORMAT:
        raise UserError(f"{path}: format {stored['format']}, expected {FORMAT}; pass another --out")
    return stored


def _is_setting(name: str, values: Any) -> bool:
    """Whether a flag and its values give the name of a folder: with --overwrite, the folders of pieces are deleted."""
    return FLAG_NAME.fullmatch(name) is not None and isinstance(values, list) and all(type(v) is str for v in values)


def _first_pieces(sweep: Sweep) -> Iterator[Piece]:
    """One piece of each combination."""
    return (piece for piece in sweep.pieces() if piece.seed == sweep.seeds[0])


def _plan(piece: Piece, given: Words, config: Path | None) -> Plan:
    """The checks of a piece's first command, in a folder that does not exist, so that no earlier run counts."""
    if len(piece.combination.encode()) > LONGEST_NAME:
        raise UserError("too long for the name of a folder; sweep fewer flags, or shorter values")
    words = piece.flags(given)
    words.set("output_dir", str(piece.folder / "new"))
    return first_plan(words, config)


def first_plan(words: Words, config: Path | None) -> Plan:
    """The checks of a job's first command, a training or all there is, and of the prediction after it.

    Raises:
        UserError: one of them would be refused.
    """
    plan = preflight(typed(words, config))
    first = training_alone(words) if words.is_true("do_train") else words
    return plan if first is words else preflight(typed(first, config))


def inputs_of(plan: Plan) -> dict[str, Any]:
    """Digests of the data and models of a command."""
    flags = plan.flags
    scored = data_digest(flags.names("eval_dataset"), flags["dataset_dir"] or str(PROJECT_DATA))
    inputs: dict[str, Any] = {"eval_dataset": None if scored is None else scored[0], "prompt": prompt_content(plan.run)}
    if plan.training is None:
        model, tokenizer = _fingerprints(flags)
        return inputs | {"model": model, "tokenizer": tokenizer, "retrieve": retrieve_digests(flags)}
    data = None if plan.training.data is None else plan.training.data.sha256
    models = [plan.training.base, *plan.training.adapters]
    tokenizer = plan.training.tokenizer
    return inputs | {"dataset": data, "model": models, "tokenizer": tokenizer, "retrieve": plan.training.retrieve}


def _fingerprints(flags: Flags) -> tuple[list[str], str]:
    """Of the model and its adapters, and of the tokenizer; "" for one on the hub that is not in the cache yet."""
    model = flags["model_name_or_path"] or ""
    folder = model_folder(model, revision=flags["model_revision"], cache_dir=flags["cache_dir"])
    model_digest, tokenizer = ("", "") if folder is None else (base_fingerprint(folder), vocabulary_digest(folder))
    return [model_digest, *(base_fingerprint(name) for name in flags.names("adapter_name_or_path"))], tokenizer


def _is_done(piece: Piece, inputs: Mapping[str, Any]) -> bool:
    """Whether a piece was done with the same inputs.

    Raises:
        UserError: it was done with other data, models or another index, or its files are not those that it ended with.
    """
    stored = piece.stored()
    if stored is None:
        return False
    changed = changed_inputs(stored["inputs"], inputs)
    if changed:
        raise UserError(
            f"{piece.folder}: was made with another {' and '.join(changed)}; pass another --out, or --overwrite to run "
            "all pieces afresh"
        )
    check_ended(piece.folder, stored)
    return True
