"""Text training does not need torchvision or torchaudio, and says so when they are broken."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from patches.optional_media import _hide_if_broken

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def broken_package(tmp_path, monkeypatch):
    """An installed package that fails like an ABI mismatch."""
    folder = tmp_path / "torchsomething"
    folder.mkdir()
    (folder / "__init__.py").write_text("from . import half\nraise OSError('undefined symbol: _ZN3c104')\n")
    (folder / "half.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    yield "torchsomething"
    for name in [n for n in sys.modules if n.startswith("torchsomething")]:
        del sys.modules[name]


def test_a_broken_package_is_hidden_with_one_line(broken_package, capsys):
    _hide_if_broken(broken_package)
    _hide_if_broken(broken_package)
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert "torchsomething is installed but broken (undefined symbol" in printed
    assert importlib.util.find_spec(broken_package) is None, "other libraries must see it as absent"
    with pytest.raises(ImportError):
        importlib.import_module(broken_package)


def test_a_package_that_is_absent_is_not_mentioned(capsys):
    _hide_if_broken("no_such_package_at_all")
    assert capsys.readouterr().err == ""


@pytest.mark.subprocess
def test_upstream_imports_beside_a_broken_torchaudio(tmp_path):
    """Upstream imports torchaudio at the top of a module that text training needs too."""
    folder = tmp_path / "torchaudio"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise OSError('libtorch_cuda.so: undefined symbol')\n")
    program = "import patches; patches.install(); import llamafactory.train.tuner; print('imported')"
    paths = os.pathsep.join([str(tmp_path), str(ROOT / "src"), str(ROOT)])
    result = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert "imported" in result.stdout
    assert "torchaudio is installed but broken" in result.stderr
