"""The READMEs are short and link to what is declared instead of listing it: a new head or loss needs no edit there."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmtuner.spec import HEADS, LAYOUTS, LOSSES, METRICS, POOLINGS

ROOT = Path(__file__).resolve().parents[2]
READMES = [ROOT / "README.md", ROOT / "README_zh.md"]
COMMANDS = [ROOT / "docs" / "commands.md", ROOT / "docs" / "zh" / "commands.md"]
TABLES = {"heads": HEADS, "losses": LOSSES, "layouts": LAYOUTS, "poolings": POOLINGS, "metrics": METRICS}
MOST_WORDS = 1000  # of README.md, code and tables included
MOST_BYTES = 200_000  # of a picture of pixels
MOST = 2  # entries of one table, or flags, in one paragraph, item or row

_FENCE = re.compile(r"^ *```.*?^ *```[^\n]*$", flags=re.DOTALL | re.MULTILINE)
_ITEM = re.compile(r" *(?:[-*+]|\d+\.) ")
_RULE = re.compile(r"\|[-: |]+\|")  # the line between a table's header and its body
_FIGURE = re.compile(r"[-+]?\d+\.\d")


def blocks(text: str) -> Iterator[list[str]]:
    """The parts between blank lines, each as items, rows or a paragraph; without fenced code and tables of results."""
    for block in re.split(r"\n\s*\n", _FENCE.sub("", text)):
        lines = block.strip().splitlines()
        if lines and lines[0].startswith("|"):
            if not is_of_results(lines):
                yield lines
            continue
        parts: list[str] = []
        for line in lines:
            if not parts or _ITEM.match(line):
                parts.append(line)
            else:
                parts[-1] += f"\n{line}"
        yield parts


def is_of_results(lines: list[str]) -> bool:
    """Whether every row of a table has a cell that starts with a decimal number."""
    body = [line for line in lines[1:] if not _RULE.fullmatch(line.strip())]
    return all(any(_FIGURE.match(cell.strip()) for cell in row.strip("|").split("|")) for row in body)


def named(text: str) -> dict[str, set[str]]:
    """Entries of each table, only in backticks: "linear" and "first" are also ordinary words.

    The reported names of a metric count, too (`predict_mrr`).
    """
    words = {
        re.sub(r"^(?:predict|eval)_", "", word)
        for code in re.findall(r"`([^`]+)`", text)
        for word in re.findall(r"[A-Za-z_][\w@]*", code)
    }
    return {title: words & set(table) for title, table in TABLES.items()}


def flags(text: str) -> set[str]:
    """Names after two dashes."""
    return set(re.findall(r"(?<![\w-])--([A-Za-z_]\w*)", text))


def lists(text: str) -> list[str]:
    """What should be a link: too many names of one table in a paragraph, list or table, or too many flags in a part."""
    too_many = []
    for parts in blocks(text):
        whole = "\n".join(parts)
        too_many += [f"{title} {sorted(names)}: {whole}" for title, names in named(whole).items() if len(names) > MOST]
        too_many += [f"flags {sorted(flags(part))}: {part}" for part in parts if len(flags(part)) > MOST]
    return too_many


@pytest.mark.parametrize("path", READMES, ids=lambda p: p.name)
def test_a_readme_lists_no_names(path):
    """STEP3's list of losses had to be edited in both languages for each new loss, and flags were in four lists."""
    assert not lists(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Heads: `linear`, `option_mean`, `duma`.", "heads"),
        ("- `linear`: STEP2\n- `duma`: reads\n  tokens\n- `cduma`: compares", "heads"),
        ("| name | what |\n| --- | --- |\n| `duma` | a |\n| `cduma` | b |\n| `letter` | c |", "heads"),
        ("`cross_entropy:0.5+poly1:0.5` or\n`--mcq_loss ranknet`", "losses"),
        ("`shared_prefix`, `per_option`, `joint`", "layouts"),
        ("`--mcq_pooling last|first|mean`", "poolings"),
        ("with `eval_map@3`, `predict_mrr` and `nll`", "metrics"),
        ("1. `--stage mcq`\n2. `--stage` with `--fp16`, --bf16", "flags"),
    ],
)
def test_the_search_for_lists_sees_them(text, expected):
    assert [line.split()[0] for line in lists(f"Before.\n\n{text}\n\nBehind.")] == [expected]


@pytest.mark.parametrize(
    "text",
    [
        "the first and the last option, the mean, and a linear letter",
        "`linear`, and then `duma`\n\nor `cduma`",
        "- `--stage mcq`\n- `--fp16`\n- `--seed 1`",
        "| head | MAP@3 |\n| --- | --- |\n| `linear` | 0.539 |\n| `duma` | +0.006 [-0.007, 0.02] |\n| `cduma` | 0.5 |",
        "```bash\npython x --a --b --c --mcq_head duma\n```",
        "1. Train:\n\n   ```bash\n   x --a --b --c\n   ```",
        "an em-dash -- and a word--word",
    ],
)
def test_the_search_for_lists_leaves_prose_code_and_results_alone(text):
    assert not lists(text)


@pytest.mark.parametrize("path", COMMANDS, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_guide_to_the_commands_need_not_grow_with_a_table(path):
    """It names what it explains; `--help` lists all."""
    names = named(_FENCE.sub("", path.read_text(encoding="utf-8")))
    assert not [title for title, table in TABLES.items() if names[title] == set(table)]


@pytest.mark.parametrize("path", [*READMES, *COMMANDS], ids=lambda p: str(p.relative_to(ROOT)))
def test_names_are_a_command_away(path):
    text = path.read_text(encoding="utf-8")
    assert "python src/train_bash.py --help" in text
    assert "sources.md" in text
    if path in READMES:
        assert f"({'docs/zh' if path.stem.endswith('_zh') else 'docs'}/commands.md" in text


def test_the_readme_is_read_in_a_few_minutes():
    """It had grown into a manual. What does not fit belongs on a page of docs/."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= MOST_WORDS


@pytest.mark.parametrize("path", READMES, ids=lambda p: p.name)
def test_the_pictures_of_a_readme_open_offline(path):
    """A drawing has no script, loads nothing, and has its own background."""
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", path.read_text(encoding="utf-8"))
    assert pictures == ["docs/shared_prefix.svg", "docs/compare.svg", "docs/report.png"]
    for picture in pictures:
        if picture.endswith(".png"):
            assert (path.parent / picture).stat().st_size < MOST_BYTES
            continue
        drawing = ElementTree.parse(path.parent / picture).getroot()
        tags = [element.tag.rpartition("}")[2] for element in drawing.iter()]
        assert not {"script", "image", "use", "foreignObject"} & set(tags)
        background = drawing.find("{*}rect")
        assert background is not None
        assert background.get("fill") == "#ffffff", "black text on a dark page"
