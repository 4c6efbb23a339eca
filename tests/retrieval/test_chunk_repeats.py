"""Which chunks are left out as duplicates, and which only look like some."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtuner.retrieval import repeats as module
from llmtuner.retrieval.chunks import cut
from llmtuner.retrieval.passages import Chunk, Document
from llmtuner.retrieval.repeats import Repeats

LONG = "The cell takes in water through its wall and swells until the pressure inside equals that outside . " * 4


def chunk(number, text, title=""):
    return Chunk(f"d{number}#0", f"d{number}", title, text)


def kept_of(*texts, title=""):
    repeats = Repeats()
    kept = list(repeats.keep(chunk(number, text, title) for number, text in enumerate(texts)))
    return [int(each.document_id[1:]) for each in kept], (repeats.exact, repeats.near, repeats.wordless)


def numbered(count, start=0):
    return " ".join(f"word{number}" for number in range(start, start + count))


def test_exact_duplicates():
    """White space, width and invisible characters do not count."""
    assert kept_of("A cell divides.", "A  cell\ndivides.", "Ａ cell divides.", "A ce\u00adll divides.") == (
        [0],
        (3, 0, 0),
    )


def test_case_counts():
    """Crossing Aa with aa is another fact than crossing AA with aa."""
    assert kept_of("Crossing Aa with aa.", "Crossing AA with aa.", "Crossing aa with aa.") == ([0, 1, 2], (0, 0, 0))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Vitamin A is needed for sight and is made of carotene in the body.",
         "Vitamin K is needed for sight and is made of carotene in the body."),
        ("The solution holds Fe2+ ions after the reaction with iron.",
         "The solution holds Fe3+ ions after the reaction with iron."),
        ("The difference is 7 - 3 in this case.", "The difference is 7 + 3 in this case."),
        ("It is 10² metres long.", "It is 10₂ metres long."),
        ("水在一百度沸腾。", "油在一百度沸腾。"),
        (numbered(36), numbered(35) + " other"),
        (numbered(36), "other " + numbered(35, 1)),
    ],
)  # fmt: skip
def test_short_texts_that_differ_in_a_word_are_two_facts(first, second):
    assert kept_of(first, second) == ([0, 1], (0, 0, 0))


def test_long_texts_that_differ_in_a_word_are_near_duplicates():
    assert kept_of(numbered(90), numbered(90).replace("word45", "other")) == ([0], (0, 1, 0))
    assert kept_of(numbered(90), numbered(90, 10)) == ([0, 1], (0, 0, 0))


def test_the_title_counts():
    """ "It is a metal." under Iron and under Gold are two facts; a long text under another title is a copy."""
    repeats = Repeats()
    chunks = [chunk(0, "It is a metal.", "Iron"), chunk(1, "It is a metal.", "Gold")]
    chunks += [chunk(2, numbered(90), "Ionic and Molecular"), chunk(3, numbered(90), "Molecular and Ionic")]
    assert [each.document_id for each in repeats.keep(chunks)] == ["d0", "d1", "d2"]
    assert repeats.near == 1


@pytest.mark.parametrize("text", ["", "...", "— — —", "• | •", "+ - =", "。！"])
def test_passages_without_words_are_left_out(text):
    assert kept_of("Cells.", text) == ([0], (0, 0, 1))


def test_a_title_alone_is_no_passage():
    assert kept_of("---", title="A title")[1] == (0, 0, 1)


def test_overlapping_chunks_of_a_document_are_no_duplicates():
    """Two neighbours can share nine tenths of their words by design."""
    sentences = [numbered(82, 0), numbered(3, 100), numbered(2, 200), numbered(2, 300), numbered(2, 400)]
    text = ". ".join(each.capitalize() for each in sentences) + "."
    chunks = list(cut(Document("doc", "", text), 90, 4))
    assert len(chunks) == 2
    text = ". ".join(numbered(28, 100 * place).capitalize() for place in range(40))
    chunks += cut(Document("other", "", text), 90, 3)
    repeats = Repeats(near=0.3)
    assert list(repeats.keep(chunks)) == chunks
    assert len(chunks) > 30


def test_the_same_passage_twice_in_one_document_is_a_duplicate():
    repeats = Repeats()
    text = " ".join(["See the notes at the end of the book for the details of this."] * 8)
    chunks = list(cut(Document("doc", "", text), 15, 0))
    assert len(chunks) == 8
    assert len(list(repeats.keep(chunks))) == 1
    assert repeats.exact == 7


def test_a_chunk_is_compared_with_kept_ones_only():
    """Along a chain of small changes, the last text may say something else than the first."""
    words = numbered(90).split()
    chain = [" ".join([*(f"other{n}" for n in range(3 * place)), *words[3 * place :]]) for place in range(5)]
    assert kept_of(*chain) == ([0, 2, 4], (0, 2, 0))


@given(
    texts=st.lists(st.sampled_from([LONG, LONG + "also", "Cells.", "...", numbered(60), numbered(61)]), max_size=20),
    size=st.integers(min_value=1, max_value=7),
    cut_at=st.integers(min_value=0, max_value=20),
)
def test_batches_and_calls_do_not_matter(texts, size, cut_at):
    """A build that goes on after it was killed must drop the same chunks."""
    chunks = [chunk(number, text) for number, text in enumerate(texts)]
    whole, parts = Repeats(), Repeats()
    with pytest.MonkeyPatch.context() as patch:
        expected = list(whole.keep(chunks))
        patch.setattr(module, "_BATCH", size)
        assert [*parts.keep(chunks[:cut_at]), *parts.keep(chunks[cut_at:])] == expected
    assert (whole.kept, whole.exact, whole.near, whole.wordless) == (
        parts.kept, parts.exact, parts.near, parts.wordless,
    )  # fmt: skip
    assert whole.kept + whole.exact + whole.near + whole.wordless == len(chunks)


@pytest.mark.subprocess
def test_another_process_keeps_the_same_chunks():
    """Python's own hashes differ from process to process."""
    program = (
        "import json, sys; from llmtuner.retrieval.near import NearIndex; from llmtuner.retrieval.repeats import *\n"
        "from llmtuner.retrieval.repeats import _pair_sets, _WordHashes\n"
        "words = _WordHashes(); sets = _pair_sets([words.hashes(f'w{n} w{n+1} w{n+2}'.split()) for n in range(5)])\n"
        "print(json.dumps(NearIndex(0.9)._band_keys(sets).tolist()))"
    )
    keys = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(keys) == 1
    assert len(json.loads(keys.pop())) == 5


def test_the_vocabulary_does_not_grow_without_end(monkeypatch):
    monkeypatch.setattr(module, "_VOCABULARY", 10)
    repeats = Repeats()
    assert len(list(repeats.keep(chunk(n, numbered(8, 100 * n)) for n in range(20)))) == 20
    assert len(repeats._words) <= 10
