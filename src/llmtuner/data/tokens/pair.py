"""One pair of texts per option, as bidirectional encoders (BERT, DeBERTa, MiniLM) read them."""

from __future__ import annotations

from dataclasses import dataclass

from llmtuner.data.prompt import Field
from llmtuner.data.question import Question
from llmtuner.data.tokens.fields import Skeleton, SkeletonPart
from llmtuner.data.tokens.option import OptionEncoder
from llmtuner.errors import UserError


@dataclass
class PairEncoder(OptionEncoder):
    """Turns questions into the tokenizer's own pairs, (context + question, option), of at most `cutoff_len` tokens.

    The ids are those of `tokenizer(f"{context} {question}", option)`, without a chat template.
    """

    def __post_init__(self) -> None:
        example = self.tokenizer("a", "b", return_special_tokens_mask=True)
        self.typed = 1 in example.get("token_type_ids", ())
        parts: list[SkeletonPart | None] = []  # None: a text
        for token, special in zip(example["input_ids"], example["special_tokens_mask"], strict=True):
            if special:
                parts.append(token)
            elif not parts or parts[-1] is not None:
                parts.append(None)
        texts = [place for place, part in enumerate(parts) if part is None]
        if len(texts) != 2:
            raise UserError(
                "this tokenizer puts nothing between the two texts of a pair, so an encoder cannot tell them apart"
            )
        first, second = texts
        opening, joint, closing = parts[:first], parts[first + 1 : second], parts[second + 1 :]
        for with_context in (False, True):
            asked = [Field("context"), Field("question")] if with_context else [Field("question")]
            prompt = tuple(part for part in (*opening, *asked, *joint) if part is not None)
            response = tuple(part for part in (Field("option"), *closing) if part is not None)
            self.skeletons.setdefault(with_context, Skeleton(prompt, response))

    def _texts(self, question: Question) -> tuple[str, ...]:
        # If the tokenizer keeps spaces, the one between context and question belongs to the question's first token.
        asked = f" {question.question}" if question.context else question.question
        return question.context, asked, *question.options
