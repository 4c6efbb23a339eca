"""A second look at the best hits: a cross-encoder reads query and passage together.

A cross-encoder is a model with one output for a pair of texts. A scorer of --stage mcq is another kind of reranker
(llmtuner.mcq.rerank).

Source: Nogueira and Cho, "Passage re-ranking with BERT", arXiv:1901.04085.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from llmtuner.errors import UserError
from llmtuner.retrieval.encoder import quiet
from llmtuner.retrieval.encoder_folder import encoder_folder
from llmtuner.retrieval.queries import Query, fitted
from llmtuner.retrieval.search import Hit, Index, check_count

DEPTH = 50  # hits that are scored again; more if more are asked for
_PAIRS = 32  # in a batch


def reranked(
    index: Index, texts: Sequence[str], k: int, rerank: Callable[[str, Sequence[str]], Sequence[float]]
) -> list[list[Hit]]:
    """The k best of each text's hits by the reranker's scores; equal scores by id.

    Args:
        index: where the hits come from.
        texts: queries.
        k: how many hits to return for each.
        rerank: gives each passage (title in front) a score; any callable.

    Raises:
        UserError: k is below 1.
    """
    check_count(k)
    results = []
    for text, hits in zip(texts, index.search(texts, max(k, DEPTH)), strict=True):
        scores = rerank(text, [index.chunk(hit.row).titled for hit in hits]) if hits else []
        scored = [hit._replace(score=float(score)) for hit, score in zip(hits, scores, strict=True)]
        results.append(sorted(scored, key=lambda hit: (-hit.score, hit.chunk_id))[:k])
    return results


class CrossEncoder:
    """A reranker from a folder: AutoModelForSequenceClassification with one label, from safetensors.

    Args:
        folder: of the model.
        device: as for `Encoder`.

    Raises:
        UserError: the folder is no cross-encoder's, or is damaged.
    """

    def __init__(self, folder: str | os.PathLike[str], device: str | None = None) -> None:
        import torch

        files = encoder_folder(folder)
        self._most = files.max_tokens
        self._device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._tokenizer, model = _load(files.path)
        self._model = model.to(self._device).eval()

    def __call__(self, query: str, passages: Sequence[str]) -> list[float]:
        """A score for each passage.

        A pair that is too long loses words from the middle of the query, whose options stand at its end, as far as that
        takes more than half of the length; then the end of the passage.

        Raises:
            UserError: a score became NaN or Inf.
        """
        import torch

        query = self._fitted(query, passages)
        # A query of half of the length leaves room; one that cannot be cut so far loses its end.
        cut = "only_second" if self._count(query) < self._most - 1 else "longest_first"
        scores: list[float] = []
        for start in range(0, len(passages), _PAIRS):
            batch = list(passages[start : start + _PAIRS])
            inputs = self._tokenizer(
                [query] * len(batch), batch, truncation=cut, max_length=self._most, padding=True,
                return_tensors="pt",
            ).to(self._device)  # fmt: skip
            with torch.inference_mode():
                scores += self._model(**inputs).logits[:, 0].float().tolist()
        if not np.isfinite(scores).all():
            raise UserError("`rerank`: a score became NaN or Inf; the weights are damaged: copy the model again")
        return scores

    def _fitted(self, query: str, passages: Sequence[str]) -> str:
        size = self._count(query)
        if size <= self._most // 2 or all(size + self._count(passage) <= self._most for passage in passages):
            return query
        return fitted(Query(query), self._most // 2, self._count)[0].text

    def _count(self, text: str) -> int:
        """Tokens, special ones included."""
        return len(self._tokenizer(text, truncation=False, verbose=False)["input_ids"])


def _load(folder: Path) -> tuple[Any, Any]:
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    safe: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        labels = AutoConfig.from_pretrained(folder, **safe).num_labels
        if labels != 1:
            raise UserError(
                f"`rerank` {folder}: has {labels} labels, expected one; give the folder of a cross-encoder that was "
                "trained to rank"
            )
        tokenizer = AutoTokenizer.from_pretrained(folder, **safe)
        with quiet():
            model, loaded = AutoModelForSequenceClassification.from_pretrained(
                folder, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **safe
            )
    except UserError:
        raise
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        reason = str(error).strip().split("\n")[0]
        raise UserError(f"`rerank` {folder}: cannot be loaded: {reason}; give the folder of a cross-encoder") from error
    if loaded["missing_keys"]:
        raise UserError(
            f"`rerank` {folder}: its weights lack {sorted(loaded['missing_keys'])[0]}, so that its scores would be "
            "random; give the folder of a cross-encoder"
        )
    return tokenizer, model
