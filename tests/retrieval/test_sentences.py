"""Sentences: what ends one, what does not, and that nothing of the text is lost."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llmtuner.retrieval import sentences as module
from llmtuner.retrieval.sentences import sentence_ends, sentences

# Each text with a bar where a sentence ends.
SPLIT = [
    "Cells divide. |Then they grow.",
    "Cells (e.g. Neurons) differ, i.e. They vary.",
    "See Fig. 3 and Eq. 4 for more. |Figs. A and B show it.",
    "Dr. Smith met Prof. Jones and Mrs. Brown at St. Mary. |They left.",
    "J. Watson and W. A. Mozart met E. coli. |It was small.",
    "Smith et al. (2003) and Smith et al. Found it. |The rest is known.",
    "Smith et al. |The rest is known.",
    "It is 3.5 V at 1.5 m. |Then 4 V.",
    "The U.S. Army left the U.S. |It went home at 5 p.m. |However, it came back.",
    "You need vitamin C. |The body cannot make it.",
    "Wait... what? |It is so... |The end.",
    "It stops… |The end comes… at last.",
    '"Why?" he asked. |"Go!" |She went.',
    "(It is cold.) |[It is warm.] |Then “it rains.” |So ‘it snows.’ |Yes.",
    "The pole moved.[3][12] |Then it stopped.",
    "It falls. |pH is low. |mRNA is made. |tRNA, too. not a sentence.",
    "No. 5 is red. |He said no. |Then he left. |Take no. 7 now.",
    "Water boils! |Really? |Yes!! |It does?!",
    "He was born on Jan. 5 in the sun. |Planets orbit.",
    "The year was 1990. |20 people came. |See p. 20 there.",
    "水沸腾。|温度是100度！|真的吗？|是的。",
    "他说“好。”|然后走了。|(完。)|再见",
    "你好!|我是学生?|是的……|好",
    "円周率は３．１４です．|次の文．",
    "「本当？」と聞いた。|はい。",
    "यह जल है। |वह आग है।",
    "هل هذا ماء؟ |نعم.",
    "# A heading\n|The text begins here and\nis wrapped. |It ends.",
    "== History ==\n|It began early.",
    "# A heading\n|in small letters. |It ends.",
    "Some text\n\n|another text",
    "Some text\n \t\n|another text",
    "It needs:\n|- salt and\n|- water\n|* bread\n|1. first thing\n|2) second thing\n|(a) third thing",
    "1. Cells are small. |2. They grow.",
    "A title\n|The text of this line is long enough to be a line of a wrapped text, and\nContinues in the next.",
    "one\u2028|Two\u2029|three\u0085|Four\x0c|five",
    "one,\u2028two\u0085three",
    "Line one.\r\n|Line two.\r\n\r\n|Line three",
]


@pytest.mark.parametrize("marked", SPLIT)
def test_where_sentences_end(marked):
    expected = marked.split("|")
    assert sentences("".join(expected)) == expected


def test_lines_of_a_table_are_sentences():
    assert sentences("| a | b |\n| 1 | 2 |\nText") == ["| a | b |\n", "| 1 | 2 |\n", "Text"]


PARTS = st.lists(
    st.one_of(
        st.sampled_from(
            [
                ". ", "! ", "? ", "… ", "...", "。", "！", "？", "\n", "\n\n", "\r\n", "\u2028", "\u2029",
                "\u0085", " ", "\t",
                "e.g. ", "Fig. 3", "Dr. ", "U.S. ", "J. ", "3.5", "# ", "- ", "1. ", "(", ")", '"', "”", "」", "[1]",
                "|", "Cells", "cells", "The ", "水", "と", "pH ",
            ]
        ),
        st.text(max_size=4),
    ),
    max_size=12,
).map("".join)  # fmt: skip


@given(text=PARTS)
@example(text="")
@example(text="\n\n\n")
def test_sentences_joined_are_the_text(text):
    parts = sentences(text)
    assert "".join(parts) == text
    assert all(parts)
    assert [len("".join(parts[: place + 1])) for place in range(len(parts))] == sentence_ends(text)


@given(text=PARTS)
def test_a_sentence_begins_with_a_visible_character(text):
    """A blank at its beginning would be cut off, and a chunk would no longer be a part of the document."""
    assert not any(part[0].isspace() for part in sentences(text)[1:])


@pytest.mark.parametrize(
    "unit", [".", "?!", " ", "\n", "a.", "a. ", "A.b ", "。", '."', ".[1]", "“", "# ", "1. ", "\u2028 ", "x"]
)
def test_a_megabyte_of_anything_takes_linear_time(unit, monkeypatch):
    """A pattern that tries every place of a run anew takes hours for a file of dots: n² steps.

    Steps are counted, not seconds: how many characters all matches of the pattern together look at.
    """
    text = unit * (200_000 // len(unit))
    steps = 0
    pattern = module._CANDIDATE

    class Counting:
        def finditer(self, text):
            nonlocal steps
            place = 0
            for match in pattern.finditer(text):
                assert match.start() >= place  # matches do not overlap: each character belongs to at most one
                steps += match.end() - match.start()
                place = match.end()
                yield match

    monkeypatch.setattr(module, "_CANDIDATE", Counting())
    assert "".join(sentences(text)) == text
    assert steps <= len(text)
