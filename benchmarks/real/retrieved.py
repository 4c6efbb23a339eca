"""Sets with contexts that a search finds, made by the project's own commands."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from llmtuner.spec.retrievers import RETRIEVERS
from real.sets import Sizes

ROOT = Path(__file__).resolve().parents[2]
K = 3  # passages of a question
SEARCHED = ("arc_easy", "mmlu_stem", "kaggle")  # in the textbooks
TEXTBOOKS = ("textbooks_cc_by.jsonl.gz", "textbooks_cc_by_nc_sa.jsonl.gz")
WORLDTREE = "worldtree_facts.txt"  # written to explain ARC's questions: it leaks


def write_qasc_retrieved(work: Path, data: Path, sizes: Mapping[str, Sizes]) -> None:
    """QASC with passages that BM25 finds among all of QASC's passages (two facts each, of train and dev)."""
    folder = work / "data" / "qasc_retrieved"
    corpus = folder / "corpus.jsonl"
    texts: dict[str, None] = {}
    for part in ("train", "dev"):
        lines = (data / "qasc" / f"{part}.jsonl").read_text(encoding="utf-8").splitlines()
        texts |= dict.fromkeys(json.loads(line)["context"] for line in lines)
    folder.mkdir(parents=True, exist_ok=True)
    rows = [json.dumps({"id": f"p{number}", "text": text}) + "\n" for number, text in enumerate(texts)]
    corpus.write_text("".join(rows), encoding="utf-8")
    index = _index(folder / "index", [corpus])
    for part in ("train", "test"):
        _add_contexts(work / "data" / "qasc" / f"{part}_closed.jsonl", index, folder / f"{part}.jsonl")


def write_corpus_searched(work: Path, data: Path, sizes: Mapping[str, Sizes]) -> None:
    """The scored questions of some sets with passages of the textbooks, by each retriever; ARC-Easy with WorldTree."""
    folder = work / "data" / "corpus"
    folder.mkdir(parents=True, exist_ok=True)
    for retriever in RETRIEVERS:
        books = [data / "corpus" / name for name in TEXTBOOKS]
        index = _index(folder / f"index_{retriever}", books, "--retriever", retriever)
        for name in SEARCHED:
            _add_contexts(work / "data" / name / "test.jsonl", index, folder / f"{name}_{retriever}.jsonl")
    index = _index(folder / "index_worldtree", [data / "corpus" / WORLDTREE])
    _add_contexts(work / "data" / "arc_easy" / "test.jsonl", index, folder / "arc_easy_worldtree.jsonl")


def _index(folder: Path, corpus: Sequence[Path], *flags: str) -> Path:
    if not (folder / "manifest.json").is_file():
        script("build_index.py", *map(str, corpus), "--out", str(folder), *flags)
    return folder


def _add_contexts(questions: Path, index: Path, out: Path) -> None:
    if not out.is_file():
        script("add_context.py", str(questions), str(index), "--out", str(out), "--k", str(K))


def script(name: str, *words: str) -> None:
    """Run a script of the project.

    Raises:
        SystemExit: it failed.
    """
    command = [sys.executable, str(ROOT / "scripts" / name), *words]
    if subprocess.run(command, check=False).returncode:
        raise SystemExit(f"error: {name} failed")
