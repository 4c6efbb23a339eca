"""One vector an option from its token states: which tokens count, and their mean.

Shape legend: B rows, T tokens, D hidden width, Q questions, N options, S tokens that count.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from llmtuner.data.option import OptionTokens, Span


def last(tokens: OptionTokens, option: int) -> Span:
    """The last token, the template's closing one: it has seen everything. For causal models."""
    length = len(tokens.sequences[option])
    return length - 1, length


def first(tokens: OptionTokens, option: int) -> Span:
    """The first token, as BERT's [CLS]; of a causal model it is the same for every option."""
    return 0, 1


def mean(tokens: OptionTokens, option: int) -> Span:
    """The option's whole sequence, context and question included."""
    return 0, len(tokens.sequences[option])


def own(tokens: OptionTokens, option: int) -> Span:
    """The option's own text; the last token stands in for a blank option."""
    begin, end = tokens.options[option]
    return (begin, end) if end > begin else last(tokens, option)


POOLINGS: dict[str, Callable[[OptionTokens, int], Span]] = {"last": last, "first": first, "mean": mean, "option": own}


def pool(hidden_BTD: torch.Tensor, rows_QN: torch.Tensor, tokens_QNS: torch.Tensor) -> torch.Tensor:
    """The mean of each option's states, in fp32: [Q, N, D], zeros where a question has fewer options.

    Args:
        rows_QN: the row in which an option stands.
        tokens_QNS: places in that row, -1 where there are fewer.
    """
    counts_QNS = tokens_QNS >= 0
    states_QNSD = hidden_BTD[rows_QN[..., None], tokens_QNS.clamp(min=0)].float()
    weights_QNS = counts_QNS / counts_QNS.sum(-1, keepdim=True).clamp(min=1)
    return (states_QNSD * weights_QNS[..., None]).sum(2)
