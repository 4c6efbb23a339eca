"""The shell scripts on their own: what the demo deletes, and folders that CDPATH would lead astray.

Python is replaced by a script that prints its arguments, so that nothing is trained.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from support import ROOT

SCRIPTS = ROOT / "scripts"


@pytest.fixture
def bash(tmp_path):
    """Runs a script with a Python that only prints; returns the finished process."""
    python = tmp_path / "python"
    python.write_text(
        '#!/bin/sh\ncase "$1" in -c) exit 0 ;; *minilm.py) exit 1 ;; esac\necho "python $*"\n[ "$2" != venv ] || pwd\n'
    )
    python.chmod(0o755)

    def run(*words: object, cwd: Path = ROOT, **environment: object) -> subprocess.CompletedProcess[str]:
        settings = {name: str(value) for name, value in environment.items()}
        known = {name: value for name, value in os.environ.items() if name not in ("CDPATH", "DEMO_DIR")}
        return subprocess.run(
            ["bash", *map(str, words)],
            check=False,
            capture_output=True,
            text=True,
            cwd=cwd,
            env={**known, "PYTHON": str(python), **settings},
        )

    return run


def demo_names() -> list[str]:
    """The names in the demo's folder to which its commands write."""
    text = (SCRIPTS / "demo.sh").read_text()
    written = {name for name in re.findall(r'\$OUT/([\w.${}-]+)"', text) if name not in ("$MARK", "$name")}
    return sorted(
        name
        for pattern in written
        for form in ("closed", "open", "train", "test")
        if ("part" in pattern) == (form in ("train", "test")) or "$" not in pattern
        for name in [re.sub(r"\$\{?(name|part)\}?", form, pattern)]
    )


def test_the_demo_deletes_only_what_it_made(bash, tmp_path):
    """It ran `rm -rf "$DEMO_DIR"`, whatever the folder held."""
    folder = tmp_path / "my demo"
    assert bash(SCRIPTS / "demo.sh", DEMO_DIR=folder).returncode == 0
    assert (folder / "model.log").is_file()
    (folder / "notes.txt").write_text("mine")
    (folder / "my_checkpoint").mkdir()
    for name in demo_names():
        (folder / name).mkdir(exist_ok=True) if "." not in name else (folder / name).write_text("old")
    (folder / "tiny-llama" / "old").write_text("old")
    assert bash(SCRIPTS / "demo.sh", DEMO_DIR=folder).returncode == 0
    left = {path.name for path in folder.iterdir() if path.name not in (".llmtuner-demo", "notes.txt", "my_checkpoint")}
    assert (folder / "notes.txt").read_text() == "mine"
    assert (folder / "my_checkpoint").is_dir()
    assert {name for name in left if not name.endswith(".log")} == set(), "everything that it made before is gone"
    assert "old" not in (folder / "model.log").read_text()


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_folder_that_the_demo_did_not_make_is_refused_and_stays(bash, tmp_path, kind):
    folder = tmp_path / "home"
    if kind == "folder":
        (folder / "tiny-llama").mkdir(parents=True)
        (folder / "tiny-llama" / "thesis.txt").write_text("years")
    else:
        folder.write_text("years")
    done = bash(SCRIPTS / "demo.sh", DEMO_DIR=folder)
    assert done.returncode == 2
    assert re.fullmatch(r"error: DEMO_DIR .*home: not made by this demo .*\n", done.stderr)
    assert (folder / "tiny-llama" / "thesis.txt" if kind == "folder" else folder).read_text() == "years"


def test_the_demo_begins_in_an_empty_folder(bash, tmp_path):
    (tmp_path / "empty").mkdir()
    assert bash(SCRIPTS / "demo.sh", DEMO_DIR=tmp_path / "empty").returncode == 0


def test_every_file_of_the_demo_is_deleted_by_the_next_one():
    """A name that is missing in the list of deleted files would be taken for a result of the new demo."""
    text = (SCRIPTS / "demo.sh").read_text()
    listed = re.search(r"^MADE=\(.*?\)$", text, flags=re.DOTALL | re.MULTILINE)
    names = subprocess.run(
        ["bash", "-c", f'{listed[0]}; printf "%s\\n" "${{MADE[@]}}"'], check=True, capture_output=True, text=True
    ).stdout.split()
    assert len(demo_names()) > 15
    assert set(demo_names()) == set(names)


@pytest.mark.parametrize("script", ["step1_sft.sh", "step2_mcq.sh", "2023-08-19.sh"])
def test_scripts_find_the_project_where_cdpath_is_exported(bash, tmp_path, script):
    """`cd` printed where it went, and the project's folder became two lines; or it went to another project."""
    (tmp_path / "elsewhere" / "scripts").mkdir(parents=True)
    settings = {"MODEL": "model", "CDPATH": f"{tmp_path / 'elsewhere'}:{ROOT}"}
    done = bash(f"scripts/{script}", **settings)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"python {ROOT}/src/train_bash.py "), done.stdout


def test_set_up_stays_in_its_own_project_where_cdpath_is_exported(bash, tmp_path):
    """With another project in CDPATH, that one's setup.py was read, and its .venv made."""
    (tmp_path / "elsewhere" / "scripts").mkdir(parents=True)
    project = tmp_path / "project"
    (project / "scripts").mkdir(parents=True)
    (project / "scripts" / "setup.sh").write_bytes((SCRIPTS / "setup.sh").read_bytes())
    done = bash("scripts/setup.sh", cwd=project, CDPATH=tmp_path / "elsewhere", VENV="venv", TORCH="torch")
    assert f"python -m venv venv\n{project}\n" in done.stdout
