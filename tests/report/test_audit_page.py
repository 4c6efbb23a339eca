"""The audit page: data never becomes markup, nothing is loaded, shortened lists are marked."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmtuner.data.audit.result import Audit
from llmtuner.data.audit.run import audit
from llmtuner.data.predictions import Prediction, write_predictions
from llmtuner.report import audit_page
from llmtuner.report.audit_page import is_audit_page, render_page
from llmtuner.report.audit_summary import summary

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&lt;{{ 7 * 7 }}$x^2$"
VOID = {"meta", "br", "img", "link"}
LOADING = {"src", "href", "srcset", "data", "action", "poster", "background", "formaction"}


class Page(HTMLParser):
    """The elements of a page, the resources that they would load, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[str] = []
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), "an event handler"
            if name.removeprefix("xlink:") in LOADING and not value.startswith("#"):
                self.loads.append(value)
            if name == "style":
                assert "http" not in value
            if name == "id":
                self.ids.append(value)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        self.text += data


def save(path, records):
    path.write_text("\n".join(json.dumps(record) for record in records), encoding="utf-8")
    return path


def evil_audit(folder, evil: str = EVIL) -> Audit:
    """An audit in which every list has entries and every data field has the same text."""
    exam = [
        {
            "id": f"{evil} {n}",
            "prompt": f"{evil} {n}",
            "context": evil,
            "A": f"{evil} {n}",
            "B": "b",
            "C": "c",
            "answer": "ABC"[n % 3],
        }
        for n in range(60)
    ]
    doubled = [
        exam[0] | {"id": f"{evil} again", "answer": "B"},
        exam[1] | {"id": f"{evil} near", "prompt": f"{evil} 1 {evil}", "B": "c"},
        exam[2] | {"id": f"{evil} broken", "answer": evil},
        exam[3] | {"id": exam[3]["id"]},
        exam[4] | {"id": f"{evil} equal", "A": evil, "B": evil, "prompt": "?"},
    ]
    first, second = save(folder / "<b>exam & $x$.jsonl", [*exam, *doubled]), save(folder / "other.jsonl", exam[:3])
    scores = [Prediction(row["id"], tuple(4.0 * (letter == row["answer"]) for letter in "ABC")) for row in exam[10:]]
    wrong = [Prediction(p.id, p.scores[::-1]) if place in (1, 13, 22, 36) else p for place, p in enumerate(scores)]
    write_predictions(wrong, folder)
    return audit([first, second], predictions=folder / "predictions.jsonl")


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return evil_audit(tmp_path_factory.mktemp("evil"))


def test_every_kind_of_finding_is_on_the_page_under_test(result):
    """Otherwise the test of escaping would pass on a page without data."""
    repeats = result.repeats
    assert all((repeats.same_text, repeats.same_question, repeats.near, repeats.conflicts, repeats.leaks))
    assert result.label_errors.suspects
    assert result.files[0].errors
    assert len({warning.kind for warning in result.files[0].warnings}) >= 2


def test_no_text_of_the_data_becomes_markup(result):
    page = Page(render_page(result))
    assert "script" not in page.elements
    assert "img" not in page.elements
    assert EVIL in page.text, "it is shown as it is"
    assert "<b>exam & $x$.jsonl" in page.text
    assert "49" not in page.text.replace(EVIL, ""), "no template within the data is run"
    assert not page.open, "every element is closed"


def test_the_page_loads_nothing_and_says_so(result):
    html = render_page(result)
    page = Page(html)
    assert page.loads == []
    assert not {"link", "iframe", "object", "embed", "base", "form"} & set(page.elements)
    assert "url(http" not in html
    assert "@import" not in html
    assert "default-src 'none'" in html
    addresses = {part.split('"')[0] for part in html.replace("'", '"').split("http://")[1:]}
    assert addresses <= {"www.w3.org/2000/svg", "www.w3.org/1999/xlink"}, "names of formats, which nothing loads"


def test_charts_are_in_the_page_with_ids_of_their_own(result):
    page = Page(render_page(result))
    assert page.elements.count("svg") >= 4
    assert page.ids, "frames that clip"
    assert len(page.ids) == len(set(page.ids)), "a chart would be clipped by another one's frame"


def test_a_suspect_shows_the_answer_and_what_the_model_would_choose(result):
    text = " ".join(Page(render_page(result)).text.split())
    assert text.count("the model's choice") == len(result.label_errors.suspects)


def test_the_same_audit_gives_the_same_page(result):
    assert render_page(result) == render_page(result)


def test_an_earlier_page_is_known_by_its_mark(result, tmp_path):
    page, foreign = tmp_path / "audit.html", tmp_path / "other.html"
    page.write_text(render_page(result), encoding="utf-8")
    foreign.write_text("<!doctype html><title>Audit</title>")
    assert (is_audit_page(page), is_audit_page(foreign)) == (True, False)


def test_long_lists_are_cut_and_say_so(result, monkeypatch):
    full = render_page(result)
    monkeypatch.setattr(audit_page, "LISTED", 1)
    cut = render_page(result)
    assert len(cut) < len(full)
    assert "more: --json lists all" in cut
    assert "more: --json lists all" not in full


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=40))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_leaves_the_page_whole(tmp_path, text):
    exam = save(tmp_path / "exam.jsonl", [{"query": text, "choices": [text, text, "c"], "gold": 0}] * 2)
    page = Page(render_page(audit([exam], near=False)))
    assert not page.open
    assert "script" not in page.elements


def test_a_long_text_is_cut_on_the_page(tmp_path):
    """Forty prompts of 200,000 characters made a page of 16 MB."""
    rows = [{"id": str(n), "prompt": "long " * 5_000, "A": "x" * 9_000, "B": "y", "answer": "A"} for n in range(2)]
    path = tmp_path / "long.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    page = render_page(audit([path]))
    assert "x" * 1_900 in page
    assert "x" * 2_001 not in page
    assert "long " * 401 not in page


def test_the_terminal_gets_no_control_characters(tmp_path):
    """Otherwise a question could clear the screen, or hide the text before it."""
    text = "\x1b[2J\u202eevil"
    exam = save(tmp_path / "exam.jsonl", [{"query": text, "choices": [text, text, "c"], "gold": 0}] * 2)
    lines = summary(audit([exam], near=False))
    assert any("evil" in line for line in lines)
    assert all(line.isprintable() for line in lines)


def test_the_summary_names_each_file_and_check_and_where_things_are(result):
    lines = "\n".join(summary(result))
    for check, hits in result.checks.items():
        assert f"{check:15}{'skipped' if hits is None else f'{hits:,}':>9}" in lines
    [conflict] = result.repeats.conflicts
    assert f"{conflict[0].file}:{conflict[0].line}" in lines
    suspect = result.label_errors.suspects[0]
    assert f"{suspect.row.where}: {suspect.row.answer} has {suspect.given_probability:.3f}" in lines
