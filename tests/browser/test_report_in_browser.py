"""The report in Chromium: filters, search, keys, two widths and two themes; texts of the data stay texts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from report_files import EVIL, predictions, questions, write_questions, write_run, write_training

from llmtuner.metrics import rank_of_answer
from llmtuner.report.run_report.collect import collect_report
from llmtuner.report.run_report.page import render_report

WIDTHS, THEMES = (375, 1920), ("light", "dark")
RECORDS = questions(40)
# The contrast of every visible text with what is behind it, as [ratio, needed, text], where it is too low.
LOW_CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")


def write_page(
    folder: Path, records, *, runs: int = 1, evil: str = "", with_questions: bool = True, answers=True
) -> Path:
    arguments = [
        f"run {number}{evil}={write_run(folder / f'run{number}', predictions(records, seed=number, answers=answers))}"
        for number in range(runs)
    ]
    files = [str(write_questions(folder / "q.jsonl", records))] if with_questions else []
    trainings = [f"training{evil}={write_training(folder / 'training')}"]
    path = folder / "report #1.html"
    path.write_text(render_report(collect_report(arguments, files, trainings)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def one_run(tmp_path_factory) -> Path:
    return write_page(tmp_path_factory.mktemp("one"), RECORDS)


@pytest.fixture(scope="module")
def three_runs(tmp_path_factory) -> Path:
    return write_page(tmp_path_factory.mktemp("three"), RECORDS, runs=3)


def shown(tab) -> str:
    return tab.page.inner_text("#count")


def rank(prediction) -> int:
    return rank_of_answer(prediction.scores, prediction.answer).above


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("theme", THEMES)
def test_the_page_fits_its_window_and_can_be_read(one_run, three_runs, open_page, width, theme):
    for path in (one_run, three_runs):
        tab = open_page(path, width, theme)
        assert tab.value("document.documentElement.scrollWidth") <= width
        assert tab.page.evaluate(LOW_CONTRAST) == []
        assert tab.value("document.querySelectorAll('svg text').length") > 50, "the charts are drawn"


def test_filters_show_the_questions_that_they_name(one_run, open_page):
    tab = open_page(one_run)
    made = predictions(RECORDS, seed=0)
    right = sum(rank(prediction) == 0 for prediction in made)
    assert shown(tab) == "40 questions"
    tab.page.click("[data-filter=right]")
    assert shown(tab) == f"{right} of 40 questions"
    assert tab.page.inner_text("[data-filter=wrong] .number") == str(40 - right)
    tab.page.click("[data-filter=wrong]")
    assert set(tab.page.locator(".row .badge:last-child").all_inner_texts()) == {"wrong"}
    unsure = 0
    for prediction in made:
        best, second, *_ = sorted(prediction.probabilities, reverse=True)
        unsure += best - second < 0.1
    tab.page.click("[data-filter=uncertain]")
    assert shown(tab) == f"{unsure} of 40 questions"
    tab.page.click("#reset")
    tab.page.select_option("#column-choices select >> nth=0", "history")
    assert shown(tab) == f"{sum(record['subject'] == 'history' for record in RECORDS)} of 40 questions"


def test_the_search_reads_ids_questions_options_and_passages(one_run, open_page):
    tab = open_page(one_run)
    for text, count in (("QUESTION 17 ", 1), ("option b of 23", 1), ("long text", 20), ("q39", 1), ("nowhere", 0)):
        tab.page.fill("#search", text)
        tab.page.wait_for_timeout(250)
        assert shown(tab) == f"{count} of 40 questions", text
    assert tab.page.inner_text("#rows") == "No question matches."
    assert tab.page.inner_text("#detail") == "Nothing is selected."


def test_the_list_is_used_with_keys(one_run, open_page):
    tab = open_page(one_run)

    def after(*keys: str) -> str:
        for key in keys:
            tab.page.keyboard.press(key)
        return tab.page.inner_text("#detail .id")

    tab.page.focus("#list")
    assert after("ArrowDown", "ArrowDown") == "q2"
    assert after("k") == "q1"
    assert after("End") == "q39"
    assert after("ArrowDown") == "q39", "the end"
    active = tab.page.get_attribute("#list", "aria-activedescendant")
    assert tab.page.get_attribute(f"#{active}", "aria-selected") == "true"
    assert "q39" in tab.page.inner_text(f"#{active}"), "the selected row is in view"
    assert after("Home", "j") == "q1"
    tab.page.keyboard.press("/")
    tab.page.keyboard.type("q2j/")
    assert tab.page.input_value("#search") == "q2j/", "keys are text in the search"
    tab.page.keyboard.press("Escape")
    assert tab.value("document.activeElement.id") == "list"


def test_a_question_shows_options_bars_answer_and_passage(one_run, open_page):
    tab = open_page(one_run)
    record, prediction = RECORDS[0], predictions(RECORDS, seed=0)[0]
    assert tab.page.inner_text(".question-text") == record["prompt"]
    options = tab.page.locator(".option")
    assert options.count() == 5
    for place, letter in enumerate("ABCDE"):
        option = options.nth(place)
        assert record[letter] in option.inner_text()
        assert ("right answer" in option.inner_text()) == (record["answer"] == letter)
        assert f"{100 * prediction.probabilities[place]:.1f} %" in option.inner_text()
    width = tab.value(
        "document.querySelector('.bar-fill').offsetWidth / document.querySelector('.bar-track').offsetWidth"
    )
    assert width == pytest.approx(prediction.probabilities[0], abs=0.01)
    assert f"Cut to 1,200 of {len(record['context'].strip()):,} characters." in tab.page.inner_text(".passage .note")
    assert tab.page.locator(".passage .text mark.of-options").first.inner_text() == "option"
    assert tab.page.locator(".passage .text mark.of-question").first.inner_text() == "Plants"
    tab.page.get_by_role("button", name="Next").click()
    assert tab.page.locator(".passage").count() == 0, "this question has none"


def test_chinese_words_are_marked(tmp_path, open_page):
    record = questions(1)[0] | {"prompt": "植物需要什么?", "A": "阳光和水", "context": "没有阳光,植物不能生长。"}
    tab = open_page(write_page(tmp_path, [record]))
    assert tab.page.locator(".passage .text mark.of-options").all_inner_texts() == ["阳光"]
    assert tab.page.locator(".passage .text mark.of-question").all_inner_texts() == ["植物"]


def test_several_runs_lead_to_the_questions_that_changed(three_runs, open_page):
    tab = open_page(three_runs)
    first, second = (predictions(RECORDS, seed=seed) for seed in (0, 1))
    gained = sum(rank(one) > 0 == rank(other) for one, other in zip(first, second, strict=True))
    button = tab.page.locator("[data-change='0,1']")
    assert button.inner_text() == f"+{gained}"
    button.click()
    assert shown(tab) == f"{gained} of 40 questions"
    tab.page.select_option("#run", "1")
    assert set(tab.page.locator(".row .badge:last-child").all_inner_texts()) == {"right"}
    tab.page.select_option("#run", "0")
    assert "right" not in tab.page.locator(".row .badge:last-child").all_inner_texts()
    assert tab.page.locator(".option >> nth=0").locator(".bar-line").count() == 3


def test_a_mistake_leads_to_its_question(one_run, open_page):
    tab = open_page(one_run)
    tab.page.click("[data-filter=right]")
    mistake = tab.page.locator("#mistake-list button").first
    text = mistake.locator(".one-line").inner_text()
    mistake.click()
    assert tab.page.inner_text(".question-text") == text
    assert tab.page.locator(".option.mistake").count() == 1


@pytest.mark.parametrize("width", WIDTHS)
def test_markup_in_the_data_is_text(tmp_path, open_page, width):
    name = EVIL.replace("/", "∕").replace("=", "≡")
    records = [record | {f"c{EVIL}": "ab"[n % 2] + EVIL} for n, record in enumerate(questions(12, evil=EVIL))]
    tab = open_page(write_page(tmp_path, records, runs=2, evil=name), width)
    for _ in range(12):
        tab.page.keyboard.press("j")
    assert tab.value("document.scripts.length") == 2
    assert tab.value("document.querySelectorAll('img, i, b, sub, sup, iframe').length") == 0
    handlers = "[...document.querySelectorAll('*')].some((e) => e.getAttributeNames().some((n) => n.startsWith('on')))"
    assert tab.value(handlers) is False
    assert tab.page.text_content(".question-text") == records[-1]["prompt"]
    assert tab.page.text_content("#detail .id") == records[-1]["id"]
    assert tab.page.locator(".option .text").first.text_content() == records[-1]["A"]
    assert records[0]["subject"] in tab.page.locator("#column-choices option").all_text_contents()
    assert f"run 0{name}" in tab.page.locator("#run option").all_text_contents()
    assert tab.value("document.documentElement.scrollWidth") <= width


def test_the_policy_stops_a_script_that_is_not_the_page_s_own(one_run, open_page):
    """The last guard, if a text became markup all the same."""
    tab = open_page(one_run)
    tab.value("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"document.title = 7\">')")
    tab.value(
        "{ const s = document.createElement('script'); s.textContent = 'document.title = 7'; document.body.append(s) }"
    )
    tab.page.wait_for_timeout(200)
    assert tab.page.title().startswith("Report")
    blocked = [problem for problem in tab.problems if "Content Security Policy" in problem]
    assert len(blocked) >= 2
    tab.problems.clear()
    tab.requests[:] = [url for url in tab.requests if url.endswith(".html")]


def test_only_the_rows_in_view_are_elements(tmp_path, open_page):
    """Ten thousand rows made the page slow to open and to scroll."""
    records = [{"id": f"q{n}", "A": "a", "B": "b", "answer": "AB"[n % 2]} for n in range(10_000)]
    path = write_page(tmp_path, records, with_questions=False)
    tab = open_page(path)
    assert path.stat().st_size < 30_000_000
    assert tab.page.locator(".row").count() < 60
    tab.value("document.querySelector('#list').scrollTop = 1e9")
    tab.page.wait_for_selector("text=q9999")
    assert tab.page.locator(".row").count() < 60
    assert json.loads(tab.page.text_content("#data"))["questions"][-1][0] == "q9999"


def test_without_texts_and_answers_the_rest_works(tmp_path, open_page):
    tab = open_page(write_page(tmp_path, questions(8), with_questions=False, answers=False))
    assert tab.page.locator("#filters button").count() == 2
    assert "give its file with --questions" in tab.page.inner_text("#detail")
    assert tab.page.locator(".option").count() == 5
    assert tab.page.locator(".option.answer").count() == 0
    tab.page.fill("#search", "q7")
    tab.page.wait_for_timeout(250)
    assert shown(tab) == "1 of 8 questions"
