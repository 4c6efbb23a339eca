"""Checks before a model is loaded: whether adapters, base model and stage belong together.

Only names, shapes and a few bytes of each tensor are read; torch is not imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from llmtuner.cli.flags import Flags
from llmtuner.cli.record import SYSTEM, settings_of
from llmtuner.errors import UserError
from llmtuner.mcq.adapters import require_all_below
from llmtuner.mcq.prompts import recorded_flags
from llmtuner.mcq.run import McqRun
from llmtuner.mcq.settings import CONFIG_NAME, McqSettings, read_settings
from llmtuner.runs.adapter import adapter_tensors, check_adapter_files, check_random_start, is_adapter
from llmtuner.runs.base import check_lower_adapters, check_same_base, manifest_of
from llmtuner.runs.changes import shown
from llmtuner.runs.manifest import RUN_MANIFEST, manifest_or_merged
from llmtuner.spec.heads import HEADS

MODEL_WEIGHTS = "model.safetensors"
HEAD_PART = "mcq_head."  # in the names of the head's tensors
PROMPT_FLAGS = ("template", SYSTEM)
_SAFE = (".safetensors", ".safetensors.index.json")


def check_belonging(flags: Flags, adapters: Sequence[str], run: McqRun | None) -> tuple[str, ...]:
    """Check that adapters are whole, of this stage, and were trained on this base model; return lines for the user.

    Args:
        adapters: all of them, those that are merged first included. Names on the hub are left to peft.
        run: of stage mcq; None for other stages.

    Raises:
        UserError: the first problem.
    """
    model, notices = flags["model_name_or_path"], []
    repeated = [name for number, name in enumerate(adapters) if _same_folder(name, adapters[:number])]
    if repeated:
        raise UserError(f"--adapter_name_or_path {repeated[0]}: named twice, so it would count twice; name it once")
    if run is None:
        _check_whole_model(model, flags)
    require_all_below(adapters)
    for adapter in adapters:
        if not is_adapter(adapter):
            continue
        if run is None:
            notices += _check_stage(adapter, flags)
        check_adapter_files(adapter)
        if read_settings(adapter) is not None and manifest_or_merged(adapter) is None:
            notices.append(
                f"{adapter} has no {RUN_MANIFEST}: it cannot be checked that its files are whole, that this base model "
                "is its own, and that the scored questions are new to it; copy the whole folder of its training"
            )
        check_random_start(adapter, flags["seed"])
        check_same_base(
            adapter,
            model,
            allow_other=flags["allow_other_base"],
            revision=flags["model_revision"],
            cache_dir=flags["cache_dir"],
        )
    check_lower_adapters(adapters, allow_other=flags["allow_other_base"])
    return tuple(notices)


def prompt_warnings(flags: Flags, adapters: Sequence[str]) -> tuple[str, ...]:
    """Lines about a prompt that is not the one of the training.

    The scores would be those of texts that the model was not trained on. Stage mcq takes the prompts of its own models
    from their folders; an adapter of stage sft, for the letter or the likelihood head, has none there.
    """
    if flags["do_train"]:
        return ()
    trained_by = {"sft": ("sft", "mcq"), "mcq": ("sft",)}.get(flags["stage"], ())
    trainings = {name: manifest_or_merged(name) for name in (*reversed(adapters), flags["model_name_or_path"]) if name}
    last, manifest = next(((name, each) for name, each in trainings.items() if each is not None), ("", None))
    if manifest is None or manifest.stage not in trained_by:
        return ()
    stored, given = manifest.settings, settings_of(flags, None)
    return tuple(
        f"{last} was trained with --{name} {shown(stored.get(name))}, and this run has {shown(given.get(name))}: "
        "its prompts are not those of the training"
        for name in PROMPT_FLAGS
        if stored.get(name) != given.get(name)
    )


def _same_folder(name: str, others: Sequence[str]) -> bool:
    return Path(name).resolve() in [Path(other).resolve() for other in others]


def _check_stage(adapter: str, flags: Flags) -> list[str]:
    """Refuse an adapter of stage mcq in another stage, unless its head is the letters' logits.

    The linear layers of the others were trained under a head that this stage drops, so their text means nothing. With
    the letter head the adapter is a plain one for the language model, trained on the prompts of stage sft.
    """
    settings = read_settings(adapter)
    manifest = manifest_of(adapter)
    is_mcq = settings is not None or (manifest is not None and manifest.stage == "mcq")
    if not is_mcq and not any(HEAD_PART in name for name in adapter_tensors(adapter)):
        return []
    if settings is None or HEADS[settings.head].pools:
        raise UserError(
            f"--adapter_name_or_path {adapter}: adapter of stage mcq, trained with a head that scores the options; "
            f"--stage {flags['stage']} has no such head; use --stage mcq"
        )
    _check_prompt("adapter_name_or_path", adapter, settings, flags)
    return [
        f"{adapter} is an adapter of stage mcq with the {settings.head} head: a plain adapter, which this stage can use"
    ]


def _check_prompt(flag: str, trained: str, settings: McqSettings, flags: Flags) -> None:
    stored = settings.prompt.get("template")
    others = recorded_flags(settings.prompt)
    if any(others.values()):
        raise UserError(
            f"--{flag} {trained}: trained with other prompts than those of --stage {flags['stage']} "
            f"({', '.join(f'--{name} {value}' for name, value in others.items() if value)}); use --stage mcq"
        )
    if flags["template"] is not None and stored is not None and flags["template"] != stored:
        raise UserError(
            f"--template {flags['template']}: {trained} was trained with {stored} ({CONFIG_NAME}); pass that"
        )


def _check_whole_model(model: str, flags: Flags) -> None:
    """Refuse to generate text with a whole model of stage mcq, whose language-model head was left behind.

    One without such a head is a language model, trained on the prompts of stage sft unless it stores others.
    """
    settings = read_settings(model) if model and not flags["do_train"] else None
    if settings is not None and HEADS[settings.head].pools:
        raise UserError(
            f"--model_name_or_path {model}: model of stage mcq, trained with a head that scores the options; --stage "
            f"{flags['stage']} has no such head; use --stage mcq"
        )
    if settings is not None:
        _check_prompt("model_name_or_path", model, settings, flags)
