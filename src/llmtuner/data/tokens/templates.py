"""Chat templates that do not need upstream: the tokenizer's own, or plain text for a tokenizer without one."""

from __future__ import annotations

from typing import Any

from llmtuner.data.tokens.fields import Template
from llmtuner.errors import UserError


class PlainTemplate:
    """Prompt, line break, answer and end token, as plain text; for base models."""

    efficient_eos = False

    def encode_oneturn(
        self, tokenizer: Any, messages: list[dict[str, str]], system: str | None = None, tools: str | None = None
    ) -> tuple[list[int], list[int]]:
        """Token ids of the prompt, and of the answer with the end token."""
        user, answer = (message["content"] for message in messages)
        begin = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
        text = f"{system}\n{user}\n" if system else f"{user}\n"
        return [*begin, *tokenizer.encode(text)], [*tokenizer.encode(answer), tokenizer.eos_token_id]


class ChatTemplate:
    """The Jinja template that comes with a tokenizer."""

    efficient_eos = False

    def encode_oneturn(
        self, tokenizer: Any, messages: list[dict[str, str]], system: str | None = None, tools: str | None = None
    ) -> tuple[list[int], list[int]]:
        """Token ids of everything up to the answer, and of the answer with its closing tokens.

        Raises:
            UserError: the template does not put the question before the answer, so it cannot be split.
        """
        turns = [*([{"role": "system", "content": system}] if system else []), *messages]
        asked = tokenizer.apply_chat_template(turns[:-1], tokenize=False, add_generation_prompt=True)
        whole = tokenizer.apply_chat_template(turns, tokenize=False)
        if not whole.startswith(asked):
            raise UserError("the tokenizer's chat template does not put the answer after the question; pass a template")
        return tokenizer.encode(asked), tokenizer.encode(whole[len(asked) :])


def template_of(tokenizer: Any) -> Template:
    """The tokenizer's own chat template, or plain text if it has none."""
    return ChatTemplate() if getattr(tokenizer, "chat_template", None) else PlainTemplate()
