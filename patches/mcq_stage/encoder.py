"""Bidirectional encoders (BERT, DeBERTa, MiniLM) for --stage mcq, loaded beside upstream.

Upstream loads causal models only: DeBERTa has no causal class, upstream's adapters are for a causal task, and its
templates resize the vocabulary. `init_adapter` is used for full and freeze tuning, which need only module names.
Can go when upstream loads encoders.
"""

from __future__ import annotations

from typing import Any

from llmtuner.errors import UserError
from llmtuner.mcq.run import McqRun
from llmtuner.mcq.unwrap import unwrap
from patches.mcq_stage.arguments import StageArguments
from patches.option_head import SEAM, attach, completed_adapters, finish, with_base_named

# Values of --flash_attn, as transformers calls them; "auto" leaves the choice to it.
ATTENTION = {"disabled": "eager", "sdpa": "sdpa", "fa2": "flash_attention_2", "fa3": "flash_attention_3"}


def load_encoder(arguments: StageArguments, run: McqRun) -> Any:
    """Load the encoder with its head, and with adapters if the run has them; what is trained is in fp32.

    Raises:
        UserError: quantisation is given, or the weights do not fit.
    """
    from transformers import AutoModel

    from llmtuner.mcq.fp32 import widen_trained
    from llmtuner.mcq.model import freeze_pooler
    from llmtuner.mcq.whole import load_whole

    model_args = arguments.model
    if model_args.quantization_bit is not None:
        raise UserError("--quantization_bit is for causal models; an encoder is small enough without: leave it out")
    model = load_whole(
        AutoModel.from_pretrained,
        run.model,
        scores_tokens=False,
        dtype=_dtype(model_args, run),
        attn_implementation=ATTENTION.get(str(model_args.flash_attn)),
        trust_remote_code=model_args.trust_remote_code,
        cache_dir=model_args.cache_dir,
        revision=model_args.model_revision,
        token=model_args.hf_hub_token,
        use_safetensors=True,
    ).to(next(iter(model_args.device_map.values())))
    finetuning_args = attach(model, model_args, arguments.finetuning, run)
    if finetuning_args.finetuning_type == "lora":
        with completed_adapters(model, model_args, run) as completed_args:
            model = _with_adapter(model, completed_args, finetuning_args, run)
    else:
        model = SEAM.original()(model.config, model, model_args, finetuning_args, run.training)
    freeze_pooler(model)
    if run.training and not model_args.disable_gradient_checkpointing:
        _checkpoint_gradients(model)
    if not finetuning_args.pure_bf16 and (run.training or model_args.infer_dtype == "auto"):
        widen_trained(model)
    finish(model, run.training)
    with_base_named(model, run.model)
    if not run.training:
        model.requires_grad_(False)
    return model.train(run.training)


def _dtype(model_args: Any, run: McqRun) -> Any:
    """As the weights are stored, or as --infer_dtype says for a prediction."""
    import torch

    return "auto" if run.training or model_args.infer_dtype == "auto" else getattr(torch, model_args.infer_dtype)


def _checkpoint_gradients(model: Any) -> None:
    """Compute the states of a layer again in the backward pass, in place of keeping them.

    Raises:
        UserError: the model cannot.
    """
    encoder = unwrap(model)
    if not encoder.supports_gradient_checkpointing:
        raise UserError(
            f"--disable_gradient_checkpointing false: {encoder.config.model_type} has no gradient checkpointing; leave "
            "it out"
        )
    # Reentrant checkpointing needs inputs with gradients, which frozen embeddings do not have.
    encoder.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})


def _with_adapter(model: Any, model_args: Any, finetuning_args: Any, run: McqRun) -> Any:
    """Adapters as upstream adds them to causal models, but for peft's feature-extraction task."""
    from peft import LoraConfig, PeftModel, TaskType, get_peft_model

    from llmtuner.mcq.model import POOLER

    adapters = list(model_args.adapter_name_or_path or [])
    resumes = run.training and adapters and not run.merge_all
    for adapter in adapters[: -1 if resumes else None]:
        model = PeftModel.from_pretrained(model, adapter).merge_and_unload()
    if resumes:
        return PeftModel.from_pretrained(model, adapters[-1], is_trainable=True)
    if not run.training:
        return model
    config = LoraConfig(
        task_type=TaskType.FEATURE_EXTRACTION,
        r=finetuning_args.lora_rank,
        lora_alpha=finetuning_args.lora_alpha,
        lora_dropout=finetuning_args.lora_dropout,
        use_rslora=finetuning_args.use_rslora,
        use_dora=finetuning_args.use_dora,
        target_modules=list(finetuning_args.lora_target),
        exclude_modules=rf".*\b{POOLER}\b.*",
        modules_to_save=list(finetuning_args.additional_target),
    )
    return get_peft_model(model, config)
