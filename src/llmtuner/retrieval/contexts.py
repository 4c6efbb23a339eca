"""Makes the context of a question of the passages that were retrieved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from llmtuner.data.normal_form import normal_form
from llmtuner.retrieval.joins import join
from llmtuner.retrieval.lengths import length
from llmtuner.retrieval.passages import Chunk

Order = Literal["best_last", "best_first"]
_BETWEEN = "\n\n"
_GRAM, _REPEATED = 8, (4, 5)  # words, and the share of a text, as in the leak guard


@dataclass(frozen=True, slots=True)
class Context:
    """The context of a question.

    Args:
        text: the passages, "" if there is none.
        ids, scores: of the chunks in it, best first, whatever their order in the text.
        refused: how many better chunks the leak guard refused.
        cut: how many of the question's queries an encoder could not take whole.
        unfit: how many chunks were left out because the context would be too long.
    """

    text: str
    ids: tuple[str, ...]
    scores: tuple[float, ...]
    refused: int = 0
    cut: int = 0
    unfit: int = 0


@dataclass(frozen=True, slots=True)
class _Passage:
    """Chunks of one document, joined.

    Args:
        rank: of the best of them, from 0.
        last: the chunk at its end.
    """

    rank: int
    title: str
    text: str
    last: Chunk

    @property
    def titled(self) -> str:
        return Chunk("", "", self.title, self.text).titled


def assemble(hits: Sequence[tuple[Chunk, float]], max_words: int, order: Order = "best_last") -> Context:
    """The context of the best chunks.

    Chunks are taken whole, best first, while the text has at most `max_words`; one that does not fit is left out, and
    a later one may still fit. A chunk whose text already stands in the context, under whatever id, is left out, and so
    is one that stands there almost whole, from other documents: two editions of a book are cut at different sentences.
    Overlapping chunks of one document become one passage, in the document's order. Each passage has its title in
    front, on a line of its own, and passages stand apart by a blank line.

    Args:
        hits: chunks with their scores, best first.
        max_words: as `lengths.length` counts them, titles included.
        order: whether the best passage stands at the end of the context, next to the question, or at its beginning.
    """
    chosen: list[tuple[Chunk, float]] = []
    passages: list[_Passage] = []
    forms: set[str] = set()
    unfit = 0
    spaced, words_of = cache(_spaced_form), cache(length)  # most passages stay as they are while more are added
    for chunk, score in hits:
        form = normal_form(chunk.text)
        if form in forms or any(f" {form} " in spaced(passage.text) for passage in passages):
            continue
        others = [spaced(passage.text) for passage in passages if passage.last.document_id != chunk.document_id]
        if _is_mostly_in(form, others):
            continue
        extended = _passages([*(each for each, _ in chosen), chunk])
        if sum(words_of(passage.titled) for passage in extended) <= max_words:
            chosen.append((chunk, score))
            forms.add(form)
            passages = extended
        else:
            unfit += 1
    texts = [passage.titled for passage in sorted(passages, key=lambda passage: passage.rank)]
    if order == "best_last":
        texts.reverse()
    return Context(
        _BETWEEN.join(texts),
        tuple(chunk.chunk_id for chunk, _ in chosen),
        tuple(score for _, score in chosen),
        unfit=unfit,
    )


def _passages(chunks: Sequence[Chunk]) -> list[_Passage]:
    """The chunks, given best first, with those of one document joined where they overlap."""
    passages: list[_Passage] = []
    ranked = sorted(enumerate(chunks), key=lambda pair: (pair[1].document_id, _number(pair[1])))
    for rank, chunk in ranked:
        previous = passages[-1] if passages else None
        if previous and previous.last.document_id == chunk.document_id:
            text = join(previous.text, chunk.text)
            if text is not None:
                passages[-1] = _Passage(min(previous.rank, rank), previous.title, text, chunk)
                continue
        passages.append(_Passage(rank, chunk.title, chunk.text, chunk))
    return passages


def _is_mostly_in(form: str, texts: Sequence[str]) -> bool:
    """Whether at least 0.8 of a text's word 8-grams stand in the other texts; False for a text of fewer words."""
    words = form.split()
    grams = [f" {' '.join(words[start : start + _GRAM])} " for start in range(len(words) - _GRAM + 1)]
    repeated = sum(any(gram in text for text in texts) for gram in grams)
    return bool(grams) and repeated * _REPEATED[1] >= len(grams) * _REPEATED[0]


def _number(chunk: Chunk) -> int:
    return int(chunk.chunk_id.rpartition("#")[2])


def _spaced_form(text: str) -> str:
    """The normal form with a blank on both sides, so that whole words match."""
    return f" {normal_form(text)} "
