"""The Kaggle files that the notes name, with the rows that each should have."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Source:
    """One line of the notes' table.

    Args:
        name: as in `--hold_out` and the rows' `source`.
        title: as in the notes.
        kaggle: where it is downloaded from.
        files: rows by file name.
    """

    name: str
    title: str
    kaggle: str
    files: dict[str, int]

    @property
    def rows(self) -> int:
        """How many rows there should be."""
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
TEST = "test"  # the `source` of what has no answers
TEST_FILE = "test.csv"  # of the same competition; as published, it holds the questions of train.csv without answers
TEST_ROWS = 200
TOTAL = sum(source.rows for source in SOURCES.values())
WANTED = frozenset({TEST_FILE, *(name for source in SOURCES.values() for name in source.files)})


def instead_of(name: str) -> str:
    """The same questions with an excerpt of their page: what is taken where the plain file is not there."""
    return f"{name.removesuffix('.csv')}_with_excerpts.csv"
