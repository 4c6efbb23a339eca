"""Training questions with planted wrong answers, and what the project's cleaning leaves of them."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Mapping
from pathlib import Path

from cleaning import REPEATED_FILE, plant

from llmtuner.data.prepare import BuildSettings, prepare_llmscience
from real.sets import POOLS, Sizes, as_row

SHARE = 0.2  # of the questions that are repeated with a wrong answer


def write_planted(work: Path, data: Path, sizes: Mapping[str, Sizes]) -> None:
    """Kaggle's questions, a fifth of them also with a wrong answer, before and after the cleaning.

    None of the scored questions of the set `kaggle` is among them.
    """
    folder = work / "data" / "cleaning"
    shutil.rmtree(folder, ignore_errors=True)  # left by an interrupted run
    pool = POOLS["kaggle"](data)
    scored = {pool.key(question) for question in pool.test or ()}
    questions = pool.drawn([q for q in pool.train if pool.key(q) not in scored], sizes["cleaning"].train)
    raw = folder / "raw"
    raw.mkdir(parents=True)
    with (raw / REPEATED_FILE).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ("id", "prompt", *"ABCDE", "answer"))
        writer.writeheader()
        writer.writerows(map(as_row, questions))
    plant(raw, SHARE)
    prepare_llmscience(raw, folder / "built", BuildSettings(hq_size=0, valid_size=0))
    for name, built in (("uncleaned", "llmscience_raw_all"), ("cleaned", "llmscience")):
        shutil.copy(folder / "built" / f"{built}.jsonl", folder / f"{name}.jsonl")
