"""Every command that ships, in scripts and in the documents, parses against the real argument parser."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
from fnmatch import fnmatch
from itertools import pairwise
from pathlib import Path

import pytest

from llmtuner.cli.flags import Flags
from llmtuner.cli.flags_2023 import translate
from llmtuner.cli.profile_2023 import apply_profile
from llmtuner.cli.run import check_names, read_values
from llmtuner.cli.words import Words
from llmtuner.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
CHINESE = {"README.md": "README_zh.md", "examples/README.md": "docs/zh/examples.md"}
CHINESE |= {
    f"docs/{page.name}": f"docs/zh/{page.name}"
    for page in sorted((ROOT / "docs" / "zh").glob("*.md"))
    if f"docs/zh/{page.name}" not in CHINESE.values()
}
# The changelog quotes commands that failed.
DOCUMENTS = [page for page in sorted(ROOT.glob("*.md")) if page.name != "CHANGELOG.md"]
DOCUMENTS += sorted(
    page for name in ("docs", "data", "scripts", "benchmarks", "examples") for page in (ROOT / name).rglob("*.md")
)
# They quote commands of earlier commits, whose scripts may have had other flags. train_bash.py never loses a flag.
RECORDS = {ROOT / "docs" / "log.md", ROOT / "docs" / "results.md", *(ROOT / "docs" / "results").glob("*.md")}
WRITES = ("--output_dir", "--out", "--html", "--json", "-d", "-p")  # flags whose value a command writes to
STEP_SCRIPTS = ["step1_sft.sh", "step1_predict.sh", "step2_mcq.sh", "step2_predict.sh"]
STEP_SCRIPTS += ["step3_duma.sh", "step3_cduma.sh", "step3_losses.sh", "2023-08-19.sh", "2023-08-20.sh"]
RECORDER = """#!/usr/bin/env bash
for word in "$@"; do printf '%s\\0' "$word" >>"$RECORD"; done
printf '\\n' >>"$RECORD"
"""


def check(words: list[str]) -> Flags:
    """Process the words as `main` does before it runs anything."""
    given = Words.from_argv(words)
    translate(given)
    apply_profile(given)
    check_names(given)
    flags = Flags.of(given)
    read_values(flags)
    return flags


_FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```[^\n]*$", flags=re.DOTALL | re.MULTILINE)
_INDENTED = re.compile(r"(?<=\n\n)(?: {4}\S.*\n(?: {4,}.*\n)*)", flags=re.MULTILINE)
_SCRIPT = re.compile(r"python (?:src|scripts|benchmarks|tests)/\w+\.py\b")


def blocks(text: str) -> list[str]:
    """The commands in a document's bash blocks, with continued lines joined."""
    return [
        command for language, block in _FENCE.findall(text) if language == "bash" for command in command_lines(block)
    ]


def command_lines(block: str) -> list[str]:
    """The commands of a block without comments."""
    lines = [line.split(" # ")[0].strip() for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def commands(text: str) -> list[str]:
    """Every complete command of a document: in bash blocks, in indented blocks, and in backticks in the text."""
    prose = _FENCE.sub("", text)
    indented = [line for block in _INDENTED.findall(prose) for line in command_lines(block)]
    quoted = [" ".join(code.split()) for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", prose)]
    scripts = [command for command in indented + quoted if _SCRIPT.match(command)]
    return blocks(text) + [command for command in scripts if "..." not in command.split()]


def declared_flags(script: Path) -> set[str]:
    """The flags of a script's parser, read from its source and the modules beside it that it imports."""
    flags: set[str] = set()
    waiting, read = [script], set()
    while waiting:
        path = waiting.pop()
        read.add(path)
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
        flags |= {text for text in texts if re.fullmatch(r"--[a-z]\w*(-\w+)*", text)}
        if any(isinstance(node, ast.JoinedStr) and ast.unparse(node)[2:5] == "--{" for node in nodes):
            flags |= {f"--{text}" for text in texts if text.isidentifier()}
        modules = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
        modules += [
            f"{node.module}.{each.name}" for node in nodes if isinstance(node, ast.ImportFrom) for each in node.names
        ]
        files = {script.parent / f"{name.replace('.', '/')}.py" for name in modules}
        waiting += [file for file in files if file.is_file() and file not in read]
    return flags


def check_command(command: str, *, record: bool) -> None:
    """Check that what a command names exists: targets, scripts, and each of its flags.

    Args:
        record: the command belongs to an earlier commit, so only the flags of train_bash.py are checked.
    """
    words = shlex.split(command)
    while words and "=" in words[0] and not words[0].startswith("-"):
        words.pop(0)  # an environment variable before the command
    if words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
        assert {word for word in words[1:] if "=" not in word} <= set(targets), command
    elif words[0] == "bash":
        assert (ROOT / words[1]).is_file(), command
        check(words[2:])
    elif words[0].endswith("python") and words[1].endswith("train_bash.py"):
        if not {"--help", "--help_all"} & {*words} and not words[2].endswith((".yaml", ".json")):
            check(words[2:])
    elif words[0].endswith("python"):
        passed_on = words.index("--") if "--" in words else len(words)
        check(words[passed_on + 1 :])
        if not record and words[1] not in ("-m", "-c"):
            assert (ROOT / words[1]).is_file(), command
            given = {word.partition("=")[0] for word in words[2:passed_on] if word.startswith("--")}
            assert given - {"--help"} <= declared_flags(ROOT / words[1]), command
    else:
        assert words[0] in ("git", "cd", "pip", "kaggle", "export"), command


@pytest.fixture
def recorded(tmp_path):
    """Run a script with a fake Python that records its arguments; return them."""
    python = tmp_path / "python"
    python.write_text(RECORDER)
    python.chmod(0o755)

    def run(script: str, *arguments: str, **environment: str) -> list[list[str]]:
        record = tmp_path / f"{script}.record"
        result = subprocess.run(
            ["bash", str(ROOT / "scripts" / script), *arguments],
            env={**os.environ, "PYTHON": str(python), "RECORD": str(record), "MODEL": "a model", **environment},
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        assert result.returncode == 0, result.stderr
        return [line.split("\0")[:-1] for line in record.read_text().splitlines()]

    return run


@pytest.mark.subprocess
@pytest.mark.parametrize(
    ("adapter", "folder"),
    [(None, "mcq_predict"), ("sft_checkpoint,runs/duma_checkpoint/", "runs/duma_predict"), ("", "mcq_predict")],
)
def test_a_prediction_does_not_replace_that_of_another_step(adapter, folder, recorded):
    """STEP3's results went to STEP2's folder, although the two are to be compared."""
    given = {} if adapter is None else {"ADAPTER": adapter}
    words = recorded("step2_predict.sh", OUTPUT_DIR="", **given)[0]
    assert check(words[1:])["output_dir"] == folder


@pytest.mark.subprocess
@pytest.mark.parametrize("script", STEP_SCRIPTS)
def test_scripts_parse_and_take_their_values_from_the_environment(script, recorded):
    seed = ("--seed", "7")
    for words in recorded(script, *seed, TEMPLATE="mistral", OUTPUT_DIR="an output"):
        assert words[0].endswith("src/train_bash.py")
        flags = check(words[1:])
        assert flags["model_name_or_path"] == "a model", "a path with a blank arrives whole"
        assert flags["template"] == "mistral"
        assert (flags["output_dir"] or "").startswith("an output")
        assert flags["seed"] == 7


def test_every_script_is_tried_here():
    commands = {path.name for path in (ROOT / "scripts").glob("*.sh")} - {"setup.sh", "common.sh"}
    assert commands == set(STEP_SCRIPTS)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_of_the_documents_exist(path):
    """A renamed flag or script stayed in a document."""
    for command in commands(path.read_text(encoding="utf-8")):
        check_command(command, record=path in RECORDS)


def test_the_search_for_commands_sees_them():
    """Blocks in lists, indented blocks and commands in the text were not checked."""
    text = (
        "Run `python scripts/a.py --x\n1`, or `python src/train_bash.py --stage mcq ...`:\n\n- in a list:\n\n"
        "  ```bash\n  python scripts/b.py \\\n      --y 2   # why\n  # nothing\n  ```\n\n"
        "    python benchmarks/c.py \\\n        --z 3\n\n```json\npython scripts/no.py\n```\n"
    )
    seen = [" ".join(command.split()) for command in commands(text)]
    assert seen == ["python scripts/b.py --y 2", "python benchmarks/c.py --z 3", "python scripts/a.py --x 1"]


@pytest.mark.parametrize(
    "command",
    [
        "make no_such_target",
        "bash scripts/no_such.sh",
        "bash scripts/step1_sft.sh --sed 1",
        "python scripts/no_such.py",
        "python scripts/audit_mcq.py a.csv --no_such_flag",
        "CUDA_VISIBLE_DEVICES=0 python src/train_bash.py --stage sft --no_such_flag 1",
        "python benchmarks/heads_and_losses.py --encoder M -- --no_such_flag 1",
        "unknown_tool --x",
    ],
)
def test_a_command_that_does_not_exist_is_noticed(command):
    with pytest.raises((AssertionError, UserError)):
        check_command(command, record=False)


def test_flags_of_scripts_are_read_from_their_source():
    assert {"--raw", "--out", "--hold_out"} <= declared_flags(ROOT / "scripts" / "prepare_llmscience.py")
    assert {"--encoder", "--combinations"} <= declared_flags(ROOT / "benchmarks" / "heads_and_losses.py")
    assert "--raw" not in declared_flags(ROOT / "scripts" / "compare.py")


def written_by(command: str) -> set[str]:
    """The relative paths that a command writes to, given by its flags and OUTPUT_DIR."""
    words = shlex.split(command)
    values = {value for word, value in pairwise(words) if word in WRITES}
    values |= {word.removeprefix("OUTPUT_DIR=") for word in words if word.startswith("OUTPUT_DIR=")}
    values -= {value for value in values if value.startswith("-")}
    return {value for value in values if not Path(value).is_absolute() and value == value.lower()}


def test_git_ignores_what_documented_commands_write():
    """A folder of results was committed by `git add -A`."""
    paths = {"data/llmscience", "audit.html", "merged"}
    for page in DOCUMENTS:
        if page not in RECORDS:
            paths |= {path for command in commands(page.read_text(encoding="utf-8")) for path in written_by(command)}
    for script in (ROOT / "scripts").glob("*.sh"):
        paths |= set(re.findall(r"OUTPUT_DIR:-([\w./-]+)\}", script.read_text(encoding="utf-8")))
    assert {"sft_checkpoint", "mcq_predict", "wheelhouse", "map3_checkpoint"} <= paths
    patterns = [line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines() if line.startswith("/")]
    for path in paths:
        parts = Path(path).parts
        if parts[:2] == ("benchmarks", "results"):
            continue  # a measured result that its author commits
        starts = ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]
        assert any(fnmatch(start, pattern) for start in starts for pattern in patterns), f"{path}: not in .gitignore"


@pytest.mark.parametrize(("english", "chinese"), CHINESE.items())
def test_the_documents_have_the_same_commands_in_both_languages(english, chinese):
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in (english, chinese)]
    assert blocks(texts[0]) == blocks(texts[1])


def test_the_first_commands_of_the_readme_are_the_two_that_set_themselves_up():
    for name in ("README.md", "README_zh.md"):
        listed = blocks((ROOT / name).read_text(encoding="utf-8"))
        assert [command for command in listed if command.startswith("make")][:2] == ["make demo", "make test"]
