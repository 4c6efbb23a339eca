"""The models and questions that are scored. This checkout makes them from seeds, whichever checkout is recorded.

python benchmarks/recorded/models.py FOLDER TINY_LLAMA QUESTIONS  # models as small as in the tests
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

LETTERS = "ABCDE"
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
NAMES = dict(zip(("bos_token", "pad_token", "eos_token", "unk_token", "mask_token"), SPECIAL, strict=True))
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 2048,
}
CAUSAL = {
    "llama": {"model_type": "llama", "num_key_value_heads": 4},
    "llama-gqa": {"model_type": "llama", "num_key_value_heads": 2},
    "qwen2": {"model_type": "qwen2", "num_key_value_heads": 2},
    "qwen3": {"model_type": "qwen3", "num_key_value_heads": 2, "head_dim": 8},
    "mistral-wide": {"model_type": "mistral", "num_key_value_heads": 2, "sliding_window": 400},
    "mistral-narrow": {"model_type": "mistral", "num_key_value_heads": 2, "sliding_window": 9},
    "gemma2": {"model_type": "gemma2", "num_key_value_heads": 2, "head_dim": 8, "sliding_window": 9},
    "gemma3": {"model_type": "gemma3_text", "num_key_value_heads": 2, "head_dim": 8, "sliding_window": 9},
    "phi3": {"model_type": "phi3", "num_key_value_heads": 2},
    "gpt_neox": {"model_type": "gpt_neox"},
}
ENCODERS = {
    "bert": {},
    "deberta-v2": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 16},
    "roberta": {"type_vocab_size": 1},
    "distilbert": {"dim": 32, "hidden_dim": 48, "n_layers": 3, "n_heads": 4},
}
TYPED = ("bert", "deberta-v2")  # their tokenizers mark which text of a pair a token belongs to


def encoder_tokenizer(questions: Path, *, typed: bool) -> Any:
    """A byte-level BPE learnt from the questions; pairs have token types as in BERT, or two separators."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=900, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train([str(questions)], trainer)
    pair = "<s> $A </s> $B:1 </s>:1" if typed else "<s> $A </s> </s> $B </s>"
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair=pair, special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    inputs = ["input_ids", *(["token_type_ids"] if typed else []), "attention_mask"]
    named = NAMES | {"cls_token": "<s>", "sep_token": "</s>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_input_names=inputs, **named)


def write_model(loader: Any, shape: dict[str, Any], tokenizer: Any, folder: Path) -> None:
    """Write random weights, larger than at initialisation, so that attention matters, and the tokenizer."""
    import torch
    from transformers import AutoConfig

    torch.manual_seed(0)
    config = AutoConfig.for_model(shape.pop("model_type"), vocab_size=len(tokenizer), **shape)
    model = loader.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(4)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_models(folder: Path, tiny_llama: Path, questions: Path) -> None:
    """Write a folder for every family: decoders with the tiny Llama's tokenizer, encoders with their own."""
    from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    special = {"pad_token_id": 0, "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    for name, shape in CAUSAL.items():
        write_model(AutoModelForCausalLM, {**SIZES, **special, **shape}, tokenizer, folder / name)
    for name, shape in ENCODERS.items():
        reader = encoder_tokenizer(questions, typed=name in TYPED)
        sizes = {**SIZES, "max_position_embeddings": 514, "pad_token_id": 1, "model_type": name}
        write_model(AutoModel, {**sizes, **shape}, reader, folder / name)


def with_fewer_options(record: dict[str, str], options: int) -> dict[str, str]:
    """The question with its answer and the first wrong options; the remaining options are blank."""
    wrong = [letter for letter in LETTERS if letter != record["answer"]][: options - 1]
    texts = [record[letter] for letter in sorted([*wrong, record["answer"]])]
    answer = LETTERS[texts.index(record[record["answer"]])]
    blank = dict.fromkeys(LETTERS, "")
    return {**record, **blank, **dict(zip(LETTERS, texts, strict=False)), "answer": answer}


def write_questions(folder: Path, sample: Path, exam: Path) -> None:
    """Write training and test sets of 12 and 8 questions, with five options and with three to five."""
    records = [json.loads(line) for file in (sample, exam) for line in file.open(encoding="utf-8")]
    half = sum(1 for _ in sample.open(encoding="utf-8"))
    sets = {"train": records[:12], "test": [*records[16:20], *records[half : half + 4]]}
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in sets.items():
        ragged = [with_fewer_options(row, 5 - place % 3) for place, row in enumerate(rows)]
        for path, lines in ((folder / f"{name}.jsonl", rows), (folder / f"ragged_{name}.jsonl", ragged)):
            path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    write_models(*map(Path, sys.argv[1:]))
