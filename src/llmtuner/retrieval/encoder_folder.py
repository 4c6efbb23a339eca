"""The folder of an encoder of texts, checked before torch is imported, and what tells two encoders apart."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmtuner.errors import UserError
from llmtuner.files import sha256_of_bytes, sha256_of_unchanged
from llmtuner.runs.weights import stored_tensors, weight_files
from llmtuner.spec.model_files import VOCABULARY_FILES

POOLINGS = ("mean", "cls")
_POOLING_FILE, _LENGTH_FILE = Path("1_Pooling", "config.json"), Path("sentence_bert_config.json")
# Not the whole file: another version of transformers writes other keys for the same model.
_SHAPES = ("model_type", "num_hidden_layers", "num_attention_heads", "hidden_act")
_LONGEST = 512  # tokens, where a folder says nothing


@dataclass(frozen=True, slots=True)
class EncoderFolder:
    """An encoder on disk.

    Args:
        path: the folder.
        pooling: "mean" of the tokens' states, or "cls", the first one; as sentence-transformers' files beside the
            model say, else mean.
        max_tokens: the longest text, special tokens included; the rest is cut.
        weights_sha256: of the weights; of several files, over their digests.
        tokenizer_sha256: of the first vocabulary file.
        config: the values of config.json with which the same weights give other vectors.
    """

    path: Path
    pooling: str
    max_tokens: int
    weights_sha256: str
    tokenizer_sha256: str
    config: dict[str, Any]

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What must be equal for vectors to be comparable; the place of the folder is not."""
        return {
            "pooling": self.pooling,
            "max_tokens": self.max_tokens,
            "weights_sha256": self.weights_sha256,
            "tokenizer_sha256": self.tokenizer_sha256,
            "config": self.config,
        }


def encoder_folder(path: str | os.PathLike[str]) -> EncoderFolder:
    """Look at the files of an encoder's folder.

    Raises:
        UserError: no folder, no configuration, no tokenizer, weights that are missing, damaged or only a pickle, or a
            pooling that is not supported.
    """
    path = Path(path)
    if not path.is_dir():
        raise UserError(f"{path}: no such folder; give the folder of an encoder, such as all-MiniLM-L6-v2")
    config = _read(path / "config.json", path)
    vocabulary = next((path / name for name in VOCABULARY_FILES if (path / name).is_file()), None)
    if vocabulary is None:
        raise UserError(f"{path}: it has no tokenizer; copy its files ({VOCABULARY_FILES[0]}) into the folder")
    files = weight_files(path)
    if not files:
        pickle = next(iter(sorted(path.glob("*.bin"))), None)
        fix = (
            f"only as pickle ({pickle.name}), which is not loaded; convert it once with: python "
            f"scripts/to_safetensors.py {path}"
            if pickle
            else "copy model.safetensors into the folder"
        )
        raise UserError(f"{path}: no weights in it: {fix}")
    for file in files:
        for _ in stored_tensors(file):
            pass
    digests = [sha256_of_unchanged(file) for file in files]
    return EncoderFolder(
        path=path.absolute(),
        pooling=_pooling(path),
        max_tokens=_max_tokens(path, config),
        weights_sha256=digests[0] if len(digests) == 1 else sha256_of_bytes("".join(digests).encode()),
        tokenizer_sha256=sha256_of_unchanged(vocabulary),
        config={name: config.get(name) for name in _SHAPES},
    )


def _read(file: Path, folder: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_bytes())
    except FileNotFoundError as error:
        raise UserError(
            f"{folder}: it has no {file.name}, so it is no encoder's folder; copy the whole model"
        ) from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file}: damaged: not JSON; copy the file again") from error
    if not isinstance(content, dict):
        raise UserError(f"{file}: damaged: expected an object; copy the file again")
    return content


def _pooling(folder: Path) -> str:
    if not (folder / _POOLING_FILE).is_file():
        return POOLINGS[0]
    config = _read(folder / _POOLING_FILE, folder)
    chosen = [name.removeprefix("pooling_mode_") for name, value in config.items() if value is True]
    chosen = [
        {"mean_tokens": "mean", "cls_token": "cls"}.get(name, name) for name in chosen if name != "include_prompt"
    ]
    if len(chosen) != 1 or chosen[0] not in POOLINGS:
        raise UserError(
            f"{folder / _POOLING_FILE}: pooling {', '.join(chosen) or 'not named'}; supported are mean and cls: use "
            "another encoder"
        )
    return chosen[0]


def _max_tokens(folder: Path, config: dict[str, Any]) -> int:
    lengths = [config.get("max_position_embeddings"), _LONGEST]
    # RoBERTa and its kind begin to count positions behind the padding token.
    if config.get("model_type") in ("roberta", "xlm-roberta", "camembert", "mpnet") and isinstance(lengths[0], int):
        lengths[0] -= 2
    if (folder / _LENGTH_FILE).is_file():
        lengths.insert(0, _read(folder / _LENGTH_FILE, folder).get("max_seq_length"))
    return min(length for length in lengths if isinstance(length, int) and length > 0)
