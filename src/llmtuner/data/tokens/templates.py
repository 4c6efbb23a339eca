"""Chat templates that do not need upstream: the tokenizer's own, or plain text for a tokenizer without one."""

from __future__ import annotations

from typing import Any

from llmtuner.data.tokens.fields import Template
from llmtuner.errors import UserError

BETWEEN = "\n\n"  # solved examples


class PlainTemplate:
    """Prompt, line break, answer and end token, as plain text; for base models."""

    efficient_eos = False

    def encode_oneturn(
        self, tokenizer: Any, messages: list[dict[str, str]], system: str | None = None, tools: str | None = None
    ) -> tuple[list[int], list[int]]:
        """Token ids of the prompt, and of the answer with the end token."""
        *earlier, user, answer = (message["content"] for message in messages)
        end = _end(tokenizer)
        ids = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
        opening = f"{system}\n" if system else ""
        for asked, given in zip(earlier[::2], earlier[1::2], strict=True):
            ids += [*tokenizer.encode(f"{opening}{asked}\n"), *tokenizer.encode(given), *end]
            opening = ""
        ids += tokenizer.encode(f"{opening}{user}\n")
        return ids, [*tokenizer.encode(answer), *end]


class NoTemplate:
    """Plain text without turns, for forms of prompts that bring their own texts; the end token closes it.

    It begins as the tokenizer begins every text. Earlier questions and their answers stand before it, one blank line
    apart.
    """

    efficient_eos = False

    def encode_oneturn(
        self, tokenizer: Any, messages: list[dict[str, str]], system: str | None = None, tools: str | None = None
    ) -> tuple[list[int], list[int]]:
        """Token ids of everything before the answer, and of the answer with the end token."""
        *earlier, user, answer = (message["content"] for message in messages)
        solved = [f"{asked}{given}{BETWEEN}" for asked, given in zip(earlier[::2], earlier[1::2], strict=True)]
        ids = [*begin_of_text(tokenizer), *tokenizer.encode(f"{''.join(solved)}{user}", plain=True)]
        return ids, [*tokenizer.encode(answer, plain=True), *_end(tokenizer)]


def _end(tokenizer: Any) -> list[int]:
    """The end token; a tokenizer may have none."""
    return [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]


def begin_of_text(tokenizer: Any) -> list[int]:
    """The tokens that a tokenizer puts before every text."""
    plain, whole = (tokenizer.encode("A", add_special_tokens=added) for added in (False, True))
    place = next((i for i in range(len(whole)) if whole[i : i + len(plain)] == plain), 0)
    return whole[:place]


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
