"""The trainer of stage sft learns in how many orders of the options letters are scored, and how to encode another one.

Upstream: the name `get_dataset` in `llamafactory.train.sft.workflow` (0.9.2 to 0.9.5), called with the template and the
data's arguments, which the trainer does not see; the workflow passes every entry of its result on to the trainer.
Can go together with letter_scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llmtuner.data.question import Question
from llmtuner.data.tokens.joint import JointEncoder, JointTokens
from patches.sft_data import SEAM, DataCall, Load

ARGUMENT = "option_orders"  # of the trainer; absent for one order


@dataclass(frozen=True, slots=True)
class OptionOrders:
    """In how many orders questions are scored, and what encodes their prompts as the patch of the encoding did."""

    count: int
    encoder: JointEncoder

    def encode(self, question: Question) -> JointTokens:
        """The tokens of one question, its answer included, which takes its share of the limit."""
        return self.encoder.encode([question])[0]


def apply() -> None:
    """Add the orders to what the workflow passes to its trainer."""
    SEAM.around(_add_orders)


def _add_orders(call: DataCall, load: Load) -> Any:
    module = load()
    if call.data_args.mcq_option_orders == 1:
        return module
    encoder = JointEncoder(call.tokenizer, call.template, call.data_args.cutoff_len)
    return {**module, ARGUMENT: OptionOrders(call.data_args.mcq_option_orders, encoder)}
