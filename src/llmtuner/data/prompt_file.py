"""A file with the form of a prompt: YAML with the texts `context`, `question`, `option`, `answer_mark`, `system`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llmtuner.data.problems import escaped, quoted
from llmtuner.errors import FieldError, UserError
from llmtuner.spec.entry import choose_from
from llmtuner.spec.prompts import FIELDS, PROMPTS, TEXTS, PromptForm

LARGEST = 1_000_000  # bytes; a prompt has a few hundred
_EXAMPLE = 'question: "Question: {question}\\n" and option: " {option}"'


def read_prompt(name: str, *, turns: bool) -> PromptForm:
    """The prompt with this name, or that of a file.

    Args:
        turns: whether a file's texts go into the turns of a chat template.

    Raises:
        UserError: neither a name nor a file, or the file is no prompt: all of its problems in one message.
    """
    if name in PROMPTS:
        return PROMPTS[name].form
    texts, where = _texts(name), escaped(name)
    problems = [f"{quoted(key)}: {choose_from(key, TEXTS)}" for key in texts if key not in TEXTS]
    wrong = {key: text for key, text in texts.items() if key in TEXTS and not isinstance(text, str)}
    problems += [f"{key}: expected text, found {_kind(value)}; put it in quotes" for key, value in wrong.items()]
    known = {key: text for key, text in texts.items() if key in TEXTS and key not in wrong}
    problems += [problem for key, text in known.items() for problem in _field_problems(key, text)]
    problems += [f"{key}: missing; a prompt needs {_EXAMPLE}" for key in ("question", "option") if key not in texts]
    if known.get("system") and not turns:
        problems.append(
            "system: plain text has no place for it; give `template`, whose turns have one, or write it into the "
            "question's text"
        )
    if problems:
        raise UserError("\n".join(f"{where}: {problem}" for problem in problems))
    return PromptForm(**known, turns=turns)


def _texts(name: str) -> dict[Any, Any]:
    """The file's keys and values.

    Raises:
        UserError: it is missing, not UTF-8, not YAML, or has no keys.
    """
    import yaml

    path, where = Path(name), escaped(name)
    try:
        if path.is_file() and path.stat().st_size > LARGEST:
            raise UserError(f"{where}: {path.stat().st_size:,} bytes are no prompt; give a YAML file with its texts")
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise FieldError("prompt", where, f"no such file, and an {choose_from(name, PROMPTS)}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from None
    except (OSError, ValueError) as error:  # a folder, no permission, a name that no file can have
        raise UserError(f"{where}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    try:
        content = yaml.safe_load(text)
        twice = _key_given_twice(yaml.compose(text, Loader=yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f":{mark.line + 1}" if mark else ""
        raise UserError(
            f"{where}{place}: not YAML: {error.problem}; put texts with braces or colons in quotes"
        ) from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UserError(f"{where}: not YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(content, dict):
        raise UserError(f"{where}: expected the texts {', '.join(TEXTS)}, such as {_EXAMPLE}; found {_kind(content)}")
    if twice:
        raise UserError(f"{where}:{twice.start_mark.line + 1}: {quoted(twice.value)} is given twice; keep one of them")
    return content


def _key_given_twice(node: Any) -> Any:
    """The second of two equal keys, of which the loader takes the last one silently; None if there is none."""
    seen: set[Any] = set()
    for key, _ in node.value if getattr(node, "id", "") == "mapping" else ():
        if key.value in seen:
            return key
        seen.add(key.value)
    return None


def _field_problems(key: str, text: str) -> list[str]:
    """What is wrong with the fields in a text."""
    own = f"{{{key}}}"
    problems = []
    strange = next((character for character in text if "\ud800" <= character <= "\uf8ff"), None)
    if strange:  # no tokenizer reads half of a pair; templates mark fields by private characters
        problems.append(f"{key}: U+{ord(strange):04X} is no character of a text; remove it")
    for name in FIELDS:
        field, times = f"{{{name}}}", text.count(f"{{{name}}}")
        if field != own and times:
            problems.append(f"{key}: {field} stands in the text of {name} only; move it there")
        elif field == own and times > 1:
            problems.append(f"{key}: {field} stands in it {times} times; keep one of them")
        elif field == own and not times and (text or key != "context"):
            problems.append(f'{key}: its field {field} is missing; write it where the {key} belongs, as in " {field}"')
    return problems


def _kind(value: Any) -> str:
    kinds = {dict: "keys and values", list: "a list", str: "text", bool: "true or false", type(None): "nothing"}
    return kinds.get(type(value), f"{value}"[:40])
