"""The script's flags, and its notices about files that are missing, short or long."""

from __future__ import annotations

import pytest
from planted import HEADER, put, row
from support import load_script

from llmtuner.data.prepare import BuildSettings, prepare_llmscience
from llmtuner.data.prepare.sources import SOURCES, TEST_FILE


@pytest.fixture
def run(raw, tmp_path, capsys):
    """Run the script on the planted files; return exit status, standard output and standard error."""

    def call(*flags: str) -> tuple[int, str, str]:
        status = load_script("prepare_llmscience").main(["--raw", str(raw), "--out", str(tmp_path / "out"), *flags])
        return status, *capsys.readouterr()

    return call


@pytest.mark.parametrize("names", [["official,6k"], ["official", "6k"], ["official,", "6k"], ["official, 6k,official"]])
def test_sources_to_hold_out_are_separated_by_commas_or_spaces(names, run, tmp_path):
    """A comma, as other flags use it, turned two sources into one unknown source."""
    status, _, _ = run("--hold_out", *names)
    assert status == 0
    assert '"hold_out": [\n   "official",\n   "6k"\n  ]' in (tmp_path / "out" / "manifest.json").read_text()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("", "no source is named; choose from: official, 6k5"),
        (",", "no source is named"),
        ("offical", "Did you mean official?"),
    ],
)
def test_an_empty_list_of_sources_is_rejected(names, message, run):
    status, _, error = run("--hold_out", names)
    assert status == 2
    assert message in error


def test_a_partly_missing_source_is_held_out_in_part_with_a_notice(raw, run):
    (raw / "a" / "extra_train_set.csv").unlink()
    _, message, _ = run("--hold_out", "6k5")
    assert "--hold_out 6k5: held out in part: extra_train_set.csv is missing" in message


def test_missing_short_and_long_files_have_their_own_notices(raw, run):
    """More rows than expected were called INCOMPLETE, and a missing test.csv was not mentioned."""
    (raw / "competition" / TEST_FILE).unlink()
    put(raw / "competition" / "train.csv", [row(n) for n in range(201)])
    status, message, _ = run()
    assert status == 0
    lines = {line.split(":")[0]: line for line in message.splitlines()}
    assert "INCOMPLETE: test.csv not found" in message
    assert "Without test.csv there is no llmscience_test" in message
    assert "competition/train.csv (201 of 200)" in lines["More rows than in Kaggle's file"]
    [fewer] = [line for line in message.splitlines() if "fewer rows" in line]
    assert "a/6000_train_examples.csv (26 of 6,000)" in fewer
    assert "train.csv (201" not in fewer


def test_a_whole_set_is_not_called_incomplete(raw, tmp_path, monkeypatch):
    counts = {"train.csv": 5, "6000_train_examples.csv": 26, "extra_train_set.csv": 2, "15k_gpt3.5-turbo.csv": 11}
    counts |= {"5900_examples.csv": 3, "6000_all_categories_questions.csv": 1, "6000_wiki_en_sci_questions.csv": 2}
    for source in SOURCES.values():
        for name in source.files:
            monkeypatch.setitem(source.files, name, counts[name])
    put(raw / "competition" / TEST_FILE, [row(n) for n in range(1000, 1200)], HEADER[:-1])
    prepared = prepare_llmscience(raw, tmp_path / "out", BuildSettings())
    assert not [line for line in prepared.manifest["notices"] if "INCOMPLETE" in line or "More rows" in line]


def test_flags_are_not_guessed_and_no_folder_is_not_this_folder(raw, run, tmp_path, capsys):
    """--over replaced a build; --raw "" (an unset variable) searched the working directory."""
    with pytest.raises(SystemExit, match="2"):
        run("--over")
    capsys.readouterr()
    assert run("--raw", "")[0] == 2
    assert run("--out", "")[0] == 2
