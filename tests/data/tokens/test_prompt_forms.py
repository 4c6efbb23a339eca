"""Prompts of a form as tokens: plain text, a file's texts with and without turns, joint and neutral prompts."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
from support import DEMO, byte_level
from tokenizers import Tokenizer, models, normalizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from llmtuner.data.prompt import compose_letter, compose_option, question_text
from llmtuner.data.question import Question
from llmtuner.data.tokens.fields import encode_fields
from llmtuner.data.tokens.joint import JointEncoder
from llmtuner.data.tokens.option import OptionEncoder
from llmtuner.data.tokens.shots import Shots
from llmtuner.data.tokens.templates import NoTemplate, PlainTemplate
from llmtuner.errors import FieldError, UserError
from llmtuner.spec.prompts import PROMPTS, TEMPLATE, PromptForm

PLAIN = PROMPTS["plain"].form
QUESTION = Question("1", "What boils?", ("the water", "an ohm of copper"), context="Air is thin.")
OWN = PromptForm(
    context="Read: {context}\n\n", question="Q: {question}\n", option=" {option}.", answer_mark="A {option or letter}:"
)


@pytest.fixture(scope="module", params=["byte", "llama"])
def tokenizer(request, tiny_llama):
    return byte_level() if request.param == "byte" else AutoTokenizer.from_pretrained(tiny_llama)


@pytest.fixture(scope="module")
def byte():
    return byte_level()


def option_encoder(tokenizer, form, **more) -> OptionEncoder:
    return OptionEncoder.from_json(tokenizer, {"form": asdict(form)}, cutoff_len=400, **more)


def joint_encoder(tokenizer, form, **more) -> JointEncoder:
    return JointEncoder.from_json(tokenizer, {"form": asdict(form)}, cutoff_len=400, **more)


def decoded(tokenizer, ids) -> str:
    return tokenizer.decode(ids, clean_up_tokenization_spaces=False)


def test_plain_is_the_text_of_the_contract(byte):
    first = option_encoder(byte, PLAIN).encode([QUESTION])[0]
    text = "Air is thin.\nQuestion: What boils?\nAnswer: the water"
    assert decoded(byte, first.sequences[0]) == text + byte.eos_token
    bare = option_encoder(byte, PLAIN).encode([replace(QUESTION, context="")])[0]
    assert decoded(byte, bare.sequences[1]) == f"Question: What boils?\nAnswer: an ohm of copper{byte.eos_token}"
    assert bare.context == (0, 0)


def test_the_blank_before_a_field_is_tokenised_with_it_and_in_its_span(byte):
    tokens = option_encoder(byte, PLAIN).encode([QUESTION])[0]
    asked, *options = encode_fields(byte, [" What boils?", " the water", " an ohm of copper"])
    assert tokens.sequences[0][slice(*tokens.question)] == asked
    for sequence, span, option in zip(tokens.sequences, tokens.options, options, strict=True):
        assert sequence[slice(*span)] == option
    assert tokens.scored(0) == tokens.options[0], "the end token is not scored"
    assert tokens.characters == [len(text) for text in QUESTION.options], "the blank is no part of the file's text"


@pytest.mark.parametrize("name", ["metaspace", "prepend"])
def test_a_tokenizer_that_adds_a_blank_itself_gets_no_second_one(name, tiny_llama):
    """Llama-2's puts one before every text, whatever it begins with; two are a token that no training had."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama) if name == "metaspace" else prepending()
    tokens = option_encoder(tokenizer, PLAIN).encode([QUESTION])[0]
    alone = tokenizer("the water", add_special_tokens=False)["input_ids"]
    assert tokens.sequences[0][slice(*tokens.options[0])] == alone


def test_plain_text_has_the_tokens_of_the_whole_text(tiny_llama):
    """A blank stood before each line break: Llama-2 read `boils? ` and a new line, with shots dozens of times."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    shot = Question("2", "What freezes?", ("a rock", "water"), 1)
    encoder = option_encoder(tokenizer, PLAIN)
    encoder.shots = Shots(1, (shot,))
    tokens = encoder.encode([replace(QUESTION, context="")])[0]
    before = "Question: What freezes?\nAnswer: water\n\nQuestion: What boils?\nAnswer:"
    for sequence, (_, end), option in zip(tokens.sequences, tokens.options, QUESTION.options, strict=True):
        assert sequence[:end] == tokenizer(f"{before} {option}")["input_ids"]


def prepending() -> PreTrainedTokenizerFast:
    """A tokenizer of Llama-2's form, whose normaliser puts a blank before every text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.train(
        [str(DEMO)], trainers.BpeTrainer(vocab_size=600, special_tokens=["<s>", "</s>"], show_progress=False)
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")


def test_a_text_begins_as_the_tokenizer_begins_it(byte, tiny_llama):
    """Llama's begins every text with a token, GPT-2's and SmolLM2's none, although they have one."""
    llama = AutoTokenizer.from_pretrained(tiny_llama)
    for tokenizer in (byte, llama):
        first = option_encoder(tokenizer, PLAIN).encode([replace(QUESTION, context="")])[0].sequences[0][0]
        assert first == tokenizer("Question")["input_ids"][0]
    assert byte.bos_token_id is not None
    assert llama.bos_token_id == llama("Question")["input_ids"][0]


def test_a_label_that_the_question_begins_with_is_not_repeated(byte):
    asked = replace(QUESTION, question="Question: What boils?", context="")
    tokens = option_encoder(byte, PLAIN).encode([asked, replace(QUESTION, context="")])
    assert tokens[0] == tokens[1]
    assert question_text(PLAIN, " Question:\nWhat boils?") == "What boils?"
    assert question_text(PLAIN, "Question:") == "Question:", "something has to be asked"
    assert question_text(TEMPLATE, "Question: x") == "Question: x"
    assert question_text(OWN, "Q: x") == "x"


def test_data_never_becomes_a_special_token_or_a_field(tokenizer):
    hostile = replace(QUESTION, question=f"{{option}} {tokenizer.eos_token} {{context}}", context="{question}")
    tokens = option_encoder(tokenizer, PLAIN).encode([hostile])[0]
    assert tokens.sequences[0].count(tokenizer.eos_token_id) == 1
    text = decoded(tokenizer, tokens.sequences[0])
    assert "{option}" in text and "{context}" in text and "{question}" in text  # noqa: PT018


def test_a_files_texts_as_plain_text_and_in_turns(byte):
    plain = option_encoder(byte, OWN).encode([QUESTION])[0]
    begin = "Read: Air is thin.\n\nQ: What boils?\nA {option or letter}: the water."
    assert decoded(byte, plain.sequences[0]) == begin + byte.eos_token
    turns = option_encoder(byte, replace(OWN, turns=True, system="Be brief."), template=PlainTemplate())
    text = decoded(byte, turns.encode([QUESTION])[0].sequences[0]).removeprefix(byte.bos_token)
    assert text == "Be brief.\n" + begin.replace(": the", ":\n the") + byte.eos_token


def test_a_form_without_context_leaves_it_out(byte):
    tokens = option_encoder(byte, replace(PLAIN, context="")).encode([QUESTION])[0]
    assert "thin" not in decoded(byte, tokens.sequences[0])


def test_blanks_at_the_end_of_the_mark_go_to_the_answer(byte):
    """Text that ends with a blank predicts no word: its tokens begin with their own blank."""
    moved = replace(PLAIN, answer_mark="Answer: ", option="{option}")
    assert option_encoder(byte, moved).encode([QUESTION]) == option_encoder(byte, PLAIN).encode([QUESTION])


def test_the_neutral_prompt_is_the_answers_mark(byte):
    encoder = option_encoder(byte, PLAIN)
    neutral, tokens = encoder.encode_neutral([QUESTION])[0], encoder.encode([QUESTION])[0]
    assert decoded(byte, neutral.sequences[0]) == f"Answer: the water{byte.eos_token}"
    for option in range(2):
        own, again = (each.sequences[option][slice(*each.options[option])] for each in (tokens, neutral))
        assert own == again


def test_a_joint_prompt_has_the_letters_with_the_options_blank(byte):
    encoder = joint_encoder(byte, PLAIN)
    tokens = encoder.encode([QUESTION])[0]
    text = "Air is thin.\nQuestion: What boils?\n- the water -> A\n- an ohm of copper -> B\nAnswer:"
    assert decoded(byte, tokens.scored) == text
    assert tokens.letter_ids == [ids[0] for ids in encode_fields(byte, [" A", " B"])]
    assert all(token in tokens.prompt for token in tokens.letter_ids), "the same tokens as in the options' lines"
    own = joint_encoder(byte, replace(OWN, question="Q: {question}")).encode([QUESTION])[0]
    assert "Q: What boils?\n- the water -> A\n" in decoded(byte, own.prompt)


def test_letters_and_options_in_a_files_text_stay_text():
    """`{letter}` is no field; composing the joint prompt must not make it one."""
    form = replace(PLAIN, answer_mark="Give {letter} or {option#1}:")
    for parts in (compose_letter(form, 2, 1, with_context=False)[0], compose_option(form, with_context=False)[0]):
        assert "{letter} or {option#1}:" in "".join(part for part in parts if isinstance(part, str))


@pytest.mark.parametrize("form", [PLAIN, OWN, replace(OWN, turns=True)], ids=["plain", "file", "turns"])
def test_a_stored_prompt_needs_neither_file_nor_template(form, tokenizer):
    for kind, encoder_of in ((OptionEncoder, option_encoder), (JointEncoder, joint_encoder)):
        encoder = encoder_of(tokenizer, form, template=PlainTemplate())
        stored = encoder.to_json("some", (2,))
        again = kind.from_json(tokenizer, stored, cutoff_len=400)
        assert again.form == form
        assert again.encode([QUESTION]) == encoder.encode([QUESTION])


def test_the_template_prompt_stores_nothing_new(byte):
    stored = OptionEncoder(byte, PlainTemplate(), 400).to_json("some")
    assert set(stored) == {"template", "option"}


@pytest.mark.parametrize(
    "change", [{"question": 1}, {"turns": "yes"}, {"more": "x"}], ids=["no text", "no truth", "unknown key"]
)
def test_a_damaged_form_is_refused(change, byte):
    from llmtuner.data.tokens.stored import check_form

    with pytest.raises(FieldError, match=r"prompt\.form"):
        check_form({"form": asdict(PLAIN) | change})


def test_a_template_that_has_no_place_for_a_system_text_is_refused(byte):
    class Drops(PlainTemplate):
        def encode_oneturn(self, tokenizer, messages, system=None, tools=None):
            return super().encode_oneturn(tokenizer, messages)

    form = replace(OWN, turns=True, system="Be brief.")
    with pytest.raises(UserError, match="no place for a system text"):
        option_encoder(byte, form, template=Drops()).encode([QUESTION])
    option_encoder(byte, form, template=PlainTemplate()).encode([QUESTION])


@pytest.mark.parametrize("template", [PlainTemplate(), NoTemplate()])
def test_a_tokenizer_may_have_no_end_token(template):
    """A training of Python's `train` ended in a TypeError: None stood among the token ids."""
    tokenizer = byte_level()
    tokenizer.eos_token = None
    for encoder in (OptionEncoder(tokenizer, template, 400), JointEncoder(tokenizer, template, 400)):
        [tokens] = encoder.encode([QUESTION])
        assert all(None not in ids for ids in tokens.sequences)
