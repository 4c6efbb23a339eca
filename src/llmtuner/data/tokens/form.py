"""The form of a prompt, kept with a model: prediction then needs no template, and cannot use another one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from llmtuner.data.tokens.fields import Template, skeleton_from_json, skeleton_to_json
from llmtuner.data.tokens.joint import JointEncoder
from llmtuner.data.tokens.option import OptionEncoder
from llmtuner.data.tokens.pair import PairEncoder

Encoder = OptionEncoder | JointEncoder


def make_encoder(
    tokenizer: Any,
    *,
    pairs: bool,
    joint: bool,
    cutoff_len: int,
    template: Template | None = None,
    stored: dict[str, Any] | None = None,
) -> Encoder:
    """The encoder of questions for one kind of prompt.

    Args:
        pairs: for a bidirectional encoder; it takes no template.
        joint: all options in one prompt.
        template: upstream's chat template; not needed for what is stored.
        stored: what `store_form` returned.
    """
    stored = stored or {}
    if joint:
        encoder = JointEncoder(tokenizer, template, cutoff_len)
        for kept in stored.get("joint", ()):
            encoder.skeletons[kept["options"], kept["context"], None] = skeleton_from_json(kept["form"])
        encoder.letters |= {int(n): (list(prefix), list(ids)) for n, (prefix, ids) in stored.get("letters", {}).items()}
        return encoder
    forms = {kept["context"]: skeleton_from_json(kept["form"]) for kept in stored.get("option", ())}
    if pairs:
        return PairEncoder(tokenizer, None, cutoff_len, forms)
    return OptionEncoder(tokenizer, template, cutoff_len, forms)


def store_form(encoder: Encoder, template: str | None, counts: Iterable[int] = ()) -> dict[str, Any]:
    """Everything that `make_encoder` needs to make the same prompts again: plain numbers, for a JSON file.

    Args:
        template: the template's name, for people.
        counts: numbers of options to store joint prompts for.
    """
    for with_context in (False, True):
        encoder.build(with_context, counts)
    if isinstance(encoder, JointEncoder):
        joint = [
            {"options": count, "context": context, "form": skeleton_to_json(skeleton)}
            for (count, context, answer), skeleton in encoder.skeletons.items()
            if answer is None
        ]
        return {"template": template, "joint": joint, "letters": {str(n): kept for n, kept in encoder.letters.items()}}
    option = [{"context": context, "form": skeleton_to_json(s)} for context, s in encoder.skeletons.items()]
    return {"template": template, "option": option}
