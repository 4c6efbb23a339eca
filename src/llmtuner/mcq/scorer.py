"""A trained model as an object that scores questions: the engine's interface for Python."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from llmtuner.data.predictions import Prediction
from llmtuner.data.question import MAX_OPTIONS, MIN_OPTIONS, Question
from llmtuner.data.tokens.form import make_encoder
from llmtuner.data.tokens.option import OptionTokens
from llmtuner.errors import DataError, UserError
from llmtuner.mcq.attention import choose_attention, keep_soft_cap
from llmtuner.mcq.check import CHECKED, check_packing
from llmtuner.mcq.checkpoint import check_base, check_head, completed, load_head, require_safetensors
from llmtuner.mcq.collate import Collator
from llmtuner.mcq.model import HEAD, attach_head, position_limit, unwrap
from llmtuner.mcq.predict import Scoring, as_predictions, score_questions
from llmtuner.mcq.questions import QuestionSet
from llmtuner.mcq.settings import CONFIG_NAME, McqSettings, read_settings

logger = logging.getLogger("llmtuner.mcq")


class OptionScorer:
    """Scores the options of questions with a loaded model.

    Args:
        model: with a trained head attached (`load_scorer` does that).
        tokenizer: the model's.
        settings: as stored with the model.
        cutoff_len: tokens of a question at most, as in training unless given; only the end of its context is cut.
    """

    def __init__(self, model: Any, tokenizer: Any, settings: McqSettings, *, cutoff_len: int | None = None) -> None:
        self.model, self.tokenizer, self.settings = model.eval(), tokenizer, settings
        limit = cutoff_len or settings.cutoff_len or 2048
        if settings.kind == "encoder":
            limit = min(limit, position_limit(model.config, tokenizer))
        else:
            keep_soft_cap(unwrap(model))
        self._encoder = make_encoder(
            tokenizer,
            pairs=settings.kind == "encoder",
            joint=settings.layout == "joint",
            cutoff_len=limit,
            stored=settings.prompt,
        )
        self._checked = settings.layout != "shared_prefix"
        if not self._checked:
            choose_attention(unwrap(model))

    def score(
        self, questions: Sequence[Question], *, batch_size: int = 8, tokens_per_batch: int | None = None
    ) -> list[Prediction]:
        """Scores, probabilities and ranking of each question, in their order.

        Args:
            batch_size: questions a forward pass.
            tokens_per_batch: padded tokens a forward pass, in place of the batch size.

        Raises:
            RunError: a score is not finite.
            DataError: a question has a number of options that cannot be scored, or an option gives no tokens.
        """
        for question in questions:
            count, fixed = len(question.options), self.settings.num_options
            if not MIN_OPTIONS <= count <= MAX_OPTIONS or fixed not in (None, count):
                wanted = fixed or f"{MIN_OPTIONS} to {MAX_OPTIONS}"
                raise DataError(f"question {question.id}: {count} options, and this model scores {wanted}")
        encoded = QuestionSet(questions, self._encoder)
        if not self._checked and questions:
            self._check(encoded)
        collator = Collator.of(self.settings, self.tokenizer.pad_token_id or 0)
        scoring = Scoring(collator, batch_size=batch_size, tokens_per_batch=tokens_per_batch)
        return as_predictions(questions, score_questions(self.model, encoded, scoring))

    def _check(self, encoded: QuestionSet) -> None:
        """Packed rows are kept where they give what one row an option gives."""
        first = [tokens for tokens in encoded.tokens[:CHECKED] if isinstance(tokens, OptionTokens)]
        check = check_packing(self.model, first, self.settings.pooling, self.tokenizer.pad_token_id or 0)
        if check.notice:
            logger.info(check.notice)
        if check.defect:
            logger.warning("layout: per_option, since this model cannot take shared_prefix: %s", check.defect)
            self.settings = self.settings.with_(layout="per_option")
        self._checked = True


def load_scorer(
    folder: str | Path,
    *,
    base_model: str | None = None,
    device: str | torch.device = "cpu",
    dtype: str | torch.dtype = "auto",
    cutoff_len: int | None = None,
    trust_remote_code: bool = False,
) -> OptionScorer:
    """Load what a --stage mcq training left.

    Args:
        folder: its --output_dir, an adapter or a whole model.
        base_model: of an adapter, where it is not where the training found it.
        dtype: of the backbone; scores are fp32 in any case.

    Raises:
        UserError: no trained head in the folder, or one that does not fit the base model.
    """
    from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

    settings = read_settings(folder)
    if settings is None:
        raise UserError(f"{folder}: no {CONFIG_NAME} in it; expected the --output_dir of a --stage mcq training")
    adapter = Path(folder) / "adapter_config.json"
    if adapter.is_file():
        base_model = base_model or json.loads(adapter.read_text(encoding="utf-8"))["base_model_name_or_path"]
    loader = AutoModel if settings.kind == "encoder" else AutoModelForCausalLM
    model = loader.from_pretrained(
        base_model or folder, dtype=dtype, trust_remote_code=trust_remote_code, use_safetensors=True
    )
    check_base(settings, model.config, str(folder))
    attach_head(model.to(device), settings)
    model = _with_weights(model, folder, settings, is_adapter=adapter.is_file())
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
    return OptionScorer(model, tokenizer, settings, cutoff_len=cutoff_len)


def _with_weights(model: Any, folder: str | Path, settings: McqSettings, *, is_adapter: bool) -> Any:
    if not is_adapter:
        if settings.head != "letter":
            load_head(model, folder)
        return model
    paths = (*settings.merged_adapters, str(folder))
    for path in paths:
        require_safetensors(path)
    if settings.head == "letter":
        return _merged(model, paths)
    head = getattr(model, HEAD)
    check_head(folder, head)
    with completed(paths, head) as folders:
        return _merged(model, folders)


def _merged(model: Any, adapters: Sequence[str]) -> Any:
    from peft import PeftModel

    for adapter in adapters:
        model = PeftModel.from_pretrained(model, adapter).merge_and_unload()
    return model
