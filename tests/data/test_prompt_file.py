"""The form of a prompt as a file: what it means, and every way in which it can be no prompt."""

from __future__ import annotations

import pytest

from llmtuner.data.prompt_file import read_prompt
from llmtuner.errors import UserError
from llmtuner.spec.prompts import PROMPTS, PromptForm

SOUND = {"question": "Q: {question}\n", "option": " {option}", "answer_mark": "A:"}


def test_a_name_is_its_entry_and_a_file_its_texts(tmp_path):
    path = tmp_path / "form.yaml"
    path.write_text('question: "Q: {question} {why}\\n"\noption: " {option}"\nanswer_mark: "A:"\n')
    assert read_prompt("plain", turns=False) == PROMPTS["plain"].form
    texts = SOUND | {"question": "Q: {question} {why}\n"}
    assert read_prompt(str(path), turns=False) == PromptForm(**texts), "other braces are text"
    assert read_prompt(str(path), turns=True) == PromptForm(**texts, turns=True)


def test_texts_equal_to_a_names_are_that_prompt(tmp_path):
    """So a stored prompt does not contradict the flag that names it."""
    path = tmp_path / "plain.yaml"
    path.write_text('question: "Question: {question}\\n"\noption: " {option}"\nanswer_mark: "Answer:"\n')
    assert read_prompt(str(path), turns=False) == PROMPTS["plain"].form


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('question: "{question}"\noption: "the answer"', "option: its field {option} is missing"),
        ('question: "{question}"', "option: missing; a prompt needs"),
        ('option: "{option}"', "question: missing"),
        ('question: "{question}"\noption: "{option}"\nanswr_mark: ":"', "Did you mean answer_mark?"),
        ('question: "{context} {question}"\noption: "{option}"', "question: {context} stands in the text of context"),
        ('question: "{question}"\noption: "{option}"\nanswer_mark: "{option}:"', "answer_mark: {option} stands in"),
        ('question: "{question}"\noption: "{option} {option}"', "option: {option} stands in it 2 times"),
        ('question: "{question}"\noption: "{option}"\ncontext: "Read this."', "its field {context} is missing"),
        ('question: "{question}"\noption: 5', "option: expected text, found 5"),
        ('question: "{question}"\noption: "{option}"\nsystem: "Be brief."', "system: plain text has no place for it"),
        ('question: "{question}"\noption: "{option}"\nquestion: "Q: {question}"', ":3: 'question' is given twice"),
        ('question: "\\uD800{question}"\noption: "{option}"', "question: U+D800 is no character of a text"),
        ('question: "\\uE0000\\uE001{question}"\noption: "{option}"', "question: U+E000 is no character of a text"),
        ("question: {question}\noption: [", "not YAML"),
        ("- a\n- b", "expected the texts context, question"),
        ("", "found nothing"),
        ("just text", "found text"),
    ],
)
def test_a_file_that_is_no_prompt_says_what_is_wrong_and_where(text, message, tmp_path):
    path = tmp_path / "form.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        read_prompt(str(path), turns=False)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_all_problems_are_in_one_message(tmp_path):
    path = tmp_path / "form.yaml"
    path.write_text('quest: "{question}"\noption: 3')
    with pytest.raises(UserError) as caught:
        read_prompt(str(path), turns=False)
    assert len(str(caught.value).splitlines()) == 3


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "latin.yaml").write_bytes('question: "Größe"'.encode("latin-1"))
    (tmp_path / "large.yaml").write_bytes(b"#" * 1_000_001)
    for name, message in (
        ("latin.yaml", "not UTF-8"),
        ("large.yaml", "are no prompt"),
        ("plian", "Did you mean plain?"),
        (".", "cannot be read"),
    ):
        with pytest.raises(UserError, match=message):
            read_prompt(str(tmp_path / name) if name != "plian" else name, turns=False)


def test_a_system_text_needs_turns(tmp_path):
    path = tmp_path / "form.yaml"
    path.write_text('question: "{question}"\noption: "{option}"\nsystem: "Be brief."')
    assert read_prompt(str(path), turns=True).system == "Be brief."
