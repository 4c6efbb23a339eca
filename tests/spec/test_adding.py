"""Following CONTRIBUTING.md, a loss and a metric take four files: whoever adds them edits no list a second time."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT

LOSS = '''"""A toy."""

from __future__ import annotations

import torch

from llmtuner.mcq.losses.pairs import against_answer


def toy(scores_QN: torch.Tensor, answers_Q: torch.Tensor, mask_QN: torch.Tensor) -> torch.Tensor:
    """The largest deficit of the right option: [Q]."""
    return against_answer(scores_QN, answers_Q, mask_QN)[0].amax(-1)
'''
USE_LOSS = """
import torch
from llmtuner.cli.help import help_text
from llmtuner.errors import FieldError
from llmtuner.mcq.losses import LOSSES
from llmtuner.mcq.losses.criterion import Criterion
from llmtuner.mcq.objective import Objective
criterion = Criterion(Objective("cross_entropy+toy:0.5"))
losses = criterion(torch.tensor([[1.0, 3.0]]), torch.tensor([0]), torch.ones(1, 2, dtype=torch.bool))
assert abs(float(losses) - (float(torch.tensor(2.0).exp().log1p()) + 1.0)) < 1e-5, losses
assert "\\n  toy " in help_text()
try:
    Objective("toyy")
except FieldError as error:
    assert "Did you mean toy?" in str(error), error
"""
METRIC = '''

def worst_rank(scores: Iterable[Scores], answers: Iterable[int]) -> float:
    """The worst rank of a right option."""
    return max(float(rank_of_answer(s, a).above + 1) for s, a in zip(scores, answers, strict=True))
'''
USE_METRIC = """
from llmtuner.cli.help import help_text
from llmtuner.data.predictions import Prediction
from llmtuner.mcq.predict import figures_of
from llmtuner.spec.metrics import higher_is_better
known = [Prediction("1", (0.1, 0.9, 0.5), 0), Prediction("2", (0.7, 0.1, 0.2), 0)]
assert figures_of(known)["worst_rank"] == 3.0, figures_of(known)
assert not higher_is_better("eval_exam_worst_rank")
assert "\\n  worst_rank " in help_text()
"""


@pytest.fixture
def copy(tmp_path) -> Path:
    """The project's code in a folder of its own."""
    for name in ("src", "patches"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def insert(path: Path, row: str) -> None:
    """Add a row at the end of a file's table."""
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n)\n"), "the table is the last thing of its module"
    path.write_text(text[:-2] + row + ")\n", encoding="utf-8")


def run(copy: Path, code: str) -> None:
    path = f"import sys; sys.path[:0] = [{str(copy / 'src')!r}, {str(copy)!r}]\n"
    result = subprocess.run([sys.executable, "-c", path + code], capture_output=True, text=True, cwd=copy)
    assert result.returncode == 0, result.stderr


@pytest.mark.subprocess
def test_a_loss_is_a_module_and_a_row(copy):
    """The other two files are its test and its row in docs/sources.md."""
    (copy / "src/llmtuner/mcq/losses/toy.py").write_text(LOSS, encoding="utf-8")
    insert(copy / "src/llmtuner/spec/losses.py", '    _loss("toy", "a toy"),\n')
    run(copy, USE_LOSS)


@pytest.mark.subprocess
def test_a_metric_is_a_function_and_a_row(copy):
    """Both stages report it, and whoever chooses a model by it need not say which direction is better."""
    metrics = copy / "src/llmtuner/metrics.py"
    metrics.write_text(metrics.read_text(encoding="utf-8") + METRIC, encoding="utf-8")
    row = 'Metric(name="worst_rank", code="llmtuner.metrics:worst_rank", help="a toy", higher_is_better=False)'
    insert(copy / "src/llmtuner/spec/metrics.py", f"    {row},\n")
    run(copy, USE_METRIC)
