"""Prediction in stage sft also ranks the options: MAP@3 and top-1 from the letters' probabilities, with the floors.

Upstream: the name `CustomSeq2SeqTrainer` in `llamafactory.train.sft.workflow` (0.8.0 to 0.9.5), of which `predict` and
`save_predictions` are extended. Generation gives one sampled text and no ranking; a forward pass of its own gives every
letter's probability.
Can go when upstream reports option probabilities (asked for in its issues 2829, 5000 and 9760, and refused).
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any

from llmtuner.data.predictions import Prediction, write_predictions
from llmtuner.mcq.letter import LetterRow, score_letters
from llmtuner.metrics import accuracy, floors, map_at_k
from llmtuner.report.summary import print_scores
from patches.dataset_files import NO_ANSWER
from patches.dataset_processor import SCORED
from patches.seam import Seam

SEAM = Seam(
    "llamafactory.train.sft.workflow",
    "CustomSeq2SeqTrainer",
    ("finetuning_args", "processor", "model_args", "gen_kwargs", "ref_model", "kwargs"),
)
RUNTIME = ("runtime", "samples_per_second", "steps_per_second", "model_preparation_time", "jit_compilation_time")
SAMPLED = "2023's prefix match on generated text, which is sampled (--do_sample False takes the likeliest tokens)"
GREEDY = "2023's prefix match on generated text, the likeliest tokens"


def apply() -> None:
    """Put the subclass where the SFT workflow looks for its trainer."""
    SEAM.replace(_with_scores)


def _with_scores(upstream: type) -> type:
    class CustomSeq2SeqTrainer(upstream):
        def __init__(self, *args: Any, data_collator: Any = None, **kwargs: Any) -> None:
            super().__init__(*args, data_collator=_without_questions(data_collator), **kwargs)
            self._predictions: list[Prediction] = []
            if hasattr(self.compute_metrics, "labelled_only"):
                # A test set has no answers: they are no empty labels that the text fails to match.
                self.compute_metrics.labelled_only = bool(_column(kwargs.get("eval_dataset"), SCORED))

        def predict(self, test_dataset: Any, *args: Any, **kwargs: Any) -> Any:
            rows = [row for row in _column(test_dataset, SCORED) if row is not None]
            output = super().predict(test_dataset, *args, **kwargs)
            if not rows:
                return output
            prefix = kwargs.get("metric_key_prefix", "test")
            self._predictions = [_prediction(row, s) for row, s in zip(rows, self._score(rows), strict=True)]
            metrics = dict(output.metrics)
            sampled = bool(self._gen_kwargs.get("do_sample"))
            figures = _metrics(self._predictions, rows, prefix, SAMPLED if sampled else GREEDY)
            scored = sum(prediction.answer is not None for prediction in self._predictions)
            if 0 < scored < len(test_dataset):  # some without an answer, or other data, which has nothing to rank
                figures[f"{prefix}_scored_questions"] = scored
            metrics |= figures
            if not figures:
                metrics = {k: v for k, v in metrics.items() if k.removeprefix(f"{prefix}_") in RUNTIME}
            return output._replace(metrics=metrics)

        def _score(self, rows: list[dict[str, Any]]) -> list[tuple[float, ...]]:
            """Each process scores a slice of equal size, since sharded models need all of them in every pass."""
            import torch
            from accelerate.utils import gather_object

            share = ceil(len(rows) / self.args.world_size)
            first = self.args.process_index * share
            mine = [rows[i % len(rows)] for i in range(first, first + share)]
            self.model.eval()
            with self.compute_loss_context_manager(), torch.no_grad():
                scores = score_letters(
                    self.model,
                    [LetterRow(row["input_ids"], row["letter_ids"]) for row in mine],
                    batch_size=self.args.per_device_eval_batch_size,
                    pad_token_id=self.processing_class.pad_token_id,
                )
            return gather_object(scores)[: len(rows)]

        def save_predictions(self, dataset: Any, predict_results: Any, *args: Any, **kwargs: Any) -> None:
            super().save_predictions(dataset, predict_results, *args, **kwargs)
            if self._predictions and self.is_world_process_zero():
                write_predictions(self._predictions, self.args.output_dir)
                print_scores(predict_results.metrics, self.args.output_dir)

    return CustomSeq2SeqTrainer


def _column(dataset: Any, name: str) -> list[Any]:
    return list(dataset[name]) if name in (getattr(dataset, "column_names", None) or []) else []


def _without_questions(collate: Callable[[list[dict[str, Any]]], Any]) -> Callable[[list[dict[str, Any]]], Any]:
    """The collator makes tensors of every column; the questions are none."""

    def collate_tokens(features: list[dict[str, Any]]) -> Any:
        return collate([{k: v for k, v in feature.items() if k != SCORED} for feature in features])

    return collate_tokens


def _prediction(row: dict[str, Any], scores: tuple[float, ...]) -> Prediction:
    answer = None if row["answer"] == NO_ANSWER else row["answer"]
    return Prediction(id=row["id"], scores=tuple(scores), answer=answer, dataset=row["dataset"])


def _metrics(
    predictions: list[Prediction], rows: list[dict[str, Any]], prefix: str, meaning: str
) -> dict[str, float | int | str]:
    known = [(p, row) for p, row in zip(predictions, rows, strict=True) if p.answer is not None]
    if not known:
        return {}
    scores, answers = [p.scores for p, _ in known], [int(row["answer"]) for _, row in known]
    return {
        f"{prefix}_map@3": map_at_k(scores, answers),
        f"{prefix}_top1_accuracy": accuracy(scores, answers),
        f"{prefix}_accuracy_is": meaning,
        **floors([row["option_lengths"] for _, row in known], answers),
    }
