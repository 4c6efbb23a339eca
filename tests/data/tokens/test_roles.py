"""The role of each token is that of the text it comes from."""

from __future__ import annotations

from dataclasses import replace

import pytest
from transformers import AutoTokenizer

from llmtuner.data.question import Question
from llmtuner.data.tokens.fields import encode_fields
from llmtuner.data.tokens.joint import JointEncoder
from llmtuner.data.tokens.option import OptionEncoder
from llmtuner.data.tokens.roles import joint_roles, option_roles
from llmtuner.data.tokens.shots import Shots
from llmtuner.data.tokens.templates import NoTemplate
from llmtuner.spec.prompts import PROMPTS

PLAIN = PROMPTS["plain"].form
QUESTION = Question(
    "1", "Which gas do plants take in?", ("carbon dioxide", "helium", "", "neon"), 0, "Plants use light."
)
SHOT = Question("s", "What is 1 + 1?", ("two", "three"), 0)


@pytest.fixture(scope="module")
def tokenizer(tiny_llama):
    return AutoTokenizer.from_pretrained(tiny_llama)


def by_role(ids, roles):
    """Token ids by role."""
    assert len(ids) == len(roles)
    return {role: [i for i, each in zip(ids, roles, strict=True) if each == role] for role in dict.fromkeys(roles)}


@pytest.mark.parametrize("limit", [500, 35])
def test_each_option_has_the_tokens_of_its_own_texts(tokenizer, limit):
    encoder = OptionEncoder(tokenizer, NoTemplate(), limit, form=PLAIN)
    [tokens] = encoder.encode([QUESTION])
    context, asked = encode_fields(tokenizer, [QUESTION.context, QUESTION.question])
    assert (tokens.cut > 0) == (limit == 35), "one case with a cut context, one without"
    for option, ids in enumerate(tokens.sequences):
        parts = by_role(ids, option_roles(tokens, option))
        assert parts["context"] == context[: len(context) - tokens.cut]
        assert parts["question"] == asked
        begin, end = tokens.options[option]
        assert parts.get("option", []) == ids[begin:end]
        assert "option" in parts or QUESTION.options[option] == ""
        assert not {"example", "letter"} & parts.keys()


def test_examples_are_no_part_of_the_question(tokenizer):
    encoder = OptionEncoder(tokenizer, NoTemplate(), 500, form=PLAIN, shots=Shots(1, (SHOT,)))
    [tokens] = encoder.encode([QUESTION])
    roles = option_roles(tokens, 0)
    assert tokens.shots > 0
    assert roles[: tokens.shots] == ["example"] * tokens.shots
    assert "example" not in roles[tokens.shots :]


@pytest.mark.parametrize("limit", [500, 75])
@pytest.mark.parametrize("shots", [Shots(), Shots(1, (SHOT,))], ids=["alone", "behind an example"])
def test_a_joint_prompt_has_the_tokens_of_every_field_in_its_place(tokenizer, limit, shots):
    """The letter of the answer got the role of the template, one token late."""
    encoder = JointEncoder(tokenizer, NoTemplate(), limit + 40 * shots.count, form=PLAIN, shots=shots)
    [tokens] = encoder.encode([QUESTION])
    ids = [*tokens.prompt, *tokens.response]
    parts = by_role(ids, joint_roles(encoder, QUESTION, tokens, len(ids)))
    letters = encode_fields(tokenizer, list("ABCDA"))
    context, asked = encode_fields(tokenizer, [QUESTION.context, QUESTION.question])
    kept = context[: len(context) - tokens.cut]
    assert parts.get("context", []) == kept
    assert parts["question"] == asked[tokens.over :]
    assert parts["option"] == [i for text in encode_fields(tokenizer, [*QUESTION.options]) for i in text]
    assert parts["letter"][-len(letters[0]) :] == letters[0], "the answer is the last letter"
    assert len(parts["letter"]) == sum(map(len, letters))
    assert len(parts.get("example", [])) == tokens.shots


def test_an_unanswered_joint_prompt_ends_before_the_answer(tokenizer):
    encoder = JointEncoder(tokenizer, NoTemplate(), 500, form=PLAIN)
    [tokens] = encoder.encode([QUESTION])
    assert len(joint_roles(encoder, QUESTION, tokens, len(tokens.scored))) == len(tokens.scored)
    asked = replace(QUESTION, answer=None)
    [tokens] = encoder.encode([asked])
    roles = joint_roles(encoder, asked, tokens, len(tokens.scored))
    assert len(roles) == len(tokens.scored)
    assert roles.count("letter") == sum(map(len, encode_fields(tokenizer, list("ABCD"))))
