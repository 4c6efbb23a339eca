r"""LaTeX that was written into JSON with one backslash: \frac becomes a form feed and "rac", without an error."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from llmtuner.data.problems import Problem, quoted
from llmtuner.data.table import NumberedRecord

# What is left of a command when JSON has taken its first letter, by that letter. `_ALWAYS` is no word of English, so
# that a line or a table cell does not begin with it; the rest of a command in `_IN_MATH` counts between dollars only.
_ALWAYS = {
    "b": "[a-z]{2}",  # no text has a backspace
    "f": "(?:rac|orall|lat|rown|box|ootnotesize)",
    "r": "(?:ho|ight|ceil|brac[ek])",
    "t": "(?:heta|imes|ilde|riangle|frac|herefore|ext[a-z]*\\{)",
    "n": "(?:abla|eq|otin|exists|rightarrow|leftarrow|subset)",
}
_IN_MATH = {
    "r": "(?:angle|floor|vert|Vert|m|oot)(?![A-Za-z])",
    "t": "(?:au|an|anh|o|op)(?![A-Za-z])",
    "n": "(?:u|e|i|ot|mid|eg)(?![A-Za-z])",
}
_CHARACTERS = {"b": "\b", "f": "\f", "r": "\r", "t": "\t", "n": "\n"}
_NAMES = {"b": "a backspace", "f": "a form feed", "r": "a carriage return", "t": "a tab", "n": "a line break"}
_PARTS = {letter: "|".join(filter(None, (_ALWAYS[letter], _IN_MATH.get(letter)))) for letter in _CHARACTERS}
# In the file: a pair of backslashes is matched first, so that its second one begins nothing.
_WRITTEN = re.compile(r"\\(?:\\|" + "|".join(f"{letter}(?:{part})" for letter, part in _PARTS.items()) + ")")
_READ = re.compile("|".join(f"{char}(?:{_PARTS[letter]})" for letter, char in _CHARACTERS.items()))
_SURE = re.compile("|".join(f"{char}(?:{_ALWAYS[letter]})" for letter, char in _CHARACTERS.items()))
_LETTERS = {char: letter for letter, char in _CHARACTERS.items()}


def lost_backslashes(records: Iterable[NumberedRecord], text: str, file: str) -> list[Problem]:
    """A warning for each record in which a command seems to have lost its backslash.

    Args:
        text: the file's text. Only if a command is written in it with one backslash are the records searched.
    """
    if "\\" not in text or not any(match[0] != "\\\\" for match in _WRITTEN.finditer(text)):
        return []
    warnings = []
    for line, record in records:
        for column, match in (hit for name, cell in record.items() for hit in _hits(name, cell)):
            letter = _LETTERS[match[0][0]]
            defect = (
                f"{column} has {_NAMES[letter]} before {quoted(_word(match))}: in JSON, that is \\{letter}, and the "
                f"command \\{letter}{_word(match)} has lost its backslash"
            )
            fix = f"write it twice: \\\\{letter}{_word(match)}"
            warnings.append(Problem(file, line, defect, fix=fix, kind="backslash"))
            break  # one a record
    return warnings


def _hits(column: str, cell: Any) -> Iterator[tuple[str, re.Match[str]]]:
    """The lost commands in a cell, with its column."""
    if isinstance(cell, str):
        for match in _READ.finditer(cell):
            if _SURE.match(cell, match.start()) or cell.count("$", 0, match.start()) % 2:
                yield f"column {column}", match
    elif isinstance(cell, list | dict):
        for item in cell.values() if isinstance(cell, dict) else cell:
            yield from _hits(column, item)


def _word(match: re.Match[str]) -> str:
    """The letters after the control character."""
    return re.match(r"[A-Za-z]*", match.string[match.start() + 1 : match.start() + 30])[0]  # type: ignore[index]
