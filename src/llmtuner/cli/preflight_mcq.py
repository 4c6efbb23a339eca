"""Settle the flags of --stage mcq as one `McqRun`, before a model is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmtuner.cli.flags import Flags
from llmtuner.cli.record import SYSTEM, settings_of, stored_training
from llmtuner.data.registry import PROJECT_DATA
from llmtuner.errors import FieldError, UserError
from llmtuner.mcq.layouts import layout_of
from llmtuner.mcq.prompts import PROMPT_FIELDS, recorded_prompt
from llmtuner.mcq.run import PREDICTS, McqRun, RunData, resolve_run
from llmtuner.mcq.settings import CONFIG_NAME, McqSettings, read_settings
from llmtuner.runs.changes import shown
from llmtuner.spec.flags import FIELDS, FLAGS, OWN
from llmtuner.spec.heads import HEADS
from llmtuner.spec.layouts import LAYOUTS
from llmtuner.spec.results import evaluates

_MERGED = "merged adapters"
# Flags that upstream carries out for causal models alone.
_CAUSAL = (
    "pissa_init",
    "shift_attn",
    "train_from_scratch",
    "rope_scaling",
    "upcast_layernorm",
    "enable_liger_kernel",
)
UNREACHABLE = "neither a local model folder nor reachable on the hub"


def check_other_stage(flags: Flags) -> None:
    """Refuse flags of stage mcq in another stage, orders of options without a prediction, and predictions by data set.

    Raises:
        UserError: one is given.
    """
    given = [flag.name for flag in OWN if flag.name in flags and flag.stages and flags["stage"] not in flag.stages]
    if given:
        of_prompt = FLAGS[given[0]].field in PROMPT_FIELDS
        why = f": the prompts of --stage {flags['stage']} are those of its chat template" if of_prompt else ""
        stages = " or ".join(FLAGS[given[0]].stages)
        raise UserError(f"--{given[0]} is for --stage {stages}{why}; leave it out, or change the stage")
    if flags["mcq_option_orders"] > 1 and not flags["do_predict"]:
        raise FieldError("option_orders", flags["mcq_option_orders"], PREDICTS)
    if flags["do_predict"] and flags["eval_on_each_dataset"]:  # upstream predicts one data set
        raise UserError(
            f"--eval_on_each_dataset is for evaluations in --stage {flags['stage']}: leave it out, and predict each "
            "data set with a command of its own"
        )


def resolve_mcq(flags: Flags, adapters: list[str]) -> McqRun:
    """The run that the flags describe.

    Raises:
        UserError: the flags contradict each other, the model, or what is stored with it.
    """
    _check_run(flags)
    config, head = None, flags["mcq_head"]
    needs_config = flags["do_train"] and head is not None and HEADS[head].measures
    if needs_config or flags["mcq_rdrop_alpha"] or not Path(flags["model_name_or_path"]).is_dir():
        config = _whole_config(flags)
    run = resolve_run(
        flags["model_name_or_path"],
        adapters,
        {name: value for name, value in flags.fields().items() if name not in ("model", "adapters")},
        training=flags["do_train"],
        new_adapter=flags["create_new_adapter"],
        config=config,
        evaluating=evaluates(flags.__getitem__),
        predicting=flags["do_predict"],
        data=_data(flags),
        output_dir=flags["output_dir"] or "",
    )
    _check_system(flags, run)
    ignored = next((name for name in _CAUSAL if name in flags and flags.given[name].value), None)
    if ignored is not None and run.settings.kind == "encoder":
        raise UserError(f"--{ignored} is for causal models, and does nothing to an encoder; leave it out")
    if run.training:
        lora = flags["finetuning_type"] == "lora"
        drops = _configured_dropout(config or {}, run) or (lora and flags["lora_dropout"])
        run.objective.require_dropout(bool(drops), lora=lora)
    if run.training or flags["do_eval"]:
        run.objective.require_packages()
    return run


def _check_system(flags: Flags, run: McqRun) -> None:
    """Refuse another system text than that of the stored prompt, which is used."""
    given = settings_of(flags, None).get(SYSTEM)
    training = None if given is None else stored_training(run)
    if training is not None and training.get(SYSTEM) != given:
        raise UserError(
            f"--{SYSTEM} {shown(given)}: contradicts {run.source}, which was trained with "
            f"{shown(training.get(SYSTEM))}; its prompt is used: leave the flag out"
        )


def _data(flags: Flags) -> RunData:
    return RunData(
        train=tuple(flags.names("dataset")),
        evaluate=tuple(flags.names("eval_dataset")),
        dataset_dir=flags["dataset_dir"] or str(PROJECT_DATA),
    )


def _whole_config(flags: Flags) -> Mapping[str, Any] | None:
    """The configuration, including the family's defaults that config.json omits; a head's sizes depend on them, too.

    None for a local model that transformers does not support: its config.json is read as it is.

    Raises:
        UserError: a name that is neither a folder nor on the hub.
    """
    from transformers import AutoConfig

    name = flags["model_name_or_path"]
    where = {"revision": flags["model_revision"], "token": flags["hf_hub_token"], "cache_dir": flags["cache_dir"]}
    try:
        return AutoConfig.from_pretrained(name, trust_remote_code=flags["trust_remote_code"], **where).to_dict()
    except (OSError, ValueError) as error:
        if Path(name).is_dir():
            return None
        # transformers raises ValueError for a hub model that would have to run its own code.
        reason = str(error).strip().splitlines()[0] if isinstance(error, ValueError) else UNREACHABLE
        raise UserError(f"--model_name_or_path {name}: {reason}") from error


def _configured_dropout(config: Mapping[str, Any], run: McqRun) -> bool:
    """Whether the training may have dropout, as far as can be told without the model."""
    text = config.get("text_config") or config
    of_model = [value for name, value in text.items() if "drop" in name and isinstance(value, int | float)]
    dropouts = of_model if run.objective.dropout is None else [run.objective.dropout]
    return bool(any(dropouts) or (run.settings.duma is not None and run.settings.duma.dropout))


def _check_run(flags: Flags) -> None:
    """Refuse what upstream or transformers would refuse with an unhelpful message."""
    if flags["do_train"] and flags["load_best_model_at_end"] and flags["eval_strategy"] == "no":
        raise UserError(
            "--load_best_model_at_end needs evaluations to choose by: add --eval_strategy steps, and --val_size 0.1 or "
            "--eval_dataset"
        )


def check_checkpoint(checkpoint: Path, run: McqRun, *, same_adapters: bool = False) -> None:
    """Refuse to resume a training with settings that differ from its checkpoint's.

    Args:
        same_adapters: whether the adapters below were compared by their weights; their folders may then have moved.

    Raises:
        UserError: the checkpoint is not of this stage, or its settings differ.
    """
    stored = read_settings(checkpoint)
    if stored is None:
        raise UserError(
            f"{checkpoint}: no {CONFIG_NAME} in it, so it is not a checkpoint of --stage mcq; pass another "
            "--output_dir, or --overwrite_output_dir to train afresh"
        )
    then = {**_comparable(stored), "--template": stored.prompt.get("template")}
    now = {**_comparable(run.settings), "--template": run.template}
    if same_adapters and len(stored.merged_adapters) == len(run.settings.merged_adapters):
        now[_MERGED] = then[_MERGED]
    for name, before in then.items():
        if before != now[name]:
            raise UserError(
                f"{checkpoint} was trained with {name} {before}, and this run has {now[name]}; use the settings "
                "that it was trained with, or pass --overwrite_output_dir to train afresh"
            )


def _comparable(settings: McqSettings) -> dict[str, Any]:
    """The settings that must not change within a training, by flag."""
    stored = settings.to_json()
    prompt = {f"--{FIELDS[name].name}": value for name, value in recorded_prompt(settings.prompt).items()}
    duma = ", ".join(f"{name} {value}" for name, value in stored["duma"].items())
    text = layout_of(settings.layout).text
    return {
        "model kind": settings.kind,
        "--mcq_head": f"{settings.head} ({duma})" if duma else settings.head,
        "--mcq_pooling": settings.pooling,
        "--mcq_likelihood_norm": settings.likelihood_norm or "none",
        "--mcq_loss": settings.loss,
        "loss flags": ", ".join(f"--{flag} {number:g}" for flag, number in stored["objective"].items()) or "none",
        # Layouts of the same text are equivalent to a model.
        "--mcq_layout": " or ".join(name for name, layout in LAYOUTS.items() if layout.load().text == text),
        _MERGED: ", ".join(settings.merged_adapters) or "none",
        **prompt,
    }
