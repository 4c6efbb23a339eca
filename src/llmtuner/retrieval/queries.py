"""What a question is searched by, and how the hits of several retrievers become one list."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import fsum
from typing import Literal, TypeVar

from llmtuner.data.question import Question
from llmtuner.retrieval.lengths import word_starts

Name = TypeVar("Name", str, int)
QueryKind = Literal["all", "per_option", "prompt"]
_RANK = 60  # of the paper


@dataclass(frozen=True, slots=True)
class Query:
    """A text to search with.

    Args:
        prompt: the question's text.
        options: the texts of the options that are searched for.
    """

    prompt: str
    options: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The prompt, and each option on a line of its own; blank ones are left out."""
        return "\n".join(text for text in (self.prompt, *self.options) if text.strip())


def queries(question: Question, kind: QueryKind = "all") -> list[Query]:
    """The queries of a question; of "per_option", one for each option, in their order. The answer is not read."""
    if kind == "per_option":
        return [Query(question.question, (option,)) for option in question.options]
    return [Query(question.question, question.options if kind == "all" else ())]


def merged(rankings: Sequence[Sequence[Name]], k: int | None = None) -> list[tuple[Name, float]]:
    """The ids, or rows, of several rankings as one, by reciprocal rank: the sum of 1 / (60 + rank) over the rankings.

    Ranks count, and scores do not, because those of different retrievers cannot be compared.

    Source: Cormack, Clarke and Büttcher, "Reciprocal rank fusion outperforms Condorcet and individual rank learning
    methods" (SIGIR 2009).

    Args:
        rankings: ids, best first.
        k: how many to return; None for all.

    Returns:
        (id, score), best first; equal scores in the order of their ids.
    """
    parts: dict[Name, list[float]] = {}
    for ranking in rankings:
        for rank, name in enumerate(ranking, start=1):
            parts.setdefault(name, []).append(1 / (_RANK + rank))
    scores = [(name, fsum(each)) for name, each in parts.items()]
    return sorted(scores, key=lambda pair: (-pair[1], pair[0]))[:k]


def fitted(query: Query, most: int, count_tokens: Callable[[str], int]) -> tuple[Query, bool]:
    """A query that an encoder takes whole: words are cut from the middle of the prompt, where they say least.

    The beginning of a prompt names its subject, and its end says what is asked. Options are cut only if they do not fit
    without any prompt: all to the same number of words, from their middles.

    Args:
        most: tokens.
        count_tokens: the number of tokens of a text, special tokens included.

    Returns:
        (the query, whether it was cut)
    """
    if count_tokens(query.text) <= most:
        return query, False

    def without_middle(size: int) -> Query:
        return Query(_shortened(query.prompt, size), query.options)

    def without_prompt(size: int) -> Query:
        return Query("", tuple(_shortened(option, size) for option in query.options))

    size = _largest(lambda size: count_tokens(without_middle(size).text) <= most, (query.prompt,))
    if size:
        return without_middle(size), True
    size = _largest(lambda size: count_tokens(without_prompt(size).text) <= most, query.options)
    return without_prompt(max(size, 1)), True


def _largest(fits: Callable[[int], bool], texts: Iterable[str]) -> int:
    """The largest number of words that fits, by bisection; 0 if one does not."""
    low, high = 0, max((sum(1 for _ in word_starts(text)) for text in texts), default=0)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _shortened(text: str, size: int) -> str:
    """So many words of a text: the first half and the last half of them."""
    starts = list(word_starts(text))
    if len(starts) <= size:
        return text
    first = text[: starts[(size + 1) // 2]].rstrip()
    last = text[starts[len(starts) - size // 2] :] if size // 2 else ""
    return f"{first} {last}".strip()
