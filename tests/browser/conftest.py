"""A Chromium for the tests of pages; without one, or without its driver, they are skipped.

Needs the package playwright (setup.py, extra `browser`) and Chromium: from the system, or by `playwright install
chromium`. CHROMIUM names another program.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox",  # which Chromium cannot use as root, as in a container
    *("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)


@pytest.fixture(scope="session")
def chromium() -> Iterator[object]:
    """A running browser."""
    driver = pytest.importorskip(
        "playwright.sync_api", reason="needs playwright: pip install -c constraints.txt playwright"
    )
    with driver.sync_playwright() as playwright:
        program = next(filter(None, map(shutil.which, filter(None, (os.environ.get("CHROMIUM"), *PROGRAMS)))), None)
        program = program or playwright.chromium.executable_path
        if not Path(program).exists():
            pytest.skip("needs Chromium: apt-get install chromium, or playwright install chromium")
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield browser
        browser.close()


class Tab:
    """A page that is open, and what went wrong in it."""

    def __init__(self, browser, path: Path, width: int, theme: str) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme, offline=True)
        self.page = self.context.new_page()
        self.problems: list[str] = []
        self.page.on("console", lambda message: self.problems.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.problems.append(f"dialog {dialog.message}"), dialog.dismiss()))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.requests: list[str] = []
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("html[data-ready=true]")

    def value(self, script: str) -> object:
        """The value of a JavaScript expression."""
        return self.page.evaluate(script)


@pytest.fixture
def open_page(chromium) -> Iterator[object]:
    """Opens a file as a tab; at the end of the test, no tab may have had an error or a request to elsewhere."""
    tabs: list[Tab] = []

    def open_file(path: Path, width: int = 1920, theme: str = "light") -> Tab:
        tabs.append(Tab(chromium, path, width, theme))
        return tabs[-1]

    yield open_file
    for tab in tabs:
        tab.context.close()
        assert not tab.problems
        assert [url.partition(":")[0] for url in tab.requests] == ["file"], "the page loads nothing but itself"
