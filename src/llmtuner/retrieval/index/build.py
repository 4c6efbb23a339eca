"""Builds an index beside its place and renames it: an index is whole, or not there."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from llmtuner.data.problems import quoted
from llmtuner.data.sniff import file_status
from llmtuner.errors import UserError
from llmtuner.files import new_folder, sha256_of_file, temporary_folders, write_atomic
from llmtuner.retrieval.chunks import OVERLAP, WORDS
from llmtuner.retrieval.corpus import CorpusNotes, corpus_files
from llmtuner.retrieval.encoder import Encoder
from llmtuner.retrieval.encoder_folder import encoder_folder
from llmtuner.retrieval.index.manifest import (
    Manifest,
    building_folder,
    check_files,
    file_entries,
    package_versions,
    read_manifest,
)
from llmtuner.retrieval.index.read import PART, part_file, read_parts
from llmtuner.retrieval.index.store import ChunkStore, join_files
from llmtuner.retrieval.minilm import minilm_folder
from llmtuner.retrieval.progress import Progress, Say
from llmtuner.retrieval.retrievers.base import BuildSource
from llmtuner.retrieval.retrievers.bm25 import FOLDER as BM25
from llmtuner.retrieval.retrievers.dense import VECTORS
from llmtuner.runs.lock import LOCK, locked
from llmtuner.spec.entry import choose_from
from llmtuner.spec.retrievers import CHUNKS, MANIFEST, RETRIEVERS

ANN_FROM = 1_000_000
_INPUTS, _INDEX = "inputs.json", "index"
_ENCODING = [name for name, entry in RETRIEVERS.items() if entry.encodes]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSettings:
    """What an index is made of, beside its corpus.

    Args:
        retriever: as in `llmtuner.spec.retrievers`.
        encoder: its folder; None for all-MiniLM-L6-v2, where the retriever encodes.
        words, overlap: of a chunk, in words, and of two neighbours, in sentences.
        ann_from: the number of chunks from which on exact search over vectors is refused.
        note: goes into the manifest.
        part: chunks that are written, and encoded, at once.
    """

    retriever: str = "bm25"
    encoder: str | os.PathLike[str] | None = None
    words: int = WORDS
    overlap: int = OVERLAP
    ann_from: int = ANN_FROM
    note: str = ""
    part: int = PART

    def __post_init__(self) -> None:
        if self.retriever not in RETRIEVERS:
            raise UserError(f"--retriever {self.retriever}: {choose_from(self.retriever, RETRIEVERS)}")
        for flag, value, least in (
            ("words", self.words, 1),
            ("overlap", self.overlap, 0),
            ("ann_from", self.ann_from, 1),
        ):
            if value < least:
                raise UserError(f"--{flag} {value}: expected at least {least}")
        if self.encoder is not None and not RETRIEVERS[self.retriever].encodes:
            raise UserError(f"--encoder {self.encoder}: --retriever {self.retriever} uses none; leave --encoder out")


@dataclass(frozen=True, slots=True)
class Built:
    """An index that was built.

    Args:
        manifest: its manifest.
        notices: about the corpus, and texts that the encoder cut.
        seconds: of each stage; {} if the index was there already.
    """

    manifest: Manifest
    notices: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


def build_index(
    corpus: Sequence[str],
    out: str | os.PathLike[str],
    settings: BuildSettings | None = None,
    *,
    overwrite: bool = False,
    say: Say = lambda line: None,
) -> Built:
    """Build an index. A build that was killed is resumed if corpus and settings are the same.

    Args:
        corpus: files, folders or patterns, as for `read_corpus`.
        out: the new folder. An index of the same inputs is left as it is.
        overwrite: replace another folder.
        say: takes lines about the progress.

    Raises:
        UserError, DataError: the corpus, the encoder or the folder cannot be used; another build is at work.
    """
    settings = settings or BuildSettings()
    out = Path(out)
    planned = _planned(corpus, settings)
    try:
        existing = _existing(out, planned, overwrite)
        if existing is not None:
            return Built(existing)
        building = building_folder(out)
        building.parent.mkdir(parents=True, exist_ok=True)
        with _held(building, out):
            _prepare(building, planned.inputs, out)
            built = _build(corpus, building, planned, settings, say)
            _move(building / _INDEX, out, overwrite=overwrite)
    except OSError as error:
        raise UserError(
            f"--out {out}: cannot be written: {error.strerror or error} ({error.filename or building_folder(out)}); "
            "free some space, or choose another folder. The same command then resumes"
        ) from error
    return built


@contextmanager
def _held(building: Path, out: Path) -> Iterator[None]:
    """Hold the folder of a build, and remove it at the end; what a kill or a full disk leaves is resumed."""
    is_held = resumable = False
    try:
        with locked(building, flag="--out", shown=out):
            is_held = True
            try:
                yield
            except (OSError, KeyboardInterrupt, SystemExit):
                resumable = True
                raise
    finally:
        if is_held and not resumable:
            shutil.rmtree(building, ignore_errors=True)


def _planned(corpus: Sequence[str], settings: BuildSettings) -> Manifest:
    """The manifest as far as it follows from the inputs."""
    entry = RETRIEVERS[settings.retriever]
    encoder = encoder_folder(settings.encoder or minilm_folder()) if entry.encodes else None
    files = corpus_files(corpus)
    for file in files:
        file_status(file.path)
        if not os.access(file.path, os.R_OK):
            raise UserError(f"{file.shown}: cannot be read; check its permissions")
    described = [
        {
            "file": file.name,
            "size": file.path.stat().st_size,
            "sha256": sha256_of_file(file.path),
            **({"columns": columns} if (columns := _named_columns(file.columns)) else {}),
        }
        for file in files
    ]
    return Manifest(
        retriever=settings.retriever,
        settings={"words": settings.words, "overlap": settings.overlap, "part": settings.part},
        corpus=described,
        encoder={"folder": str(encoder.path), **encoder.fingerprint} if encoder else None,
        packages=package_versions(encodes=entry.encodes),
        note=settings.note,
    )


def _named_columns(columns: object) -> dict[str, str]:
    return {name: value for name in ("text", "id", "title") if (value := getattr(columns, name))}


def _existing(out: Path, planned: Manifest, overwrite: bool) -> Manifest | None:
    """The index that is there already, if it is of the same inputs.

    Raises:
        UserError: something else has the name.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    if not out.is_dir():
        raise UserError(f"--out {out}: is a file; give a new folder")
    try:
        manifest = read_manifest(out)
        check_files(out, manifest)
    except UserError:
        manifest = None
    if manifest is not None and manifest.inputs == planned.inputs:
        return manifest
    if manifest is None and not (out / MANIFEST).exists():
        raise UserError(f"--out {out}: is not empty and no index, so it is not replaced; choose another folder")
    foreign = _foreign(out, manifest)
    if foreign:
        raise UserError(
            f"--out {out}: holds {quoted(foreign[0])}, which is no part of an index, so it is not replaced; choose "
            "another folder"
        )
    if not overwrite:
        kind = "an index of other inputs" if manifest else "an index that is damaged or of another version"
        raise UserError(f"--out {out}: is {kind}; choose another folder, or pass --overwrite")
    return None


def _foreign(out: Path, manifest: Manifest | None) -> list[str]:
    """What lies in a folder that no index has; builds of data sets, too, have a manifest.json."""
    own = {MANIFEST, CHUNKS, BM25, VECTORS} | {name.partition("/")[0] for name in (manifest.files if manifest else ())}
    return sorted(path.name for path in out.iterdir() if path.name not in own)


def _prepare(building: Path, inputs: str, out: Path) -> None:
    """Leave in the folder only what an earlier build of the same inputs finished; whoever calls this holds the lock."""
    for leftover in temporary_folders(out):
        shutil.rmtree(leftover)
    known = building / _INPUTS
    if not known.is_file() or known.read_bytes() != _inputs_line(inputs):
        _clear(building)
        write_atomic(known, _inputs_line(inputs))
    shutil.rmtree(building / _INDEX, ignore_errors=True)
    (building / _INDEX).mkdir()


def _inputs_line(inputs: str) -> bytes:
    return json.dumps({"inputs": inputs}).encode()


def _clear(building: Path) -> None:
    for path in building.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


def _build(corpus: Sequence[str], building: Path, planned: Manifest, settings: BuildSettings, say: Say) -> Built:
    seconds: dict[str, float] = {}
    with _timed(seconds, "read"):
        notes = CorpusNotes()
        progress = Progress(say, "reading", share=lambda: notes.share)
        read = read_parts(building, corpus, settings.words, settings.overlap, progress, settings.part, notes)
    folder = building / _INDEX
    with _timed(seconds, "store"):
        join_files([part_file(building, number) for number in range(read.parts)], folder / CHUNKS)
    encoder = None
    if settings.retriever in _ENCODING:
        with _timed(seconds, "load"):
            encoder = Encoder(encoder_folder(settings.encoder or minilm_folder()))
    with _timed(seconds, "index"):
        activity = "encoding" if encoder else "indexing"
        store = ChunkStore(folder / CHUNKS)
        source = BuildSource(
            rows=len(store),
            parts=lambda: store.titled_texts(settings.part),
            folder=folder,
            parts_folder=building,
            ann_from=settings.ann_from,
            encoder=encoder,
            tell=Progress(say, activity, total=len(store)),
        )
        RETRIEVERS[settings.retriever].load().build(source)
    manifest = replace(planned, counts=read.counts, files=file_entries(folder))
    manifest.write(folder)
    notices = list(read.notices)
    if encoder is not None and encoder.cut:
        notices.append(f"{encoder.cut:,} chunks are longer than the encoder takes, and were cut for their vectors")
    return Built(manifest, notices, seconds)


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    start = time.monotonic()
    yield
    seconds[stage] = time.monotonic() - start


def _move(made: Path, out: Path, *, overwrite: bool) -> None:
    with new_folder(out, overwrite=overwrite) as folder:
        for path in made.iterdir():
            os.replace(path, folder / path.name)
