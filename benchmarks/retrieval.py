#!/usr/bin/env python3
"""How long does an index take, against plain bm25s, and how fast are vectors, against sentence-transformers?

    python benchmarks/retrieval.py --data DATA [--chunks 300000] [--queries 1000] [--dense 512] [--out FILE]

DATA has corpus/textbooks_*.jsonl.gz. The corpus: passages of up to 90 words, of sentences drawn at random across the
textbooks, so that few repeat each other. Queries: a sentence each.

BM25: tokenising, indexing, saving, opening, and the 10 best passages of each query, by this project and by plain bm25s
with the same stemmer and its English stop words, in turns in one process. CPU seconds of each part, and the ratio of
the sums (above 1: this project is faster). Reading, cutting and duplicates are measured apart, in a process of their
own. Peak memory: of processes that do nothing else. Memory of searches: what it grows by from the first quarter of the
queries to the last, with the text around each hit read, as for contexts.

Dense: MiniLM's chunks a second, in turns with sentence-transformers if it is installed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import multiprocessing
import os
import platform
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

from provenance import commit, hardware, trial_file, write_result

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]
WORDS, BEST, ROUNDS = 90, 10, 3


def sentences(data: Path) -> list[str]:
    """Every sentence of the textbooks, in their order."""
    from llmtuner.retrieval.sentences import sentence_ends

    result = []
    for path in sorted((data / "corpus").glob("textbooks_*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                text, start = json.loads(line)["text"], 0
                for end in sentence_ends(text):
                    result.append(" ".join(text[start:end].split()))
                    start = end
    return [sentence for sentence in result if 3 <= len(sentence.split()) <= WORDS]


def write_corpus(path: Path, drawn_from: list[str], chunks: int) -> None:
    """A JSONL file of passages of up to 90 words."""
    rng = random.Random(0)
    with path.open("w", encoding="utf-8") as file:
        for number in range(chunks):
            passage: list[str] = []
            size = 0
            while size + len((sentence := rng.choice(drawn_from)).split()) <= WORDS:
                passage.append(sentence)
                size += len(sentence.split())
            text = " ".join(passage) or sentence
            file.write(json.dumps({"id": f"p{number}", "text": text}, ensure_ascii=False) + "\n")


def texts_of(path: Path) -> list[str]:
    """The passages of that file."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line)["text"] for line in file]


class Clock:
    """CPU seconds of the parts of a work, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def part(self, name: str, call: Callable[[], object]) -> object:
        """Do something, and note its time."""
        start = time.process_time()
        result = call()
        self.seconds[name] = round(time.process_time() - start, 3)
        return result


def ours(texts: list[str], queries: list[str], folder: Path) -> dict[str, float]:
    """This project's retriever."""
    from llmtuner.retrieval.retrievers.base import BuildSource
    from llmtuner.retrieval.retrievers.bm25 import Bm25

    def parts() -> Iterator[list[str]]:
        return (texts[start : start + 16_384] for start in range(0, len(texts), 16_384))

    clock = Clock()
    source = BuildSource(rows=len(texts), parts=parts, folder=folder, parts_folder=folder)
    clock.part("build", lambda: Bm25.build(source))
    opened = clock.part("open", lambda: Bm25.open(folder, len(texts)))
    clock.part("search", lambda: opened.search(queries, BEST))
    return clock.seconds


def plain(texts: list[str], queries: list[str], folder: Path) -> dict[str, float]:
    """bm25s as its documentation uses it."""
    import bm25s
    import Stemmer

    clock, stemmer = Clock(), Stemmer.Stemmer("english")

    def build() -> None:
        index = bm25s.BM25(backend="numpy")
        index.index(bm25s.tokenize(texts, stemmer=stemmer, show_progress=False), show_progress=False)
        index.save(folder)

    clock.part("build", build)
    opened = clock.part("open", lambda: bm25s.BM25.load(folder, mmap=True))
    tokens = lambda: bm25s.tokenize(queries, stemmer=stemmer, show_progress=False)  # noqa: E731
    clock.part("search", lambda: opened.retrieve(tokens(), k=BEST, show_progress=False))
    return clock.seconds


def in_turns(path: Path, queries: list[str]) -> dict[str, object]:
    """Both, in turns, in this process."""
    texts = texts_of(path)
    runs: dict[str, list[dict[str, float]]] = {"ours": [], "plain": []}
    for _ in range(ROUNDS):
        for name, run in (("ours", ours), ("plain", plain)):
            with tempfile.TemporaryDirectory() as folder:
                runs[name].append(run(texts, queries, Path(folder)))
                print(name, runs[name][-1], flush=True)
    totals = {name: min(sum(run.values()) for run in each) for name, each in runs.items()}
    return {"cpu_seconds": runs, "best_total": totals, "ratio": round(totals["plain"] / totals["ours"], 3)}


def peak(name: str, path: Path, queries: list[str]) -> int:
    """MB at most, of a process that does this once."""
    run = {"ours": ours, "plain": plain}[name]
    with tempfile.TemporaryDirectory() as folder:
        run(texts_of(path), queries, Path(folder))
    return megabytes()


def megabytes() -> int:
    """Peak memory of this process."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6)


def reading(path: Path) -> dict[str, object]:
    """Reading, cutting and duplicates, as a build does them."""
    from llmtuner.retrieval.index.read import read_parts

    start = time.process_time(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        read = read_parts(Path(folder), [str(path)], WORDS, 3, lambda count: None)
    seconds = time.process_time() - start[0], time.monotonic() - start[1]
    return {
        "cpu_seconds": round(seconds[0], 1),
        "seconds": round(seconds[1], 1),
        "peak_megabytes": megabytes(),
        "counts": read.counts,
    }


def searching(path: Path, queries: list[str]) -> dict[str, object]:
    """A whole build, then searches with the text around each hit: time, size, and how the memory grows."""
    import psutil

    from llmtuner.retrieval.index.build import build_index
    from llmtuner.retrieval.search import Index

    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        built = build_index([str(path)], Path(folder) / "index")
        seconds = time.process_time() - start
        index = Index.open(Path(folder) / "index")
        process, resident = psutil.Process(), []
        start = time.process_time()
        for first in range(0, len(queries), 50):
            for hits in index.search(queries[first : first + 50], 5):
                for hit in hits:
                    index.text_around(hit.row)
            resident.append(process.memory_info().rss / 1e6)
        each = (time.process_time() - start) / len(queries) * 1000
    quarter = max(1, len(resident) // 4)
    return {
        "build_cpu_seconds": round(seconds, 1),
        "stages": {name: round(value, 1) for name, value in built.seconds.items()},
        "index_megabytes": round(sum(entry["size"] for entry in built.manifest.files.values()) / 1e6, 1),
        "cpu_ms_a_query": round(each, 2),
        "resident_megabytes": {"first quarter": round(max(resident[:quarter])), "at most": round(max(resident))},
    }


def dense(path: Path, chunks: int) -> dict[str, object]:
    """Chunks a second, by the wall clock: both use all cores."""
    from llmtuner.retrieval.encoder import Encoder
    from llmtuner.retrieval.encoder_folder import encoder_folder
    from llmtuner.retrieval.minilm import minilm_folder

    folder = minilm_folder()
    texts = texts_of(path)[:chunks]
    encoder = Encoder(encoder_folder(folder), "cpu")
    ways: dict[str, Callable[[list[str]], object]] = {"ours": encoder.encode}
    if find_spec("sentence_transformers"):
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(str(folder), device="cpu")
        ways["sentence_transformers"] = lambda texts: model.encode(texts, normalize_embeddings=True)
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, encode in ways.items():
            start = time.monotonic()
            encode(texts)
            rates[name].append(round(len(texts) / (time.monotonic() - start), 1))
            print(name, rates[name][-1], flush=True)
    return {"chunks": len(texts), "chunks_a_second": rates}


def main() -> int:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder with corpus/")
    parser.add_argument("--chunks", type=int, default=300_000)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--dense", type=int, default=512, help="chunks that are encoded; 0 for none")
    parser.add_argument("--out", type=Path, default=trial_file("retrieval"), help="the results as JSON")
    args = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    fresh = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "passages.jsonl"
        drawn_from = sentences(args.data)
        write_corpus(path, drawn_from, args.chunks)
        queries = random.Random(1).choices(drawn_from, k=args.queries)
        del drawn_from
        result: dict[str, object] = {"chunks": args.chunks, "queries": args.queries}
        steps: list[tuple[str, Callable[..., object], tuple[object, ...]]] = [
            ("reading", reading, (path,)),
            ("peak_megabytes_ours", peak, ("ours", path, queries)),
            ("peak_megabytes_plain", peak, ("plain", path, queries)),
            ("bm25", in_turns, (path, queries)),
            ("searching", searching, (path, queries)),
        ]
        steps += [("dense", dense, (path, args.dense))] if args.dense else []
        for name, step, values in steps:
            with fresh.Pool(1) as pool:
                result[name] = pool.apply(step, values)
            print(name, json.dumps(result[name]), flush=True)
    result |= {
        "command": f"python benchmarks/retrieval.py --data DATA --chunks {args.chunks} --queries {args.queries} "
        f"--dense {args.dense}",
        "commit": commit(),
        "hardware": hardware("cpu"),
        "python": platform.python_version(),
    }
    write_result(result, args.out, indent=2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
