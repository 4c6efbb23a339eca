"""docs/python.md: its code blocks run in order and give what the page says."""

from __future__ import annotations

import re
import shutil

import pytest
from support import ROOT

PAGE = ROOT / "docs" / "python.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.fixture
def page(tiny_llama, tmp_path, monkeypatch) -> dict:
    """Run the blocks in a folder with the page's model and exam; return the names that they define."""
    (tmp_path / "models").mkdir()
    shutil.copytree(tiny_llama, tmp_path / "models" / "tiny-llama")
    (tmp_path / "data").symlink_to(ROOT / "data")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in BLOCKS:
        exec(compile(block, str(PAGE), "exec"), names)
    return names


def test_every_block_runs_and_the_scorer_survives_its_files(page, tmp_path, capsys):
    assert len(BLOCKS) == 5
    assert [prediction.id for prediction in page["predictions"]] == [question.id for question in page["test"][:20]]
    assert all(sum(prediction.probabilities) == pytest.approx(1) for prediction in page["predictions"])
    assert (tmp_path / "out" / "linear" / "mcq_config.json").is_file()
    assert (tmp_path / "out" / "prediction" / "submission.csv").is_file()


def test_training_from_python_takes_less_than_twenty_lines():
    training = next(block for block in BLOCKS if "train_model(" in block)
    assert len(BLOCKS[0].splitlines()) + len(training.splitlines()) < 20
