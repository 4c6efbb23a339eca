"""--retrieve inside a run: the same contexts as scripts/add_context.py writes, once for all runs."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import pytest

from llmtuner.data.question import Question
from llmtuner.errors import UserError
from llmtuner.retrieval import in_run
from llmtuner.retrieval.check import checked
from llmtuner.retrieval.fill import ContextFinder
from llmtuner.retrieval.in_run import with_contexts
from llmtuner.retrieval.index.build import BuildSettings, build_index
from llmtuner.retrieval.rerankers import Rerankers
from llmtuner.retrieval.search import Index
from llmtuner.retrieval.settings import Retrieve

ASKED = [
    Question("1", "Where is vitamin A stored?", ("Liver", "Bone"), 0),
    Question("2", "What lets blood clot?", ("Vitamin K", "Iron"), 0, context="Own."),
    Question("3", "the of", ("?", "the"), 1),
    Question("4", "Where is vitamin A stored?", ("Liver", "Bone"), 1),
]


@pytest.fixture
def settings(tmp_path, corpus, monkeypatch) -> Retrieve:
    monkeypatch.setenv("LLMTUNER_CACHE", str(tmp_path / "cache"))
    build_index([str(corpus)], tmp_path / "index")
    return Retrieve(index=str(tmp_path / "index"), k=2)


@pytest.mark.parametrize("replaced", [False, True])
@pytest.mark.parametrize("cached", [False, True])
def test_questions_get_what_the_finder_finds_from_the_cache_or_not(settings, replaced, cached, monkeypatch):
    settings = replace(settings, replace=replaced)
    expected = [question for question, _ in ContextFinder(Index.open(settings.index), settings).fill(ASKED)]
    if cached:
        with_contexts(ASKED, replace(settings, replace=True))
        monkeypatch.setattr(in_run, "open_finder", lambda *_: pytest.fail("it was all in the cache"))
    assert with_contexts(ASKED, settings) == expected
    assert expected[1].context == "Own." or replaced


def test_counts_are_said_once_and_the_same_from_the_cache(settings, corpus, caplog):
    """A second run said nothing of the passages that were refused."""
    leak = {"id": "exam", "text": "Where is vitamin A stored? A. Liver B. Bone"}
    corpus.write_text(corpus.read_text() + json.dumps(leak) + "\n")
    build_index([str(corpus)], settings.index, overwrite=True)
    lines = []
    for _ in range(2):
        caplog.clear()
        with caplog.at_level(logging.INFO, "llmtuner.data"):
            with_contexts(ASKED, settings)
            with_contexts(ASKED, settings, speaks=False)
        lines.append([record.getMessage() for record in caplog.records])
    said = (
        "--retrieve: 2 of 4 questions got passages; 1 kept the context that they had; 1 found none; 2 passages refused"
    )
    assert lines[0] == lines[1]
    assert lines[0][0].startswith(said)
    assert len(lines[0]) == 1


def test_a_killed_run_has_lost_little(settings, monkeypatch):
    monkeypatch.setattr(in_run, "_SAVED", 1)
    real, calls = ContextFinder.contexts, []

    def killed(self, questions):
        calls.append(questions)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(self, questions)

    monkeypatch.setattr(ContextFinder, "contexts", killed)
    with pytest.raises(KeyboardInterrupt):
        with_contexts(ASKED, settings)
    calls.clear()
    calls += [None, None]
    with_contexts(ASKED, settings)
    assert [question.id for part in calls[2:] for question in part] == ["3"], "1 and 4 are one question, and known"


def test_nothing_to_fill_needs_no_index(settings):
    asked = [replace(question, context="Own.") for question in ASKED]
    assert with_contexts(asked, replace(settings, index="nowhere")) == asked
    assert with_contexts([], settings) == []


def test_messages_name_the_flags_of_a_run(settings):
    with pytest.raises(UserError, match=r"^--retrieve_rerank nowhere: no such folder"):
        with_contexts(ASKED, replace(settings, rerank="nowhere"))


def test_another_index_or_reranker_than_the_stored_one_is_refused_and_a_moved_one_is_not(settings, corpus, tmp_path):
    one, other = (Rerankers(lambda folder, digest=digest: digest, pytest.fail) for digest in ("one", "other"))
    stored = checked(replace(settings, rerank="model"), one)
    assert (stored.reranker, stored.rerank) == ("one", str((tmp_path / "model").parent.cwd() / "model"))
    (tmp_path / "index").rename(tmp_path / "moved")
    assert checked(replace(stored, index=str(tmp_path / "moved")), one).fingerprint == stored.fingerprint
    with pytest.raises(UserError, match="no such folder"):
        checked(stored, one)
    with pytest.raises(UserError, match="is another reranker than the stored one"):
        checked(replace(stored, index=str(tmp_path / "moved")), other)
    build_index([str(corpus)], tmp_path / "index", BuildSettings(words=5))
    with pytest.raises(UserError, match="is another index than the stored one"):
        checked(stored, one)


def test_the_note_and_the_place_of_the_corpus_are_no_content(settings, corpus, tmp_path):
    """A rebuilt index of the same corpus was refused as another one."""
    (tmp_path / "elsewhere").mkdir()
    moved = tmp_path / "elsewhere" / "facts.jsonl"
    moved.write_bytes(corpus.read_bytes())
    build_index([str(moved)], tmp_path / "again", BuildSettings(note="again"))
    assert checked(replace(settings, index=str(tmp_path / "again"))).fingerprint == checked(settings).fingerprint


@pytest.mark.parametrize("change", [{"k": True}, {"k": 0}, {"query": "x"}, {"rerank": 3}, {"replace": 1}, {"more": 1}])
def test_damaged_settings_are_refused(settings, change):
    with pytest.raises(UserError):
        Retrieve.from_json({**settings.to_json(), **change})
    assert Retrieve.from_json(settings.to_json()) == settings
