"""predict_accuracy as defined in summer 2023: the generated text begins with the label.

Upstream: the name `ComputeSimilarity` in `llamafactory.train.sft.workflow` (0.8.0 to 0.9.5). It had this accuracy from
v0.1.1 to v0.1.6 and lost it in an unrelated commit; the notes' 0.36 is this figure.
Can go when upstream reports an accuracy of generated text.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np

from patches.seam import Seam

SEAM = Seam("llamafactory.train.sft.workflow", "ComputeSimilarity", ("tokenizer",))


def apply() -> None:
    """Put the subclass where the SFT workflow looks for its metric."""
    import jieba

    jieba.setLogLevel(logging.WARNING)  # otherwise it prints four lines about its dictionary
    SEAM.replace(_with_accuracy)


def prefix_match(prediction: str, label: str) -> float:
    """1.0 if the generated text begins with the label and the label is not empty.

    Whitespace around both is ignored: some templates end an answer with a line break, which only the label has.
    """
    return float(bool(label.strip()) and prediction.lstrip().startswith(label.strip()))


def _with_accuracy(upstream: type) -> type:
    from llamafactory.extras.constants import IGNORE_INDEX

    @dataclass
    class ComputeSimilarity(upstream):
        labelled_only = False  # set for questions: a test set may have answers for all, some or none

        def _dump(self) -> dict[str, float] | None:
            given = {name: values for name, values in getattr(self, "score_dict", {}).items() if values}
            unused = getattr(self, "score_dict", {}).keys() - given.keys()
            if hasattr(self, "score_dict"):
                self.score_dict = given
            result = super()._dump()
            self.score_dict["accuracy"] = []
            # No labels, so no mean: report no figure.
            return None if result is None else {k: v for k, v in result.items() if k not in unused}

        def __call__(self, eval_preds: Any, compute_result: bool = True) -> dict[str, float] | None:
            predictions, labels = (self._decode(ids) for ids in (eval_preds.predictions, eval_preds.label_ids))
            labelled = [row for row, label in enumerate(labels) if label.strip() or not self.labelled_only]
            self.score_dict["accuracy"] += [prefix_match(predictions[row], labels[row]) for row in labelled]
            if labelled:
                rows = type(eval_preds)(eval_preds.predictions[labelled], eval_preds.label_ids[labelled])
                super().__call__(rows, compute_result=False)
            return self._dump() if compute_result else None

        def _decode(self, ids: Any) -> list[str]:
            known = np.where(np.asarray(ids) != IGNORE_INDEX, ids, self.tokenizer.pad_token_id)
            return self.tokenizer.batch_decode(known, skip_special_tokens=True)

    return ComputeSimilarity
