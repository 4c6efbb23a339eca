"""Shared by several tests: paths of the project, and its scripts as modules."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "data" / "demo" / "questions.jsonl"


def load_script(name: str) -> ModuleType:
    """Load a script of scripts/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
NAMES = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True))


def wordpiece(vocab_size: int = 600) -> Any:
    """A BERT-style tokenizer, trained on the demo questions."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train(
        [str(DEMO)], trainers.WordPieceTrainer(vocab_size=vocab_size, special_tokens=SPECIAL, show_progress=False)
    )
    pair = {"single": "[CLS] $A [SEP]", "pair": "[CLS] $A [SEP] $B:1 [SEP]:1"}
    tokenizer.post_processor = processors.TemplateProcessing(**pair, special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    tokenizer.decoder = decoders.WordPiece()
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_input_names=inputs, **NAMES)


def make_tiny_bert(folder: Path) -> None:
    """Save a random BERT whose WordPiece vocabulary is the demo's words."""
    import torch
    from transformers import AutoConfig, AutoModel

    tokenizer = wordpiece(vocab_size=800)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    shape = AutoConfig.for_model("bert", vocab_size=len(tokenizer), max_position_embeddings=96, **sizes)
    AutoModel.from_config(shape).save_pretrained(folder)


def byte_level(*, broken: bool = False) -> Any:
    """A byte-level BPE of SmolLM2's form, trained on the demo questions, in which nothing is unknown.

    Args:
        broken: split as CodeLlama's tokenizer does, which happened to SmolLM2's when it was saved from a GGUF file:
            each space becomes the unknown token.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    end, start, stop = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
    tokenizer = Tokenizer(models.BPE(unk_token=end))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train(
        [str(DEMO)],
        trainers.BpeTrainer(
            vocab_size=800, special_tokens=[end, start, stop], initial_alphabet=alphabet, show_progress=False
        ),
    )
    if broken:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in (end, start, stop)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=start, eos_token=stop, pad_token=stop, unk_token=end
    )


def write_weights(path: Path, **shapes: tuple[int, ...]) -> Path:
    """A safetensors file of zeros in fp32, without torch."""
    import json
    import struct

    header, offset = {}, 0
    for name, shape in shapes.items():
        size = 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    head = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + bytes(offset))
    return path


def forget_manifests(folder: Path) -> None:
    """Make a folder one from before manifests, so that its weights can be changed for a test."""
    for name in ("run.json", "checkpoint.json", ".lock"):
        (folder / name).unlink(missing_ok=True)


def write_adapter(folder: Path, base: str = "models/base") -> Path:
    """A LoRA adapter's folder that passes the checks before loading."""
    folder.mkdir(parents=True, exist_ok=True)
    config = f'{{"peft_type": "LORA", "base_model_name_or_path": "{base}", "r": 8, "target_modules": ["q_proj"]}}'
    (folder / "adapter_config.json").write_text(config)
    halves = {"base_model.model.q_proj.lora_A.weight": (8, 64), "base_model.model.q_proj.lora_B.weight": (64, 8)}
    write_weights(folder / "adapter_model.safetensors", **halves)
    return folder
