"""What a head sees of an option: the mean of its pooled tokens' states, and for some heads the token states themselves.

Shape legend: B rows, T tokens, D hidden width, Q questions, N options, S pooled tokens.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from llmtuner.data.tokens.encoder import Tokens
from llmtuner.data.tokens.option import OptionTokens, Span


def last(tokens: Tokens, option: int) -> Span:
    """The last token, which ends the template and has seen everything. For causal models."""
    length = len(tokens.sequences[option])
    return length - 1, length


def first(tokens: Tokens, option: int) -> Span:
    """The first token, such as BERT's [CLS]; in a causal model it is the same for every option."""
    return 0, 1


def mean(tokens: Tokens, option: int) -> Span:
    """The option's whole sequence, context and question included."""
    return 0, len(tokens.sequences[option])


def own(tokens: OptionTokens, option: int) -> Span:
    """The option's own text; for a blank option, the last token."""
    begin, end = tokens.options[option]
    return (begin, end) if end > begin else last(tokens, option)


def context_and_question(tokens: OptionTokens, option: int) -> tuple[list[int], list[int]]:
    """Passage: context and question. Answer: the option's own text."""
    begin = tokens.context[0] if tokens.context[1] > tokens.context[0] else tokens.question[0]
    return list(range(begin, tokens.question[1])), list(range(*own(tokens, option)))


def context_alone(tokens: OptionTokens, option: int) -> tuple[list[int], list[int]]:
    """Passage: the context. Answer: question and option, as in DUMA's code; without a context, as above."""
    if tokens.context[1] <= tokens.context[0]:
        return context_and_question(tokens, option)
    return list(range(*tokens.context)), [*range(*tokens.question), *range(*own(tokens, option))]


# What a head that reads tokens takes as the passage, and what as the answer.
PASSAGES: dict[str, Callable[[OptionTokens, int], tuple[list[int], list[int]]]] = {
    "context_question": context_and_question,
    "context": context_alone,
}


def pool(hidden_BTD: torch.Tensor, rows_QN: torch.Tensor, tokens_QNS: torch.Tensor) -> torch.Tensor:
    """The mean of each option's states, in fp32: [Q, N, D], zeros where there is no option.

    Args:
        rows_QN: the row of each option.
        tokens_QNS: indices in that row, padded with -1.
    """
    counts_QNS = tokens_QNS >= 0
    states_QNSD = hidden_BTD[rows_QN[..., None], tokens_QNS.clamp(min=0)].float()
    weights_QNS = counts_QNS / counts_QNS.sum(-1, keepdim=True).clamp(min=1)
    return (states_QNSD * weights_QNS[..., None]).sum(2)


def gather_tokens(
    hidden_BTD: torch.Tensor, rows_QM: torch.Tensor, tokens_QMS: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token states [Q, M, S, D], not averaged, and which of them exist, [Q, M, S].

    Args:
        rows_QM, tokens_QMS: as in `pool`; M is 1 if all options of a question share the tokens.
    """
    return hidden_BTD[rows_QM[..., None], tokens_QMS.clamp(min=0)], tokens_QMS >= 0
