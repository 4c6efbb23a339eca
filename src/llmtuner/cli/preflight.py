"""Everything that can be known before a model is loaded: paths, data, an earlier run in the same folder.

A check returns what it found and changes nothing. `preflight` combines the results into a plan for the caller to
carry out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Literal

from llmtuner.cli.earlier_run import settle_earlier_run
from llmtuner.cli.flags import Flags
from llmtuner.cli.preflight_mcq import check_other_stage, resolve_mcq
from llmtuner.cli.preflight_model import check_adapter, check_model, fitted
from llmtuner.cli.preflight_paths import check_names, check_output_dir
from llmtuner.cli.preflight_retrieve import settle_retrieve, unfilled
from llmtuner.cli.preflight_scoring import check_shots, check_training_targets, scoring_warnings
from llmtuner.cli.preflight_vocabulary import settle_vocabulary
from llmtuner.cli.preflight_weights import check_belonging, prompt_warnings
from llmtuner.cli.process import LAYOUT, is_first_process
from llmtuner.cli.record import planned_manifest
from llmtuner.cli.words import COMMAND_LINE
from llmtuner.data.collect import check_ids, read_source
from llmtuner.data.problems import Problem, escaped, render_problems
from llmtuner.data.read_as import split_query
from llmtuner.data.registry import PROJECT_DATA, find_source, is_local, looks_like_path
from llmtuner.data.split import NO_SPLIT
from llmtuner.errors import FieldError, UserError
from llmtuner.files import is_folder
from llmtuner.mcq.folders import unused_layers
from llmtuner.mcq.run import McqRun
from llmtuner.runs.checkpoints import EarlierRun
from llmtuner.runs.intact import require_intact
from llmtuner.runs.lock import check_lock
from llmtuner.runs.manifest import Manifest
from llmtuner.spec.flags import FIELDS, FLAGS, with_flags
from llmtuner.spec.upstream_flags import OTHER_STAGES, STAGES

OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_UPDATE_DOWNLOAD_COUNTS": "0"}
_NONE: tuple[str, ...] = ()
STORED = "stored with the model"  # the origin of a flag in a plan


@dataclass(frozen=True, slots=True)
class Plan:
    """What a command will do.

    Args:
        flags: as passed to upstream: the given ones, and what an earlier run or a stored model adds.
        run: the run of stage mcq; None for other stages.
        training: the manifest of the training, before its first step; None if nothing is trained.
        earlier: what the training does with an earlier run in its folder.
        notices, warnings: lines for the user.
    """

    flags: Flags
    run: McqRun | None = None
    training: Manifest | None = None
    earlier: EarlierRun = field(default_factory=EarlierRun)
    notices: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class _Problems:
    """Collects user errors, so that one message reports all of them.

    Args:
        flags: the flags of the command, to say where a value was given.
    """

    def __init__(self, flags: Flags) -> None:
        self.errors: list[UserError] = []
        self._flags = flags

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Run a check; collect its error."""
        try:
            yield
        except UserError as error:
            origin = self._origin(error)
            self.errors.append(UserError(f"{origin}: {flag_message(error)}") if origin else error)

    def _origin(self, error: UserError) -> str:
        """The file and line of a value; "" for the command line, or if no single flag is at fault."""
        flag = FIELDS.get(error.field) if isinstance(error, FieldError) else None
        if flag is None or flag.name not in self._flags:
            return ""
        origin = self._flags.given[flag.name].origin
        return "" if origin == COMMAND_LINE else origin

    def raise_all(self) -> None:
        """Raise the collected errors, if any.

        Raises:
            UserError: the only error, or all errors combined.
        """
        if len(self.errors) == 1:
            raise self.errors[0]
        if self.errors:
            raise UserError("\n".join(dict.fromkeys(map(flag_message, self.errors))))


def flag_message(error: Exception) -> str:
    """An error's message; in the engine's messages, field names become flag names."""
    named = error.named(f"`{error.field}`") if isinstance(error, FieldError) else str(error)
    return escaped(with_flags(named), keep=LAYOUT)


def offline_environment(flags: Flags) -> dict[str, str]:
    """Environment variables that turn the network off if nothing needs it. Set them before importing the hub's client.

    Also {} if a name is unknown; the checks will report it.
    """
    model = flags["model_name_or_path"]
    places = [model, *flags.names("adapter_name_or_path")]
    if not model or flags["push_to_hub"] or not all(map(is_folder, places)):
        return {}
    dataset_dir = flags["dataset_dir"] or str(PROJECT_DATA)
    names = [*flags.names("dataset"), *flags.names("eval_dataset"), *flags.names("mcq_shots_from")]
    try:
        return OFFLINE if all(is_local(name, dataset_dir) for name in names) else {}
    except (OSError, ValueError):  # unknown, or a name that no file can have
        return {}


def preflight(flags: Flags) -> Plan:
    """Check what the flags point to, and plan the run.

    Raises:
        UserError: everything that would make the run fail, in one message.
    """
    if not any(flags[name] for name in ("do_train", "do_predict", "do_eval")):
        raise UserError("nothing to do: add --do_train, --do_predict or --do_eval")
    check_names(flags)  # alone: with such a name every look at the disk would fail
    problems = _Problems(flags)
    model, warnings = _Model(flags), _NONE
    training, earlier = None, EarlierRun()
    with problems.collected():
        _check_conflicts(flags)
    with problems.collected():
        _check_sets(flags)
    with problems.collected():
        model = _settle_model(flags)
    flags, run = model.flags, model.run
    with problems.collected():
        warnings = (*model.warnings, *_check_data(flags), *scoring_warnings(flags), *unfilled(flags))
        check_training_targets(flags, run)
        if run is not None:
            check_shots(flags, run)
    with problems.collected():
        check_output_dir(flags["output_dir"])
    problems.raise_all()
    # From here on every file is known to be sound.
    if flags["output_dir"] and is_first_process():  # it may have taken the lock already
        check_lock(Path(flags["output_dir"]))
    if flags["do_train"]:
        training = planned_manifest(flags, run)
        earlier = settle_earlier_run(flags, training, run)

    settled = flags if "dataset_dir" in flags else flags.with_("default", dataset_dir=str(PROJECT_DATA))
    if earlier.checkpoint is not None:
        settled = settled.with_("earlier run", resume_from_checkpoint=str(earlier.checkpoint))
    else:
        settled = settled.without("resume_from_checkpoint")
        if flags["do_train"]:  # or upstream resumes from the last folder that looks like a checkpoint
            settled = settled.with_("earlier run", overwrite_output_dir="true")
    if run is not None:
        settled = _with_stored(settled, run)
    settled_notices = map(with_flags, run.notices) if run is not None else ()
    notices = (*earlier.notices, *model.notices, *settled_notices)
    return Plan(settled, run, training, earlier, notices, warnings)


@dataclass(frozen=True, slots=True)
class _Model:
    """What the flags say of the model, checked: with what is stored beside it.

    Args:
        run: of stage mcq.
        notices, warnings: lines for the user.
    """

    flags: Flags
    run: McqRun | None = None
    notices: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def _settle_model(flags: Flags) -> _Model:
    """Check the model and its adapters, and take over what is stored with them.

    Raises:
        UserError: the first thing that is wrong with them.
    """
    model, adapters = flags["model_name_or_path"], flags.names("adapter_name_or_path")
    config = check_model(flags)
    for adapter in adapters:
        check_adapter(adapter)
    warnings = _check_intact(model, adapters)
    if config is not None:
        warnings += tuple(filter(None, (unused_layers(model, config),)))
    flags, fitting = fitted(flags, config)
    run = None
    if flags["stage"] == "mcq":
        run = resolve_mcq(flags, adapters)
        adapters = list(run.adapters)
    else:
        check_other_stage(flags)
    belonging = check_belonging(flags, adapters, run)
    warnings += prompt_warnings(flags, adapters)
    flags, run, added = settle_vocabulary(flags, adapters, run)
    flags, run, retrieving = settle_retrieve(flags, adapters, run)
    return _Model(flags, run, (*fitting, *belonging, *added, *retrieving), warnings)


def _check_intact(model: str, adapters: list[str]) -> tuple[str, ...]:
    """Refuse weights that are not those that a training saved; return lines about other files that were changed."""
    folders = [("--model_name_or_path", model), *(("--adapter_name_or_path", adapter) for adapter in adapters)]
    lines = [require_intact(Path(folder), flag) for flag, folder in folders if Path(folder).is_dir()]
    return tuple(chain.from_iterable(lines))


def _with_stored(flags: Flags, run: McqRun) -> Flags:
    """The flags with the template and cut-off that the model was trained with."""
    flags = flags.with_(STORED, cutoff_len=str(run.cutoff_len))
    if run.template is None:
        return flags.without("template")
    return flags.with_(STORED, template=run.template)


def _check_conflicts(flags: Flags) -> None:
    """Refuse combinations that a flag declares as conflicts."""
    problems = []
    for name in flags:
        for conflict in FLAGS[name].conflicts if name in FLAGS else ():
            value = flags[name]
            refused = bool(value) if conflict.own is None else value == conflict.own
            refused = refused if conflict.only is None else value != conflict.only
            if refused and str(flags[conflict.flag]) == conflict.value:
                shown = "" if value is True else f" {value}"
                problems.append(f"--{name}{shown} does not go with --{conflict.flag} {conflict.value}: {conflict.why}")
    if problems:
        raise UserError("\n".join(problems))


def _check_sets(flags: Flags) -> None:
    """Refuse a run without data, and data that is named twice."""
    for flag in ("dataset", "eval_dataset"):
        first_names: dict[str, str] = {}
        for name in (split_query(name)[0] for name in flags.names(flag)):
            first = first_names.get(_place(name))
            if first is not None:
                also = "" if first == name else f", also as {escaped(first)}"
                raise UserError(
                    f"--{flag} {escaped(name)}: named twice{also}; name it once (in stage mcq, the column `weight` "
                    "makes rows count more)"
                )
            first_names[_place(name)] = name
    if flags["do_train"] and not flags.names("dataset"):
        raise UserError("--do_train needs questions: name them with --dataset")
    for name in ("do_predict", "do_eval"):
        if flags[name] and not flags["do_train"] and not flags.names("eval_dataset"):
            raise UserError(f"--{name} needs questions: name them with --eval_dataset")
    if flags["val_size"] > NO_SPLIT and flags.names("eval_dataset"):
        two = "train with --val_size, then predict with --eval_dataset in a second command"
        fix = two if flags["do_train"] else "leave it out"
        raise UserError(f"--val_size holds out questions of --dataset, so it does not go with --eval_dataset: {fix}")


def _place(name: str) -> str:
    """A name, or the file that it stands for, however it is spelt."""
    return str(Path(name).resolve()) if looks_like_path(name) else name


def _check_mix(flags: Flags, dataset_dir: str) -> None:
    """Refuse to hold out rows of interleaved sets: which ones is not known where their places and ids are recorded."""
    names = flags.names("dataset")
    if flags["val_size"] <= NO_SPLIT or not flags["mix_strategy"].startswith("interleave") or len(names) < 2:
        return
    if flags["stage"] == "sft" and flags["do_train"] and all(find_source(name, dataset_dir) for name in names):
        raise UserError(
            f"--val_size does not go with --mix_strategy {flags['mix_strategy']}: the record of the questions that "
            "were trained on would name others; use concat, or hold out a file of its own with --eval_dataset"
        )


def _check_data(flags: Flags) -> tuple[str, ...]:
    """Read and check all multiple-choice files; return warnings about them."""
    dataset_dir = flags["dataset_dir"] or str(PROJECT_DATA)
    _check_mix(flags, dataset_dir)
    warnings: dict[tuple[str, int, str], Problem] = {}
    for flag in ("dataset", "eval_dataset"):
        purpose: Literal["train", "predict"] = "train" if flag == "dataset" and flags["do_train"] else "predict"
        for name in flags.names(flag):
            source = find_source(name, dataset_dir)
            if source is not None and flags["stage"] in OTHER_STAGES:
                raise UserError(
                    f"data set {name!r} has multiple-choice questions, which --stage {flags['stage']} cannot use; "
                    f"pass --stage {' or '.join(STAGES)}"
                )
            files = read_source(source, purpose=purpose) if source else []
            if flag == "eval_dataset" and flags["do_predict"]:
                check_ids(name, files)
            for checked in files:
                warnings |= {(p.file, p.line, p.what): p for p in checked.warnings}
    return (render_problems(list(warnings.values())),) if warnings else ()
