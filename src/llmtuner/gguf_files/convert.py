"""Converts a GGUF file to a Hugging Face folder: weights, configuration, tokenizer, and where it comes from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from llmtuner.data.question import Question
from llmtuner.data.tokens.coverage import check_tokenizer
from llmtuner.errors import DataError, RunError, UserError
from llmtuner.files import as_os_error, new_folder, sha256_of_file, sha256_of_json, write_synced
from llmtuner.gguf_files.reader import GgufFile, read_gguf
from llmtuner.gguf_files.tokenizer import build_tokenizer

CONVERTER = 1  # counted up when the same file gives another folder, so that the cache is made again
DTYPES = ("float32", "bfloat16", "float16")
ORIGIN = "origin.json"
_PROBES = (  # English, which every tokenizer must read, and other scripts, which it may not know
    "You are a careful reader: 1234 kg of water at 25.0 degrees, isn't it?\n\nThe answer is B.",
    " two  spaces\tand a tab",
    "naïve café, 植物在光合作用中吸收哪种气体？ Почему небо синее? Ω ≈ 3·10⁸ m/s 😀",
)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a converted model comes from; stored as origin.json beside the weights.

    Args:
        file, sha256: name and digest of the GGUF file.
        name, license: of the model, as the file says; "" where it does not.
        dtype: the precision of the converted weights.
        package: name and version of the package that the file came with, if any.
        converter: `CONVERTER`.
    """

    file: str
    sha256: str
    name: str
    license: str
    dtype: str
    package: str = ""
    converter: int = CONVERTER

    @property
    def key(self) -> str:
        """A short digest of all that the folder's content depends on."""
        return sha256_of_json([self.sha256, self.dtype, self.converter])[:12]

    def to_json(self, folder: Path) -> str:
        """With the size in bytes of every file in the folder, and the packages that converted it."""
        content = {
            "file": self.file,
            "sha256": self.sha256,
            "name": self.name,
            "license": self.license,
            "package": self.package,
            "dtype": self.dtype,
            "converter": self.converter,
            "versions": {name: version(name) for name in ("transformers", "tokenizers", "gguf")},
            "files": {path.name: path.stat().st_size for path in sorted(folder.iterdir())},
        }
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def is_whole(folder: Path) -> bool:
    """Whether a folder was converted and still has all of its files, by their sizes."""
    try:
        files = json.loads((folder / ORIGIN).read_text(encoding="utf-8"))["files"]
        return all((folder / name).stat().st_size == size for name, size in files.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def read_origin(path: Path, dtype: str = DTYPES[0], package: str = "", sha256: str = "") -> tuple[GgufFile, Origin]:
    """Read a file's metadata.

    Args:
        sha256: the file's digest, if it is known.

    Raises:
        UserError: the file cannot be read.
    """
    if dtype not in DTYPES:
        raise UserError(f"dtype {dtype}: unknown value; choose from: {', '.join(DTYPES)}")
    file = read_gguf(path)
    name, license_id = (file.get(f"general.{key}", str) or "" for key in ("name", "license"))
    return file, Origin(path.name, sha256 or sha256_of_file(path), name, license_id, dtype, package)


def convert(path: Path, out: Path, dtype: str = DTYPES[0], *, package: str = "", overwrite: bool = False) -> list[str]:
    """Convert a file to a folder, whole or not at all.

    Args:
        path: the GGUF file.
        out: the new folder.
        dtype: precision of the weights. float32 stores the weights as the file gives them; a 16-bit type rounds them
            once more and takes half of the space.
        package: name and version of the package that the file came with.
        overwrite: replace a model that is there.

    Returns:
        lines of a warning about scripts that the tokenizer cannot read; [] if there are none

    Raises:
        UserError: the folder is not empty, or the file cannot be converted.
    """
    check_out(out, overwrite=overwrite)
    file, origin = read_origin(path, dtype, package)
    out.parent.mkdir(parents=True, exist_ok=True)
    with new_folder(out, overwrite=overwrite) as temporary:
        return write_model(file, origin, temporary)


def check_out(out: Path, *, overwrite: bool) -> None:
    """Refuse a folder to which nothing should be written.

    Raises:
        UserError: it is not empty and `overwrite` is false, or it holds files of something else, or it is a file.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not out.is_dir():
        raise UserError(f"{out} is a file; choose a new folder")
    if not overwrite:
        raise UserError(f"{out} is not empty; choose another folder, or pass `overwrite`")
    foreign = sorted(path.name for path in out.iterdir() if path.name not in _made_files(out))
    if foreign:  # a folder without origin.json, or a model that was trained further in its place
        raise UserError(f"{out} holds {foreign[0]}, which no conversion made; choose another folder")


def _made_files(folder: Path) -> set[str]:
    """The files of an earlier conversion, as its origin.json lists them; none without one."""
    try:
        return {ORIGIN, *json.loads((folder / ORIGIN).read_text(encoding="utf-8"))["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def write_model(file: GgufFile, origin: Origin, folder: Path) -> list[str]:
    """Write the model of a file to an empty folder; origin.json comes last.

    Returns:
        as `convert`

    Raises:
        UserError: the file cannot be converted.
        OSError: the folder cannot be written.
    """
    tokenizer = build_tokenizer(file)  # first: it takes seconds, the weights up to minutes
    _check_vocabulary(file, len(tokenizer))

    from llmtuner.gguf_files.weights import load_weights

    model = load_weights(file, origin.dtype)
    _set_tokens(file, model, tokenizer)
    with as_os_error(folder):
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    _state_class(folder, tokenizer)
    warnings = _check_saved(file, folder, tokenizer)
    write_synced(folder / ORIGIN, origin.to_json(folder))
    return warnings


def _check_vocabulary(file: GgufFile, tokens: int) -> None:
    embedding = next((tensor for tensor in file.tensors if tensor.name == "token_embd.weight"), None)
    if embedding is None:
        raise UserError(f"{file.path}: has no tensor token_embd.weight, so it is no language model")
    if embedding.shape[-1] != tokens:
        raise UserError(
            f"{file.path}: has embeddings of {embedding.shape[-1]} tokens and a vocabulary of {tokens}; "
            "download it again"
        )


def _set_tokens(file: GgufFile, model: Any, tokenizer: Any) -> None:
    """Give the configurations the ids of the tokenizer, and drop the name that the file has for itself."""
    ends = [tokenizer.eos_token_id]
    turn = file.get("tokenizer.ggml.eot_token_id", int)
    if turn is not None and turn not in ends:
        ends.append(turn)  # chat models end a turn with another token than a text
    for config in (model.config, model.generation_config):
        config.bos_token_id, config.pad_token_id = tokenizer.bos_token_id, tokenizer.pad_token_id
    model.config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.eos_token_id = ends if len(ends) > 1 else ends[0]
    for key in ("_model_name_or_path", "unk_token_id"):
        model.config.__dict__.pop(key, None)


def _state_class(folder: Path, tokenizer: Any) -> None:
    """Store the class under the name that every version of transformers has, and what saving leaves out."""
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config.pop("backend", None)
    config |= {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_bos_token": tokenizer.add_bos_token,
        "add_eos_token": tokenizer.add_eos_token,
    }
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _check_saved(file: GgufFile, folder: Path, tokenizer: Any) -> list[str]:
    """Check the tokenizer as everybody will load it: it gives the tokens that were meant, and reads English.

    transformers chooses a class by the model's type, and this changed a tokenizer without a word.

    Raises:
        UserError: it does not read English.
        RunError: it is not the one that was saved.
    """
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(folder)
    for text in _PROBES:
        if loaded(text)["input_ids"] != tokenizer(text)["input_ids"]:
            raise RunError(f"{file.path}: the saved tokenizer gives other tokens when it is loaded: {text!r}")
    questions = [Question(str(number), text, ("1", "2")) for number, text in enumerate(_PROBES)]
    try:
        check_tokenizer(loaded, questions[:-1])
    except DataError as error:
        problem = str(error).partition("\n")[0]
        raise UserError(f"{file.path}: its tokenizer cannot be rebuilt from the metadata: {problem}") from error
    return check_tokenizer(loaded, questions, allow=True)
