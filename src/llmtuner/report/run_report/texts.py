"""The texts of the predicted questions, and further columns of their file, such as subject or topic."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmtuner.data.collect import check_ids, read_source
from llmtuner.data.duplicates import question_digest
from llmtuner.data.paths import path_state
from llmtuner.data.predictions import Prediction
from llmtuner.data.problems import quoted, terminal_path
from llmtuner.data.question import LETTERS, Question
from llmtuner.data.read_as import ReadAs, form_for, split_query
from llmtuner.data.readers import read_table
from llmtuner.data.registry import PROJECT_DATA, find_source
from llmtuner.data.table import rows_of_one_column
from llmtuner.errors import UserError

LISTED = 5  # ids in a message
MOST_GROUPS = 60  # different values of a column that sorts questions into groups
LONGEST_VALUE = 160  # characters of such a value
KNOWN = ("subject", "topic", "category", "useful")  # columns that are groups by their name, whatever their values


@dataclass(frozen=True, slots=True)
class Text:
    """A question as its file has it.

    Args:
        values: the row's values in the columns that are neither question, option, answer, passage nor id.
    """

    question: Question
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of a report's questions.

    Args:
        texts: for each prediction; None where no file has the question.
        columns: the columns that sort the questions into groups.
    """

    texts: tuple[Text | None, ...]
    columns: tuple[str, ...] = ()


def join_texts(predictions: Sequence[Prediction], names: Sequence[str]) -> Texts:
    """Find the text of each prediction in files of questions.

    A file belongs to the predictions of the data set of the same name or path, or of the same last part of the path if
    no other file has it, or else to all that no file belongs to.
    Rows are joined by id as text; where ids are repeated, by their order, which must then be that of the predictions.

    Args:
        names: paths, or names of the registry, as in --eval_dataset.

    Raises:
        UserError: a file that has none, or only a part of its predictions, other answers, or other numbers of options.
        DataError: defects of a file.
    """
    rows_by_name = {name: _read(name) for name in names}
    datasets = {prediction.dataset: None for prediction in predictions}
    owner = {dataset: name for dataset in datasets if (name := _file_of(dataset, names)) is not None}
    texts: list[Text | None] = [None] * len(predictions)
    for dataset in datasets:
        places = [place for place, prediction in enumerate(predictions) if prediction.dataset == dataset]
        wanted = [predictions[place] for place in places]
        candidates = [owner[dataset]] if dataset in owner else [name for name in names if name not in owner.values()]
        candidates = [name for name in candidates if _shares_an_id(wanted, rows_by_name[name])] or candidates[:1]
        if len(candidates) > 1:
            raise UserError(
                f"--questions {' and '.join(map(quoted, candidates))}: both have ids of the data set "
                f"{quoted(dataset)}; name the files as in --eval_dataset"
            )
        if candidates:
            _place(texts, places, _joined(wanted, rows_by_name[candidates[0]], candidates[0]))
    if not any(texts):
        raise UserError(f"--questions {quoted(names[0])}: has none of the predicted questions; give their file")
    return Texts(tuple(texts), _group_columns(texts))


def _place(texts: list[Text | None], places: Sequence[int], joined: Sequence[Text]) -> None:
    for place, text in zip(places, joined, strict=True):
        texts[place] = text


def _file_of(dataset: str, names: Sequence[str]) -> str | None:
    """The file of a data set: the one of its name or path, or else the only one of its path's last part."""
    if not dataset:
        return None
    paths = {name: split_query(name)[0] for name in names}
    same = [name for name, path in paths.items() if path == dataset or Path(path).resolve() == Path(dataset).resolve()]
    alike = [name for name, path in paths.items() if Path(path).name == Path(dataset).name]
    return same[0] if same else alike[0] if len(alike) == 1 else None


def _shares_an_id(wanted: Sequence[Prediction], rows: Sequence[Text]) -> bool:
    ids = {row.question.id for row in rows}
    return any(prediction.id in ids for prediction in wanted)


def _joined(wanted: Sequence[Prediction], rows: Sequence[Text], name: str) -> list[Text]:
    """The row of each prediction."""
    by_id = {row.question.id: row for row in rows}
    missing = [prediction.id for prediction in wanted if prediction.id not in by_id]
    if missing:
        raise UserError(
            f"--questions {quoted(name)}: lacks the predicted questions with id {_listed(missing)}; "
            "give the file that was predicted"
        )
    if len(by_id) == len(rows):
        joined = [by_id[prediction.id] for prediction in wanted]
    elif [row.question.id for row in rows] == [prediction.id for prediction in wanted]:
        joined = list(rows)
    else:
        repeated = [key for key, count in Counter(row.question.id for row in rows).items() if count > 1]
        raise UserError(
            f"--questions {quoted(name)}: repeats id {_listed(repeated)}, and has other rows than the predictions; "
            "give each question an id of its own, and predict again"
        )
    for problem, differs in _DIFFERENCES:
        ids = [p.id for p, row in zip(wanted, joined, strict=True) if differs(p, row.question)]
        if ids:
            raise UserError(
                f"--questions {quoted(name)}: has {problem} than the predictions for id {_listed(ids)}; "
                "give the file that was predicted"
            )
    return joined


def _options_differ(prediction: Prediction, question: Question) -> bool:
    return len(prediction.scores) != len(question.options)


def _answers_differ(prediction: Prediction, question: Question) -> bool:
    return None not in (prediction.answer, question.answer) and prediction.answer != question.answer


def _questions_differ(prediction: Prediction, question: Question) -> bool:
    return not prediction.is_of(question_digest(question))


_DIFFERENCES = (
    ("another number of options", _options_differ),
    ("another answer", _answers_differ),
    ("another question, or another order of options,", _questions_differ),
)


def _listed(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - LISTED:,} more" if len(ids) > LISTED else ""
    return ", ".join(map(quoted, ids[:LISTED])) + more


def _read(name: str) -> list[Text]:
    """The questions of a data set, each with the other columns of its row."""
    source = find_source(name, str(PROJECT_DATA))
    if source is None:
        raise UserError(f"--questions {quoted(name)}: has no multiple-choice questions; give the file of the questions")
    files = read_source(source, purpose="predict")
    check_ids(source.name, files)
    texts: list[Text] = []
    for file, (path, read_as) in zip(files, source.parts, strict=True):
        texts += map(Text, file.questions, _other_columns(path, read_as))
    return texts


def _other_columns(path: Path, read_as: ReadAs) -> list[dict[str, str]]:
    """For each row its values outside the columns of the question itself."""
    table = rows_of_one_column(read_table(tuple(Path(name) for name, _, _ in path_state(path)), path), str(path))
    form, _ = form_for(table, read_as)
    assert form is not None, f"{terminal_path(path)} was read"
    own = {*form.columns, form.id_in(table.columns), *LETTERS}
    others = [name for name in table.columns if name not in own]
    return [{name: _value(record.get(name)) for name in others} for _, record in table.records]


def _value(value: Any) -> str:
    """A cell as text; "" where it is missing, or is a list or an object."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip() if isinstance(value, str | int | float) else ""


def _group_columns(texts: Sequence[Text | None]) -> tuple[str, ...]:
    """The columns that sort the questions into groups, those with a known name first."""
    columns = list(dict.fromkeys(column for text in texts if text is not None for column in text.values))
    columns.sort(key=lambda column: column.casefold() not in KNOWN)
    return tuple(column for column in columns if _sorts_into_groups(column, texts))


def _sorts_into_groups(column: str, texts: Sequence[Text | None]) -> bool:
    """Whether a column has few short values, each in several questions: a subject, not an id or an explanation."""
    values = [text.values.get(column, "") for text in texts if text is not None]
    counts = Counter(value for value in values if value)
    few = 2 <= len(counts) <= MOST_GROUPS and all(len(value) <= LONGEST_VALUE for value in counts)
    return few and (column.casefold() in KNOWN or 2 * len(counts) <= sum(counts.values()))
