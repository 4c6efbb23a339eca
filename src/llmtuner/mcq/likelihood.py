"""Scores options by the log-probability of their own text, token by token, from the language model's logits.

Source: scoring by likelihood, Brown et al., 2020 (docs/sources.md).

Logits are computed at the tokens before each token of an option's text, and nowhere else: [B, T, V] would be the
largest tensor of the pass. Chunks of them are computed one after the other, and in training computed again.

Shape legend: B rows of a batch, T tokens, D hidden width, V vocabulary, Q questions, N options, S tokens of an option's
text, P tokens of all options' texts.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from llmtuner.mcq.lm_head import forward_replaced, linear_in_fp32, plain_head
from llmtuner.mcq.model import READS, backbone_of, backbone_output, text_config
from llmtuner.mcq.outputs import Scores

CHUNK = 32_000_000  # logits at a time: 128 MB in fp32


def likelihood_scores(model: Any, inputs: dict[str, Any]) -> Scores:
    """The likelihood head, for a model that `llmtuner.mcq.model.attach_head` has prepared.

    Args:
        inputs: a batch as `llmtuner.mcq.collate.Collator` makes it for this head.

    Returns:
        scores: the sums over the norm's divisors; options without tokens are masked out
    """
    output = backbone_output(model, **{name: inputs[name] for name in READS})
    targets_QNS = inputs["target_ids"]
    has_token_QNS = targets_QNS >= 0
    rows_QNS = inputs["pool_rows"][..., None].expand_as(targets_QNS)
    states_PD = output.last_hidden_state[rows_QNS[has_token_QNS], inputs["predict_tokens"][has_token_QNS]]
    log_p_P = token_log_probabilities(model, states_PD, targets_QNS[has_token_QNS], type(output))
    log_p_QNS = log_p_P.new_zeros(targets_QNS.shape).masked_scatter(has_token_QNS, log_p_P)
    sums_QN = log_p_QNS.sum(-1)
    return Scores(sums_QN / inputs["divisors"], inputs["mask"] & has_token_QNS.any(-1), sums_QN)


def token_log_probabilities(
    model: Any, states_PD: torch.Tensor, targets_P: torch.Tensor, make_output: Callable[..., Any]
) -> torch.Tensor:
    """The fp32 log-probability of each target after its state: [P]. Gradients flow.

    The model's own forward runs on the states, so what it does to its logits after the head (soft-capping in Gemma 2,
    scaling in Cohere and Granite) happens here, too.

    Args:
        states_PD: last hidden states of the backbone.
        make_output: the class of the backbone's output.
    """
    head = plain_head(model)
    if head is None:
        compute = partial(_log_probabilities, model, make_output, None)
    else:
        # Once for all chunks; a weight in fp32 is not copied.
        bias = None if head.bias is None else head.bias.float()
        compute = partial(_log_probabilities, model, make_output, linear_in_fp32(head.weight.float(), bias))
    rows = max(1, CHUNK // text_config(model).vocab_size)
    parts = zip(states_PD.split(rows), targets_P.split(rows), strict=True)
    if torch.is_grad_enabled():
        # Otherwise the logits of every chunk would be stored for the backward pass.
        compute = partial(checkpoint, compute, use_reentrant=False, preserve_rng_state=False)
    return torch.cat([compute(states, targets) for states, targets in parts])


def _log_probabilities(
    model: Any,
    make_output: Callable[..., Any],
    head_forward: Callable[[torch.Tensor], torch.Tensor] | None,
    states_RD: torch.Tensor,
    targets_R: torch.Tensor,
) -> torch.Tensor:
    """The log-probabilities of one chunk of R states: [R]."""
    head = model.get_output_embeddings()

    def states(*_: Any, **__: Any) -> Any:
        return make_output(last_hidden_state=states_RD[:, None])

    ids_R1 = torch.zeros_like(targets_R)[:, None]  # rows of one token: nothing reads them
    in_fp32 = nullcontext() if head_forward is None else forward_replaced(head, head_forward)
    with forward_replaced(backbone_of(model), states), in_fp32:
        logits_R1V = type(model).forward(model, input_ids=ids_R1, use_cache=False).logits
    with torch.autocast(logits_R1V.device.type, enabled=False):
        return -functional.cross_entropy(logits_R1V[:, 0].float(), targets_R.to(logits_R1V.device), reduction="none")
