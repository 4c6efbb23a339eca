"""A trained scorer of --stage mcq as a reranker: how well does each passage answer the query?

The query stands in the place of the question and passages in the place of its options; the scores are those of the
head before the softmax. Only a head whose score of an option does not depend on the other options can be used: with it,
the passages that share a batch change no score.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from llmtuner.data.question import MAX_OPTIONS, MIN_OPTIONS, Question
from llmtuner.errors import UserError
from llmtuner.files import sha256_of_json
from llmtuner.mcq.layouts import layout_of
from llmtuner.mcq.settings import CONFIG_NAME, McqSettings, read_settings
from llmtuner.retrieval.lengths import word_starts
from llmtuner.retrieval.queries import Query, fitted
from llmtuner.retrieval.rerankers import CROSS_ENCODERS, Reranker, Rerankers
from llmtuner.runs.adapter import is_adapter
from llmtuner.runs.base import below_of, merging_advised, model_folder, stored_base
from llmtuner.runs.weights import base_fingerprint, vocabulary_digest
from llmtuner.spec.heads import HEADS, STATES

if TYPE_CHECKING:  # imports torch
    from llmtuner.mcq.scorer import OptionScorer

_SHAPES = ("kind", "head", "layout", "pooling", "prompt", "cutoff_len")  # settings on which the scores depend
_SPARE = 4  # tokens: two texts side by side may have a few more than each of them alone
_SCORERS = [name for name, head in HEADS.items() if head.reads == STATES and not head.compares]


class ScorerReranker:
    """A reranker made of a scorer.

    Args:
        scorer: with a head that scores each option alone.

    Raises:
        UserError: its head compares the options, or scores something else.
    """

    def __init__(self, scorer: OptionScorer) -> None:
        _check(scorer.settings)
        self._scorer = scorer

    def __call__(self, query: str, passages: Sequence[str]) -> list[float]:
        """A score for each passage, as if it were an option of the question; larger is better.

        A pair that is longer than the scorer takes loses words from the middle of the query, as far as that takes more
        than half of the place, and then the end of the passage.

        Raises:
            RunError: a score is not finite.
        """
        query, texts = self._fitted(query, passages)
        parts = [texts[start : start + MAX_OPTIONS] for start in range(0, len(texts), MAX_OPTIONS)]
        # A question has two options at least; a passage alone is asked for twice.
        questions = [Question("", query, tuple(part) if len(part) >= MIN_OPTIONS else (*part, *part)) for part in parts]
        scored = self._scorer.raw_scores(questions)
        return [score for part, scores in zip(parts, scored, strict=True) for score in scores[: len(part)]]

    def _fitted(self, query: str, passages: Sequence[str]) -> tuple[str, list[str]]:
        limit, count = self._scorer.longest, self._count
        # A token holds one byte at least.
        if len(query.encode()) + max(len(passage.encode()) for passage in passages) < limit // 2:
            return query, list(passages)
        query = fitted(Query(query), limit // 2, count)[0].text
        (around,) = self._scorer.lengths([Question("", query, ("a", "b"))])
        room = max(1, limit - max(around) - _SPARE)
        return query, [_beginning(passage, room, self._count) for passage in passages]

    def _count(self, text: str) -> int:
        return len(self._scorer.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def _beginning(text: str, most: int, count: Callable[[str], int]) -> str:
    """The first words of a text, one at least, of at most so many tokens; found by bisection."""
    if count(text) <= most:
        return text
    ends = [*word_starts(text)][1:]
    low, high = 0, len(ends) - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if count(text[: ends[middle]]) <= most else (low, middle - 1)
    return text[: ends[low]].rstrip() if ends else text


def _check(settings: McqSettings) -> None:
    """Refuse a scorer whose scores of passages in different batches cannot be compared.

    Raises:
        UserError: with the reason.
    """
    head = HEADS[settings.head]
    if head.reads != STATES:
        reason = "which scores the language model's tokens, and has learned nothing about which text is right"
    elif layout_of(settings.layout).text != "option":
        reason = "in which an option's score depends on the other options of its prompt"
    elif head.compares:
        reason = "in which an option's score depends on the other options, so that passages could not be compared"
    else:
        return
    raise UserError(
        f"its head is {settings.head} in layout {settings.layout}, {reason}; give a scorer with the head "
        f"{' or '.join(_SCORERS)} and one row for each option, or a cross-encoder"
    )


def _digest(folder: str) -> str:
    """A digest of a scorer, or of a cross-encoder; the model is not loaded.

    Raises:
        UserError: the folder has neither, its files are damaged, or its head cannot rerank.
    """
    if not (Path(folder) / CONFIG_NAME).is_file():
        return CROSS_ENCODERS.digest(folder)
    with _named(folder):
        settings = read_settings(folder)
        assert settings is not None, "the file is there"
        _check(settings)
        places = [folder]
        if is_adapter(folder):
            base = model_folder(stored_base(folder))
            below = [below_of(name, folder, absolute=True) for name in settings.merged_adapters]
            places = [*([] if base is None else [str(base)]), *below, folder]
        stored = settings.to_json()
        weights = [[base_fingerprint(place), vocabulary_digest(place)] for place in places]
        return sha256_of_json([{name: stored.get(name) for name in _SHAPES}, weights])


def _load(folder: str) -> Reranker:
    """The reranker in a folder.

    Raises:
        UserError: it cannot be loaded.
    """
    if not (Path(folder) / CONFIG_NAME).is_file():
        return CROSS_ENCODERS.load(folder)
    import torch

    from llmtuner.mcq.scorer import load_scorer
    from llmtuner.retrieval.encoder import quiet

    with _named(folder), quiet():
        return ScorerReranker(load_scorer(folder, device="cuda" if torch.cuda.is_available() else "cpu"))


@contextmanager
def _named(folder: str) -> Iterator[None]:
    """Messages say that they are about the reranker; one whose base model has moved is merged with it first."""
    try:
        yield
    except UserError as error:
        message = merging_advised(str(error))
        raise UserError(f"`rerank` {folder}: {message.removeprefix(f'{folder}: ')}") from error


RERANKERS = Rerankers(_digest, _load)
