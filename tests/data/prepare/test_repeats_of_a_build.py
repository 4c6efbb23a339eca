"""Which copy of a question a build keeps, and which rows contradict each other."""

from __future__ import annotations

from dataclasses import replace

import pytest
from planted import HEADER, put, read, row

from llmtuner.data.duplicates import conflicts
from llmtuner.data.prepare import Settings, prepare
from llmtuner.data.prepare.build import Built, RawRow, build
from llmtuner.data.question import Question

ASKED = Question("1", "Which genotype does this plant have?", ("round", "wrinkled", "hairy"), 0)


def built(*rows: tuple[str, Question]) -> Built:
    return build([RawRow(question, source) for source, question in rows], [], Settings(valid_size=0))


def asked(context: str, answer: int) -> tuple[str, Question]:
    return "6k", replace(ASKED, context=context, answer=answer)


@pytest.mark.parametrize(
    ("rows", "kept", "reasons"),
    [
        ([asked("One.", 0), asked("Two.", 1)], [0, 1], []),  # two questions
        ([asked("One.", 0), asked("Two.", 0)], [0], ["duplicate"]),
        ([asked("One.", 0), asked("One.", 1)], [], ["conflict"] * 2),
        ([asked("One.", 0), asked("", 1)], [], ["conflict"] * 2),
        ([asked("One.", 0), asked("Two.", 1), asked("Three.", 0)], [0, 1], ["duplicate"]),
        ([asked("One.", 0), asked("Two.", 1), asked("", 0)], [0], ["conflict"] * 2),
        ([asked("", 0), asked("One.", 0)], [1], ["duplicate"]),  # the one with a context, though it comes later
        ([asked("", 0), asked(" ", 0)], [0], ["duplicate"]),
    ],
)
def test_copies_with_contexts(rows, kept, reasons):
    """A copy with another context and answer was a "duplicate" that "contradicts", and the other one stayed."""
    done = built(*rows)
    assert done.sets["llmscience"] == [RawRow(rows[place][1], rows[place][0]) for place in kept]
    assert [removed.reason for removed in done.removed] == reasons
    assert all(removed.contradicts == (removed.reason == "conflict") for removed in done.removed)
    assert conflicts([row.question for row in done.sets["llmscience"]]) == []


def test_an_official_row_wins_without_a_context():
    done = built(asked("One.", 0), ("official", ASKED))
    assert [row.source for row in done.sets["llmscience"]] == ["official"]


def test_official_rows_that_contradict_each_other_are_not_trained_on():
    """The second was a duplicate of the first, whose answer nobody can vouch for."""
    done = built(("official", ASKED), ("official", replace(ASKED, answer=1)))
    assert done.sets["llmscience"] == []
    assert [removed.reason for removed in done.removed] == ["conflict"] * 2
    assert len(done.sets["llmscience_official"]) == 2


def test_of_near_duplicates_the_clean_set_has_the_one_with_a_context():
    near = replace(ASKED, question=f"{ASKED.question} Tell us.", context="It is a plant with round seeds.")
    done = built(("6k", ASKED), ("6k", near))
    assert [row.question for row in done.sets["llmscience"]] == [ASKED, near]
    assert [row.question for row in done.sets["llmscience_hq"]] == [near]


def test_excerpts_are_not_lost_to_a_plain_copy(tmp_path):
    """The plain file comes first; the row with the excerpt was dropped as its duplicate."""
    raw = tmp_path / "raw"
    put(raw / "6000_all_categories_questions.csv", [row(1)])
    header = [*HEADER, "wikipedia_excerpt"]
    put(raw / "6000_wiki_en_sci_questions_with_excerpts.csv", [row(1, wikipedia_excerpt="An excerpt.")], header)
    prepare(raw, tmp_path / "out")
    assert [record["context"] for record in read(tmp_path / "out", "llmscience")] == ["An excerpt."]
    [removed] = read(tmp_path / "out", "removed")
    assert (removed["reason"], removed["file"]) == ("duplicate", "6000_all_categories_questions.csv")
