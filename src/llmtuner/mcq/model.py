"""A Hugging Face model that scores options: a head is attached to it, and its forward returns scores.

The head is a submodule of the model itself, so that PEFT, the Trainer, checkpoints and `save_pretrained` handle it
without extra code. The backbone runs without the language-model head, which stays off the accelerator.

Shape legend: B rows, T tokens of a row, Q questions, N options, D hidden width.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from llmtuner.errors import UserError
from llmtuner.mcq.attention import packed_mask
from llmtuner.mcq.heads.base import TokenStates
from llmtuner.mcq.outputs import Scores
from llmtuner.mcq.pooling import gather_tokens, pool
from llmtuner.mcq.settings import McqSettings
from llmtuner.mcq.unwrap import unwrap
from llmtuner.spec.heads import HEADS

HEAD = "mcq_head"
POOLER = "pooler"  # a layer on top of the last states, from BERT's pre-training
# Keys of a batch that the backbone reads, and of its logits' rows; the others depend on what the head reads.
READS = ("input_ids", "position_ids", "attention_mask", "segments", "shared", "token_type_ids", "past")
# Families whose positions start after the padding token's id.
_FROM_PADDING = ("roberta", "camembert", "mpnet", "longformer", "data2vec", "ibert", "esm", "xmod", "luke")


def attach_head(model: Any, settings: McqSettings) -> Any:
    """Make a loaded model score options, in place, with a fresh head; return it.

    Args:
        model: a causal language model, or a bidirectional encoder without a task head.

    Raises:
        UserError: as `backbone_of`.
    """
    head = HEADS[settings.head]
    backbone_of(model)  # refuses a family that has none before anything is computed
    model.mcq_scores = None
    if head.pools:
        width = text_config(model).hidden_size
        setattr(model, HEAD, head.load().make(width, settings).to(model.device))
        stow_lm_head(model)
    else:
        model.mcq_scores = head.load()
    model.forward = MethodType(_forward, model)
    return model


def text_config(model: Any) -> Any:
    """The configuration of the language model, which may be inside a composite one."""
    return model.config.get_text_config()


def position_limit(config: Any, tokenizer: Any) -> int:
    """The number of tokens that an encoder reads: its positions, and what its tokenizer says."""
    return min(positions_of(config), tokenizer.model_max_length)


def positions_of(config: Any) -> int:
    """The number of tokens that a model has positions for."""
    known = getattr(config, "max_position_embeddings", None) or 512
    if any(family in config.model_type for family in _FROM_PADDING):
        known -= (config.pad_token_id or 0) + 1
    return known


def require_language_model(config: Any) -> None:
    """Refuse a model that transformers cannot load as a language model: CLIP, ViT, Wav2Vec2.

    Raises:
        UserError: with the type of the model.
    """
    from transformers.models.auto import modeling_auto

    kinds = ("CAUSAL_LM", "IMAGE_TEXT_TO_TEXT", "SEQ_TO_SEQ_CAUSAL_LM", "TEXT_TO_WAVEFORM")
    loads = any(type(config) in getattr(modeling_auto, f"MODEL_FOR_{kind}_MAPPING") for kind in kinds)
    if not loads and not getattr(config, "auto_map", None):
        raise UserError(
            f"`model` {config.name_or_path}: model type {config.model_type!r} is no language model; use one that "
            "writes text, or an encoder of text (BERT, DeBERTa) with --stage mcq"
        )


def check_vocabulary(config: Any, largest: int, template: str | None) -> None:
    """Refuse tokens that a model has no embeddings for.

    Args:
        largest: the largest token id.
        template: the name of the template, which added tokens to the tokenizer.

    Raises:
        UserError: the token is larger than the vocabulary of the model.
    """
    rows = getattr(config.get_text_config(), "vocab_size", None)
    if rows is not None and largest >= rows:
        raise UserError(
            f"`template` {template} uses token {largest}, and this model has embeddings for {rows} tokens; add "
            "--resize_vocab true, or name the template that the model was made for"
        )


def freeze_pooler(model: Any) -> None:
    """Freeze the pooler on top of an encoder's last states; no score depends on it."""
    for name, parameter in model.named_parameters():
        if f"{POOLER}." in name:
            parameter.requires_grad_(False)


def backbone_of(model: Any) -> Any:
    """The part that computes hidden states: a causal model's decoder, or the encoder itself.

    Raises:
        UserError: a causal model of a family that does not say which part it is.
    """
    model = unwrap(model)
    if not model.can_generate():
        return model
    # Some families return their output layer (ModernBERT's decoder) or themselves (Llama 4) as their decoder.
    named = (model.get_decoder() if hasattr(model, "get_decoder") else None, model.base_model)
    for part in (*named, getattr(model, "model", None)):
        if isinstance(part, PreTrainedModel) and part is not model:
            return part
    raise UserError(
        f"model type {model.config.model_type!r} has no part of its own that computes hidden states, which "
        "--stage mcq needs; use --stage sft, or another model"
    )


def _forward(
    self: Any,
    input_ids: torch.Tensor,
    mask: torch.Tensor,
    position_ids: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    segments: torch.Tensor | None = None,
    shared: int = 0,
    token_type_ids: torch.Tensor | None = None,
    pool_rows: torch.Tensor | None = None,
    pool_tokens: torch.Tensor | None = None,
    passage_rows: torch.Tensor | None = None,
    passage_tokens: torch.Tensor | None = None,
    answer_tokens: torch.Tensor | None = None,
    letter_ids: torch.Tensor | None = None,
    predict_tokens: torch.Tensor | None = None,
    target_ids: torch.Tensor | None = None,
    divisors: torch.Tensor | None = None,
    past: Any = None,
    **_: Any,  # what PEFT adds, all None
) -> Scores:
    """Scores of a batch as `llmtuner.mcq.collate.Collator` makes it."""
    read = (input_ids, position_ids, attention_mask, segments, shared, token_type_ids, past)
    if self.mcq_scores is not None:
        inputs = {
            **dict(zip(READS, read, strict=True)),
            "mask": mask,
            "letter_ids": letter_ids,
            "pool_rows": pool_rows,
            "predict_tokens": predict_tokens,
            "target_ids": target_ids,
            "divisors": divisors,
        }
        return self.mcq_scores(self, inputs)
    hidden_BTD = hidden_states(self, *read)
    features: list[Any] = [pool(hidden_BTD, pool_rows, pool_tokens), mask]
    if passage_tokens is not None:  # the head reads tokens
        features += [
            TokenStates(*gather_tokens(hidden_BTD, passage_rows, passage_tokens)),
            TokenStates(*gather_tokens(hidden_BTD, pool_rows, answer_tokens)),
        ]
    return Scores(getattr(self, HEAD)(*features), mask)


def hidden_states(
    model: Any,
    input_ids: torch.Tensor,
    position_ids: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    segments: torch.Tensor | None = None,
    shared: int = 0,
    token_type_ids: torch.Tensor | None = None,
    past: Any = None,
) -> torch.Tensor:
    """The backbone's last hidden states of a batch, [B, T, D]."""
    read = (input_ids, position_ids, attention_mask, segments, shared, token_type_ids, past)
    return backbone_output(model, *read).last_hidden_state


def backbone_output(
    model: Any,
    input_ids: torch.Tensor,
    position_ids: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    segments: torch.Tensor | None = None,
    shared: int = 0,
    token_type_ids: torch.Tensor | None = None,
    past: Any = None,
) -> Any:
    """What the backbone returns for a batch; `last_hidden_state` has the states.

    Args:
        past: keys and values of tokens before all rows (`llmtuner.mcq.shot_states.ShotStates`).
    """
    backbone = backbone_of(model)
    if backbone is unwrap(model):  # an encoder: it computes its own positions
        inputs: dict[str, Any] = {"attention_mask": attention_mask}
        if token_type_ids is not None:
            inputs["token_type_ids"] = token_type_ids
        return type(backbone).forward(backbone, input_ids=input_ids, **inputs)
    inputs = {"attention_mask": attention_mask, "use_cache": past is not None}
    if segments is not None:
        before = 0 if past is None else past.get_seq_length()
        dtype = next(backbone.parameters()).dtype
        inputs["attention_mask"] = packed_mask(backbone, segments, position_ids, shared, dtype, before)
    if past is not None:
        inputs["past_key_values"] = past
    return backbone(input_ids=input_ids, position_ids=position_ids, **inputs)


class StowedHead(nn.Module):
    """A language-model head that is saved with the model but never used: it stays on the CPU and is not trained.

    It has the head's key in the state dictionary, so that a saved model's head equals the original.
    """

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.__dict__["stowed"] = head.requires_grad_(False).to("cpu")  # not a submodule: nothing moves or trains it

    def forward(self, *_: Any, **__: Any) -> torch.Tensor:
        """Must not be called.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError("the language-model head is stowed away: a linear head needs no logits of tokens")

    @property
    def weight(self) -> torch.Tensor:
        """The matrix itself, for code that reads a model's output embeddings."""
        return self.__dict__["stowed"].weight

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        for name, tensor in self.__dict__["stowed"].state_dict(keep_vars=keep_vars).items():
            destination[prefix + name] = tensor

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        for name, tensor in self.__dict__["stowed"].state_dict().items():
            if prefix + name in state_dict:
                tensor.copy_(state_dict[prefix + name])


def stow_lm_head(model: Any) -> None:
    """Replace a language-model head with a `StowedHead`, unless it shares its weights with the input embeddings."""
    head = model.get_output_embeddings() if model.can_generate() else None
    if not isinstance(head, nn.Module) or isinstance(head, StowedHead) or not hasattr(head, "weight"):
        return
    if head.weight is model.get_input_embeddings().weight:
        return
    name = next(name for name, module in model.named_modules() if module is head)
    model.set_submodule(name, StowedHead(head))
