"""Small Kaggle files with planted questions, and what a build should make of them."""

from __future__ import annotations

import csv
import json
import zipfile
from pathlib import Path

HEADER = ["prompt", "A", "B", "C", "D", "E", "answer"]
WORDS = [*"abcdefghij", *"klmnopqrst"]


def row(number: int, answer: str = "A", **changes: str) -> dict[str, str]:
    """A question whose words no other question has."""
    words = [f"{letter}word{number}" for letter in WORDS]
    values = {"prompt": " ".join(["Which of these is", *words[:10], "?"]), "answer": answer}
    return {**values, **{letter: f"{words[10 + i]} {words[15 + i]}" for i, letter in enumerate("ABCDE")}, **changes}


def put(path: Path, rows: list[dict[str, str]], header: list[str] = HEADER) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, header, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


def read(folder: Path, name: str) -> list[dict]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").open(encoding="utf-8")]


def zipped(path: Path, files: dict[str, Path]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, file in files.items():
            archive.write(file, name)
    return path
