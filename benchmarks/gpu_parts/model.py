"""The measured model, its batches, and the ways to compute a question.

Ways: `per_option`, one row for each option under plain causal attention, the baseline; `split`, packed rows with the
attention of `--stage mcq` (no mask over the prefix); `dense`, packed rows with one mask; `varlen`, packed rows through
torch's varlen kernel.
"""

from __future__ import annotations

import gc
import random
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from transformers import AttentionInterface, AutoModelForCausalLM, LlamaConfig

from gpu_parts.varlen import OPTION_TOKENS, OPTIONS, Plan, plan_of, varlen_attention
from llmtuner.data.tokens.option import OptionTokens
from llmtuner.mcq.attention import SPLIT, choose_attention
from llmtuner.mcq.choices import resolve
from llmtuner.mcq.collate import Collator
from llmtuner.mcq.model import HEAD, attach_head, backbone_of, unwrap
from llmtuner.mcq.pooling import pool
from llmtuner.mcq.predict import to_device
from llmtuner.mcq.questions import Example

LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
LLAMA_2_7B = {
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "max_position_embeddings": 4096,
}
TINY = LLAMA_2_7B | {
    "vocab_size": 500,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
}
WAYS = ("per_option", "split", "dense", "varlen")
MODES = ("train", "checkpointed", "forward")
VARLEN = "bench_varlen"  # the name that the attention is registered under


@dataclass
class Bench:
    """The measured model and its batches; the registered varlen attention reads `plan`."""

    model: Any
    device: torch.device
    parameters: dict[str, int]
    plan: Plan | None = field(default=None)

    def attention(self, way: str) -> None:
        """Switch the model to the attention of a way."""
        name = {"per_option": "sdpa", "split": SPLIT, "dense": "sdpa", "varlen": VARLEN}[way]
        unwrap(self.model).set_attn_implementation(name)

    def batch(self, way: str, prefix: int, questions: int) -> dict[str, Any]:
        """A batch on the device; for varlen rows it also sets their plan."""
        layout = "per_option" if way == "per_option" else "shared_prefix"
        examples = [Example(question(prefix, row), row % OPTIONS, row) for row in range(questions)]
        self.plan = plan_of(prefix, questions, self.device) if way == "varlen" else None
        return to_device(Collator(layout, "last", 0)(examples), self.device)

    def scores(self, way: str, batch: dict[str, Any]) -> torch.Tensor:
        """Scores of a batch, [Q, N]."""
        precision = torch.autocast("cuda", torch.bfloat16) if self.device.type == "cuda" else nullcontext()
        with precision:
            if way != "varlen":
                inputs = {name: value for name, value in batch.items() if name not in ("labels", "rows")}
                return self.model(**inputs).scores
            hidden_BTD = backbone_of(self.model)(
                input_ids=batch["input_ids"], position_ids=batch["position_ids"], use_cache=False
            ).last_hidden_state
            features_QND = pool(hidden_BTD, batch["pool_rows"], batch["pool_tokens"])
            return getattr(unwrap(self.model), HEAD)(features_QND, batch["mask"])

    def step(self, way: str, batch: dict[str, Any], *, backward: bool) -> torch.Tensor:
        """One pass; gradients stay in the model."""
        with torch.set_grad_enabled(backward):
            scores_QN = self.scores(way, batch)
            if backward:
                F.cross_entropy(scores_QN, batch["labels"]).backward()
        return scores_QN.detach()

    def set_mode(self, mode: str) -> None:
        """Training mode and gradient checkpointing."""
        self.model.train(mode != "forward")
        if mode == "checkpointed":
            self.model.gradient_checkpointing_enable({"use_reentrant": False})
        else:
            self.model.gradient_checkpointing_disable()

    def synchronise(self) -> None:
        """Wait for the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def clear(self) -> None:
        """Free gradients and cached memory."""
        self.model.zero_grad(set_to_none=True)
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()


def build(shape: dict[str, int], device: torch.device, dtype: torch.dtype) -> Bench:
    """The model with head and adapters as `--stage mcq` makes it, with random weights drawn on the device."""
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(LlamaConfig(**shape), dtype=dtype)
    model = attach_head(model, resolve("causal"))
    choose_attention(model)  # registers SPLIT
    linear = sum(m.weight.numel() for n, m in model.named_modules() if n.split(".")[-1] in LINEAR)
    lora = LoraConfig(r=8, lora_alpha=16, lora_dropout=0.0, target_modules=LINEAR, modules_to_save=[HEAD])
    model = get_peft_model(model, lora)
    adapters = sum(p.numel() for n, p in model.named_parameters() if "lora_" in n)
    bench = Bench(model, device, {"linear": linear, "adapters": adapters})
    AttentionInterface.register(VARLEN, varlen_attention(bench))
    return bench


def question(prefix: int, seed: int) -> Any:
    """A question of random tokens whose options have the prefix in common and nothing else."""
    rng = random.Random(seed)
    start = [rng.randrange(3, 500) for _ in range(prefix)]
    sequences = [
        [*start, 3 + option, *(rng.randrange(3, 500) for _ in range(OPTION_TOKENS - 1))] for option in range(OPTIONS)
    ]
    return OptionTokens(sequences, (0, 0), (0, prefix), [(prefix, prefix + OPTION_TOKENS)] * OPTIONS, 0, 0)


def tokens_of(prefix: int, way: str) -> int:
    """The tokens that a way computes for a question."""
    if way == "per_option":
        return OPTIONS * (prefix + OPTION_TOKENS)
    return prefix + OPTIONS * OPTION_TOKENS
