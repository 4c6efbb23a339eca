"""The manifest of an index: what it was made of, and the size and digest of each of its files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import llmtuner
from llmtuner.errors import UserError
from llmtuner.files import sha256_of_file, sha256_of_json, sha256_of_unchanged, write_synced
from llmtuner.retrieval.terms import TERM_RULES
from llmtuner.spec.entry import choose_from
from llmtuner.spec.retrievers import MANIFEST, RETRIEVERS

FORMAT = 1
# What shapes the content of the files, and so is part of the inputs.
PACKAGES = ("bm25s", "PyStemmer", "numpy", "pyarrow")
ENCODER_PACKAGES = ("torch", "transformers", "tokenizers")
COUNTS = ("documents", "blank", "renamed", "chunks", "exact", "near", "wordless")
_HASHED = 256 << 20  # bytes: larger files are compared by size alone when an index is opened
_BUILD_AGAIN = "build the index again (scripts/build_index.py)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What an index says of itself; it holds no date, so that equal inputs give equal bytes.

    Args:
        format: of the folder; another one is refused.
        version: of this project.
        term_rules: of the search terms; others are refused.
        retriever: as in `llmtuner.spec.retrievers`.
        settings: words, overlap.
        corpus: file, size and sha256 of each file of the corpus.
        counts: documents; chunks, and how many were left out as exact, near, wordless.
        encoder: where it was, and its fingerprint; None without one.
        packages: versions of the packages that shape the content.
        note: the user's.
        files: name to size and sha256, for every file but this one.
    """

    format: int = FORMAT
    version: str = llmtuner.__version__
    term_rules: int = TERM_RULES
    retriever: str
    settings: dict[str, int]
    corpus: list[dict[str, Any]]
    counts: dict[str, int] = field(default_factory=dict)
    encoder: dict[str, Any] | None = None
    packages: dict[str, str] = field(default_factory=dict)
    note: str = ""
    files: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def chunks(self) -> int:
        """The number of chunks in the index."""
        return self.counts["chunks"]

    @property
    def inputs(self) -> str:
        """A digest of all that the content follows from: equal inputs, equal index. The encoder may have moved."""
        content = asdict(self)
        if self.encoder is not None:
            content["encoder"].pop("folder")
        return sha256_of_json({name: content[name] for name in content if name not in ("counts", "files")})

    def write(self, folder: Path) -> None:
        """Write it into the folder.

        Raises:
            OSError: it cannot be written.
        """
        write_synced(folder / MANIFEST, json.dumps(asdict(self), ensure_ascii=False, indent=1, sort_keys=True) + "\n")


def read_manifest(index: Path) -> Manifest:
    """The manifest of an index.

    Raises:
        UserError: no index is there, it is unfinished, of another format, or its manifest is damaged.
    """
    path = index / MANIFEST
    try:
        content = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(_no_index(index)) from error
    except PermissionError as error:
        raise UserError(f"{path}: cannot be read; check its permissions") from error
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read ({error}); {_BUILD_AGAIN}") from error
    if not isinstance(content, dict) or not isinstance(content.get("format"), int):
        raise UserError(f"{path}: is no manifest of an index; {_BUILD_AGAIN}")
    if content["format"] != FORMAT or content.get("term_rules") != TERM_RULES:
        raise UserError(
            f"{index}: was built by version {content.get('version')} of this project, in format {content['format']} "
            f"with search terms {content.get('term_rules')}; this version reads format {FORMAT} with search terms "
            f"{TERM_RULES}: {_BUILD_AGAIN}"
        )
    if content.get("retriever") not in [*RETRIEVERS]:  # of any type: a list cannot be looked up in a table
        raise UserError(
            f"{path}: retriever {content.get('retriever')}: {choose_from(content.get('retriever'), RETRIEVERS)}"
        )
    names = {each.name for each in fields(Manifest)}
    if set(content) != names or not _has_types(content):
        raise UserError(f"{path}: damaged: expected the keys {', '.join(sorted(names))}; {_BUILD_AGAIN}")
    return Manifest(**content)


def check_files(index: Path, manifest: Manifest, *, thorough: bool = False) -> None:
    """Compare the files with the manifest: all by size, and by SHA-256 those up to 256 MB.

    Args:
        thorough: compare larger files by SHA-256, too.

    Raises:
        UserError: a file is missing or differs.
    """
    for name, entry in manifest.files.items():
        path = index / name
        if not path.is_file():
            raise UserError(
                f"{path}: is missing, and the index needs it; copy the whole folder again, or {_BUILD_AGAIN}"
            )
        size = path.stat().st_size
        if size != entry["size"]:
            raise UserError(
                f"{path}: has {size:,} bytes, and the manifest says {entry['size']:,}; copy it again, or {_BUILD_AGAIN}"
            )
        if (thorough or size <= _HASHED) and sha256_of_unchanged(path) != entry["sha256"]:
            raise UserError(f"{path}: differs from what was written (SHA-256); copy it again, or {_BUILD_AGAIN}")


def file_entries(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and digest of every file in a folder, by its name with "/"."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): {"size": path.stat().st_size, "sha256": sha256_of_file(path)}
        for path in files
    }


def package_versions(*, encodes: bool) -> dict[str, str]:
    """The versions of the packages that shape an index.

    Raises:
        UserError: one that is needed is not installed.
    """
    try:
        return {name: version(name) for name in (*PACKAGES, *(ENCODER_PACKAGES if encodes else ()))}
    except PackageNotFoundError as error:
        raise UserError(f"{error.name} is not installed; run: pip install {error.name}") from error


def building_folder(index: Path) -> Path:
    """Where an index is built, beside its place."""
    index = index.absolute()
    return index.with_name(f".{index.name}.building")


def _no_index(index: Path) -> str:
    if building_folder(index).is_dir():
        return f"{index}: its build did not finish; run the same scripts/build_index.py command again, which resumes it"
    if not index.is_dir():
        kind = "is a file, and an index is a folder" if index.exists() else "no such folder"
        return f"{index}: {kind}; give the --out of scripts/build_index.py"
    return f"{index}: is no index: it has no {MANIFEST}; give the --out of scripts/build_index.py"


def _has_types(content: Mapping[str, Any]) -> bool:
    files, encoder = content["files"], content["encoder"]
    return (
        isinstance(files, dict)
        and all(map(_is_entry, files.values()))
        and isinstance(content["counts"], dict)
        and all(isinstance(content["counts"].get(name), int) for name in COUNTS)
        and (encoder is None or (isinstance(encoder, dict) and isinstance(encoder.get("folder"), str)))
        and (encoder is None) != RETRIEVERS[content["retriever"]].encodes
    )


def _is_entry(entry: object) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("size"), int) and isinstance(entry.get("sha256"), str)
