"""The shell scripts on their own, where CDPATH would lead them astray.

Python is replaced by a script that prints its arguments, so that nothing is trained.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from support import ROOT

SCRIPTS = ROOT / "scripts"


@pytest.fixture
def bash(tmp_path):
    """Runs a script with a Python that only prints; returns the finished process."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\ncase "$1" in -c) exit 0 ;; esac\necho "python $*"\n[ "$2" != venv ] || pwd\n')
    python.chmod(0o755)

    def run(*words: object, cwd: Path = ROOT, **environment: object) -> subprocess.CompletedProcess[str]:
        settings = {name: str(value) for name, value in environment.items()}
        known = {name: value for name, value in os.environ.items() if name not in ("CDPATH",)}
        return subprocess.run(
            ["bash", *map(str, words)],
            check=False,
            capture_output=True,
            text=True,
            cwd=cwd,
            env={**known, "PYTHON": str(python), **settings},
        )

    return run


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
