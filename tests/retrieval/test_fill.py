"""The passages of questions: how many, which, in what order, and that no answer is looked at."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtuner.data.question import Question
from llmtuner.retrieval import fill
from llmtuner.retrieval.fill import ContextFinder, Counts
from llmtuner.retrieval.index.build import BuildSettings, build_index
from llmtuner.retrieval.search import Hit, Index
from llmtuner.retrieval.settings import Retrieve

ASKED = "Which vitamin is stored in the liver of a fish?"
OPTIONS = ("vitamin A", "vitamin K", "iron")
QUESTION = Question("1", ASKED, OPTIONS, answer=0)
LEAK = f"{ASKED} A. vitamin A B. vitamin K C. iron"


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> Index:
    """Forty facts about vitamins, two of them under two titles, and twelve copies of the question."""
    folder = tmp_path_factory.mktemp("fill")
    facts = {f"fact{n:02}": ("", f"The liver stores vitamin A, says book {n} of {n * 7}.") for n in range(40)}
    facts |= {f"same{n}": (f"Title {n}", "A fish has vitamin A in its liver.") for n in range(2)}
    facts |= {f"leak{n:02}": ("", f"{LEAK} Copy {n} from year {1990 + n}.") for n in range(12)}
    rows = [{"id": name, "title": title, "text": text} for name, (title, text) in facts.items()]
    (folder / "facts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    build_index([str(folder / "facts.jsonl")], folder / "index")
    return Index.open(folder / "index")


def find(index: Index, *questions: Question, **settings):
    return ContextFinder(index, Retrieve(index="", **settings)).contexts(questions)


@pytest.mark.parametrize("k", [1, 3, 20])
def test_k_passages_are_found_although_better_ones_are_refused(index, k):
    """Twelve copies of the question stood before all facts, and the search had looked at k hits."""
    best = [hit.chunk_id for hit in index.search(["\n".join((ASKED, *OPTIONS))], 12)[0]]
    assert all(name.startswith("leak") for name in best), "the copies are the best hits"
    (context,) = find(index, QUESTION, k=k, max_words=10_000)
    assert len(context.ids) == k
    assert not [name for name in context.ids if name.startswith("leak")]
    assert context.refused == 12
    assert list(context.scores) == sorted(context.scores, reverse=True)


def test_what_is_found_is_the_retrievers_order_without_the_refused(index):
    (context,) = find(index, QUESTION, k=50, max_words=10_000)
    (everything,) = index.search(["\n".join((ASKED, *OPTIONS))], len(index))
    expected = [(hit.chunk_id, hit.score) for hit in everything if not hit.chunk_id.startswith("leak")]
    expected = [pair for pair in expected if pair[0] != "same1#0"]  # the text of same0 under another title
    assert list(zip(context.ids, context.scores, strict=True)) == expected


def test_no_text_stands_twice_also_not_under_another_id(index):
    (context,) = find(index, QUESTION, k=50, max_words=10_000)
    assert context.text.count("A fish has vitamin A in its liver.") == 1


def test_the_best_passage_is_last_or_first(index):
    (last,), (first,) = (find(index, QUESTION, k=3, order=order) for order in ("best_last", "best_first"))
    assert last.ids == first.ids, "ids are best first whatever the order of the text"
    assert last.text.split("\n\n") == first.text.split("\n\n")[::-1]


@pytest.mark.parametrize("kind", ["all", "per_option", "prompt"])
def test_the_answer_is_never_read(index, kind):
    """Scored and unlabelled questions get the same passages."""
    contexts = find(index, *(replace(QUESTION, answer=answer) for answer in (None, 0, 1, 2)), query=kind)
    assert len({(each.text, each.ids, each.scores) for each in contexts}) == 1


@given(st.lists(st.sampled_from([QUESTION, replace(QUESTION, question="the of ?!", options=("-", "a")),
                                 replace(QUESTION, question="Iron?"), replace(QUESTION, context="Mine.")]), max_size=9),
       st.booleans())  # fmt: skip
def test_questions_keep_their_order_and_their_own_context_unless_replaced(index, questions, replaced):
    finder = ContextFinder(index, Retrieve(index="", k=2, replace=replaced))
    filled = list(finder.fill(questions))
    assert [replace(question, context="") for question, _ in filled] == [replace(q, context="") for q in questions]
    counts = Counts()
    for before, (question, context) in zip(questions, filled, strict=True):
        counts.add(context)
        if before.context and not replaced:
            assert (question, context) == (before, None)
        else:
            assert question.context == context.text == find(index, before, k=2)[0].text
    assert counts.filled + counts.empty + counts.unchanged == counts.questions == len(questions)


def test_a_question_of_stop_words_and_signs_gets_no_context(index):
    (context,) = find(index, Question("1", "the of ?!", ("-", "...")))
    assert (context.text, context.ids, context.scores) == ("", (), ())
    counts = Counts()
    counts.add(context)
    assert (counts.filled, counts.empty) == (0, 1)


def test_a_context_without_a_visible_character_is_filled(index):
    """A zero-width space counted as a context, and the question stayed without passages."""
    ((question, context),) = ContextFinder(index, Retrieve(index="")).fill([replace(QUESTION, context=" \u200b\n")])
    assert context is not None
    assert question.context == context.text != ""


def test_more_passages_than_the_index_has(index):
    (context,) = find(index, QUESTION, k=1000, max_words=10**6)
    assert len(context.ids) == 41


def test_searches_of_options_give_options_that_the_prompt_does_not(index):
    question = Question("1", "Which one?", ("nothing here", "book 17"))
    (context,) = find(index, question, query="per_option", k=1)
    assert "book 17" in context.text
    assert find(index, question, query="prompt", k=1)[0].ids == ()


def test_a_passage_that_is_first_for_one_option_beats_one_in_the_middle_of_all_rankings():
    """By reciprocal rank, the right fact came behind passages that say a little about every option."""
    rankings = [[Hit(0, "fact", 9.0), Hit(1, "a", 2.0)], [Hit(2, "b", 3.0), Hit(1, "a", 2.5)], [Hit(1, "a", 1.0)]]
    assert [(hit.row, hit.score) for hit in fill._best(rankings, 2)] == [(0, 9.0), (2, 3.0)]
    tied = [[Hit(3, "y", 1.0)], [Hit(5, "x", 1.0)]]
    assert [hit.chunk_id for hit in fill._best(tied, 5)] == ["x", "y"], "equal scores by id"


def test_a_reranker_orders_the_hits_and_is_asked_for_the_texts_of_the_query(index):
    asked = []

    def by_book(query, passages):
        asked.append(query)
        return [float(passage.count("book 9 ")) for passage in passages]

    (context,) = ContextFinder(index, Retrieve(index="", k=1), by_book).contexts([QUESTION])
    assert "book 9 " in context.text
    assert set(asked) == {"\n".join((ASKED, *OPTIONS))}


def test_half_a_character_is_no_trouble_for_an_encoder(tmp_path, corpus, tiny_bert):
    """A lone surrogate in a question ended the search with a traceback of the tokenizer."""
    build_index(
        [str(corpus)],
        tmp_path / "index",
        BuildSettings(retriever="dense", encoder=str(tiny_bert)),
    )
    broken = replace(QUESTION, question=ASKED + " \ud83d", options=("\udc00", "vitamin K"))
    (context,) = find(Index.open(tmp_path / "index"), broken, k=2)
    assert len(context.ids) == 2


def test_cut_queries_are_counted_and_said(tmp_path, corpus, tiny_bert):
    build_index(
        [str(corpus)],
        tmp_path / "index",
        BuildSettings(retriever="dense", encoder=str(tiny_bert)),
    )
    long = replace(QUESTION, question="What is stored in the liver? " * 60)
    finder, counts = ContextFinder(Index.open(tmp_path / "index"), Retrieve(index="", query="per_option")), Counts()
    for _, context in finder.fill([long, QUESTION]):
        counts.add(context)
    assert counts.cut == 3
    assert "3 queries were longer than the encoder takes" in counts.line()


def test_passages_that_are_too_long_are_not_called_none(index):
    """An index of longer chunks than --max_words said "8 found none", and the run went on without contexts."""
    counts = Counts()
    for context in find(index, QUESTION, replace(QUESTION, question="of", options=("-", "?")), k=2, max_words=3):
        counts.add(context)
    assert counts.line() == (
        "0 of 2 questions got passages; 1 found none; 1 got none, because each passage alone is longer than "
        "`max_words`: raise it; 12 passages refused, because they hold a question with its options"
    )
