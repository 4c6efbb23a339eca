"""Tokens that a training added to its model, stored with the run so that a prediction adds the same ones. Light."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmtuner.errors import FieldError
from llmtuner.spec.flag import TRUE

CONFIG_FLAG = "new_special_tokens_config"  # a YAML file whose keys are special tokens
TOKENS = ("add_tokens", "add_special_tokens")  # flags whose words are text: a token may look like a number
NAMES = ("resize_vocab", *TOKENS)  # flags of upstream


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What is added to a model's vocabulary.

    Args:
        resize_vocab: whether the embeddings grow with the tokenizer.
        add_tokens, add_special_tokens: in the order in which they get their ids.
    """

    resize_vocab: bool = False
    add_tokens: tuple[str, ...] = ()
    add_special_tokens: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self != Vocabulary()

    def to_json(self) -> dict[str, Any]:
        """What is stored in mcq_config.json; {} for nothing."""
        if not self:
            return {}
        return {name: list(value) if isinstance(value := getattr(self, name), tuple) else value for name in NAMES}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Vocabulary:
        """Rebuild it from what `to_json` returned.

        Raises:
            FieldError: a key is unknown, or a value has another type.
        """
        for name, value in stored.items():
            is_list = isinstance(value, list) and all(isinstance(token, str) for token in value)
            if name not in NAMES or not (isinstance(value, bool) if name == "resize_vocab" else is_list):
                raise FieldError("vocabulary", f"{name}: {value!r}", f"expected one of {', '.join(NAMES)}")
        tokens = {name: tuple(stored.get(name, ())) for name in TOKENS}
        return cls(stored.get("resize_vocab", False), **tokens)

    @classmethod
    def from_flags(cls, settings: Mapping[str, Any]) -> Vocabulary:
        """What the flags of a run say.

        Args:
            settings: flags by name, with the words after each, or with its value; a manifest has the content of
                --new_special_tokens_config.
        """
        config = settings.get(CONFIG_FLAG)
        special = settings.get("add_special_tokens")
        return cls(
            resize_vocab="resize_vocab" in settings and _truth(settings["resize_vocab"]),
            add_tokens=tokens_of(settings.get("add_tokens")),
            add_special_tokens=tuple(map(str, config)) if isinstance(config, Mapping) else tokens_of(special),
        )


def tokens_of_file(path: str) -> dict[str, str]:
    """The tokens in a file of --new_special_tokens_config, each with its description; {} if upstream will refuse it.

    Upstream makes the tokens' first embeddings from the descriptions.
    """
    import yaml

    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return {}
    return {str(token): str(text) for token, text in content.items()} if isinstance(content, dict) else {}


def _truth(value: Any) -> bool:
    word = value[0] if isinstance(value, list | tuple) and value else value
    return True if word in ([], (), True) else str(word).lower() in TRUE


def tokens_of(value: Any) -> tuple[str, ...]:
    """A comma-separated value as upstream splits it, or a list of such values."""
    parts: Sequence[Any] = () if value is None else value if isinstance(value, list | tuple) else (value,)
    return tuple(token.strip() for part in parts for token in _text(part).split(","))


def _text(part: Any) -> str:
    """A token as it was given; manifests of earlier versions have 42.0 for 42, and True for true."""
    if isinstance(part, str):
        return part
    return str(part).lower().removesuffix(".0")
