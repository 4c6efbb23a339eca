"""Shared fixtures: a tiny random Llama, the questions that ship with the project, and the real data if available."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from support import DEMO, load_script, make_tiny_bert

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_UPDATE_DOWNLOAD_COUNTS", "0")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny models: more threads only wait for each other

# No test is timed: on a busy machine, a property that holds exceeded the default of 200 ms.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

TESTS = Path(__file__).resolve().parent
LIGHT = {
    "house",
    "data",
    "report",
    "browser",
    "test_report_script.py",
    "test_metrics.py",
    "test_metrics_oracles.py",
    "test_shell_scripts.py",
}  # tests that start no run


@pytest.fixture(scope="session", autouse=True)
def upstream_logging(request):
    """Libraries keep the first stream that they log to; the captured stream of one test is closed in the next."""
    rooms = {item.path.relative_to(TESTS).parts[0] for item in request.session.items}
    if "transformers" in sys.modules or not rooms <= LIGHT:  # their import takes most of a small session's time
        import transformers.utils.logging
        from llamafactory.extras.logging import get_logger

        transformers.utils.logging.get_logger("transformers")
        get_logger("llamafactory")


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory) -> Path:
    """A folder with a random Llama of Llama-2's form and a tokenizer trained on the demo questions."""
    folder = tmp_path_factory.mktemp("models") / "tiny llama"  # with a space, as in users' paths
    load_script("make_tiny_llama").make_tiny_llama(
        folder, [DEMO], hidden_size=64, num_layers=2, vocab_size=1000, seed=0
    )
    return folder


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory) -> Path:
    """A folder with a random BERT whose WordPiece vocabulary is the demo's words."""
    folder = tmp_path_factory.mktemp("models") / "tiny bert"
    make_tiny_bert(folder)
    return folder


@pytest.fixture(scope="session")
def demo_records() -> list[dict]:
    return [json.loads(line) for line in DEMO.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the real data; without it, tests that need it are skipped."""
    folder = os.environ.get("LLMSCIENCE_REAL_DATA")
    if not folder:
        pytest.skip("LLMSCIENCE_REAL_DATA is not set: the real Kaggle, ARC and ScienceQA files are not here")
    if not Path(folder).is_dir():
        pytest.skip(f"LLMSCIENCE_REAL_DATA={folder} is not a folder")
    return Path(folder)
