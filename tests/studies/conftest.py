"""A sweep over a fake command, which takes a fraction of a second."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import ROOT, load_script

FAKE = Path(__file__).with_name("fake_train_bash.py")
TEST = ROOT / "data" / "elementary" / "test.jsonl"


@pytest.fixture
def sweep_words(tiny_llama) -> list[str]:
    """The words behind --, as a user gives them."""
    flags = f"--stage mcq --template llama2 --do_train --dataset {TEST} --do_predict --eval_dataset {TEST}"
    return ["--model_name_or_path", str(tiny_llama), *flags.split()]


@pytest.fixture
def run_sweep(monkeypatch, tmp_path, sweep_words, capsys):
    """Runs scripts/sweep.py in `tmp_path`/sweep over the fake command; returns status, stdout and stderr."""
    monkeypatch.setattr("llmtuner.studies.jobs.ENTRY_POINT", FAKE)
    script = load_script("sweep")

    def run(*own: str, words: list[str] | None = None) -> tuple[int, str, str]:
        given = sweep_words if words is None else words
        status = script.main(["--out", str(tmp_path / "sweep"), *own, "--", *given])
        return status, *capsys.readouterr()

    return run
