"""Fills the contexts of questions from an index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from llmtuner.data.normal_form import normal_form
from llmtuner.data.question import Question
from llmtuner.retrieval.contexts import Context, assemble
from llmtuner.retrieval.leaks import LeakGuard
from llmtuner.retrieval.passages import Chunk
from llmtuner.retrieval.queries import fitted, queries
from llmtuner.retrieval.rerank import reranked
from llmtuner.retrieval.rerankers import Reranker
from llmtuner.retrieval.search import Hit, Index
from llmtuner.retrieval.settings import Retrieve

_BATCH = 64  # questions that are searched together
_SPARE = 8  # hits beyond k at first: some are refused or repeat another one


@dataclass
class Counts:
    """What happened to the questions.

    Args:
        questions: all that were asked for.
        unchanged: had a context already.
        filled, empty: got passages; got none.
        too_long: of the empty ones, those whose passages were all longer than a context may be.
        refused: passages that hold a question with its options.
        cut: queries that an encoder could not take whole.
    """

    questions: int = 0
    unchanged: int = 0
    filled: int = 0
    empty: int = 0
    too_long: int = 0
    refused: int = 0
    cut: int = 0

    def add(self, context: Context | None) -> None:
        """Count a question by its new context; None if it keeps the one that it has."""
        self.questions += 1
        if context is None:
            self.unchanged += 1
            return
        self.filled += bool(context.ids)
        self.empty += not context.ids
        self.too_long += not context.ids and context.unfit > 0
        self.refused += context.refused
        self.cut += context.cut

    def line(self) -> str:
        """The counts for the user."""
        parts = [f"{self.filled:,} of {self.questions:,} questions got passages"]
        for count, text in (
            (self.unchanged, "{} kept the context that they had"),
            (self.empty - self.too_long, "{} found none"),
            (self.too_long, "{} got none, because each passage alone is longer than `max_words`: raise it"),
            (self.refused, "{} passages refused, because they hold a question with its options"),
            (self.cut, "{} queries were longer than the encoder takes: words were cut from the middle of the question"),
        ):
            if count:
                parts.append(text.format(f"{count:,}"))
        return "; ".join(parts)


class ContextFinder:
    """Finds the contexts of questions. It never reads the right answer.

    Args:
        index: an open index.
        settings: of the retrieval.
        rerank: scores the best hits again; None for the retriever's own order.
    """

    def __init__(self, index: Index, settings: Retrieve, rerank: Reranker | None = None) -> None:
        self.index, self.settings = index, settings
        self._rerank = rerank

    def fill(self, questions: Iterable[Question]) -> Iterator[tuple[Question, Context | None]]:
        """The questions in their order with their new contexts; None for those that keep the one they have."""
        remaining = iter(questions)
        while batch := list(islice(remaining, _BATCH)):
            contexts = iter(self.contexts([question for question in batch if self.settings.fills(question)]))
            for question in batch:
                if self.settings.fills(question):
                    context = next(contexts)
                    yield replace(question, context=context.text), context
                else:
                    yield question, None

    def contexts(self, questions: Sequence[Question]) -> list[Context]:
        """The context of each question, whatever context it has."""
        contexts: list[Context | None] = [None] * len(questions)
        waiting, depth = list(range(len(questions))), self.settings.k + _SPARE
        guards = [LeakGuard.of(question) for question in questions]
        texts, cuts = zip(*map(self._texts, questions), strict=True) if questions else ((), ())
        while waiting:
            hits = self._hits([texts[row] for row in waiting], depth)
            unsettled = []
            for row, of_question in zip(waiting, hits, strict=True):
                chosen, refused = self._admitted(of_question, guards[row])
                if len(chosen) < self.settings.k and len(of_question) >= depth and depth < len(self.index):
                    unsettled.append(row)  # too many of its hits were refused: look further down
                    continue
                context = assemble(chosen, self.settings.max_words, self.settings.order)
                contexts[row] = replace(context, refused=refused, cut=cuts[row])
            waiting, depth = unsettled, depth * 4
        return [context for context in contexts if context is not None]

    def _texts(self, question: Question) -> tuple[list[str], int]:
        """What the question is searched by, cut to what the encoder takes, and how many of the texts were cut."""
        encoder = self.index.encoder
        asked = queries(_readable(question), self.settings.query)
        if encoder is None:
            return [query.text for query in asked], 0
        pairs = [fitted(query, encoder.folder.max_tokens, encoder.count_tokens) for query in asked]
        return [query.text for query, _ in pairs], sum(cut for _, cut in pairs)

    def _hits(self, texts: Sequence[Sequence[str]], depth: int) -> list[list[Hit]]:
        """The best hits of each question; of several queries, each hit with its best score."""
        flat = [text for of_question in texts for text in of_question]
        if self._rerank is None:
            ranked = iter(self.index.search(flat, depth))
        else:
            ranked = iter(reranked(self.index, flat, depth, self._rerank))
        hits = []
        for of_question in texts:
            rankings = [next(ranked) for _ in of_question]
            hits.append(rankings[0] if len(rankings) == 1 else _best(rankings, depth))
        return hits

    def _admitted(self, hits: Sequence[Hit], guard: LeakGuard) -> tuple[list[tuple[Chunk, float]], int]:
        """The best k chunks that the guard lets through, each text once, and how many it refused among them."""
        chosen: list[tuple[Chunk, float]] = []
        forms: set[str] = set()
        refused = 0
        for hit in hits:
            if len(chosen) == self.settings.k:
                break
            chunk = self.index.chunk(hit.row)
            form = normal_form(chunk.text)
            if form in forms:
                continue
            if guard.refuses(chunk, *self.index.text_around(hit.row)):
                refused += 1
                continue
            forms.add(form)
            chosen.append((chunk, hit.score))
        return chosen, refused


def _readable(question: Question) -> Question:
    """The question without halves of surrogate pairs, which no tokenizer takes."""

    def clean(text: str) -> str:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    return replace(question, question=clean(question.question), options=tuple(map(clean, question.options)))


def _best(rankings: Sequence[Sequence[Hit]], depth: int) -> list[Hit]:
    """The hits of several queries as one list, each with its best score; equal scores by id.

    All scores are those of one retriever. Fusion by ranks would prefer a passage in the middle of every option's
    ranking to the one that is first for a single option, which is what such a query is for (docs/results/retrieval.md).
    """
    best: dict[int, Hit] = {}
    for hit in (hit for ranking in rankings for hit in ranking):
        if hit.row not in best or hit.score > best[hit.row].score:
            best[hit.row] = hit
    return sorted(best.values(), key=lambda hit: (-hit.score, hit.chunk_id))[:depth]
