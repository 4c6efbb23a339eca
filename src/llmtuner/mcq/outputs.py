"""What a model with a head returns.

Shape legend: Q questions, N options.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers.utils import ModelOutput


@dataclass
class Scores(ModelOutput):
    """Scores ``[Q, N]`` in fp32, and ``mask [Q, N]``, true where a question has an option that can be scored.

    ``sums [Q, N]``: log-probabilities of the options' texts, from the likelihood head only.
    """

    scores: torch.Tensor | None = None
    mask: torch.Tensor | None = None
    sums: torch.Tensor | None = None
