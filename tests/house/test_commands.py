"""Every command that ships, in scripts and in the documents, parses against the real argument parser."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from llmtuner.cli.flags import Flags
from llmtuner.cli.flags_2023 import translate
from llmtuner.cli.profile_2023 import apply_profile
from llmtuner.cli.run import check_names, read_values
from llmtuner.cli.words import Words

ROOT = Path(__file__).resolve().parents[2]
IN_BOTH_LANGUAGES = {"README.md": "README_zh.md", "docs/commands.md": "docs/zh/commands.md"}
DOCUMENTS = [ROOT / name for pair in IN_BOTH_LANGUAGES.items() for name in pair]
DOCUMENTS += [ROOT / name for name in ("data/README.md", "scripts/distributed/README.md")]
STEP_SCRIPTS = ["step1_sft.sh", "step1_predict.sh", "step2_mcq.sh", "step2_predict.sh"]
STEP_SCRIPTS += ["step3_duma.sh", "step3_cduma.sh", "step3_losses.sh", "2023-08-19.sh", "2023-08-20.sh"]
RECORDER = """#!/usr/bin/env bash
for word in "$@"; do printf '%s\\0' "$word" >>"$RECORD"; done
printf '\\n' >>"$RECORD"
"""


def check(words: list[str]) -> Flags:
    """What `main` does with the words before it runs anything."""
    given = Words.from_argv(words)
    translate(given)
    apply_profile(given)
    check_names(given)
    flags = Flags.of(given)
    read_values(flags)
    return flags


def blocks(path: Path) -> list[str]:
    """The commands of a document's bash blocks, continued lines joined."""
    commands = []
    for block in re.findall(r"```bash\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.DOTALL):
        joined = block.replace("\\\n", " ")
        commands += [line.split(" # ")[0].strip() for line in joined.splitlines() if line.strip()]
    return [command for command in commands if not command.startswith("#")]


@pytest.fixture
def recorded(tmp_path):
    """Run a script with a Python that writes its arguments down; return them."""
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
    """STEP3's went to STEP2's folder, and the two were to be compared."""
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
    commands = {path.name for path in (ROOT / "scripts").glob("*.sh")} - {"setup.sh", "demo.sh", "common.sh"}
    assert commands == set(STEP_SCRIPTS)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_of_the_documents_exist(path):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    found = 0
    for command in blocks(path):
        words = shlex.split(command)
        while words and "=" in words[0] and not words[0].startswith("-"):
            words.pop(0)  # an environment variable before the command
        if words[0] == "make":
            assert {word for word in words[1:] if "=" not in word} <= set(targets), command
        elif words[0] == "bash":
            assert (ROOT / words[1]).is_file(), command
        elif words[0].endswith("python") and words[1].endswith("train_bash.py"):
            if "--help" not in words and not words[2].endswith((".yaml", ".json")):
                check(words[2:])
        elif words[0].endswith("python"):
            assert (ROOT / words[1]).is_file() or words[1] in ("-m", "-c"), command
        else:
            assert words[0] in ("git", "cd", "pip", "kaggle", "export", "CUDA_VISIBLE_DEVICES=0"), command
        found += 1
    assert found or path.parent.name == "data"


@pytest.mark.parametrize(("english", "chinese"), IN_BOTH_LANGUAGES.items())
def test_the_documents_have_the_same_commands_in_both_languages(english, chinese):
    assert blocks(ROOT / english) == blocks(ROOT / chinese)


def test_the_first_commands_of_the_readme_are_the_two_that_set_themselves_up():
    for name in ("README.md", "README_zh.md"):
        assert [c for c in blocks(ROOT / name) if c.startswith("make")][:2] == ["make demo", "make test"]
