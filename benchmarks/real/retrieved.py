"""Sets with contexts that a search finds, made by the project's own commands."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
K = 3  # passages of a question


def write_qasc_retrieved(work: Path, data: Path) -> None:
    """QASC with passages that BM25 finds among all of QASC's passages (two facts each, of train and dev)."""
    corpus = work / "data" / "qasc_retrieved" / "corpus.jsonl"
    texts: dict[str, None] = {}
    for part in ("train", "dev"):
        lines = (data / "qasc" / f"{part}.jsonl").read_text(encoding="utf-8").splitlines()
        texts |= dict.fromkeys(json.loads(line)["context"] for line in lines)
    corpus.parent.mkdir(parents=True, exist_ok=True)
    rows = [json.dumps({"id": f"p{number}", "text": text}) + "\n" for number, text in enumerate(texts)]
    corpus.write_text("".join(rows), encoding="utf-8")
    index = corpus.with_name("index")
    if not (index / "manifest.json").is_file():
        script("build_index.py", str(corpus), "--out", str(index))
    for part in ("train", "test"):
        out = corpus.with_name(f"{part}.jsonl")
        if not out.is_file():
            questions = work / "data" / "qasc" / f"{part}_closed.jsonl"
            script("add_context.py", str(questions), str(index), "--out", str(out), "--k", str(K))


def script(name: str, *words: str) -> None:
    """Run a script of the project.

    Raises:
        SystemExit: it failed.
    """
    command: Sequence[str] = [sys.executable, str(ROOT / "scripts" / name), *words]
    if subprocess.run(command, check=False).returncode:
        raise SystemExit(f"error: {name} failed")
