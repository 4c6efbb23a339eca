"""Which columns of a table are the text, the title and the id of its documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llmtuner.data.forms.form import explains, repeats
from llmtuner.data.forms.mapped import guess
from llmtuner.data.problems import quoted
from llmtuner.data.read_as import is_a_form
from llmtuner.errors import DataError
from llmtuner.retrieval.corpus.rows import CorpusFile, Row, TextColumns

# The usual names, in lower case, best first. Columns of answers and solutions are in none of the lists.
USUAL = {
    "text": (
        *("text", "contents", "content", "passage", "body", "passage_text", "page_content", "plain_text", "full_text"),
        *("section_text", "article", "document", "paragraph", "abstract", "chunk", "fact", "sentence", "正文", "内容"),
    ),
    "title": (
        *("title", "page_title", "article_title", "document_title", "section_title", "heading", "headline", "name"),
        *("标题",),
    ),
    "id": (
        *("id", "_id", "docid", "doc_id", "document_id", "passage_id", "chunk_id", "pid", "page_id", "pageid"),
        *("wiki_id", "article_id", "uuid", "url", "uri"),
    ),
}
_LISTED = 20


class TableRows:
    """Turns the records of one table into rows.

    Args:
        unit: of the records' numbers, "line" or "row".
    """

    def __init__(self, file: CorpusFile, unit: str = "line") -> None:
        self._file, self._unit = file, unit
        self._checked: dict[tuple[str, ...], TextColumns] = {}

    def row(self, number: int, record: Mapping[str, Any]) -> Row:
        """A record as a row.

        Raises:
            DataError: a question, no text column, or a cell that is no text.
        """
        names = tuple(record)
        columns = self._checked.get(names)
        if columns is None:
            columns = self._checked[names] = self.columns(names, number)
        made_id = f"{stem(self._file.name)}:{number}"
        return Row(
            number,
            self._id(record.get(columns.id), number, columns.id) or made_id,
            self._text(record.get(columns.title), number, columns.title).strip(),
            self._text(record.get(columns.text), number, columns.text),
        )

    def columns(self, names: Sequence[str], number: int = 0) -> TextColumns:
        """The columns of a table with these names; "" for a title or an id that it lacks.

        Raises:
            DataError: they are the columns of questions, or there is no text among them.
        """
        where = f"{self._file.shown}:{number}" if number else self._file.shown
        if is_a_form(names) or guess(names) is not None:
            raise DataError(
                f"{where}: has the columns of a question file ({_listed(names)}), which would give the answers away; "
                "give texts that are independent of the questions"
            )
        given = self._file.columns
        for role, name in (("text", given.text), ("title", given.title), ("id", given.id)):
            self._check_given(role, name, names, where)
        by_name = {name.casefold(): name for name in reversed(names)}
        text, title, identity = (
            getattr(given, role) or next((by_name[usual] for usual in USUAL[role] if usual in by_name), "")
            for role in ("text", "title", "id")
        )
        if not text:
            raise DataError(
                f"{where}: no column of texts; found {_listed(names)}; expected one of "
                f"{', '.join(USUAL['text'][:5])}; name it behind the path: '{self._file.shown}?text=NAME'"
            )
        return TextColumns(text, identity, "" if title == text else title)

    def _check_given(self, role: str, name: str, names: Sequence[str], where: str) -> None:
        if name and name not in names:
            raise DataError(f"{where}: {role}={name}: no such column; found {_listed(names)}")
        if name and role != "id" and (explains(name) or repeats(name)):
            raise DataError(
                f"{where}: {role}={name}: by its name, this column tells answers of questions, and is never indexed; "
                "choose the column of the passages"
            )

    def _text(self, value: Any, number: int, column: str) -> str:
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self._defect(number, f"{column} must be a text, found {quoted(value)}; write it as a text")
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                fix = "write the character itself, or both halves of it"
                raise self._defect(
                    number, f"{column} holds half a character ({ascii(value[error.start])[1:-1]}); {fix}"
                ) from error
        return value

    def _id(self, value: Any, number: int, column: str) -> str:
        if isinstance(value, float) and value.is_integer():  # pandas makes numbers with gaps floats
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if value is None or (isinstance(value, float) and value != value):
            return ""
        if not isinstance(value, str):
            raise self._defect(number, f"{column} must be a text or a whole number, found {quoted(value)}")
        return self._text(value, number, column).strip()

    def _defect(self, number: int, what: str) -> DataError:
        place = f":{number}" if self._unit == "line" else f": row {number}"
        return DataError(f"{self._file.shown}{place}: {what}")


def stem(name: str) -> str:
    """A file's name without the suffixes of its type and its compression."""
    for suffix in (".gz", ".zst"):
        name = name.removesuffix(suffix)
    return name.rpartition(".")[0] or name


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(quoted, names[:_LISTED])) + (", ..." if len(names) > _LISTED else "")
