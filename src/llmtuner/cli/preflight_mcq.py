"""What --stage mcq needs checked before a model is loaded: head, layout, pooling, stored settings, template."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llmtuner.cli.flags import Flags
from llmtuner.cli.process import say
from llmtuner.errors import UserError
from llmtuner.mcq.duma_options import DUMA_HEADS
from llmtuner.mcq.plan import Plan, plan_run
from llmtuner.mcq.settings import CONFIG_NAME, FLAGS, OBJECTIVE_FLAGS, McqSettings, objective_of, read_settings

OWN = (
    *FLAGS,
    "head_learning_rate",
    "mcq_loss_warmup_ratio",
    "mcq_rdrop_alpha",
    "mcq_dropout",
    "mcq_tokens_per_batch",
    "mcq_shuffle_options",
)


def check_mcq(flags: Flags, adapters: list[str]) -> None:
    """Check the stage's own flags; take the template from what is stored with the model.

    Raises:
        UserError: they contradict each other, the model, or what is stored with it; or another stage is given them.
    """
    if flags.get("stage") != "mcq":
        given = [name for name in OWN if name in flags]
        if given:
            raise UserError(f"--{given[0]} is for --stage mcq; leave it out, or change the stage")
        return
    _check_run(flags)
    model = flags.get("model_name_or_path") or ""
    if not Path(model).is_dir():
        return  # a name on the hub: the stage asks the same once its configuration is here
    given_settings = {name: value for name in FLAGS if (value := flags.get(name)) is not None}
    new_adapter = flags.is_true("create_new_adapter")
    training = flags.is_true("do_train")
    config = _whole_config(model) if training and flags.get("mcq_head") in DUMA_HEADS else None
    plan = plan_run(model, adapters, given_settings, training=training, new_adapter=new_adapter, config=config)
    _settle_template(flags, plan)
    if not training:
        _refuse_other_objective(flags, plan)
    if plan.settings.cutoff_len is not None and "cutoff_len" not in flags:
        flags.set("cutoff_len", str(plan.settings.cutoff_len))
    checkpoint = flags.get("resume_from_checkpoint")
    if training and checkpoint is not None:
        now = plan.settings.with_(objective=objective_of({name: flags.get(name) for name in OBJECTIVE_FLAGS}))
        _check_checkpoint(checkpoint, now, flags.get("template"))


def _whole_config(model: str) -> dict[str, Any] | None:
    """The configuration with what config.json leaves to the family's defaults, which a head's measures follow, too.

    None where transformers does not know the model without its own code; the stage asks again.
    """
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(model, trust_remote_code=False).to_dict()  # nor asks for it
    except (OSError, ValueError):
        return None


def _check_run(flags: Flags) -> None:
    """What upstream or transformers would refuse with a message that does not help here."""
    if flags.is_true("use_unsloth"):
        raise UserError("--use_unsloth replaces the attention that --stage mcq needs; leave the flag out")
    if flags.get("finetuning_type") == "oft":
        raise UserError(
            "--finetuning_type oft: peft cannot merge its adapters beside a head, so that nothing could be predicted "
            "with them; use lora, freeze or full"
        )
    if flags.is_true("do_predict") and not flags.is_true("do_train") and flags.get("eval_dataset") is None:
        raise UserError("--do_predict needs questions: name them with --eval_dataset")
    best = flags.is_true("do_train") and flags.is_true("load_best_model_at_end")
    if best and flags.get("eval_strategy") in (None, "no"):
        raise UserError(
            "--load_best_model_at_end needs evaluations to choose by: add --eval_strategy steps, and --val_size 0.1 or "
            "--eval_dataset"
        )


def _refuse_other_objective(flags: Flags, plan: Plan) -> None:
    """What was minimised is stored with the model; a prediction minimises nothing."""
    for name, asked in objective_of({name: flags.get(name) for name in OBJECTIVE_FLAGS}).items():
        stored = plan.settings.objective.get(name)
        if asked != stored:
            where = f"{Path(plan.source) / CONFIG_NAME}, which says {stored or 0:g}" if plan.source else "no training"
            raise UserError(f"--{name} {flags.get(name)} contradicts {where}; it is for --do_train: leave the flag out")


def _settle_template(flags: Flags, plan: Plan) -> None:
    given = flags.get("template")
    if plan.settings.kind == "encoder":
        if given is not None:
            flags.remove("template")
            say([f"--template {given} is left out: an encoder reads pairs of texts, without a chat template"])
        return
    if plan.source is None:
        return
    stored = plan.settings.prompt.get("template")
    if given not in (None, stored):
        raise UserError(
            f"--template {given} contradicts {Path(plan.source) / CONFIG_NAME}, which says {stored or 'none'}; leave "
            "the flag out"
        )
    if stored is not None:
        flags.set("template", stored)


def _check_checkpoint(checkpoint: str, settings: McqSettings, template: str | None) -> None:
    stored = read_settings(checkpoint)
    if stored is None:
        raise UserError(
            f"{checkpoint}: no {CONFIG_NAME} in it, so it is no checkpoint of --stage mcq; pass another --output_dir, "
            "or --overwrite_output_dir to train afresh"
        )
    before_and_now = [_comparable(stored), _comparable(settings)]
    before_and_now[0]["template"] = stored.prompt.get("template")
    before_and_now[1]["template"] = template if settings.kind == "causal" else None
    for name, before in before_and_now[0].items():
        now = before_and_now[1][name]
        if before != now:
            raise UserError(
                f"{checkpoint} was trained with {name} {before}, and this run has {now}; give the flag that it was "
                "trained with, or pass --overwrite_output_dir to train afresh"
            )


def _comparable(settings: McqSettings) -> dict[str, str | None]:
    """What must not change within a training."""
    duma = ", ".join(f"{name} {value}" for name, value in settings.duma.items())
    return {
        "kind": settings.kind,
        "head": f"{settings.head} ({duma})" if duma else settings.head,
        "pooling": settings.pooling,
        "loss": settings.loss,
        "objective": ", ".join(f"--{flag} {number:g}" for flag, number in settings.objective.items())
        or "the loss alone",
        # shared_prefix and per_option are the same to a model; a joint prompt is another text.
        "layout": "joint" if settings.layout == "joint" else "shared_prefix or per_option",
        "merged adapters": ", ".join(settings.merged_adapters) or "none",
    }
