"""Finding files: zip files, names in messages, and entries that are not files."""

from __future__ import annotations

import os
import zipfile

import pytest
from planted import HEADER, put, read, row, zipped

from llmtuner.data.prepare import find as finding
from llmtuner.data.prepare import prepare_llmscience
from llmtuner.errors import DataError, UserError


@pytest.mark.parametrize("rows", [[row(1, "Z")], [row(1, "Z"), row(2, "Y")]])
def test_a_defect_inside_a_zip_file_is_named_where_the_user_can_look(rows, tmp_path):
    """The message named an unpacked copy in a temporary folder that was already deleted, on each of several lines."""
    path = put(tmp_path / "train.csv", [row(0), *rows])
    zipped(tmp_path / "raw" / "a.zip", {"train.csv": path})
    with pytest.raises(DataError, match=r"(?m)^ *a\.zip/train\.csv:3: answer 'Z'") as raised:
        prepare_llmscience(tmp_path / "raw", tmp_path / "out")
    assert str(raised.value).count("a.zip/train.csv:") == len(rows)
    assert "llmscience-" not in str(raised.value)


def test_warnings_keep_what_looks_like_a_path(tmp_path, monkeypatch):
    """The file's name was replaced everywhere in a warning, even inside text from the data."""
    put(tmp_path / "raw" / "train.csv", [row(0, A="raw/train.csv", B="raw/train.csv")])
    monkeypatch.chdir(tmp_path)
    [warning] = prepare_llmscience("raw", "out").warnings
    assert warning == "train.csv:2: options A and B are equal: 'raw/train.csv'"


def test_members_of_one_name_are_told_apart(tmp_path):
    """Both were called all.zip/train.csv, in messages and in every row's `file`."""
    first, second = put(tmp_path / "one.csv", [row(1)]), put(tmp_path / "other.csv", [row(2)])
    path = zipped(tmp_path / "raw" / "all.zip", {"old/train.csv": first, "new\\..//./train.csv": second})
    with pytest.raises(UserError, match=r"all\.zip/new/__/train\.csv \(\w{8}\), all\.zip/old/train\.csv \(\w{8}\)"):
        prepare_llmscience(tmp_path / "raw", tmp_path / "out")
    zipped(path, {"old/train.csv": first})
    prepare_llmscience(tmp_path / "raw", tmp_path / "out")
    assert [record["file"] for record in read(tmp_path / "out", "llmscience")] == ["all.zip/old/train.csv"]


def test_one_name_twice_in_one_folder_of_a_zip_file(tmp_path):
    """The second copy overwrote the first and was read instead of it."""
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(put(tmp_path / "x.csv", [row(1)]), "train.csv")
        put(tmp_path / "x.csv", [row(2)])
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.write(tmp_path / "x.csv", "train.csv")
    unpack = finding._Unpacker(tmp_path / "unpacked")
    paths = [file.path for file in finding._files_in_archive(tmp_path / "all.zip", "all.zip", unpack)]
    assert [path.read_text().count("aword1") for path in paths] == [1, 0]


def test_the_limit_is_one_for_all_archives(tmp_path, monkeypatch):
    path = put(tmp_path / "train.csv", [row(1)])
    monkeypatch.setattr(finding, "MAX_BYTES", int(1.5 * path.stat().st_size))
    zipped(tmp_path / "raw" / "1.zip", {"train.csv": path})
    prepare_llmscience(tmp_path / "raw", tmp_path / "one")
    zipped(tmp_path / "raw" / "2.zip", {"train.csv": path})
    with pytest.raises(DataError, match=r"2\.zip: unpacked with train\.csv, its files have more than"):
        prepare_llmscience(tmp_path / "raw", tmp_path / "two")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("name", ["train.csv", "any.zip"])
def test_a_pipe_is_rejected_before_it_is_opened(name, tmp_path):
    """Opening a named pipe blocks until something writes to it."""
    put(tmp_path / "raw" / "extra_train_set.csv", [row(1)])
    os.mkfifo(tmp_path / "raw" / name)
    os.mkfifo(tmp_path / "raw" / "of no interest")
    with pytest.raises(DataError, match=rf"{name}: is not a regular file"):
        prepare_llmscience(tmp_path / "raw", tmp_path / "out")


def test_names_do_not_reach_the_terminal_raw(tmp_path):
    """A folder's name could recolour a terminal, or hide a line of it."""
    evil = "\x1b[2Ja\nb"
    put(tmp_path / "raw" / evil / "train.csv", [row(1, A=" ")], HEADER)
    prepared = prepare_llmscience(tmp_path / "raw", tmp_path / "out")
    assert prepared.warnings[0].startswith(r"\x1b[2Ja\nb/train.csv:2: ")
    assert [record["file"] for record in read(tmp_path / "out", "llmscience")] == [r"\x1b[2Ja\nb/train.csv"]
    (tmp_path / evil).mkdir()
    (tmp_path / evil / "x.txt").write_text("")
    with pytest.raises(UserError, match="none of the Kaggle files") as raised:
        prepare_llmscience(tmp_path / evil, tmp_path / "out2")
    assert "\x1b" not in str(raised.value)


def test_names_that_are_no_unicode_are_spelt_out(tmp_path):
    """Such a name could not be written to the output: all the work ended in an encoding error."""
    folder = os.fsdecode(os.fsencode(tmp_path / "raw") + b"/\xff")
    put(type(tmp_path)(folder, "train.csv"), [row(1)])
    prepare_llmscience(tmp_path / "raw", tmp_path / "out")
    assert [record["file"] for record in read(tmp_path / "out", "llmscience")] == [r"\udcff/train.csv"]
