"""Upstream's other flags that are numbers, with their ranges: a number out of range is refused before anything loads.

`--help` does not show them. Upstream gives some numbers a meaning of their own (0 or -1: off); these stay valid.
"""

from __future__ import annotations

from llmtuner.spec.flag import ABOVE_0, AT_LEAST_0, AT_LEAST_1, FINITE, SHARE, Conflict, Flag, Range

BITS = Range(1, 8, excluded=(7,))
SEED = Range(0, 2**32 - 1)  # numpy's
STEPS_OR = Range(low=1, special=(-1,))  # -1: off
_UP_TO_1 = Range(0, 1)
_UP_TO_1_ABOVE_0 = Range(0, 1, above=True)

_Row = tuple[str, type, object, Range, str]  # name, type, default, range, help

_OPTIMIZER: tuple[_Row, ...] = (
    ("weight_decay", float, 0.0, AT_LEAST_0, "weight decay of the optimizer"),
    ("adam_beta1", float, 0.9, SHARE, "decay of Adam's mean of gradients"),
    ("adam_beta2", float, 0.999, SHARE, "decay of Adam's mean of squared gradients"),
    ("adam_epsilon", float, 1e-8, AT_LEAST_0, "what Adam adds to the root of squared gradients"),
    ("max_grad_norm", float, 1.0, AT_LEAST_0, "gradients are clipped to this norm; 0: not at all"),
    ("warmup_ratio", float, None, SHARE, "share of the steps that warm up"),
    ("neftune_noise_alpha", float, None, AT_LEAST_0, "NEFTune: noise on the embeddings"),
    ("loraplus_lr_ratio", float, None, ABOVE_0, "LoRA+: learning rate of B as a multiple of A's"),
    ("loraplus_lr_embedding", float, 1e-6, AT_LEAST_0, "LoRA+: learning rate of the embeddings"),
    ("galore_rank", int, 16, AT_LEAST_1, "GaLore: rank of the projected gradients"),
    ("galore_update_interval", int, 200, AT_LEAST_1, "GaLore: steps between new projections"),
    ("galore_scale", float, 2.0, ABOVE_0, "GaLore: scale of the projected gradients"),
    ("apollo_rank", int, 16, AT_LEAST_1, "APOLLO: rank of the projected gradients"),
    ("apollo_update_interval", int, 200, AT_LEAST_1, "APOLLO: steps between new projections"),
    ("apollo_scale", float, 32.0, ABOVE_0, "APOLLO: scale of the projected gradients"),
    ("badam_start_block", int, None, AT_LEAST_0, "BAdam: the first block that is trained"),
    ("badam_switch_interval", int, 50, STEPS_OR, "BAdam: steps before the next block; -1: never"),
    ("badam_update_ratio", float, 0.05, _UP_TO_1_ABOVE_0, "BAdam: share of the weights that are trained"),
    ("badam_verbose", int, 0, Range(0, 2), "BAdam: how much it logs"),
)
_WEIGHTS: tuple[_Row, ...] = (
    ("module_dropout", float, 0.0, SHARE, "OFT: share of its blocks that are skipped"),
    ("oft_rank", int, 0, AT_LEAST_0, "OFT: rank of its matrices; 0: by oft_block_size"),
    ("oft_block_size", int, 32, AT_LEAST_0, "OFT: size of its blocks; 0: by oft_rank"),
    ("pissa_iter", int, 16, STEPS_OR, "PiSSA: iterations of its decomposition; -1: an exact one"),
    ("freeze_trainable_layers", int, 2, FINITE, "freeze: the last N layers are trained; -N: the first N; 0: none"),
    ("moe_aux_loss_coef", float, None, AT_LEAST_0, "weight of the load-balancing loss of experts"),
    (
        "ref_model_quantization_bit",
        int,
        None,
        Range(4, 8, excluded=(5, 6, 7)),
        "load the reference model in 4 or 8 bits",
    ),
    (
        "reward_model_quantization_bit",
        int,
        None,
        Range(4, 8, excluded=(5, 6, 7)),
        "load the reward model in 4 or 8 bits",
    ),
)
_LOSSES_OF_OTHER_STAGES: tuple[_Row, ...] = (
    ("asft_alpha", float, 0.1, FINITE, "ASFT: weight of its regularisation"),
    ("eaft_alpha", float, 1.0, FINITE, "EAFT: power of the entropy weight"),
    ("pref_beta", float, 0.1, FINITE, "preferences: beta"),
    ("pref_ftx", float, 0.0, AT_LEAST_0, "preferences: weight of the supervised loss"),
    ("pref_bco_weight", float, 0.0, AT_LEAST_0, "preferences: weight of the BCO loss"),
    ("dpo_label_smoothing", float, 0.0, SHARE, "DPO: label smoothing"),
    ("kto_chosen_weight", float, 1.0, AT_LEAST_0, "KTO: weight of chosen texts"),
    ("kto_rejected_weight", float, 1.0, AT_LEAST_0, "KTO: weight of rejected texts"),
    ("simpo_gamma", float, 0.5, FINITE, "SimPO: target margin"),
    ("ld_alpha", float, None, _UP_TO_1, "LD-DPO: weight of the tokens beyond the length of the shorter answer"),
    ("ppo_buffer_size", int, 1, AT_LEAST_1, "PPO: batches in a buffer"),
    ("ppo_epochs", int, 4, AT_LEAST_1, "PPO: passes over a buffer"),
    ("ppo_target", float, 6.0, FINITE, "PPO: target of the KL term"),
)
_LOOP: tuple[_Row, ...] = (
    (
        "eval_steps",
        float,
        None,
        AT_LEAST_0,
        "evaluate every N steps; below 1, a share; 0: as often as the loss is logged",
    ),
    ("eval_delay", float, 0.0, AT_LEAST_0, "no evaluation before this step or epoch"),
    ("eval_accumulation_steps", int, None, AT_LEAST_1, "batches before results leave the device"),
    ("torch_empty_cache_steps", int, None, AT_LEAST_1, "steps between releases of cached memory"),
    ("data_seed", int, None, SEED, "random seed of the data order; unless given, that of --seed"),
    ("dataloader_num_workers", int, 0, AT_LEAST_0, "processes that prepare batches; 0: the main process"),
    ("dataloader_prefetch_factor", int, None, AT_LEAST_1, "batches that each of them prepares ahead"),
    ("preprocessing_num_workers", int, None, AT_LEAST_1, "processes that tokenise"),
    ("preprocessing_batch_size", int, 1000, Range(low=1, special=(0, -1)), "rows tokenised at once; 0 or -1: all"),
    ("buffer_size", int, 16384, AT_LEAST_1, "rows that streaming shuffles at once"),
    ("ddp_timeout", int, 1800, AT_LEAST_1, "seconds that a process waits for another one"),
    ("ddp_bucket_cap_mb", int, None, AT_LEAST_1, "megabytes of gradients sent at once"),
)
_GENERATION: tuple[_Row, ...] = (
    ("top_p", float, 0.7, _UP_TO_1, "sample from the likeliest tokens with this total probability"),
    ("top_k", int, 50, AT_LEAST_0, "sample from the N likeliest tokens; 0: from all"),
    ("num_beams", int, 1, AT_LEAST_1, "beams of the generated text"),
    ("eval_num_beams", int, None, AT_LEAST_1, "beams of the text generated in evaluations"),
    ("generation_num_beams", int, None, AT_LEAST_1, "beams of the text generated in evaluations"),
    ("max_length", int, 1024, AT_LEAST_1, "maximum number of tokens of prompt and generated text together"),
    ("generation_max_length", int, None, AT_LEAST_1, "maximum number of tokens to generate in evaluations"),
    ("repetition_penalty", float, 1.0, ABOVE_0, "penalty of tokens that are repeated; 1: none"),
    ("length_penalty", float, 1.0, FINITE, "power of the length that beams are divided by"),
)
# Numbers without a range of ours, and why a wrong one does no harm.
UNCHECKED = {
    "local_rank": "set by the launcher",
    **dict.fromkeys(
        ("image_max_pixels", "image_min_pixels", "video_max_pixels", "video_min_pixels", "video_fps", "video_maxlen"),
        "of images and videos, which questions do not have",
    ),
    "audio_sampling_rate": "of sound, which questions do not have",
    **dict.fromkeys(
        ("export_size", "export_quantization_bit", "export_quantization_nsamples", "export_quantization_maxlen"),
        "of upstream's export command; no run reads them",
    ),
    **dict.fromkeys(
        (
            "vllm_maxlen",
            "vllm_gpu_util",
            "vllm_max_lora_rank",
            "sglang_maxlen",
            "sglang_mem_fraction",
            "sglang_tp_size",
        ),
        "of upstream's chat command; no run reads them",
    ),
    **dict.fromkeys(
        ("kt_lora_expert_num", "kt_lora_expert_intermediate_size"), "KTransformers, which is not installed, checks them"
    ),
    "ray_num_workers": "Ray, which is not installed, checks it",
    **dict.fromkeys(
        ("profiler_wait_steps", "profiler_warmup_steps", "profiler_active_steps", "profiler_repeat"),
        "the profiler checks them; they change no weights",
    ),
}
_TEMPERATURE = Flag(
    name="temperature",
    type=float,
    default=0.95,
    range=AT_LEAST_0,
    help="temperature of the sampled text",
    value="X",
    conflicts=(Conflict("do_sample", "True", "nothing can be sampled at 0; add --do_sample False", own=0.0),),
)
NUMBERS = (
    _TEMPERATURE,
    *(
        Flag(name=name, type=kind, default=default, range=range, help=text, value="N" if kind is int else "X")
        for rows in (_OPTIMIZER, _WEIGHTS, _LOSSES_OF_OTHER_STAGES, _LOOP, _GENERATION)
        for name, kind, default, range, text in rows
    ),
)
