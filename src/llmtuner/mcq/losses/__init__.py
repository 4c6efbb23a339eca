"""One loss a file, behind a plain dictionary. Adding one: CONTRIBUTING.md.

A loss maps scores ``[Q, N]`` in fp32, answers ``[Q]`` and a mask ``[Q, N]`` of the options that exist to one number a
question, ``[Q]``; the trainer takes the mean over the questions of an optimizer step, however they are batched. Each
question has at least two options.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from llmtuner.mcq.losses.approx_map3 import approx_map3
from llmtuner.mcq.losses.binary import binary
from llmtuner.mcq.losses.cross_entropy import cross_entropy
from llmtuner.mcq.losses.expected_map3 import expected_map3
from llmtuner.mcq.losses.lambda_map3 import lambda_map3
from llmtuner.mcq.losses.log_expected_map3 import log_expected_map3
from llmtuner.mcq.losses.poly1 import poly1
from llmtuner.mcq.losses.ranknet import ranknet
from llmtuner.mcq.losses.topk_ce import topk_ce

Loss = Callable[..., torch.Tensor]

LOSSES: dict[str, Loss] = {
    "cross_entropy": cross_entropy,
    "binary": binary,
    "ranknet": ranknet,
    "lambda_map3": lambda_map3,
    "approx_map3": approx_map3,
    "expected_map3": expected_map3,
    "log_expected_map3": log_expected_map3,
    "poly1": poly1,
    "topk_ce": topk_ce,
}
