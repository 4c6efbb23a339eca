"""Prediction in stage sft also ranks the options by the letters' probabilities: MAP@3 and top-1, with the baselines.

Upstream: the name `CustomSeq2SeqTrainer` in `llamafactory.train.sft.workflow` (0.8.0 to 0.9.5); the patch extends its
`predict`, `save_metrics` and `save_predictions`. Generation gives one sampled text and no ranking; an extra forward
pass gives the probability of every letter. The files of a prediction are replaced together.
Can go when upstream reports option probabilities (requested in its issues 2829, 5000 and 9760, and declined).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from llmtuner.data.baselines import baselines_of
from llmtuner.data.prediction_files import replacing_prediction
from llmtuner.data.predictions import SUBMISSION, Prediction, write_predictions
from llmtuner.data.submission_check import require_sound
from llmtuner.data.tokens.joint import JointTokens
from llmtuner.mcq.bad_weights import blaming_bad_weights
from llmtuner.mcq.collate import Collator
from llmtuner.mcq.letter import plain_letter_scores
from llmtuner.mcq.predict import Scoring, as_predictions, figures_of, interval_of, score_questions
from llmtuner.mcq.questions import QuestionSet
from llmtuner.mcq.trained_places import FlagsOfRun
from llmtuner.metrics import scored_figure
from llmtuner.report.summary import print_scores
from llmtuner.runs.training import KeptTraining
from llmtuner.spec.heads import LETTERS
from llmtuner.spec.poolings import NONE
from patches.dataset_files import as_question
from patches.dataset_processor import SCORED
from patches.option_orders import OptionOrders
from patches.seam import Seam

SEAM = Seam(
    "llamafactory.train.sft.workflow",
    "CustomSeq2SeqTrainer",
    ("finetuning_args", "processor", "model_args", "gen_kwargs", "ref_model", "kwargs"),
)
RUNTIME = ("runtime", "samples_per_second", "steps_per_second", "model_preparation_time", "jit_compilation_time")
KEPT = (*RUNTIME, "mcq_option_orders")  # of a prediction without answers
SAMPLED = "2023's prefix match on generated text, which is sampled (--do_sample False takes the likeliest tokens)"
GREEDY = "2023's prefix match on generated text, the likeliest tokens"


def apply() -> None:
    """Put the subclass where the SFT workflow looks for its trainer."""
    SEAM.replace(_with_scores)


class FilesTogether:
    """Mixin placed before upstream's trainer class: the files of a prediction are replaced together."""

    args: Any
    _predictions: list[Prediction]

    def save_metrics(self, split: str, metrics: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        """Upstream's method; `save_predictions` writes the values of a prediction, together with its other files."""
        if split != "predict":
            super().save_metrics(split, metrics, *args, **kwargs)  # type: ignore[misc]

    def save_predictions(self, dataset: Any, predict_results: Any, *args: Any, **kwargs: Any) -> None:
        """Upstream's method, with the rankings and the values; upstream writes into the folder of new files."""
        if not self.is_world_process_zero():  # type: ignore[attr-defined]
            return
        output_dir = self.args.output_dir
        with replacing_prediction(output_dir, predict_results.metrics) as folder:
            self.args.output_dir = str(folder)
            try:
                super().save_predictions(dataset, predict_results, *args, **kwargs)  # type: ignore[misc]
            finally:
                self.args.output_dir = output_dir
            if self._predictions:
                write_predictions(self._predictions, folder)
        if self._predictions:
            print_scores(predict_results.metrics, output_dir)
            require_sound(Path(output_dir, SUBMISSION), self._predictions)


def _with_scores(upstream: type) -> type:
    class CustomSeq2SeqTrainer(FilesTogether, KeptTraining, upstream):
        def __init__(
            self, *args: Any, data_collator: Any = None, option_orders: OptionOrders | None = None, **kwargs: Any
        ) -> None:
            self._orders = option_orders
            super().__init__(*args, data_collator=_without_questions(data_collator), **kwargs)
            self._predictions: list[Prediction] = []
            if hasattr(self.compute_metrics, "labelled_only"):
                # A test set has no answers. Do not count them as empty labels that the text fails to match.
                self.compute_metrics.labelled_only = bool(_column(kwargs.get("eval_dataset"), SCORED))

        def predict(self, test_dataset: Any, *args: Any, **kwargs: Any) -> Any:
            rows = [row for row in _column(test_dataset, SCORED) if row is not None]
            with blaming_bad_weights(self.model):
                output = super().predict(test_dataset, *args, **kwargs)
            if not rows:
                return output
            prefix = kwargs.get("metric_key_prefix", "test")
            questions = _questions(rows, self._orders)
            self._predictions = as_predictions(questions.questions, self._score(questions))
            metrics = dict(output.metrics)
            sampled = bool(self._gen_kwargs.get("do_sample"))
            figures = _metrics(self._predictions, prefix, SAMPLED if sampled else GREEDY)
            if figures:
                flags = FlagsOfRun.among(self.callback_handler.callbacks)
                figures |= baselines_of(questions.questions, flags.places(), retrieved=flags.retrieves)
            scored = sum(prediction.answer is not None for prediction in self._predictions)
            figures |= scored_figure(scored, len(test_dataset), prefix)  # other data has no options to rank
            metrics |= figures
            if self._orders is not None:
                metrics["mcq_option_orders"] = self._orders.count
            if not figures:
                metrics = {k: v for k, v in metrics.items() if k.removeprefix(f"{prefix}_") in KEPT}
            return output._replace(metrics=metrics)

        def _score(self, questions: QuestionSet) -> list[tuple[float, ...]]:
            from accelerate.utils import gather_object

            scoring = Scoring(
                Collator("joint", NONE, self.processing_class.pad_token_id, reads=LETTERS),
                batch_size=self.args.per_device_eval_batch_size,
                rank=self.args.process_index,
                world=self.args.world_size,
                gather=gather_object if self.args.world_size > 1 else list,
                precision=self.compute_loss_context_manager,
                forward=plain_letter_scores,
                orders=1 if self._orders is None else self._orders.count,
            )
            return score_questions(self.model, questions, scoring)

    return CustomSeq2SeqTrainer


def _column(dataset: Any, name: str) -> list[Any]:
    return list(dataset[name]) if name in (getattr(dataset, "column_names", None) or []) else []


def _without_questions(collate: Callable[[list[dict[str, Any]]], Any]) -> Callable[[list[dict[str, Any]]], Any]:
    """Drop the questions: the collator turns every column into a tensor, which fails for questions."""

    def collate_tokens(features: list[dict[str, Any]]) -> Any:
        return collate([{k: v for k, v in feature.items() if k != SCORED} for feature in features])

    return collate_tokens


def _questions(rows: list[dict[str, Any]], orders: OptionOrders | None = None) -> QuestionSet:
    """The questions of scored rows with the tokens that upstream's processors had."""
    tokens = [JointTokens(**row["tokens"]) for row in rows]
    questions = [as_question(row["question"]) for row in rows]
    return QuestionSet.ready(questions, tokens, None if orders is None else orders.encode)


def _metrics(predictions: list[Prediction], prefix: str, meaning: str) -> dict[str, float | int | str]:
    """Every metric, and the interval of MAP@3.

    Top-1 accuracy gets its own name, because `accuracy` is the prefix match on generated text.
    """
    figures = figures_of(predictions)
    if not figures:
        return {}
    figures["top1_accuracy"] = figures.pop("accuracy")
    named = {f"{prefix}_{name}": value for name, value in figures.items()} | interval_of(predictions, prefix)
    return {**named, f"{prefix}_accuracy_is": meaning}
