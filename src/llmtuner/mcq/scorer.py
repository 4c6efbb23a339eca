"""Scores questions with a trained model: the engine's Python interface."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from llmtuner.data.predictions import Prediction
from llmtuner.data.question import Question
from llmtuner.data.tokens.coverage import check_tokenizer
from llmtuner.data.trained import TrainedQuestions
from llmtuner.errors import DataError, UserError
from llmtuner.mcq.adapter_fit import check_fit
from llmtuner.mcq.attention import finite_gradients
from llmtuner.mcq.checkpoint import check_base, check_head, completed, describe_base, fitting, load_head
from llmtuner.mcq.collate import Collator
from llmtuner.mcq.device import check_device, check_dtype
from llmtuner.mcq.embeddings import grow_embeddings
from llmtuner.mcq.encoding import stored_encoder
from llmtuner.mcq.fields import check_field
from llmtuner.mcq.folders import check_model_folder
from llmtuner.mcq.layouts import layout_of
from llmtuner.mcq.model import HEAD, attach_head
from llmtuner.mcq.packing import settle_layout
from llmtuner.mcq.predict import Scoring, predict_questions, score_questions
from llmtuner.mcq.prompts import refuse_scored_shots
from llmtuner.mcq.questions import QuestionSet
from llmtuner.mcq.run import CUTOFF_LEN, check_option_orders
from llmtuner.mcq.settings import CONFIG_NAME, McqSettings, read_settings, write_settings
from llmtuner.mcq.unwrap import unwrap
from llmtuner.mcq.whole import load_whole
from llmtuner.runs.adapter import check_adapter_files, check_random_start, is_adapter
from llmtuner.runs.base import below_of, check_lower_adapters, check_same_base, is_hub_name, stored_base
from llmtuner.runs.checkpoints import holds_run
from llmtuner.runs.intact import require_intact, warn_unless_intact, write_training
from llmtuner.runs.manifest import MERGED_TRAINING, Manifest, manifest_or_merged
from llmtuner.runs.trained import trained_in
from llmtuner.spec.heads import HEADS
from llmtuner.spec.model_files import VOCABULARY_FILES

logger = logging.getLogger("llmtuner.mcq")
# Two ordinary questions for comparing both layouts when a scorer is made.
_PASSAGE = "Water boils at a lower temperature on a mountain, since the pressure of the air is lower there than at sea."
SAMPLES = (
    Question(
        "1", "What boils on a mountain?", ("Water", "The pressure of the air", "The sea itself"), context=_PASSAGE
    ),
    Question("2", "Where does water boil at the lowest temperature?", ("On a mountain", "At sea", "On a low island")),
)


class OptionScorer:
    """Scores the options of questions with a loaded model.

    Args:
        model: with a trained head attached (`load_scorer` does that).
        tokenizer: the model's.
        settings: as stored with the model.
        cutoff_len: the most tokens of a question, as in training unless given. The end of its context is cut, and only
            if that is not enough, the beginning of the question.
        option_orders: cyclic orders of the options that scores of joint prompts are averaged over, at most.
        allow_unknown_tokens: whether a tokenizer that cannot read the questions only gives a warning.
        training: the manifest of the training that the model comes from; None if it had none.
        trained: the questions that it was trained on; None if they are not known.

    Attributes:
        settings: with the layout that the model really takes.
        notices: lines for the user, for example why the layout differs from the stored one.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        settings: McqSettings,
        *,
        cutoff_len: int | None = None,
        option_orders: int = 1,
        allow_unknown_tokens: bool = False,
        training: Manifest | None = None,
        trained: TrainedQuestions | None = None,
    ) -> None:
        check_option_orders(option_orders, settings)
        self._orders = option_orders
        self.model, self.tokenizer, self._allow_unknown = model.eval(), tokenizer, allow_unknown_tokens
        self._training, self._trained = training, trained
        limit = (settings.cutoff_len or CUTOFF_LEN) if cutoff_len is None else cutoff_len
        check_field("cutoff_len", limit)
        config, where = unwrap(model).config, str(unwrap(model).name_or_path)
        self._encoder = stored_encoder(settings, tokenizer, config, cutoff_len=limit, where=where)
        self._pad_token_id = tokenizer.pad_token_id or 0
        samples = QuestionSet(SAMPLES, self._encoder).tokens if layout_of(settings.layout).packed else []
        self.settings, self.notices = settle_layout(model, settings, samples, self._pad_token_id)
        if settings.retrieve:
            self.notices += (
                f"trained with contexts from the index {settings.retrieve.get('index')}: this scorer searches nothing; "
                "give the questions their contexts first (docs/retrieval.md)",
            )

    def score(
        self, questions: Sequence[Question], *, batch_size: int = 8, tokens_per_batch: int | None = None
    ) -> list[Prediction]:
        """Scores, probabilities and ranking of each question, in the order of the questions.

        A warning says which contexts and questions were cut.

        Args:
            batch_size: questions per forward pass; each order of one counts by itself.
            tokens_per_batch: padded tokens per forward pass, instead of the batch size.

        Raises:
            RunError: a score is not finite.
            DataError: a question has a number of options that cannot be scored, an option gives no tokens, or the
                tokenizer cannot read the questions; a question is one of the model's shots.
        """
        if batch_size < 1 or (tokens_per_batch is not None and tokens_per_batch < 1):
            raise UserError(f"batch_size {batch_size}, tokens_per_batch {tokens_per_batch}: expected at least 1")
        _check_questions(questions, self.settings)
        for line in check_tokenizer(self.tokenizer, questions, allow=self._allow_unknown):
            logger.warning(line)
        encoded, lines = QuestionSet(questions, self._encoder).fitted(
            self._encoder.cutoff_len, training=False, drop=False
        )
        for line in lines:
            logger.warning(line)
        scoring = Scoring(
            self._collator,
            batch_size=batch_size,
            tokens_per_batch=tokens_per_batch,
            orders=self._orders,
            notice=logger.info,
        )
        with finite_gradients(unwrap(self.model)):
            return predict_questions(self.model, encoded, scoring)

    @property
    def longest(self) -> int:
        """The most tokens of a question with one option that the model takes as they are."""
        return min(filter(None, (self._encoder.cutoff_len, self._encoder.positions)))

    def lengths(self, questions: Sequence[Question]) -> list[list[int]]:
        """The tokens of each question with each of its options, after a long one was cut."""
        tokens = QuestionSet(questions, self._encoder).tokens
        return [list(map(len, each.sequences)) for each in tokens]

    def raw_scores(self, questions: Sequence[Question], *, batch_size: int = 8) -> list[tuple[float, ...]]:
        """Scores of each question's options before the softmax, without a look at how well the tokenizer reads them.

        Raises:
            RunError: a score is not finite.
            DataError: an option gives no tokens, or the model has no positions for one.
        """
        encoded = QuestionSet(questions, self._encoder)
        encoded.require_positions()
        with finite_gradients(unwrap(self.model)):
            return score_questions(self.model, encoded, Scoring(self._collator, batch_size=batch_size))

    @property
    def _collator(self) -> Collator:
        return Collator.of(self.settings, self._pad_token_id)

    def save(self, folder: str | Path) -> None:
        """Save model, head, tokenizer and settings as one whole model, which `load_scorer` reads.

        The record of its training and of its files is written last: damage and questions that were trained on are
        noticed as in the folder of a training. An earlier save or merge in the folder is replaced.

        Raises:
            UserError: the model has adapters that are not merged, or the folder holds a training or another model.
        """
        folder = Path(folder)
        if holds_run(folder) and not (folder / MERGED_TRAINING).is_file():
            raise UserError(f"{folder} holds a training or a model that this would overwrite; choose another folder")
        if unwrap(self.model) is not self.model:
            raise UserError(
                "the adapters are not merged, and only the trainer saves such a model; load it with load_scorer"
            )
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        # The adapters before the last one are part of the merged weights, and so are the rows of added tokens.
        base = describe_base(self.model.config)
        write_settings(self.settings.with_(merged_adapters=(), vocabulary={}, base=base), folder)
        write_training(self._training, self._trained, folder)


def load_scorer(
    folder: str | Path,
    *,
    base_model: str | None = None,
    allow_other_base: bool = False,
    device: str | torch.device = "cpu",
    dtype: str | torch.dtype = "auto",
    cutoff_len: int | None = None,
    option_orders: int = 1,
    trust_remote_code: bool = False,
    allow_unknown_tokens: bool = False,
) -> OptionScorer:
    """Load a trained multiple-choice model.

    Args:
        folder: a training's output folder, with an adapter or a whole model.
        base_model: an adapter's base model, if it has moved since training.
        allow_other_base: accept another base model than the adapter was trained on.
        dtype: of the backbone; scores are always fp32.
        option_orders: cyclic orders of the options that scores of joint prompts are averaged over, at most.
        allow_unknown_tokens: whether a tokenizer that cannot read the questions only gives a warning.

    Raises:
        UserError: the folder has no trained head, or one that does not fit the base model; files are damaged, or
            weights are missing; torch cannot use the device, or has no such type.
    """
    from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

    check_device(device)
    check_dtype(dtype)
    settings = _stored_settings(folder)
    adapters, place = _checked_folders(folder, settings, base_model, allow_other=allow_other_base)
    has_weights, loader = HEADS[settings.head].pools, AutoModel if settings.kind == "encoder" else AutoModelForCausalLM
    if Path(place).is_dir():
        warn_unless_intact(Path(place))
        check_model_folder(place, trust_remote_code=trust_remote_code)
    source = folder if any((Path(folder) / name).is_file() for name in VOCABULARY_FILES) else place
    tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=trust_remote_code)
    more = {"dtype": dtype, "trust_remote_code": trust_remote_code, "use_safetensors": True}
    model = load_whole(loader.from_pretrained, place, scores_tokens=not has_weights, **more)
    check_base(settings, model.config, str(folder))
    if adapters:
        tokens = len(tokenizer) if settings.vocabulary else 0
        grow_embeddings(model, adapters, tokens=tokens, scores_tokens=not has_weights)
    attach_head(model.to(device), settings)
    with fitting([str(folder)], place):
        model = _with_weights(model, folder, settings, adapters)
    return OptionScorer(
        model,
        tokenizer,
        settings,
        cutoff_len=cutoff_len,
        option_orders=option_orders,
        allow_unknown_tokens=allow_unknown_tokens,
        training=manifest_or_merged(folder),
        trained=trained_in(folder),
    )


def check_scorable(folder: str | Path, questions: Sequence[Question]) -> None:
    """Whether a trained model can be loaded and takes the questions, as far as is known without loading it.

    Raises:
        UserError: as `load_scorer` and its scorer's `score` raise it.
    """
    settings = _stored_settings(folder)
    _, place = _checked_folders(folder, settings, None, allow_other=False)
    if Path(place).is_dir():
        require_intact(Path(place))
        check_model_folder(place)
    _check_questions(questions, settings)


def _stored_settings(folder: str | Path) -> McqSettings:
    settings = read_settings(folder)
    if settings is None:
        raise UserError(f"{folder}: no {CONFIG_NAME} in it; expected the output folder of a --stage mcq training")
    return settings


def _check_questions(questions: Sequence[Question], settings: McqSettings) -> None:
    fixed = settings.num_options
    for question in questions:
        count = len(question.options)
        if fixed not in (None, count):
            raise DataError(f"question {question.shown_id}: {count} options, and this model scores {fixed}")
    refuse_scored_shots(questions, settings.prompt)


def _checked_folders(
    folder: str | Path, settings: McqSettings, base_model: str | None, *, allow_other: bool
) -> tuple[tuple[str, ...], str]:
    """The adapters of a folder, which belong to their base model, and the folder or name of that; or the model's."""
    adapters = _adapters(folder, settings)
    if not adapters:
        return (), str(folder)
    place = base_model or stored_base(folder)
    if not Path(place).is_dir() and not is_hub_name(place):
        raise UserError(f"base_model {place}: no such folder")
    _check_adapters(adapters, place, allow_other=allow_other)
    return adapters, place


def _check_adapters(adapters: Sequence[str], base_model: str, *, allow_other: bool) -> None:
    check_lower_adapters(adapters, allow_other=allow_other)
    for adapter in adapters:
        warn_unless_intact(Path(adapter))
        check_adapter_files(adapter)
        check_random_start(adapter)
        check_same_base(adapter, base_model, allow_other=allow_other)


def _adapters(folder: str | Path, settings: McqSettings) -> tuple[str, ...]:
    """All adapters of a folder, those below the last one first; () for a whole model.

    Raises:
        UserError: one of those below is not there any more.
    """
    if not is_adapter(folder):
        return ()
    return (*(below_of(name, folder, absolute=True) for name in settings.merged_adapters), str(folder))


def _with_weights(model: Any, folder: str | Path, settings: McqSettings, adapters: Sequence[str]) -> Any:
    has_weights = HEADS[settings.head].pools
    if not adapters:
        if has_weights:
            load_head(model, folder)
        return model
    for adapter in adapters:
        check_fit(model, adapter)
    if not has_weights:
        return _merged(model, adapters)
    head = getattr(model, HEAD)
    check_head(folder, head)
    with completed(adapters, head) as folders:
        return _merged(model, folders)


def _merged(model: Any, adapters: Sequence[str]) -> Any:
    from peft import PeftModel

    for adapter in adapters:
        model = PeftModel.from_pretrained(model, adapter).merge_and_unload()
    return model
