"""Shots as tokens: what stands in front of every question, which shot is replaced, and what the limit cuts."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
from support import byte_level

from llmtuner.data.question import Question
from llmtuner.data.tokens.joint import JointEncoder
from llmtuner.data.tokens.option import OptionEncoder
from llmtuner.data.tokens.shots import Shots
from llmtuner.data.tokens.stored import check_form
from llmtuner.data.tokens.templates import PlainTemplate
from llmtuner.errors import DataError, FieldError
from llmtuner.spec.prompts import PROMPTS

PLAIN = PROMPTS["plain"].form
DRAWN = (
    Question("a", "Which is wet?", ("sand", "the sea"), 1, dataset="rows"),
    Question("b", "Question: Who digs?", ("a mole", "a bee"), 0, context="Moles dig.", dataset="rows"),
    Question("c", "Which is hot?", ("ice", "lava"), 1, dataset="rows"),
)
ASKED = Question("1", "What boils?", ("water", "an ohm"), context="Air is thin.")


@pytest.fixture(scope="module")
def byte():
    return byte_level()


def encoder_of(kind, tokenizer, *, plain: bool = True, cutoff_len: int = 400, drawn=DRAWN, count: int = 2):
    prompt = ({"form": asdict(PLAIN)} if plain else {}) | Shots(count, drawn).to_json()
    return kind.from_json(tokenizer, prompt, cutoff_len=cutoff_len, template=PlainTemplate())


def text(tokenizer, ids) -> str:
    return tokenizer.decode(ids, clean_up_tokenization_spaces=False)


def test_plain_shots_are_joined_by_a_blank_line(byte):
    tokens = encoder_of(OptionEncoder, byte).encode([ASKED])[0]
    assert text(byte, tokens.sequences[0]) == (
        "Question: Which is wet?\nAnswer: the sea\n\nMoles dig.\nQuestion: Who digs?\nAnswer: a mole\n\n"
        f"Air is thin.\nQuestion: What boils?\nAnswer: water{byte.eos_token}"
    )
    assert text(byte, tokens.sequences[0][: tokens.shots]).endswith("Answer: a mole")
    assert text(byte, tokens.sequences[0][slice(*tokens.question)]) == " What boils?"
    assert text(byte, tokens.sequences[0][slice(*tokens.context)]) == "Air is thin."


def test_with_a_template_they_are_earlier_turns(byte):
    tokens = encoder_of(OptionEncoder, byte, plain=False).encode([ASKED])[0]
    end = byte.eos_token
    assert text(byte, tokens.sequences[1]) == (
        f"{byte.bos_token}Which is wet?\nthe sea{end}Moles dig.\n\nQuestion: Who digs?\na mole{end}"
        f"Air is thin.\n\nWhat boils?\nan ohm{end}"
    )


def test_joint_shots_show_their_lettered_options_and_the_letter(byte):
    tokens = encoder_of(JointEncoder, byte).encode([ASKED])[0]
    shown = text(byte, tokens.scored)
    assert "Who digs?\n- a mole -> A\n- a bee -> B\nAnswer: A\n\nAir is thin.\n" in shown
    assert text(byte, tokens.prompt[: tokens.shots]).endswith("Answer: A")
    assert tokens.letter_ids == encoder_of(JointEncoder, byte, drawn=(), count=0).encode([ASKED])[0].letter_ids


@pytest.mark.parametrize("kind", [OptionEncoder, JointEncoder])
def test_the_reserve_takes_the_place_of_the_question_itself(kind, byte):
    """A question that sees its own answer learns to copy. White space and case do not make it another one."""
    same = replace(DRAWN[1], question="question:  who digs?", answer=None)
    first, other = encoder_of(kind, byte).encode([same, ASKED])
    before = text(byte, first.sequences[0][: first.shots])
    assert "Which is wet?" in before
    assert before.index("Which is wet?") < before.index("Which is hot?"), "in the same place"
    assert "digs" not in before
    assert "digs" in text(byte, other.sequences[0][: other.shots])


def test_the_same_question_about_another_context_is_another_one(byte):
    shots = Shots(2, DRAWN)
    assert shots.number_of(replace(DRAWN[1], context="Bees dig.")) == 2
    assert shots.number_of(replace(DRAWN[1], context="")) == 1, "a missing context matches any"
    assert shots.number_of(replace(DRAWN[0], options=("sand", "the moon"))) == 2
    assert shots.number_of(DRAWN[2]) == 2, "the reserve is not shown"


def test_without_a_reserve_such_a_question_is_refused(byte):
    encoder = encoder_of(OptionEncoder, byte, drawn=DRAWN[:2])
    encoder.encode([ASKED])
    with pytest.raises(DataError, match="id a: the question is itself one of the 2 shots"):
        encoder.encode([DRAWN[0]])


@pytest.mark.parametrize("kind", [OptionEncoder, JointEncoder])
@pytest.mark.parametrize("plain", [True, False])
def test_stored_shots_need_no_template_and_no_file(kind, plain, byte):
    """The variant with the reserve, too: a training that continues has no template."""
    encoder = encoder_of(kind, byte, plain=plain)
    questions = [ASKED, replace(DRAWN[0], answer=None), replace(DRAWN[1], answer=None)]
    stored = encoder.to_json("some", (2,))
    check_form(stored)
    again = kind.from_json(byte, stored, cutoff_len=400)
    assert again.encode(questions) == encoder.encode(questions)
    assert again.shots.questions == encoder.shots.questions


@pytest.mark.parametrize("kind", [OptionEncoder, JointEncoder])
def test_the_limit_counts_the_shots_and_cuts_the_context_only(kind, byte):
    whole = encoder_of(kind, byte).encode([ASKED])[0]
    limit = max(map(len, whole.sequences)) + (3 if kind is JointEncoder else 0) - 2  # B has two tokens, and the end
    cut = encoder_of(kind, byte, cutoff_len=limit).encode([ASKED])[0]
    assert cut.cut == 2
    assert cut.sequences[0][: cut.shots] == whole.sequences[0][: whole.shots]
    with pytest.raises(DataError, match="leaves no room for a question in `cutoff_len`"):
        encoder_of(kind, byte, cutoff_len=whole.shots + 5).encode([ASKED])


def test_the_neutral_prompt_has_no_shots(byte):
    for plain, before in ((True, "Answer: "), (False, f"{byte.bos_token}\n")):
        encoder = encoder_of(OptionEncoder, byte, plain=plain)
        neutral = encoder.encode_neutral([ASKED])[0]
        assert text(byte, neutral.sequences[0]) == f"{before}water{byte.eos_token}"
        encoder.likelihood = True
        again = OptionEncoder.from_json(byte, encoder.to_json(None), cutoff_len=400)
        assert again.encode_neutral([ASKED]) == [neutral]


@pytest.mark.parametrize(
    "change",
    [{"count": 4}, {"count": 0}, {"ids": [[1]]}, {"ids": [["x"]] * 3}, {"questions": [{"id": "a"}]}, {"count": "two"}],
)
def test_damaged_shots_are_refused(change, byte):
    stored = encoder_of(OptionEncoder, byte).to_json(None)
    with pytest.raises(FieldError, match=r"prompt\.shots"):
        check_form(stored | {"shots": stored["shots"] | change})
