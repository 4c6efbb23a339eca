"""The context of a question: whole passages up to the budget, no sentence twice, in the order that was chosen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtuner.retrieval import contexts
from llmtuner.retrieval.chunks import cut
from llmtuner.retrieval.contexts import Context, assemble
from llmtuner.retrieval.lengths import length
from llmtuner.retrieval.passages import Chunk, Document
from llmtuner.spec.retrievers import CONTEXT_ORDERS


def hits(*texts, title=""):
    return [(Chunk(f"d{n}#0", f"d{n}", title, text), 9.0 - n) for n, text in enumerate(texts)]


def book(count=30, words=30, title="A book"):
    text = " ".join(f"Sentence number {number} of it." for number in range(count))
    return list(cut(Document("book", title, text), words, 3))


def test_no_hit():
    assert assemble([], 300) == Context("", (), ())


def test_both_orders():
    best_last = assemble(hits("one", "two", "three"), 300)
    assert best_last.text == "three\n\ntwo\n\none"
    assert assemble(hits("one", "two", "three"), 300, "best_first").text == "one\n\ntwo\n\nthree"


@pytest.mark.parametrize("order", CONTEXT_ORDERS)
def test_ids_and_scores_are_best_first_in_both_orders(order):
    context = assemble(hits("one", "two", "three"), 300, order)
    assert context.ids == ("d0#0", "d1#0", "d2#0")
    assert context.scores == (9.0, 8.0, 7.0)


def test_whole_chunks_up_to_the_budget():
    chunks = hits("a b c", "d e f g", "h i j k l", "m n")
    assert assemble(chunks, 9, "best_first").text == "a b c\n\nd e f g\n\nm n"
    assert assemble(chunks, 2).text == "m n"
    assert assemble(chunks, 1) == Context("", (), (), unfit=4)


def test_titles_count_and_stand_in_front():
    context = assemble(hits("a b", "c d", title="A title"), 8, "best_first")
    assert context.text == "A title\na b\n\nA title\nc d"
    assert assemble(hits("a b", "c d", title="A title"), 7).ids == ("d0#0",)


@pytest.mark.parametrize("copy", ["A cell divides.", "A  cell\ndivides.", "cell divides."])
def test_no_passage_twice_under_another_id(copy):
    context = assemble(hits("Look: A cell divides. It grows.", copy, "Another one."), 300)
    assert context.ids == ("d0#0", "d2#0")


def test_no_passage_twice_in_chinese():
    first = Chunk("book#0", "book", "", "水沸腾。细胞分裂。")
    second = Chunk("book#1", "book", "", "细胞分裂。它生长。")
    copy = Chunk("other#0", "other", "", "细胞分裂。它生长。")
    context = assemble([(first, 3.0), (second, 2.0), (copy, 1.0)], 300)
    assert (context.text, context.ids) == ("水沸腾。细胞分裂。它生长。", ("book#0", "book#1"))


def test_another_edition_of_a_passage_is_left_out():
    """Two editions of a textbook share sentences but not the borders of chunks; 8 % of the contexts had one twice."""
    shared = "plants take up water and carbon dioxide and give off oxygen in the light of the sun all day long"
    first, other = f"a {shared}", f"b {shared} today"
    more = "roots hold the plant in the ground and take up minerals with the water of the soil"
    assert assemble(hits(first, other, more), 300).ids == ("d0#0", "d2#0")
    # A lecture that repeats half of another one was left out, although the question needed the other half.
    assert assemble(hits(first, f"roots hold the plant in the ground {other}"), 300).ids == ("d0#0", "d1#0")


def test_half_of_a_neighbour_may_stand_in_the_context():
    """Neighbours of one document overlap, and are joined."""
    chunks = list(cut(Document("book", "", "One two three four five six. " * 2 + "Seven eight nine ten. " * 5), 12, 3))
    assert len(assemble([(chunk, 1.0) for chunk in chunks], 300).ids) > 1


def test_a_part_of_a_word_is_no_copy():
    assert assemble(hits("Cellular life.", "Cell"), 300).ids == ("d0#0", "d1#0")


def test_a_passage_that_did_not_fit_does_not_hide_a_later_one():
    chunks = hits("a b c d e", "f", "a b c d e")
    assert assemble([*hits("x y z"), *chunks[:1], *hits("q")[:1]], 4).ids == ("d0#0", "d0#0")


def test_neighbours_are_joined_with_one_title():
    chunks = book()
    context = assemble([(chunks[2], 3.0), (chunks[1], 2.0)], 300)
    assert context.ids == ("book#2", "book#1")
    assert context.text.count("A book") == 1
    assert context.text.count("Sentence number 6 ") == 1
    assert context.text == "A book\n" + " ".join(f"Sentence number {number} of it." for number in range(3, 12))


def test_a_chunk_between_two_joins_them():
    chunks = book()
    apart = assemble([(chunks[1], 3.0), (chunks[4], 2.0)], 300)
    assert apart.text.count("A book") == 2
    joined = assemble([(chunks[1], 3.0), (chunks[4], 2.0), (chunks[3], 1.0), (chunks[2], 0.5)], 300)
    assert joined.text.count("A book") == 1


def test_numbers_of_chunks_are_numbers():
    """Chunk 10 stands behind chunk 9, not behind chunk 1."""
    chunks = book(60)
    context = assemble([(chunks[10], 2.0), (chunks[9], 1.0)], 300)
    assert context.text.count("A book") == 1
    assert context.text.index("Sentence number 27 ") < context.text.index("Sentence number 32 ")


@given(
    order=st.permutations(range(9)),
    count=st.integers(min_value=0, max_value=9),
    budget=st.integers(min_value=0, max_value=200),
)
def test_no_sentence_twice_and_never_above_the_budget(order, count, budget):
    chunks = book()
    context = assemble([(chunks[number], 9.0 - place) for place, number in enumerate(order[:count])], budget)
    assert length(context.text) <= budget
    for number in range(30):
        assert context.text.count(f"Sentence number {number} ") <= 1
    for name in context.ids:
        text = chunks[int(name.partition("#")[2])].text
        assert all(part in context.text for part in text.split(". "))


@given(budget=st.integers(min_value=0, max_value=100))
def test_the_best_passage_stands_at_the_chosen_end(budget):
    chunks = hits("one", "two two", "three three three", "four")
    for order, end in zip(CONTEXT_ORDERS, (-1, 0), strict=True):
        text = assemble(chunks, budget, order).text
        assert not budget or text.split("\n\n")[end] == "one"


def test_each_passage_is_brought_into_its_normal_form_once(monkeypatch):
    """With every chunk, all passages were made anew: 800 chunks took ten seconds for each question."""
    calls = []
    monkeypatch.setattr(contexts, "normal_form", lambda text: calls.append(text) or text)
    assert len(assemble(hits(*(f"passage {number}" for number in range(60))), 300).ids) == 60
    assert len(calls) <= 2 * 60
