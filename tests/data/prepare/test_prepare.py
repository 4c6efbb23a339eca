"""Building the llmscience sets: on planted repeats and contradictions, and on the real files."""

from __future__ import annotations

import errno
import os
import zipfile
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from planted import put, read, row, zipped
from support import load_script

from llmtuner.data.duplicates import stable_id
from llmtuner.data.load import read_questions
from llmtuner.data.prepare import BuildSettings, prepare_llmscience
from llmtuner.data.prepare import find as finding
from llmtuner.data.prepare.build import RawRow, build
from llmtuner.data.question import Question
from llmtuner.errors import DataError, RunError, UserError


def numbers(rows: list[dict]) -> list[int]:
    """The numbers of these planted questions."""
    return sorted(int("".join(filter(str.isdigit, record["E"].split()[0])) or -1) for record in rows)


def test_each_row_goes_where_it_belongs_and_the_rest_is_listed_with_its_reason(raw, tmp_path):
    out = tmp_path / "out"
    prepared = prepare_llmscience(raw, out, BuildSettings(valid_size=6))
    removed = {(r["reason"], r["prompt"].split()[4].strip().lower()): r for r in read(out, "removed")}
    assert {(reason, word) for reason, word in removed} == {
        ("repeats official", "aword1"),
        ("repeats official", "aword2"),
        ("repeats official", "aword3"),
        ("repeats test", "aword100"),
        ("duplicate", "aword10"),
        ("conflict", "aword11"),
    }
    assert prepared.manifest["removed"] == {"conflict": 2, "duplicate": 1, "repeats official": 3, "repeats test": 1}
    official = removed["repeats official", "aword1"]["because_of"]
    assert (official["source"], official["file"], official["line"], official["answer"]) == (
        "official",
        "competition/train.csv",
        3,
        row(1)["A"],
    )
    assert removed["repeats official", "aword1"]["contradicts"], "another option is right there"
    assert not removed["repeats official", "aword2"]["contradicts"]
    assert prepared.manifest["contradictions"] == 3
    raw_all, everything, valid = (read(out, f"llmscience{name}") for name in ("_raw_all", "", "_valid"))
    assert len(raw_all) == 5 + 26 + 2 + 11 + 3 + 1 + 2
    assert len(everything) + len(valid) == len(raw_all) - 7
    assert len(valid) == 6
    assert not {r["id"] for r in everything} & {r["id"] for r in valid}
    assert [r["source"] for r in everything].count("official") == 5, "the official questions are in it, once"
    assert all(r["source"] != "official" for r in valid)
    assert "test.csv: 1 of its 2 questions are in train.csv" in " ".join(prepared.manifest["notices"])
    assert prepared.table[-1].split() == ["ALL", "50", "39,600"]


def test_rows_keep_where_they_come_from_and_options_stay_by_name(raw, tmp_path):
    prepare_llmscience(raw, tmp_path / "out")
    [records] = [r for r in read(tmp_path / "out", "llmscience_raw_all") if "aword40" in r["prompt"]]
    assert list(records) == ["id", "prompt", "context", *"ABCDE", "answer", "source", "file", "line", "original_id"]
    assert {name: records[name] for name in (*"ABCDE", "answer")} == {n: row(40)[n] for n in (*"ABCDE", "answer")}
    assert (records["source"], records["file"], records["line"], records["original_id"]) == (
        "6k5",
        "a/extra_train_set.csv",
        2,
        "0",
    )


def test_what_was_written_is_read_again_without_a_warning(raw, tmp_path):
    put(raw / "5900_examples.csv", [row(60)])
    prepare_llmscience(raw, tmp_path / "out", form="parquet")
    prepare_llmscience(raw, tmp_path / "jsonl")
    for name in ("llmscience", "llmscience_raw_all", "llmscience_hq", "llmscience_official", "llmscience_test"):
        question_files = [
            read_questions(path, purpose="predict")
            for path in (tmp_path / "out" / f"{name}.parquet", tmp_path / "jsonl" / f"{name}.jsonl")
        ]
        assert question_files[0].questions
        assert [q.options for q in question_files[0].questions] == [q.options for q in question_files[1].questions]
        assert not question_files[0].warnings + question_files[1].warnings


@pytest.mark.parametrize(("short", "message"), [(1, True), (2, False)])
def test_few_questions_with_four_options_are_not_lost_sight_of(short, message):
    """In fewer than one row in 100, a blank last option counts as an option."""
    options = tuple(row(0)[letter] for letter in "ABCDE")
    rows = [RawRow(Question(str(n), row(n)["prompt"], options[: 4 if n < short else 5], 0), "6k5") for n in range(110)]
    notices = build(rows, [], BuildSettings(valid_size=0)).notices
    assert any("llmscience_raw_all: 1 of 110 questions have fewer options" in notice for notice in notices) == message


def test_the_test_questions_keep_kaggles_ids(raw, tmp_path):
    prepare_llmscience(raw, tmp_path / "out")
    assert [r["id"] for r in read(tmp_path / "out", "llmscience_test")] == ["0", "1"]
    assert all(r["answer"] is None for r in read(tmp_path / "out", "llmscience_test"))


def test_the_clean_set_has_one_of_each_group_and_none_that_is_damaged(raw, tmp_path):
    prepare_llmscience(raw, tmp_path / "out", BuildSettings(valid_size=0))
    everything, clean = (read(tmp_path / "out", name) for name in ("llmscience", "llmscience_hq"))
    missing = {r["id"] for r in everything} - {r["id"] for r in clean}
    removed_rows = [r for r in everything if r["id"] in missing]
    assert {r["A"].strip() for r in removed_rows if not r["A"].strip()} == {""}, "a blank option"
    assert any(r["E"] == "All of the above" for r in removed_rows)
    assert sum("fword12" in r["prompt"] for r in everything) == 2
    assert sum("fword12" in r["prompt"] for r in clean) == 1, "near duplicates: the first of them"
    prepare_llmscience(raw, tmp_path / "small", BuildSettings(valid_size=0, hq_size=7))
    assert len(read(tmp_path / "small", "llmscience_hq")) == 7


def test_a_source_that_is_held_out_leaves_with_all_that_repeats_it(raw, tmp_path):
    prepare_llmscience(raw, tmp_path / "out", BuildSettings(hold_out=("official", "6k"), valid_size=4))
    for name in ("llmscience", "llmscience_hq", "llmscience_valid"):
        assert not {"official", "6k"} & {r["source"] for r in read(tmp_path / "out", name)}
        prompts = {" ".join(r["prompt"].casefold().split()) for r in read(tmp_path / "out", name)}
        assert not prompts & {" ".join(row(n)["prompt"].casefold().split()) for n in (0, 1, 2, 3, 4, 70)}
    assert len(read(tmp_path / "out", "llmscience_official")) == 5
    assert len(read(tmp_path / "out", "llmscience_raw_all")) == 50
    with pytest.raises(UserError, match="choose from: official, 6k5, 15k, 6k"):
        BuildSettings(hold_out=("offical",))


def test_the_same_input_gives_the_same_bytes(raw, tmp_path):
    for name in ("one", "two"):
        prepare_llmscience(raw, tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "two").iterdir())
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_splits_never_separate_near_duplicates(raw, tmp_path):
    put(raw / "6000_wiki_en_sci_questions.csv", [row(n, prompt=f"{row(n)['prompt']} again") for n in range(50, 60)])
    for seed in range(5):
        prepare_llmscience(raw, tmp_path / str(seed), BuildSettings(valid_size=10, seed=seed))
        sides = [
            {n for n in numbers(read(tmp_path / str(seed), name)) if n >= 50}
            for name in ("llmscience", "llmscience_valid")
        ]
        assert not sides[0] & sides[1]


@given(st.permutations(["the cat", "A  DOG", "ﬁsh", "bird"]))
def test_an_id_depends_on_text_and_options_alone(options):
    plain = Question("7", "What is   IT?", tuple(options), 2, file="b.csv", line=9)
    assert stable_id(plain) == stable_id(Question("0", "what is it?", ("The Cat", "a dog", "fish", "bird"), 0))
    assert stable_id(plain) != stable_id(Question("0", "what is it?", ("the cat", "a dog", "fish", "birds"), 0))


# ---- zip files and bad folders


def test_zip_files_are_read_where_they_lie(raw, tmp_path):
    packed = tmp_path / "packed"
    zipped(
        packed / "llm.zip",
        {"train.csv": raw / "competition" / "train.csv", "test.csv": raw / "competition" / "test.csv"},
    )
    zipped(packed / "deep" / "er" / "archive.zip", {"x/6000_train_examples.csv": raw / "a" / "6000_train_examples.csv"})
    prepared = prepare_llmscience(packed, tmp_path / "out")
    assert set(prepared.manifest["inputs"]) == {
        "llm.zip/train.csv",
        "llm.zip/test.csv",
        "deep/er/archive.zip/x/6000_train_examples.csv",
    }
    assert prepared.manifest["sources"]["6k5"]["missing"] == ["extra_train_set.csv"]
    assert read(tmp_path / "out", "llmscience_official")[0]["file"] == "llm.zip/train.csv"


def test_a_zip_file_cannot_write_outside(raw, tmp_path):
    """Names inside an archive are never used as paths: not `..`, not absolute ones, not links."""
    packed = tmp_path / "packed"
    zipped(
        packed / "evil.zip",
        {"../../../train.csv": raw / "competition" / "train.csv", "/abs/test.csv": raw / "competition" / "test.csv"},
    )
    before = sorted(tmp_path.rglob("*"))
    prepared = prepare_llmscience(packed, tmp_path / "out")
    assert prepared.manifest["sources"]["official"]["rows"] == 5
    assert {p for p in tmp_path.rglob("*") if p not in before} == {tmp_path / "out", *(tmp_path / "out").iterdir()}


def test_zip_files_that_cannot_be_used(raw, tmp_path, monkeypatch):
    packed = tmp_path / "packed"
    path = zipped(packed / "all.zip", {"train.csv": raw / "competition" / "train.csv"})
    intact = path.read_bytes()
    monkeypatch.setattr(finding, "MAX_BYTES", 100)
    with pytest.raises(DataError, match=r"all\.zip: unpacked with train\.csv, its files have more than 100 bytes"):
        prepare_llmscience(packed, tmp_path / "out")
    monkeypatch.undo()
    for damage, message in (
        (intact[:200], "damaged zip file"),
        (intact[:60] + b"\xff" * 40 + intact[100:], "damaged zip file"),
    ):
        path.write_bytes(damage)
        with pytest.raises(DataError, match=message):
            prepare_llmscience(packed, tmp_path / "out")
    locked = bytearray(intact)
    locked[6] |= 1  # the password flag, in the file's own header ...
    locked[locked.index(b"PK\x01\x02") + 8] |= 1  # ... and in the directory
    path.write_bytes(bytes(locked))
    with pytest.raises(DataError, match=r"train\.csv needs a password"):
        prepare_llmscience(packed, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_zip_file_is_never_a_traceback(method, raw, tmp_path):
    """Each compression method raises its own errors for damaged content; some are an OSError."""
    path = tmp_path / "packed" / "all.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.write(raw / "competition" / "train.csv", "train.csv")
    intact = bytearray(path.read_bytes())
    for place in range(30, len(intact) - 100, 7):
        damaged = intact.copy()
        damaged[place : place + 3] = b"\xff\x00\xff"
        path.write_bytes(bytes(damaged))
        with suppress(DataError):  # or it is readable anyway
            finding.find_files(path.parent, tmp_path / "unpacked" / str(place))


def test_folders_that_cannot_be_used(raw, tmp_path):
    empty, foreign = tmp_path / "empty", tmp_path / "other"
    empty.mkdir()
    put(foreign / "some.csv", [row(1)])
    for folder, message in (
        (tmp_path / "nowhere", "no such folder"),
        (put(tmp_path / "file.csv", [row(1)]), "is a file, expected a folder"),
        (empty, "the folder is empty"),
        (foreign, "none of the Kaggle files is in it"),
    ):
        with pytest.raises(UserError, match=message):
            prepare_llmscience(folder, tmp_path / "out")
    put(raw / "copy" / "train.csv", [row(n) for n in range(5)])
    prepare_llmscience(raw, tmp_path / "out")  # the same content twice is fine
    put(raw / "copy" / "train.csv", [row(9)])
    with pytest.raises(
        UserError, match=r"train\.csv: several files of this name with different contents: competition/"
    ):
        prepare_llmscience(raw, tmp_path / "out2")
    assert not (tmp_path / "out2").exists()


def test_an_earlier_build_is_replaced_as_a_whole_or_not_at_all(raw, tmp_path, monkeypatch):
    out = tmp_path / "out"
    prepare_llmscience(raw, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(UserError, match="not empty; pass --overwrite"):
        prepare_llmscience(raw, out)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    put(raw / "6000_all_categories_questions.csv", [row(90), row(91)])
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(RunError, match="No space left on device; the earlier content is unchanged"):
            prepare_llmscience(raw, out, overwrite=True)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            prepare_llmscience(raw, out, overwrite=True)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "raw"], "nothing is left lying about"
    prepare_llmscience(raw, out, overwrite=True)
    assert {path.name: path.read_bytes() for path in out.iterdir()} != before
    for name in ("notes.txt", "llmscience_mine.jsonl"):
        (out / name).write_text("mine")
        with pytest.raises(UserError, match=f"contains {name}, which is not part of a build"):
            prepare_llmscience(raw, out, overwrite=True)
        assert (out / name).read_text() == "mine"
        (out / name).unlink()


@pytest.mark.parametrize("failure", [OSError(errno.EACCES, "Permission denied"), KeyboardInterrupt()])
def test_the_earlier_build_comes_back_when_the_new_one_cannot_take_its_place(failure, raw, tmp_path, monkeypatch):
    out = tmp_path / "out"
    prepare_llmscience(raw, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    original, calls = os.rename, []

    def rename(source, target):
        calls.append(target)
        if len(calls) == 2:
            raise failure
        original(source, target)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises((RunError, KeyboardInterrupt)):
        prepare_llmscience(raw, out, BuildSettings(valid_size=2), overwrite=True)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "raw"]


def test_what_cannot_be_held_out_is_not_passed_over(raw, tmp_path):
    (raw / "competition" / "train.csv").unlink()
    with pytest.raises(UserError, match=r"--hold_out official: train\.csv is missing"):
        prepare_llmscience(raw, tmp_path / "out", BuildSettings(hold_out=("official",)))


def test_the_script_says_what_is_missing_and_ends_well(raw, tmp_path, capsys):
    (raw / "5900_examples.csv").unlink()
    script = load_script("prepare_llmscience").main
    assert script(["--raw", str(raw), "--out", str(tmp_path / "out")]) == 0
    message = capsys.readouterr().out
    assert "INCOMPLETE" in message
    assert "5900_examples.csv (data set radek1/15k-high-quality-examples)" in message
    assert "test.csv                     2       200" in message
    assert script(["--raw", str(raw), "--out", str(tmp_path / "out")]) == 2
    assert "not empty" in capsys.readouterr().err
    assert script(["--raw", str(raw), "--out", str(tmp_path / "b"), "--hold_out", "15"]) == 2
    assert script(["--raw", str(raw), "--out", str(tmp_path / "b"), "--format", "csv"]) == 2
    assert "jsonl or parquet" in capsys.readouterr().err


@pytest.mark.real_data
def test_the_real_files(real_data, tmp_path):
    prepared = prepare_llmscience(real_data / "kaggle", tmp_path / "out")
    assert prepared.manifest["sources"]["6k5"]["rows"] == 6500
    assert prepared.manifest["sources"]["15k"]["missing"] == ["15k_gpt3.5-turbo.csv", "5900_examples.csv"]
    warned = " ".join(prepared.warnings)
    for line in (635, 3013, 4565, 4604):  # rows 633, 3011, 4563, 4602
        assert f"6000_train_examples.csv:{line}: options" in warned
    for line, letter in ((2429, "B"), (3534, "E"), (4484, "E")):
        assert f"6000_train_examples.csv:{line}: option {letter} is blank" in warned
    assert "extra_train_set.csv:449: option A is blank" in warned
    everything = read(tmp_path / "out", "llmscience")
    assert len(everything) + len(read(tmp_path / "out", "llmscience_valid")) == 6500 - len(
        read(tmp_path / "out", "removed")
    )
    clean = read(tmp_path / "out", "llmscience_hq")
    assert all(record[letter].strip() for record in clean for letter in "ABCDE")
    assert len(clean) > 4500


def test_a_blank_right_option_makes_no_set_unreadable(tmp_path):
    """Among questions with four options it was an option that does not exist: the build wrote sets that no run read."""
    put(tmp_path / "train.csv", [row(n) for n in range(20)])
    put(
        tmp_path / "6000_train_examples.csv",
        [row(n, "E" if n == 107 else "A", E="" if n == 107 else "e") for n in range(100, 220)],
    )
    put(tmp_path / "5900_examples.csv", [row(n, E="") for n in range(300, 320)])
    prepare_llmscience(tmp_path, tmp_path / "out")
    for name in ("llmscience", "llmscience_raw_all", "llmscience_valid"):
        assert read_questions(tmp_path / "out" / f"{name}.jsonl", purpose="train").questions
    [removed] = read(tmp_path / "out", "removed")
    assert (removed["reason"], removed["original_id"]) == ("blank answer", "7")
