"""Plain text: one document a file, or one a line where the file is a list of statements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from llmtuner.data.question import is_blank
from llmtuner.retrieval.corpus.columns import stem
from llmtuner.retrieval.corpus.rows import CorpusFile, CorpusNotes, Row
from llmtuner.retrieval.corpus.streams import numbered_lines
from llmtuner.retrieval.sentences import sentences

_SAMPLE = 1000  # lines by which a file is judged
_FEWEST = 5  # lines of a list
_SHARE = 0.9  # of the lines that are one sentence each
_WRAPPED = 0.8  # of a wrapped text's longest lines is its median line


def read(file: CorpusFile, notes: CorpusNotes) -> Iterator[Row]:
    """The file as one document without a title, or each of its lines as one (`is_list`).

    Raises:
        DataError: not readable, or not UTF-8.
    """
    if not file.path.stat().st_size:  # an empty note among many is no defect
        return
    lines = numbered_lines(file)
    sample = [line for _, line in zip(range(_SAMPLE), lines, strict=False)]
    if not is_list([text for _, text in sample]):
        yield Row(1, file.name, "", "\n".join(text for _, text in chain(sample, lines)))
        return
    notes.notices.append(
        f"{file.shown}: a list of statements: each line is a document; to read the file as one document, rename it "
        "to .md"
    )
    for number, text in chain(sample, lines):
        if not is_blank(text):
            yield Row(number, f"{stem(file.name)}:{number}", "", text)


def is_list(lines: Sequence[str]) -> bool:
    """Whether a text is a list of statements, by its first lines.

    It is one if it has at least 5 lines, no blank line between them, nine of ten lines are at most one sentence, and
    they differ in length (the lines of a wrapped text are all nearly full).
    """
    filled = [number for number, line in enumerate(lines) if not is_blank(line)]
    if len(filled) < _FEWEST or filled[-1] - filled[0] >= len(filled):
        return False
    texts = [lines[number].strip() for number in filled]
    lengths = sorted(map(len, texts))
    if lengths[len(lengths) // 2] > _WRAPPED * lengths[int(len(lengths) * 0.95)]:
        return False
    return sum(len(sentences(text)) == 1 for text in texts) >= _SHARE * len(texts)
