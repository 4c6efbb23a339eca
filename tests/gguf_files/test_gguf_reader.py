"""GGUF metadata: the same as the gguf package reads, and a message for every damaged file."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from gguf import GGUFReader
from hypothesis import given
from hypothesis import strategies as st
from tiny_gguf import tiny

from llmtuner.errors import UserError
from llmtuner.gguf_files.reader import read_gguf


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return tiny("llama", quantised=True)[0].write(tmp_path_factory.mktemp("gguf") / "tiny model.gguf")


def test_the_gguf_package_reads_the_same(whole):
    reference, ours = GGUFReader(whole), read_gguf(whole)
    expected = {key: field.contents() for key, field in reference.fields.items() if not key.startswith("GGUF.")}
    assert ours.values == expected
    assert [(each.name, each.shape, each.kind, each.size) for each in ours.tensors] == [
        (each.name, tuple(map(int, each.shape)), int(each.tensor_type), each.n_elements) for each in reference.tensors
    ]


def test_every_cut_is_noticed(whole, tmp_path):
    """The gguf package reads a cut list of numbers as empty ones, and goes on."""
    content = whole.read_bytes()
    data = len(content) - 1000
    for length in [*range(4, 200, 7), *range(200, data, data // 40), data, len(content) - 1]:
        cut = tmp_path / "cut.gguf"
        cut.write_bytes(content[:length])
        with pytest.raises(UserError, match=rf"cut\.gguf: is (damaged or )?cut.* {length:,}[ ;].*again"):
            read_gguf(cut)


@given(place=st.integers(4, 20_000), byte=st.integers(0, 255))
def test_a_damaged_byte_gives_another_value_or_a_message(whole, tmp_path_factory, place, byte):
    """No other error, and no endless loop: a damaged length made the gguf package count for hours."""
    content = bytearray(whole.read_bytes())
    content[place] = byte
    damaged = tmp_path_factory.getbasetemp() / "damaged.gguf"
    damaged.write_bytes(content)
    with suppress(UserError):
        assert read_gguf(damaged).values


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no GGUF file: it is empty"),
        (b"PK\x03\x04 a zip", r"is no GGUF file: it begins with b'PK\\x03\\x04', expected b'GGUF'"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "has version 1 of the format"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 60), "is damaged or cut"),
        (b"GGUF" + struct.pack("<IQQQ1sIIQ", 3, 0, 1, 1, b"k", 9, 4, 1 << 60), "is damaged or cut: a value of"),
        (b"GGUF" + struct.pack("<IQQQ1sIIQ", 3, 0, 1, 1, b"k", 9, 9, 1), "a list of lists"),
        (b"GGUF" + struct.pack("<IQQQ1sI", 3, 0, 1, 1, b"k", 77), "unknown kind 77"),
        (b"GGUF" + struct.pack("<IQQQ1s", 3, 0, 1, 1, b"\xff"), "not UTF-8"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2) + struct.pack("<Q1sIB", 1, b"k", 0, 1) * 2, "k occurs twice"),
        (b"GGUF" + struct.pack("<IQQQ1sI", 3, 1, 0, 1, b"t", 1 << 30), "tensor 't' has 1073741824 dimensions"),
        (b"GGUF" + struct.pack("<IQQQ1sIQIQ", 3, 1, 0, 1, b"t", 1, 4, 999, 0), "t has the unknown quantisation 999"),
    ],
)
def test_what_is_no_readable_file_is_refused(tmp_path, content, message):
    path = tmp_path / "some.gguf"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_gguf(path)


def test_a_part_of_a_model_is_refused(tmp_path):
    content, _ = tiny()
    content.values |= {"split.count": 4}
    with pytest.raises(UserError, match="one of 4 parts; join them first"):
        read_gguf(content.write(tmp_path / "part.gguf"))


def test_tensors_that_overlap_are_noticed(whole, tmp_path):
    """A damaged place of a tensor gave it the weights of another one."""
    first, second = read_gguf(whole).tensors[:2]
    content = whole.read_bytes()
    place = content.index(second.name.encode() + struct.pack("<I", 2)) + len(second.name) + 4 + 16 + 4
    assert struct.unpack_from("<Q", content, place) == (second.offset,)
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(content[:place] + struct.pack("<Q", first.offset + 32) + content[place + 8 :])
    with pytest.raises(UserError, match=rf"is damaged: {second.name} begins within {first.name}"):
        read_gguf(damaged)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path, message in ((tmp_path / "none.gguf", "no such file"), (tmp_path, "is a folder; pass the .gguf file")):
        with pytest.raises(UserError, match=message):
            read_gguf(path)


def test_values_of_another_kind_are_named(whole):
    read = read_gguf(whole)
    read.values["general.name"] = 7
    read.values["llama.context_length"] = True
    for key, kind in (("general.name", str), ("llama.context_length", int)):
        with pytest.raises(UserError, match=rf"{key} is '(7|True)', expected a (text|number)"):
            read.get(key, kind)
    assert read.get("no.key", str) is None
