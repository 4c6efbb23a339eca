"""The Kaggle files that the notes name, with the expected number of rows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Source:
    """One source: a row of the notes' table.

    Args:
        name: as in `--hold_out` and the rows' `source`.
        title: as in the notes.
        kaggle: the Kaggle competition or data set to download.
        files: expected number of rows by file name.
    """

    name: str
    title: str
    kaggle: str
    files: dict[str, int]

    @property
    def rows(self) -> int:
        """The expected number of rows."""
        return sum(self.files.values())


SOURCES = {
    source.name: source
    for source in (
        Source("official", "LLMscience", "competition kaggle-llm-science-exam", {"train.csv": 200}),
        Source(
            "6k5",
            "6.5k",
            "data set radek1/additional-train-data-for-llm-science-exam",
            {"6000_train_examples.csv": 6000, "extra_train_set.csv": 500},
        ),
        Source(
            "15k",
            "15k",
            "data set radek1/15k-high-quality-examples",
            {"15k_gpt3.5-turbo.csv": 15000, "5900_examples.csv": 5900},
        ),
        Source(
            "6k",
            "6k",
            "data set radek1/sci-or-not-sci-hypthesis-testing-pack",
            {"6000_all_categories_questions.csv": 6000, "6000_wiki_en_sci_questions.csv": 6000},
        ),
    )
}
OFFICIAL = "official"
TEST = "test"  # the `source` of the test questions, which have no answers
TEST_FILE = "test.csv"  # of the competition; the published file has the questions of train.csv without answers
TEST_ROWS = 200
TOTAL = sum(source.rows for source in SOURCES.values())
WANTED = frozenset({TEST_FILE, *(name for source in SOURCES.values() for name in source.files)})


def substitute_of(name: str) -> str:
    """The file that replaces a missing one: the same questions with an excerpt of their Wikipedia page."""
    return f"{name.removesuffix('.csv')}_with_excerpts.csv"
