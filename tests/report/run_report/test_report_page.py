"""The page: two scripts, no markup from data, a policy that fits, every section where its data is given."""

from __future__ import annotations

import base64
import hashlib
import json
from html.parser import HTMLParser
from math import inf

import pytest
from report_files import EVIL, predictions, questions, write_questions, write_run, write_training

from llmtuner.data.predictions import Prediction
from llmtuner.report.run_report.collect import collect_report
from llmtuner.report.run_report.page import render_report

VOID = {"meta", "br", "input", "link", "hr"}
BANNED = {"img", "i", "sub", "sup", "iframe", "object", "embed", "link", "base", "form", "b"}
LOADING = {"src", "href", "srcset", "data", "action", "poster", "background", "formaction"}


class Page(HTMLParser):
    """Elements, attributes, text outside of scripts and styles, and the content of these."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)
        if tag in self.raw:
            self.raw[tag].append("")

    def handle_startendtag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        if self.open and self.open[-1] in self.raw:
            self.raw[self.open[-1]][-1] += data
        else:
            self.text += data


def page_of(folder, records, *, evil="", runs=1, answers=True, with_questions=True, training=True) -> Page:
    arguments = [
        f"run{number}{evil}={write_run(folder / f'run{number}', predictions(records, seed=number, answers=answers))}"
        for number in range(runs)
    ]
    files = [str(write_questions(folder / "q.jsonl", records))] if with_questions else []
    trainings = [f"training{evil}={write_training(folder / 'training')}"] if training else []
    return Page(render_report(collect_report(arguments, files, trainings)))


def check_rules(page: Page) -> None:
    assert page.elements.count("script") == 2
    assert not BANNED & set(page.elements)
    assert not page.open
    for name, value in page.attributes:
        assert not name.startswith("on")
        assert name != "style", "the policy refuses it"
        assert name not in LOADING or value.startswith("#"), f"{name}={value} loads something"


@pytest.mark.parametrize("runs", [1, 3])
def test_texts_of_the_data_stay_texts(tmp_path, runs):
    """In every place that data comes from: ids, questions, options, passages, columns, names of runs and trainings."""
    evil = EVIL.replace("/", "∕")  # a name of a run cannot have a slash before the equals sign's folder
    records = [record | {f"column {EVIL}": "ab"[n % 2] + EVIL} for n, record in enumerate(questions(12, evil=EVIL))]
    page = page_of(tmp_path, records, evil=evil.replace("=", "≡"), runs=runs)
    check_rules(page)
    assert "<img src≡x" in page.text
    assert f"Column {EVIL}".split("\u2028")[0] in page.text, "a heading of a table"
    assert records[0]["prompt"] in [question[3] for question in json.loads(page.raw["script"][0])["questions"]]


def test_a_file_name_with_markup_is_text(tmp_path):
    folder = tmp_path / "<img src=x onerror=alert(1)>"
    page = Page(render_report(collect_report([str(write_run(folder, predictions(questions(4))))])))
    check_rules(page)
    assert "<img src=x onerror=alert(1)>" in page.text


def test_the_policy_allows_the_script_and_the_style_sheet_and_nothing_else(tmp_path):
    """The hash of another text would leave the page without its list, and without its colours."""
    page = page_of(tmp_path, questions(5))
    [policy] = [value for name, value in page.attributes if name == "content" and "default-src" in value]
    hashes = [
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for text in (page.raw["style"][0], page.raw["script"][1])
    ]
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'; base-uri 'none'; "
        "form-action 'none'"
    )
    assert len(page.raw["style"]) == 1


def test_the_same_inputs_give_the_same_page(tmp_path):
    pages = [page_of(tmp_path, questions(8), runs=2) for _ in range(2)]
    assert pages[0].text == pages[1].text
    assert pages[0].raw == pages[1].raw


def test_a_page_with_everything_has_every_section(tmp_path):
    page = page_of(tmp_path, questions(24), runs=2)
    anchors = {value for name, value in page.attributes if name == "href"}
    sections = ("scores", "differences", "training", "charts", "groups", "mistakes", "questions")
    assert anchors == {f"#{name}" for name in sections}
    assert {value for name, value in page.attributes if name == "id"} >= set(sections)
    for text in ("MAP@3", "Subject", "Useful", "Passage", "Place of the answer", "longest option", "random", "step"):
        assert text in page.text or text in str(page.attributes)


def test_without_the_question_file_the_page_says_so(tmp_path):
    page = page_of(tmp_path, questions(6), with_questions=False, training=False)
    check_rules(page)
    assert "The texts of the questions were not given" in page.text
    assert "Training" not in page.text
    assert all(len(question) == 3 for question in json.loads(page.raw["script"][0])["questions"])


@pytest.mark.parametrize("with_questions", [False, True])
def test_without_answers_there_is_no_score(tmp_path, with_questions):
    """The page of a submission had a MAP@3 of nan."""
    records = questions(6)
    folder = write_run(tmp_path / "run", predictions(records, answers=False))
    for record in records:
        del record["answer"]
    files = [str(write_questions(tmp_path / "q.jsonl", records))] if with_questions else []
    page = Page(render_report(collect_report([str(folder)], files)))
    check_rules(page)
    assert "No question has a known answer" in page.text
    assert "Place ranked first" in page.text
    assert not any(word in page.text for word in ("nan", "MAP@3", "most certain mistakes"))


def test_blank_options_and_two_to_ten_options(tmp_path):
    made = [Prediction(str(n), (*map(float, range(n - 1)), -inf), n % n, "ab"[n % 2]) for n in range(2, 11)]
    page = Page(render_report(collect_report([str(write_run(tmp_path / "run", made))])))
    check_rules(page)
    assert "10 options" in page.text
    assert "Data set" in page.text
    assert "2 to 10" in page.text


def test_half_a_character_does_not_stop_the_page(tmp_path):
    """An id of one surrogate, which JSON can hold, could not be written as UTF-8."""
    folder = tmp_path / "run"
    folder.mkdir()
    line = '{"id": "\\ud83d", "scores": {"A": 1, "B": 2}, "answer": "B"}\n'
    (folder / "predictions.jsonl").write_text(line, encoding="utf-8")
    html = render_report(collect_report([str(folder)]))
    html.encode("utf-8")
    assert json.loads(Page(html).raw["script"][0])["questions"][0][0] == "\ufffd"


def test_a_training_without_an_evaluation_says_what_to_do(tmp_path):
    run = write_run(tmp_path / "run", predictions(questions(4)))
    training = write_training(tmp_path / "training", steps=1)
    page = Page(render_report(collect_report([str(run)], trainings=[str(training)])))
    assert "Loss has one point only" in page.text
    assert "MAP@3 was not logged" in page.text


def test_runs_on_one_question_have_no_difference(tmp_path):
    """Its interval was a single point beside 0, coloured as a certain difference; compare.py shows no pair either."""
    one, two = ([Prediction("a", scores, 0)] for scores in ((1.0, 0.0), (0.0, 1.0)))
    for name, made in (("one", one), ("two", two)):
        write_run(tmp_path / name, made)
    page = Page(render_report(collect_report([str(tmp_path / "one"), str(tmp_path / "two")])))
    assert "Differences" not in page.text


def test_chance_is_one_figure_although_its_last_bits_differ(tmp_path):
    """Rows in another order gave another last bit, and the line of chance was missing in every chart."""
    records = questions(12)
    path = write_questions(tmp_path / "q.jsonl", records)
    lines = []
    for other in (0.45666666666666667, 0.4566666666666666, 0.5):
        runs = []
        for name, chance in (("a", 0.45666666666666667), ("b", other)):
            stated = {"floor_random_map@3": chance, "floor_random_accuracy": 0.2}
            folder = tmp_path / f"{name}{other}"
            runs.append(f"{name}={write_run(folder, predictions(records, seed=ord(name)), stated)}")
        lines.append(render_report(collect_report(runs, [str(path)])).count("<line"))
    assert lines[0] == lines[1] > lines[2]
