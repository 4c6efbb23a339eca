"""One loss per file, declared in `llmtuner.spec.losses`. Adding one: CONTRIBUTING.md.

A loss maps scores ``[Q, N]`` in fp32, answers ``[Q]`` and a mask ``[Q, N]`` of the options that exist to one number per
question, ``[Q]``. The trainer takes the mean over the questions of an optimizer step, however they are batched. Of a
question's options, one alone may exist: the likelihood head cannot score blank ones.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from llmtuner.spec import losses as spec

Loss = Callable[..., torch.Tensor]

LOSSES: dict[str, Loss] = {name: loss.load() for name, loss in spec.LOSSES.items()}
