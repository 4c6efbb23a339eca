"""Texts become vectors of unit length, by any encoder that transformers' AutoModel loads.

Source: Reimers and Gurevych, Sentence-BERT, EMNLP 2019, arXiv:1908.10084; Wang et al., MiniLM, NeurIPS 2020,
arXiv:2002.10957.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmtuner.errors import UserError
from llmtuner.retrieval.encoder_folder import EncoderFolder

_TOKENS_PER_BATCH = 8192  # padding included
_TEXTS_PER_BATCH = 64


class Encoder:
    """An encoder, loaded.

    Args:
        folder: the files.
        device: "cpu", "cuda", ...; None for a GPU where there is one.

    Attributes:
        dimensions: of a vector.
        cut: how many texts were longer than the encoder takes, and lost their end.

    Raises:
        UserError: the model or its tokenizer cannot be loaded, weights are missing, or it has no padding token.
    """

    def __init__(self, folder: EncoderFolder, device: str | None = None) -> None:
        import torch

        self.folder = folder
        self.cut = 0
        self._device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._tokenizer, self._model = _load(folder)
        self._model.to(self._device)
        self.dimensions = int(self.encode([""]).shape[1])

    def count_tokens(self, text: str) -> int:
        """The number of tokens of a text, special tokens included; as long as it would be without a cut."""
        return len(self._tokenizer(text, truncation=False, verbose=False)["input_ids"])

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of unit length: float32 [texts, dimensions]; texts of about the same length share a batch.

        Raises:
            UserError: a vector became NaN or Inf, or zero.
        """
        ids = self._ids(texts)
        order = sorted(range(len(ids)), key=lambda row: (-len(ids[row]), row))
        rows: list[int] = []
        parts = []
        start = 0
        while start < len(order):
            longest = len(ids[order[start]])
            size = max(1, min(_TEXTS_PER_BATCH, _TOKENS_PER_BATCH // max(1, longest)))
            batch = order[start : start + size]
            parts.append(self._vectors([ids[row] for row in batch]))
            rows += batch
            start += size
        vectors_ND = np.empty((len(rows), parts[0].shape[1] if parts else self.dimensions), np.float32)
        if parts:
            vectors_ND[rows] = np.concatenate(parts)
        if not np.isfinite(vectors_ND).all():
            raise UserError(
                f"{self.folder.path}: its vectors became NaN or Inf; the weights are damaged: copy them again"
            )
        return vectors_ND

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        if not texts:
            return []
        # A lone surrogate is no text for a tokenizer.
        clean = [text.encode("utf-8", "replace").decode() for text in texts]
        most = self.folder.max_tokens
        ids: list[list[int]] = self._tokenizer(clean, truncation=True, max_length=most, verbose=False)["input_ids"]
        for text, tokens in zip(clean, ids, strict=True):
            # Only a text of full length may have lost something.
            self.cut += len(tokens) == most and self.count_tokens(text) > most
        return ids

    def _vectors(self, ids: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        import torch

        longest = max(map(len, ids))
        tokens_BL = torch.full((len(ids), longest), self._tokenizer.pad_token_id)
        mask_BL = torch.zeros((len(ids), longest), dtype=torch.long)
        for row, tokens in enumerate(ids):
            tokens_BL[row, : len(tokens)] = torch.tensor(tokens)
            mask_BL[row, : len(tokens)] = 1
        tokens_BL, mask_BL = tokens_BL.to(self._device), mask_BL.to(self._device)
        with torch.inference_mode():
            states_BLD = self._model(input_ids=tokens_BL, attention_mask=mask_BL).last_hidden_state.float()
            if self.folder.pooling == "cls":
                pooled_BD = states_BLD[:, 0]
            else:
                weights_BL1 = mask_BL[..., None].float()
                pooled_BD = (states_BLD * weights_BL1).sum(1) / weights_BL1.sum(1).clamp(min=1)
            unit_BD = torch.nn.functional.normalize(pooled_BD, dim=-1)
        result: NDArray[np.float32] = unit_BD.cpu().numpy()
        return result


def _load(folder: EncoderFolder) -> tuple[Any, Any]:
    """Tokenizer and model; never code of the folder, never a pickle."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    safe: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder.path, **safe)
        with quiet():
            model, loaded = AutoModel.from_pretrained(
                folder.path, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **safe
            )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        reason = str(error).strip().split("\n")[0]
        raise UserError(f"{folder.path}: cannot be loaded as an encoder: {reason}; give another folder") from error
    missing = sorted(name for name in loaded["missing_keys"] if "pooler." not in name)
    if missing:
        raise UserError(
            f"{folder.path}: its weights lack {missing[0]}"
            f"{f' and {len(missing) - 1} more' if len(missing) > 1 else ''}, so that its vectors would be random; copy "
            "the model again"
        )
    if tokenizer.pad_token_id is None:
        raise UserError(
            f"{folder.path}: its tokenizer has no padding token, so it is no encoder of texts; give another"
        )
    return tokenizer, model.eval()


@contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' progress bar and remarks on weights, which are checked here."""
    from transformers.utils import logging

    verbosity, has_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if has_bar:
            logging.enable_progress_bar()
