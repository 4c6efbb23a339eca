"""Without --template: the chat template that a training of the template `empty` left is read as `empty`.

Upstream: `parse_template` in `llamafactory.data.template` (0.9.2 to 0.9.5), which takes the tokenizer's chat template
apart if no template is given. A training without template, on a tokenizer without chat template, uses `empty` and
saves it as the tokenizer's. Taken apart, it loses its first characters to the start token, and the run ends in "A
placeholder is required in the string formatter."
Can go when upstream reads what it has written, and names --template where it cannot.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llmtuner.errors import UserError
from patches.seam import Seam

SEAM = Seam("llamafactory.data.template", "parse_template", ("tokenizer",))


def apply() -> None:
    """Recognise the template `empty`; a chat template that upstream cannot take apart is the user's to replace."""
    SEAM.replace(_readable)


def _readable(inner: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def parse_template(tokenizer: Any) -> Any:
        from jinja2 import TemplateError
        from llamafactory.data.template import TEMPLATES

        empty = TEMPLATES["empty"]
        if tokenizer.chat_template == empty._get_jinja_template(tokenizer):
            return empty
        try:
            return inner(tokenizer)
        except (ValueError, TemplateError) as error:
            raise UserError(
                "--template is missing, and the prompts cannot be made from the tokenizer's own chat template "
                f"({error}); add --template NAME, as in the model's training (its run.json or training.json has the "
                "name)"
            ) from error

    return parse_template
