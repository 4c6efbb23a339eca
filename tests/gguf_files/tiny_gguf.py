"""Writes tiny GGUF files with the gguf package: a two-layer Llama, with a tokenizer of either kind."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import dequantize, quantize
from support import DEMO, byte_level
from transformers import LlamaConfig, LlamaForCausalLM

HEADS, KEY_VALUE_HEADS, WIDTH, INNER, LAYERS = 4, 2, 64, 96, 2
CONTEXT = 128
PARTS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
WHOLE = {"embed_tokens": "token_embd", "norm": "output_norm"}
DEFINED = ("  ", "<h1>")  # tokens that SentencePiece never splits


@dataclass
class Tiny:
    """The content of a file; tests change it before they write it.

    Args:
        values: metadata without the `tokenizer.ggml.` in front of the tokenizer's keys.
        tensors: by llama.cpp's names.
    """

    values: dict[str, Any]
    tensors: dict[str, np.ndarray] = field(default_factory=dict)
    quantised: bool = False
    architecture: str = "llama"

    def write(self, path: Path) -> Path:
        """Write the file."""
        writer = GGUFWriter(path, self.architecture)
        for key, value in self.values.items():
            _add(writer, key, value)
        for name, tensor in self.tensors.items():
            if self.quantised and tensor.ndim == 2:
                kind = GGMLQuantizationType.Q8_0
                writer.add_tensor(name, quantize(tensor, kind), raw_dtype=kind)
            else:
                writer.add_tensor(name, tensor)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path


def _add(writer: GGUFWriter, key: str, value: Any) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)


@cache
def sentencepiece_model(prefix: bool = False) -> Any:
    """A SentencePiece BPE with byte fallback, trained on the demo questions; its model file is the test's oracle."""
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(DEMO.read_text(encoding="utf-8").splitlines()),
        model_writer=model,
        model_type="bpe",
        vocab_size=600,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=prefix,
        user_defined_symbols=[] if prefix else [token.replace(" ", "▁") for token in DEFINED],
        pad_id=3,
        minloglevel=2,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def sentencepiece_values(prefix: bool = False) -> dict[str, Any]:
    """The metadata of `sentencepiece_model`."""
    from sentencepiece import sentencepiece_model_pb2

    proto = sentencepiece_model_pb2.ModelProto.FromString(sentencepiece_model(prefix).serialized_model_proto())
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": [
            piece.piece.replace("▁", " ") if piece.type == 4 else piece.piece for piece in proto.pieces
        ],
        "tokenizer.ggml.scores": [float(piece.score) for piece in proto.pieces],
        "tokenizer.ggml.token_type": [int(piece.type) for piece in proto.pieces],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.padding_token_id": 3,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_eos_token": False,
        "tokenizer.ggml.add_space_prefix": prefix,
    }


@cache
def _byte_level_model() -> dict[str, Any]:
    return json.loads(byte_level().backend_tokenizer.to_str())["model"]


def byte_level_values() -> dict[str, Any]:
    """The metadata of a byte-level BPE of SmolLM2's form."""
    model = _byte_level_model()
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3 if number < 3 else 1 for number in range(len(tokens))],
        "tokenizer.ggml.merges": [" ".join(merge) for merge in model["merges"]],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.padding_token_id": 2,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.ggml.add_space_prefix": False,
        "tokenizer.chat_template": "{% for message in messages %}{{ message['content'] }}{% endfor %}",
    }


def tiny(kind: str = "gpt2", *, prefix: bool = False, quantised: bool = False) -> tuple[Tiny, LlamaForCausalLM]:
    """The content of a file, and the model whose weights it has."""
    values = byte_level_values() if kind == "gpt2" else sentencepiece_values(prefix)
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(values["tokenizer.ggml.tokens"]),
            hidden_size=WIDTH,
            intermediate_size=INNER,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            num_key_value_heads=KEY_VALUE_HEADS,
            max_position_embeddings=CONTEXT,
            rms_norm_eps=1e-5,
            rope_theta=5e4,
            tie_word_embeddings=kind == "gpt2",
        )
    ).eval()
    for name, parameter in model.named_parameters():
        if "norm" in name:
            torch.nn.init.normal_(parameter, 1, 0.1)  # all ones would hide that one stands in another's place
        elif quantised:
            rounded = dequantize(
                quantize(parameter.detach().numpy(), GGMLQuantizationType.Q8_0), GGMLQuantizationType.Q8_0
            )
            parameter.data = torch.from_numpy(rounded)
    values |= {
        "general.name": "tiny",
        "general.license": "mit",
        "llama.context_length": CONTEXT,
        "llama.embedding_length": WIDTH,
        "llama.block_count": LAYERS,
        "llama.feed_forward_length": INNER,
        "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": KEY_VALUE_HEADS,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.freq_base": 5e4,
        "llama.rope.dimension_count": WIDTH // HEADS,
        "llama.vocab_size": len(values["tokenizer.ggml.tokens"]),
    }
    return Tiny(values, dict(_tensors(model)), quantised), model


def _tensors(model: LlamaForCausalLM):
    for name, weights in model.state_dict().items():
        path = name.removeprefix("model.").removesuffix(".weight")
        if name == "lm_head.weight":
            if model.config.tie_word_embeddings:
                continue
            path = "output"
        elif path in WHOLE:
            path = WHOLE[path]
        else:
            _, layer, part = path.split(".", 2)
            path = f"blk.{layer}.{PARTS[part]}"
        heads = {"attn_q": HEADS, "attn_k": KEY_VALUE_HEADS}.get(path.rpartition(".")[2])
        yield f"{path}.weight", (weights if heads is None else interleaved(weights, heads)).numpy().copy()


def interleaved(weights: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows of a query or key projection in llama.cpp's order: the two halves of a head's rotary pairs alternate."""
    size = weights.shape[0] // heads
    order = [
        head * size + half * size // 2 + pair for head in range(heads) for pair in range(size // 2) for half in (0, 1)
    ]
    return weights[order]
