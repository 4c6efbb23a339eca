#!/usr/bin/env python3
"""How often does a search find the passage that belongs to a question? Recall at 1, 5 and 10, on four sets.

    python benchmarks/retrieval_recall.py --data DATA [--sets elementary exam] [--limit 50] [--work DIR] [--out FILE]

Sets: `elementary` and `exam` are the project's exams, with their corpora as shipped; `scienceqa` and `qasc` come from
DATA: the validation questions that have a lecture, among all different lectures of training and validation file, and
the dev questions among all different passages (two facts) of train and dev. Each retriever searches each set with each
form of the query.

Questions are searched as scripts/add_context.py does it, leak guard included, but for 10 passages and with room for all
of them. Each passage is one chunk (up to 600 words): so a place counts passages, and recall does not depend on the
cutting. A search finds the passage of a question if it returns it, or another one that holds its whole text. A passage
that the index leaves out as a near duplicate counts as found where the passage that is kept in its place is found.

CPU seconds and peak memory are those of a process for each set and retriever, on one thread, after a first small index
has loaded all code. Each such piece is stored in --work, and used again if commit, questions and corpus are the same.
Intervals resample questions; those with the same passage are drawn together.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import combinations
from pathlib import Path
from typing import Any

from provenance import commit, hardware, trial_file, write_result

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from llmtuner.data.load import read_questions  # noqa: E402
from llmtuner.data.normal_form import normal_form  # noqa: E402
from llmtuner.data.question import Question  # noqa: E402
from llmtuner.metrics import paired_interval  # noqa: E402
from llmtuner.retrieval.corpus import CorpusNotes, read_corpus  # noqa: E402
from llmtuner.retrieval.leaks import LeakGuard  # noqa: E402
from llmtuner.retrieval.passages import Chunk, Document  # noqa: E402
from llmtuner.retrieval.repeats import Repeats  # noqa: E402
from llmtuner.spec.retrievers import QUERY_KINDS, RETRIEVERS  # noqa: E402

PLACES = (1, 5, 10)
WORDS = 600  # more than the longest lecture has: a passage is one chunk
ROOM = 1_000_000  # words of a context: none of the passages is left out for its length
Ids = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class GoldSet:
    """Questions and the corpus that holds their passages.

    Args:
        corpus: a JSONL file.
        passages: the text of each question's passage.
    """

    name: str
    corpus: Path
    questions: Sequence[Question]
    passages: Sequence[str]

    def first(self, limit: int | None) -> GoldSet:
        """The same with the first questions only."""
        return GoldSet(self.name, self.corpus, self.questions[:limit], self.passages[:limit])


def of_files(name: str, corpus: Path, *files: Path) -> GoldSet:
    """A set whose questions have their passage as context."""
    questions = [question for file in files for question in read_questions(file, purpose="predict").questions]
    return GoldSet(name, corpus, questions, [question.context for question in questions])


def elementary(data: Path, work: Path) -> GoldSet:
    """The test questions of the elementary exam among all its facts."""
    folder = ROOT / "data" / "elementary"
    return of_files("elementary", folder / "corpus.jsonl", folder / "test.jsonl")


def exam(data: Path, work: Path) -> GoldSet:
    """All questions of the other exam among all its passages."""
    folder = ROOT / "data" / "exam"
    parts = [folder / f"{part}.jsonl" for part in ("train", "validation", "test")]
    return of_files("exam", folder / "passages.jsonl", *parts)


def scienceqa(data: Path, work: Path) -> GoldSet:
    """The validation questions that have a lecture, among all different lectures."""
    import pyarrow.parquet as pq

    files = [data / "scienceqa" / f"{part}.parquet" for part in ("train", "validation")]
    train, validation = (pq.read_table(file, columns=["lecture"])["lecture"].to_pylist() for file in files)
    questions = read_questions(files[1], purpose="predict").questions
    pairs = [pair for pair in zip(questions, validation, strict=True) if pair[1].strip()]
    corpus = write_corpus(work / "scienceqa_lectures.jsonl", [*train, *validation])
    return GoldSet("scienceqa", corpus, *map(list, zip(*pairs, strict=True)))


def qasc(data: Path, work: Path) -> GoldSet:
    """The dev questions of QASC, among all different passages."""
    parts = [of_files("qasc", work, data / "qasc" / f"{part}.jsonl") for part in ("train", "dev")]
    corpus = write_corpus(work / "qasc_passages.jsonl", [text for part in parts for text in part.passages])
    return GoldSet("qasc", corpus, parts[1].questions, parts[1].passages)


def write_corpus(path: Path, texts: Iterable[str]) -> Path:
    """A JSONL file of the different texts, in their order."""
    different = dict.fromkeys(text for text in texts if text.strip())
    lines = [json.dumps({"id": f"p{number}", "text": text}) + "\n" for number, text in enumerate(different)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines), encoding="utf-8")
    return path


SETS: dict[str, Callable[[Path, Path], GoldSet]] = {
    "elementary": elementary,
    "exam": exam,
    "scienceqa": scienceqa,
    "qasc": qasc,
}


def holders(gold: Iterable[str], documents: Sequence[Document], kept: set[str]) -> dict[str, set[str]]:
    """For each gold document, the documents of the index that count as it.

    Args:
        gold: ids.
        documents: of the whole corpus.
        kept: ids of those that the index has.
    """
    forms = {document.document_id: f" {normal_form(document.text)} " for document in documents}
    chunks = {document.document_id: whole(document) for document in documents}
    result = {}
    for name in set(gold):
        result[name] = {other for other in kept if forms[name] in forms[other]}
        if name not in kept:
            twins = (other for other in kept if len(list(Repeats().keep([chunks[other], chunks[name]]))) == 1)
            result[name].update(twins)
        assert result[name], f"the index has nothing like {name}"
    return result


def whole(document: Document) -> Chunk:
    """The document as one chunk."""
    return Chunk(f"{document.document_id}#0", document.document_id, document.title, document.text)


def places_of(found: Ids, accepted: Sequence[set[str]]) -> list[int]:
    """Where the first accepted document of each question stands among the chunks that were found, from 1; 0: nowhere.

    Args:
        found: chunk ids of each question, best first.
    """
    result = []
    for ids, names in zip(found, accepted, strict=True):
        documents = [chunk_id.rpartition("#")[0] for chunk_id in ids]
        result.append(next((place for place, name in enumerate(documents, start=1) if name in names), 0))
    return result


def hits_at(k: int, places: Sequence[int]) -> list[float]:
    """1 for each question whose passage stands among the first k, else 0."""
    return [float(1 <= place <= k) for place in places]


def measure(gold_set: GoldSet, retriever: str) -> dict[str, Any]:
    """Build the index and search it with each form of the query; for a process of its own."""
    from llmtuner.retrieval.index.build import BuildSettings, build_index
    from llmtuner.retrieval.index.store import ChunkStore
    from llmtuner.spec.retrievers import CHUNKS

    settings = BuildSettings(retriever=retriever, words=WORDS)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        small = write_corpus(place / "small.jsonl", [question.question for question in gold_set.questions[:3]])
        build_index([str(small)], place / "small", settings)
        search(place / "small", gold_set.questions[:1], "all")
        start = time.process_time()
        built = build_index([str(gold_set.corpus)], place / "index", settings)
        seconds = time.process_time() - start
        documents = list(read_corpus([str(gold_set.corpus)], CorpusNotes()))
        store = ChunkStore(place / "index" / CHUNKS)
        kept = {store.chunk(row).document_id for row in range(len(store))}
        by_text = {document.text: document for document in documents}
        gold = [by_text[text] for text in gold_set.passages]
        names = [document.document_id for document in gold]
        accepted = holders(names, documents, kept)
        queries = {}
        for kind in QUERY_KINDS:
            found, figures = search(place / "index", gold_set.questions, kind)
            queries[kind] = {**figures, "places": places_of(found, [accepted[name] for name in names])}
        pairs = zip(gold_set.questions, gold, strict=True)
        return {
            "counts": built.manifest.counts,
            "build_cpu_seconds": round(seconds, 2),
            "index_megabytes": round(sum(entry["size"] for entry in built.manifest.files.values()) / 1e6, 2),
            "peak_megabytes": peak_megabytes(),
            "notices": built.notices,
            "gold": names,
            "gold_refused": sum(LeakGuard.of(question).refuses(whole(document)) for question, document in pairs),
            "gold_left_out": len({name for name in names if name not in kept}),
            "queries": queries,
        }


def search(index: Path, questions: Sequence[Question], kind: str) -> tuple[Ids, dict[str, Any]]:
    """The chunks of each question, and the time and counts of the search."""
    from llmtuner.retrieval.open import open_finder
    from llmtuner.retrieval.settings import Retrieve

    settings = Retrieve(index=str(index), k=max(PLACES), max_words=ROOM, query=kind, replace=True)
    finder = open_finder(settings)
    start = time.process_time()
    contexts = [context for _, context in finder.fill(questions) if context is not None]
    each = (time.process_time() - start) / len(questions) * 1000
    refused, cut = sum(context.refused for context in contexts), sum(context.cut for context in contexts)
    found = [context.ids for context in contexts]
    return found, {"cpu_ms_a_question": round(each, 2), "refused": refused, "queries_cut": cut}


def peak_megabytes() -> int:
    """Peak memory of this process (Linux)."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return round(int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024 / 1e6)


def piece_of(gold_set: GoldSet, retriever: str, work: Path) -> dict[str, Any]:
    """A piece from --work; measured where it is not there, or of another commit, other questions or another corpus."""
    texts = [(q.question, q.options, text) for q, text in zip(gold_set.questions, gold_set.passages, strict=True)]
    inputs = sha256(json.dumps([commit(), retriever, WORDS, texts]).encode() + gold_set.corpus.read_bytes()).hexdigest()
    path = work / f"{gold_set.name}-{retriever}.json"
    stored = json.loads(path.read_bytes()) if path.is_file() else {}
    if stored.get("inputs") != inputs:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            stored = {"inputs": inputs, **pool.apply(measure, (gold_set, retriever))}
        write_result(stored, path)
    return stored


def figures_of(name: str, pieces: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The tables of a set.

    Args:
        pieces: of each retriever.
    """
    groups = next(iter(pieces.values()))["gold"]
    hits = {
        (retriever, kind, k): hits_at(k, piece["queries"][kind]["places"])
        for retriever, piece in pieces.items()
        for kind in QUERY_KINDS
        for k in PLACES
    }

    def mean(values: Sequence[float]) -> list[float]:
        return [round(value, 4) for value in (sum(values) / len(values), *paired_interval(values, groups))]

    def difference(first: tuple[str, str], second: tuple[str, str]) -> dict[str, list[float]]:
        pairs = {k: zip(hits[*second, k], hits[*first, k], strict=True) for k in PLACES}
        return {str(k): mean([after - before for after, before in pairs[k]]) for k in PLACES}

    rows, differences = [], []
    for retriever, piece in pieces.items():
        for kind in QUERY_KINDS:
            recall = {str(k): mean(hits[retriever, kind, k]) for k in PLACES}
            of_search = {key: value for key, value in piece["queries"][kind].items() if key != "places"}
            rows.append({"set": name, "retriever": retriever, "query": kind, "recall": recall, **of_search})
    for kind in QUERY_KINDS:
        for first, second in combinations(pieces, 2):
            about = {"set": name, "query": kind, "from": first, "to": second}
            differences.append({**about, "difference": difference((first, kind), (second, kind))})
    for retriever in pieces:
        for kind in list(QUERY_KINDS)[1:]:
            about = {"set": name, "retriever": retriever, "from": "all", "to": kind}
            differences.append({**about, "difference": difference((retriever, "all"), (retriever, kind))})
    per_piece = ("counts", "build_cpu_seconds", "index_megabytes", "peak_megabytes", "notices")
    indexes = [{"set": name, "retriever": key, **{n: piece[n] for n in per_piece}} for key, piece in pieces.items()]
    about_gold = {key: next(iter(pieces.values()))[key] for key in ("gold_refused", "gold_left_out")}
    about_set = {"set": name, "questions": len(groups), "gold_passages": len(set(groups)), **about_gold}
    return {"sets": [about_set], "recall": rows, "differences": differences, "indexes": indexes}


def main() -> int:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder with scienceqa/ and qasc/")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=[*SETS])
    parser.add_argument("--limit", type=int, help="only so many questions of each set, for a trial")
    parser.add_argument("--work", type=Path, default=ROOT / "out" / "retrieval_recall", help="finished pieces")
    parser.add_argument("--out", type=Path, default=trial_file("retrieval_recall"), help="the results as JSON")
    args = parser.parse_args()
    os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    gold_sets = {name: SETS[name](args.data, args.work).first(args.limit) for name in args.sets}
    pieces: dict[str, dict[str, Any]] = {name: {} for name in gold_sets}
    for retriever in RETRIEVERS:
        for name, gold_set in gold_sets.items():
            piece = pieces[name][retriever] = piece_of(gold_set, retriever, args.work)
            lines = [f"{k}: {sum(hits_at(5, q['places'])) / len(q['places']):.3f}" for k, q in piece["queries"].items()]
            print(name, retriever, "recall@5", *lines, f"{piece['build_cpu_seconds']} s", flush=True)
    result: dict[str, Any] = {"limit": args.limit, "places": PLACES, "words": WORDS, "threads": 1}
    for name in gold_sets:
        for key, rows in figures_of(name, pieces[name]).items():
            result.setdefault(key, []).extend(rows)
    given = [f" --sets {' '.join(args.sets)}"] if args.sets != [*SETS] else []
    given += [f" --limit {args.limit}"] if args.limit else []
    result |= {
        "command": f"python benchmarks/retrieval_recall.py --data DATA{''.join(given)}",
        "commit": commit(),
        "hardware": hardware("cpu"),
        "python": platform.python_version(),
    }
    write_result(result, args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
