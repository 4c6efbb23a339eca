"""The rows of tests/mutations.py match the code, and the runner reports the outcome of an edit."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import mutate
import pytest
from mutations import MUTATIONS, ROOT, Mutation


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_an_edit_fits_the_code(mutation):
    """A row whose line has changed tests nothing, but would count as an edit that was noticed."""
    assert mutation.defects() == []


def test_names_are_unique():
    """With two rows of the same name, --only would try both and the table would show one."""
    assert [name for name, count in Counter(mutation.name for mutation in MUTATIONS).items() if count > 1] == []


@pytest.mark.parametrize(
    ("old", "new", "tests", "defects"),
    [
        ("a = 1", "a = 2", ("test_a.py",), []),
        ("a = 1", "a = 2", ("test_a.py::test_one",), []),
        ("b = 1", "b = 2", ("test_a.py",), ["its text occurs 2 times in a.py"]),
        ("c = 1", "c = 2", ("test_a.py",), ["its text occurs 0 times in a.py"]),
        ("a = 1", "a = 1", ("test_a.py",), ["it changes nothing"]),
        ("a = 1", "a = 2", (), ["it names no test"]),
        ("a = 1", "a = 2", ("test_a.py::test_two",), ["test_a.py::test_two does not exist"]),
        ("a = 1", "a = 2", ("test_b.py",), ["test_b.py does not exist"]),
    ],
)
def test_a_row_that_cannot_be_tried_says_why(old, new, tests, defects, tmp_path):
    """Each of these would leave the code unchanged, or run no test."""
    (tmp_path / "a.py").write_text("a = 1\nb = 1\nb = 1\n")
    (tmp_path / "test_a.py").write_text("def test_one():\n    pass\n")
    assert Mutation("row", "a.py", old, new, tests).defects(tmp_path) == defects


def copy_of_one_file(target: Path) -> None:
    """Replaces `copy_project`, which needs git: the project may not be in a repository."""
    path = target / MUTATIONS[0].file
    path.parent.mkdir(parents=True)
    path.write_text((ROOT / MUTATIONS[0].file).read_text())


@pytest.mark.parametrize(
    ("status", "became", "ends_with"), [(1, "killed", 0), (None, "killed", 0), (0, "survived", 1), (2, "broken", 2)]
)
def test_what_became_of_an_edit_is_read_from_pytests_status(status, became, ends_with, monkeypatch, capsys):
    """Tests that cannot be collected, or that do not exist, fail too, and would count as an edit that was noticed."""
    row = MUTATIONS[0]
    edited = []
    monkeypatch.setattr(mutate, "copy_project", copy_of_one_file)

    def run_tests(tests, folder):
        edited.append((folder / row.file).read_text())
        return (0 if row.old in edited[-1] else status), "what pytest printed"

    monkeypatch.setattr(mutate, "run_tests", run_tests)
    assert mutate.main(["--only", row.name, "--jobs", "1"]) == ends_with
    assert f"  {became}" in capsys.readouterr().out
    assert sorted(row.old in text for text in edited) == [False, True], "once with the edit, once without"


def test_an_edit_counts_for_nothing_where_its_tests_fail_anyway(monkeypatch, capsys):
    """If a test always fails, every edit seems to be noticed."""
    monkeypatch.setattr(mutate, "copy_project", copy_of_one_file)
    monkeypatch.setattr(mutate, "run_tests", lambda tests, folder: (1, "what pytest printed"))
    assert mutate.main(["--only", MUTATIONS[0].name]) == 2
    assert "the tests fail without any edit" in capsys.readouterr().out
