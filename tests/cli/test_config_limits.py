"""Config files that Python's readers cannot hold: they ended in tracebacks of omegaconf, yaml and json."""

from __future__ import annotations

import pytest

from llmtuner.cli.config_file import read_config
from llmtuner.cli.config_limits import within_limits
from llmtuner.errors import UserError

LONG = "9" * 5000
DEEP = "[" * 5000 + "]" * 5000


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.yaml", f"stage: mcq\nseed: {LONG}\n", ":2: a number has more digits than Python reads (4,300)"),
        ("a.json", f'{{"stage": "mcq",\n"seed": {LONG}}}', ":2: a number has more digits"),
        ("a.yaml", f"seed: 0x{'f' * 5000}\n", ":1: seed: a number has more digits"),
        ("a.yaml", f"fsdp_config:\n  a: 0x{'f' * 5000}\n", ":1: fsdp_config: a number has more digits"),
        ("a.yaml", f"a: {DEEP}\n", ": brackets or indents are nested too deeply; a config file is flat"),
        ("a.yaml", "a: " + "[" * 150 + "]" * 150, ": brackets or indents are nested too deeply"),
        ("a.json", f'{{"a": {DEEP}}}', ": brackets or indents are nested too deeply"),
        ("a.json", f'{{"a": {DEEP[4100:-4100]}}}', ": brackets or indents are nested too deeply"),
        ("a.yaml", "stage: mcq\nmodel_name_or_path: a\0b\n", ":2: YAML cannot have the character U+0000; remove it"),
        ("a.yaml", 'stage: mcq\noutput_dir: "a\\0b"\n', ":2: output_dir: 'a\\x00b' contains a NUL character"),
        ("a.json", '{"dataset": ["a", "b\\u0000"]}', ":1: dataset: 'b\\x00' contains a NUL character"),
        ("a.json", '{"output_dir": "\\ud800"}', ":1: output_dir: '\\ud800' contains half a character"),
    ],
)
def test_what_cannot_be_read_is_one_line_with_its_place(tmp_path, name, content, expected):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(UserError) as refusal:
        read_config(str(path))
    message = str(refusal.value)
    assert message.startswith(f"{path}{expected}")
    assert message.isprintable()
    assert len(message) < len(str(path)) + 150


@pytest.mark.parametrize("word", [f"seed={LONG}", "a=" + DEEP], ids=["long", "deep"])
def test_an_override_is_quoted_in_part(tmp_path, word):
    path = tmp_path / "a.yaml"
    path.write_text("stage: mcq\n")
    with pytest.raises(UserError, match=r"^override '") as refusal:
        read_config(str(path), [word])
    assert len(str(refusal.value)) < 200


def test_an_error_of_ours_is_not_taken_for_a_limit():
    with pytest.raises(ValueError, match="a bug"), within_limits("a.yaml"):
        raise ValueError("a bug")
