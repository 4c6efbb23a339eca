"""A form for a file whose columns are named by the user: in the registry's "columns", or in the path of the file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from urllib.parse import quote

from llmtuner.data.forms.answers import ANY
from llmtuner.data.forms.form import CONTEXTS, Form, explains
from llmtuner.data.forms.options import Choices, LetterColumns, NamedColumns, OptionReader, RightAndWrong
from llmtuner.data.forms.row import Defect
from llmtuner.data.problems import quoted
from llmtuner.data.question import LETTERS

NAMED = "named columns"  # the name of a form that the user's names alone make
ROLES = ("prompt", "options", "answer", "context", "id")


@dataclass(frozen=True, slots=True)
class ColumnNames:
    """The columns that the user named; "" and () for those that have their usual name.

    Args:
        options: one column with all options, or a column for each of them, in order.
    """

    prompt: str = ""
    options: tuple[str, ...] = ()
    answer: str = ""
    context: str = ""
    id: str = ""

    def replaced_by(self, others: ColumnNames) -> ColumnNames:
        """These names; where the others name a column, theirs."""
        given = {role.name: getattr(others, role.name) for role in fields(others)}
        return replace(self, **{role: name for role, name in given.items() if name})

    def as_query(self) -> str:
        """The names as they stand behind a path: "prompt=q&options=a|b"."""
        parts = {"prompt": self.prompt, "answer": self.answer, "context": self.context, "id": self.id}
        shown = [("prompt", _encoded(self.prompt)), ("options", "|".join(map(_encoded, self.options)))]
        shown += [(role, _encoded(name)) for role, name in parts.items() if role != "prompt"]
        return "&".join(f"{role}={name}" for role, name in shown if name)


def _encoded(name: str) -> str:
    """A name, percent-encoded but for letters and digits of any script: & | = ? and commas separate names."""
    return "".join(char if char.isalnum() else quote(char, safe="_-.()") for char in name)


# The usual names of a column, for the roles that the user did not name, and for suggestions.
_PROMPTS = (
    *(
        "prompt",
        "question",
        "query",
        "question_stem",
        "Question",
        "text",
        "stem",
        "problem",
        "question_text",
        "instruction",
        "input",
    ),
    *("题目", "问题", "题干"),
)
_ANSWERS = (
    *("answer", "gold", "answerKey", "answer_idx", "label", "Answer", "target", "correct", "correct_answer"),
    *("key", "right", "correct_option", "correct_answer_num", "right_answer", "solution_index", "answer_index"),
    *("answer_letter", "answer_text", "gold_label", "ans", "答案", "正确答案"),
)
_LISTS = ("choices", "options", "endings", "choice", "answers", "answer_options", "candidate_answers")
_OPTION_NAMES = (
    *("option_{}", "option{}", "Option {}", "Option_{}", "Option{}", "choice_{}", "choice{}", "choice {}"),
    *("op{}", "opt{}", "ans{}", "answer_{}", "answer{}", "mc_answer{}", "ending{}", "sol{}", "{}", "选项{}", "选择{}"),
)
_MARKS = (LETTERS, LETTERS.lower(), "0123456789", "123456789")  # 0 before 1: the first option is not to be lost


def mapped_form(names: ColumnNames, columns: Sequence[str], known: Form | None) -> tuple[Form | None, list[Defect]]:
    """The form of a file with some columns named by the user.

    Args:
        columns: those of the file.
        known: the form that the file has without these names, if any: it has the other columns.

    Returns:
        (the form, or None; the defects of the names)
    """
    given = [name for name in (names.prompt, *names.options, names.answer, names.context, names.id) if name]
    absent = [name for name in given if name not in columns and name.partition(".")[0] not in columns]
    if absent:
        defect = f"no column {', '.join(map(quoted, absent))}; {_found(columns)}"
        return None, [Defect("columns", defect, fix="correct the name")]
    if names.context and explains(names.context):
        defect = f"column {quoted(names.context)} explains the right answer, so it is no context"
        return None, [Defect("columns", defect, fix="name another column")]
    letters = [name for name in names.options if name in LETTERS]
    if len(letters) == len(names.options) > 1 and letters != sorted(letters):
        defect = f"options={'|'.join(letters)}: letters out of order, so an answer such as A could mean two of them"
        return None, [Defect("columns", defect, fix=f"write options={'|'.join(sorted(letters))}")]
    question = names.prompt or (known.question if known else _first(_PROMPTS, columns))
    options = _options(names, columns, known)
    if not question or options is None:
        lacking = "prompt=NAME for the question's text" if not question else "options=NAME, or NAME|NAME|..."
        defect = f"the columns of the question and its options are not known; {_found(columns)}"
        return None, [Defect("columns", defect, fix=f"add {lacking}")]
    base = known or Form(NAMED, "the columns that you named", question, options, ())
    told = names.options and not base.answer  # by the form's own options, which are now others
    if names.answer or known is None or told:
        right = known.options.right if known is not None and isinstance(known.options, RightAndWrong) else ""
        answer = names.answer or right or _first(_ANSWERS, columns) or "answer"
        base = replace(base, answer=answer, styles=ANY, documented=False, second_answer=None)
    contexts = base.contexts if not names.context else (names.context, *(c for c in CONTEXTS if c != names.context))
    joined = base.joined and not names.context
    form = replace(base, question=question, options=options, contexts=contexts, joined=joined, id=names.id or base.id)
    return replace(form, needs=(question.partition(".")[0], *options.columns)[:2]), []


def _found(columns: Sequence[str]) -> str:
    return "found " + (", ".join(map(quoted, columns[:20])) or "none")


def _options(names: ColumnNames, columns: Sequence[str], known: Form | None) -> OptionReader | None:
    if names.options:
        return NamedColumns(names.options, chosen=True) if len(names.options) > 1 else Choices(names.options[0])
    if known is not None:
        return known.options
    if "A" in columns and "B" in columns:
        return LetterColumns()
    column = _first(_LISTS, columns)
    return Choices(column) if column else None


def _first(names: Sequence[str], columns: Sequence[str]) -> str:
    return next((name for name in names if name in columns), "")


def guess(columns: Sequence[str]) -> ColumnNames | None:
    """The columns of an unknown form by their usual names; None if the question or the options have none of these."""
    prompt, answer = _alike(_PROMPTS, columns), _alike(_ANSWERS, columns)
    options = _option_columns(columns) or tuple(name for name in [_alike(_LISTS, columns)] if name)
    # A passage and an id with their usual names need not be named.
    context, identity = (
        "" if name in usual else name for usual in (CONTEXTS, ("id",)) for name in [_alike(usual, columns)]
    )
    return ColumnNames(prompt, options, answer, context, identity) if prompt and options else None


def _alike(names: Sequence[str], columns: Sequence[str]) -> str:
    """The first of the names that a column has, else one that differs only in case, spaces or underscores."""
    plain = {re.sub(r"[\W_]+", "", column).casefold(): column for column in reversed(columns)}
    return _first(names, columns) or next(
        (plain[key] for name in names if (key := name.replace("_", "").casefold()) in plain), ""
    )


def _option_columns(columns: Sequence[str]) -> tuple[str, ...]:
    """Two to ten columns that are numbered or lettered alike, such as option_a, option_b, ..."""
    for pattern in _OPTION_NAMES:
        for marks in _MARKS:
            named = []
            for mark in marks:
                name = pattern.format(mark)
                if name not in columns:
                    break
                named.append(name)
            if len(named) >= 2:
                return tuple(named)
    return ()
