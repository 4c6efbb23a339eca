"""Config files as flags: `cfg.yaml [key=value ...] [--key value ...]`, YAML or JSON, flat as upstream's.

Everything becomes words of a command line, so that files, flags and legacy names take the same path from here on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmtuner.cli.config_limits import within_limits
from llmtuner.cli.config_values import kind, words_of
from llmtuner.cli.words import Words
from llmtuner.data.problems import quoted
from llmtuner.errors import UserError

SUFFIXES = (".yaml", ".yml", ".json")


def is_config(word: str) -> bool:
    """Whether a first argument names a config file."""
    return word.lower().endswith(SUFFIXES)


def read_config(path: str | Path, overrides: Sequence[str] = ()) -> Words:
    """Read a flat YAML or JSON file into flags.

    Args:
        path: the file; its suffix tells YAML from JSON.
        overrides: the words after it: `key=value` first, then `--key value` as on a command line.

    Raises:
        UserError: what is wrong, with file and line.
    """
    path = str(path)
    start = next((i for i, word in enumerate(overrides) if word.startswith("-")), len(overrides))
    content, given = _content(path, overrides[:start])
    flags = Words()
    problems: list[str] = []
    for key, value in content.items():
        where = f"override {quoted(given[key])}" if key in given else locate_key(path, str(key))
        try:
            with within_limits(key):
                _set(flags, key, value, where)
        except UserError as error:
            problems.append(f"{where}: {error}")
            continue
        if "${" in str(value):
            flags.notices.append(f"{where}: {key}: ${{...}} is kept as text, not resolved")
    if problems:
        raise UserError("\n".join(problems))
    _add_flags(flags, overrides[start:], {_canonical(key) for key in given})
    return flags


def _content(path: str, overrides: Sequence[str]) -> tuple[dict[Any, Any], dict[str, str]]:
    """The values of the file with its overrides, and for each overridden key the override that sets it."""
    from omegaconf import OmegaConf

    given: dict[str, str] = {}
    config = _load(path)
    for word in overrides:
        with within_limits(f"override {quoted(word)}"):
            config = OmegaConf.merge(config, _read_override(word))
        given[re.split(r"[.\[=]", word, maxsplit=1)[0]] = word
    with within_limits(path):
        return OmegaConf.to_container(config), given


def _add_flags(flags: Words, words: Sequence[str], given: set[str]) -> None:
    """Let `--key value` words after a file override the file."""
    try:
        later = Words.from_argv(words)
    except UserError as error:
        late = next((word for word in words if re.match(r"[A-Za-z_][\w.]*=", word)), None)
        hint = f"; write key=value words such as {late!r} before the first --flag" if late else ""
        raise UserError(f"{error}{hint}") from error
    flags.notices += later.notices
    for name in later:
        if name in given:
            flags.notices.append(f"--{name} is given more than once: the last value is used")
        flags.set(name, *later.values(name))


def locate_key(path: str | Path, key: str) -> str:
    """`file:line` of a top-level key of a config file; only `file` if the key is not found."""
    import yaml

    path = str(path)
    try:
        text = _read_text(path)
    except UserError:
        return path
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)  # nearly all JSON is valid YAML
        for node, _ in root.value if isinstance(root, yaml.MappingNode) else ():
            if _canonical(str(node.value)) == _canonical(key):
                return f"{path}:{node.start_mark.line + 1}"
    except (yaml.YAMLError, RecursionError):
        line = _json_key_line(text, key)
        return f"{path}:{line}" if line else path
    return path


def _load(path: str) -> Any:
    """Load the file as an OmegaConf mapping; reject anything else."""
    from omegaconf.errors import OmegaConfBaseException

    if not is_config(path):
        raise UserError(f"{path}: not a config file; expected a name that ends in {', '.join(SUFFIXES)}")
    text = _read_text(path)
    if not text.strip():
        raise UserError(f"{path}: the file is empty; expected `key: value` lines")
    try:
        with within_limits(path, text):
            return _load_json(path, text) if path.lower().endswith(".json") else _load_yaml(path, text)
    except OmegaConfBaseException as error:  # such as an unclosed `${`
        where = locate_key(path, str(getattr(error, "full_key", "")))
        raise UserError(f"{where}: {str(error).splitlines()[0]}") from error


def _read_text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path}: no such config file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as UTF-8 text: {error}") from error


def _load_yaml(path: str, text: str) -> Any:
    import io

    import yaml
    from omegaconf import OmegaConf

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is None:
            raise UserError(f"{path}: the file holds comments only; expected `key: value` lines")
        if not isinstance(root, yaml.MappingNode):
            line = root.start_mark.line + 1
            raise UserError(f"{path}:{line}: expected `key: value` lines, found {_node_kind(root)}")
        return OmegaConf.load(io.StringIO(text))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else path
        raise UserError(f"{where}: {error.problem or 'this is not YAML'}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UserError(f"{path}:{line}: YAML cannot have the character U+{error.character:04X}; remove it") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path}: {error}") from error


def _load_json(path: str, text: str) -> Any:
    from omegaconf import OmegaConf

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in pairs:
            if key in result:
                line = _json_key_line(text, key, occurrence=2)
                raise UserError(f"{path}:{line}: the key {key!r} is given twice")
            result[key] = value
        return result

    try:
        content = json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise UserError(f"{path}:{error.lineno}:{error.colno}: this is not JSON: {error.msg}") from error
    if not isinstance(content, dict):
        raise UserError(f'{path}:1: expected {{"key": value, ...}}, found {kind(content)}')
    return OmegaConf.create(content)


def _read_override(word: str) -> Any:
    import yaml
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if "=" not in word.lstrip("="):
        raise UserError(f"{word!r} after a config file: expected key=value or --key value")
    try:
        return OmegaConf.from_cli([word])
    except (yaml.YAMLError, OmegaConfBaseException) as error:
        raise UserError(f"override {quoted(word)}: the value is not YAML; put it in quotes") from error


def _set(flags: Words, key: Any, value: Any, where: str) -> None:
    if not isinstance(key, str) or key.startswith("-") or not _canonical(key).isidentifier():
        raise UserError(f"{key!r} is not a flag name; keys are flag names without the leading dashes")
    name = _canonical(key)
    if value is None:
        return
    if name in flags:
        raise UserError(f"the key {key!r} is given twice, with dashes and with underscores")
    flags.set(name, *words_of(name, value), origin=where)


def _json_key_line(text: str, key: str, occurrence: int = 1) -> int:
    """The line of a key in JSON text; 0 if it is not found."""
    places = list(re.finditer(re.escape(json.dumps(key, ensure_ascii=False)) + r"\s*:", text))
    return text.count("\n", 0, places[occurrence - 1].start()) + 1 if len(places) >= occurrence else 0


def _canonical(name: str) -> str:
    return name.replace("-", "_")


def _node_kind(node: Any) -> str:
    return {"sequence": "a list", "scalar": "text"}.get(node.id, node.id)
