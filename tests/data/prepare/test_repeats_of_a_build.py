"""Which copy of a question stays in a build, and rows that contradict each other."""

from __future__ import annotations

from dataclasses import replace

import pytest
from planted import HEADER, put, read, row

from llmtuner.data.duplicates import conflicts
from llmtuner.data.prepare import BuildSettings, prepare_llmscience
from llmtuner.data.prepare.build import Built, RawRow, build
from llmtuner.data.question import Question

QUESTION = Question("1", "Which genotype does this plant have?", ("round", "wrinkled", "hairy"), 0)


def built(*rows: tuple[str, Question]) -> Built:
    return build([RawRow(question, source) for source, question in rows], [], BuildSettings(valid_size=0))


def claim(context: str, answer: int) -> tuple[str, Question]:
    return "6k", replace(QUESTION, context=context, answer=answer)


@pytest.mark.parametrize(
    ("rows", "remaining", "reasons"),
    [
        ([claim("One.", 0), claim("Two.", 1)], [0, 1], []),  # two questions
        ([claim("One.", 0), claim("Two.", 0)], [0], ["duplicate"]),
        ([claim("One.", 0), claim("One.", 1)], [], ["conflict"] * 2),
        ([claim("One.", 0), claim("", 1)], [], ["conflict"] * 2),
        ([claim("One.", 0), claim("Two.", 1), claim("Three.", 0)], [0, 1], ["duplicate"]),
        ([claim("One.", 0), claim("Two.", 1), claim("", 0)], [0], ["conflict"] * 2),
        ([claim("", 0), claim("One.", 0)], [1], ["duplicate"]),  # the one with a context stays, although it comes later
        ([claim("", 0), claim(" ", 0)], [0], ["duplicate"]),
    ],
)
def test_copies_with_contexts(rows, remaining, reasons):
    """A copy with another context and answer was removed as a "duplicate" that "contradicts" the row that stayed."""
    prepared = built(*rows)
    assert prepared.sets["llmscience"] == [RawRow(rows[place][1], rows[place][0]) for place in remaining]
    assert [removed.reason for removed in prepared.removed] == reasons
    assert all(removed.contradicts == (removed.reason == "conflict") for removed in prepared.removed)
    assert conflicts([row.question for row in prepared.sets["llmscience"]]) == []


LETTERED = replace(QUESTION, options=("A) wrinkled", "B) round", "C) hairy"), answer=1)


def test_a_copy_whose_options_have_letters_is_a_copy():
    """It was trained on twice, or on both sides of `--hold_out`."""
    prepared = built(("6k", QUESTION), ("15k", LETTERED), ("15k", replace(LETTERED, context="It is a pea.", answer=0)))
    assert [removed.reason for removed in prepared.removed] == ["conflict"] * 3
    prepared = built(("official", QUESTION), ("15k", replace(LETTERED, answer=0)), ("15k", LETTERED))
    assert [(removed.reason, removed.contradicts) for removed in prepared.removed] == [
        ("repeats official", True),
        ("repeats official", False),
    ]
    prepared = built(("6k", QUESTION), ("15k", LETTERED))
    assert [removed.reason for removed in prepared.removed] == ["duplicate"]


def test_equal_options_behind_letters_are_not_clean():
    equal = replace(QUESTION, options=("A) round", "B) hairy", "C) round"))
    prepared = built(("6k", equal))
    assert [row.question for row in prepared.sets["llmscience"]] == [equal]
    assert prepared.sets["llmscience_hq"] == []


def test_an_official_row_wins_without_a_context():
    prepared = built(claim("One.", 0), ("official", QUESTION))
    assert [row.source for row in prepared.sets["llmscience"]] == ["official"]


def test_official_rows_that_contradict_each_other_are_not_trained_on():
    """The second was removed as a duplicate of the first, whose answer is not reliable."""
    prepared = built(("official", QUESTION), ("official", replace(QUESTION, answer=1)))
    assert prepared.sets["llmscience"] == []
    assert [removed.reason for removed in prepared.removed] == ["conflict"] * 2
    assert len(prepared.sets["llmscience_official"]) == 2


def test_of_near_duplicates_the_clean_set_has_the_one_with_a_context():
    near = replace(QUESTION, question=f"{QUESTION.question} Tell us.", context="It is a plant with round seeds.")
    prepared = built(("6k", QUESTION), ("6k", near))
    assert [row.question for row in prepared.sets["llmscience"]] == [QUESTION, near]
    assert [row.question for row in prepared.sets["llmscience_hq"]] == [near]


def test_excerpts_are_not_lost_to_a_plain_copy(tmp_path):
    """The file without contexts comes first; the row with the excerpt was dropped as its duplicate."""
    raw = tmp_path / "raw"
    put(raw / "6000_all_categories_questions.csv", [row(1)])
    header = [*HEADER, "wikipedia_excerpt"]
    put(raw / "6000_wiki_en_sci_questions_with_excerpts.csv", [row(1, wikipedia_excerpt="An excerpt.")], header)
    prepare_llmscience(raw, tmp_path / "out")
    assert [record["context"] for record in read(tmp_path / "out", "llmscience")] == ["An excerpt."]
    [removed] = read(tmp_path / "out", "removed")
    assert (removed["reason"], removed["file"]) == ("duplicate", "6000_all_categories_questions.csv")
