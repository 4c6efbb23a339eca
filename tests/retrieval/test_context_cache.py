"""The cache of --retrieve: what it knows, and that no damage to it costs more than time."""

from __future__ import annotations

import logging
import multiprocessing
import sqlite3
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtuner.cache import read_only
from llmtuner.data.question import Question
from llmtuner.retrieval.cache import key_of, opened
from llmtuner.retrieval.contexts import Context
from llmtuner.retrieval.settings import Retrieve

SETTINGS = Retrieve(index="/index", fingerprint="f" * 64)
CONTEXT = Context("Light\u2028and water.", ("a#0", "b#1"), (2.5, 1 / 3), refused=2, cut=1, unfit=3)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("LLMTUNER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "retrieve"


def stored(keys=("k",), settings=SETTINGS) -> dict:
    with opened(settings) as cache:
        return cache.read(keys)


def store(contexts=None, settings=SETTINGS) -> None:
    with opened(settings) as cache:
        cache.write({"k": CONTEXT} if contexts is None else contexts)


def test_contexts_come_back_as_they_were_also_many():
    store({f"k{n}": replace(CONTEXT, refused=n) for n in range(1201)})
    assert stored([f"k{n}" for n in range(1300)]) == {f"k{n}": replace(CONTEXT, refused=n) for n in range(1201)}


def test_a_dry_run_reads_the_cache_and_writes_nothing(cache, caplog):
    with read_only():
        assert stored() == {}
        store()
        assert stored() == {}
    assert not cache.exists()
    store()
    before = {path: path.read_bytes() for path in cache.iterdir()}
    with read_only():
        assert stored() == {"k": CONTEXT}
        store({"other": CONTEXT})
        assert stored(["other"]) == {}
    assert {path: path.read_bytes() for path in cache.iterdir()} == before
    assert not caplog.records, "a cache that is not written is no defect"


OTHER = {"index": "/moved", "k": 4, "max_words": 9, "query": "prompt", "order": "best_first", "rerank": "/model"}
OTHER |= {"replace": True, "fingerprint": "e" * 64, "reranker": "d" * 64}


@pytest.mark.parametrize("name", [each.name for each in fields(Retrieve)])
def test_only_what_changes_a_context_makes_another_cache(name):
    """A moved index was searched again; one of other content gave the old contexts."""
    store()
    known = stored(settings=replace(SETTINGS, **{name: OTHER[name]}))
    assert bool(known) == (name in ("index", "rerank", "replace"))


@given(st.tuples(st.text(), st.text(), st.text()), st.tuples(st.text(), st.text(), st.text()))
def test_questions_have_one_key_if_their_texts_are_the_same(first, second):
    one, two = (Question(id, question, (option, "x"), context=id) for question, option, id in (first, second))
    assert (key_of(one) == key_of(two)) == (first[:2] == second[:2])
    assert key_of(replace(one, answer=0)) == key_of(replace(one, answer=1))


@pytest.mark.parametrize("damage", [b"no database", b"", None])
def test_a_damaged_cache_is_made_anew(cache, damage, caplog):
    store()
    (path,) = cache.glob("*.sqlite")
    if damage is None:
        with sqlite3.connect(path) as database:
            database.execute("UPDATE contexts SET context = '[1'")
        database.close()
    else:
        path.write_bytes(damage)
    assert stored() == {}
    store()
    assert stored() == {"k": CONTEXT}
    assert ("is damaged" in caplog.text) == (damage == b"no database")


def test_a_table_of_another_form_is_no_traceback(cache, caplog):
    store()
    (path,) = cache.glob("*.sqlite")
    path.unlink()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE contexts (x)")
    database.close()
    assert stored() == {}
    assert "cannot be used" in caplog.text


def test_a_cache_that_cannot_be_written_is_left_alone_with_one_warning(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LLMTUNER_CACHE", str(tmp_path / "file"))
    with opened(SETTINGS) as cache, caplog.at_level(logging.WARNING):
        cache.write({"k": CONTEXT})
        assert cache.read(["k"]) == {}
    assert caplog.text.count("they are retrieved without it") == 1


def test_a_database_that_is_full_or_read_only_is_left_alone(caplog):
    store()
    with opened(SETTINGS) as cache:
        cache._database.execute("PRAGMA query_only = 1")
        cache.write({"new": CONTEXT})
        cache.write({"newer": CONTEXT})
        assert cache.read(["k"]) == {}, "it is closed"
    assert caplog.text.count("cannot be used") == 1
    assert stored(("k", "new")) == {"k": CONTEXT}


def test_mistakes_inside_are_not_taken_for_trouble_with_the_cache():
    """An index that could not be read was searched a second time, as if the cache were at fault."""
    with pytest.raises(OSError, match="the index"), opened(SETTINGS):
        raise OSError("the index")


def _hold(folder: str, ready, release) -> None:
    import os

    os.environ["LLMTUNER_CACHE"] = folder
    with opened(SETTINGS) as cache:
        ready.set()
        release.wait(60)
        cache.write({"k": CONTEXT})


def test_another_process_waits_says_so_and_then_finds_everything(tmp_path, caplog):
    context = multiprocessing.get_context("fork")
    ready, release = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(str(tmp_path / "cache"), ready, release))
    holder.start()
    assert ready.wait(60)

    class Releases(logging.Handler):
        def emit(self, record):
            if "waiting for it" in record.getMessage():
                release.set()

    handler = Releases()
    logger = logging.getLogger("llmtuner.data")
    logger.addHandler(handler)
    try:
        with caplog.at_level(logging.INFO, "llmtuner.data"):
            assert stored() == {"k": CONTEXT}
    finally:
        logger.removeHandler(handler)
        release.set()
        holder.join(60)
    assert holder.exitcode == 0
