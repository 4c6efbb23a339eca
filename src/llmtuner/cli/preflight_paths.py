"""Names of files and folders, before anything looks at the disk: some names make every look-up fail."""

from __future__ import annotations

import tempfile
from pathlib import Path

from llmtuner.cli.flags import Flags
from llmtuner.errors import UserError
from llmtuner.runs.checkpoints import RESULTS
from llmtuner.runs.lock import LOCK

_PATHS = (
    "model_name_or_path",
    "output_dir",
    "dataset_dir",
    "cache_dir",
    "resume_from_checkpoint",
    "mcq_prompt",
    "mcq_shots_from",
    "retrieve",
    "retrieve_rerank",
)
_LISTS = ("adapter_name_or_path", "dataset", "eval_dataset")
_LONGEST_NAME, _LONGEST_PATH = 255, 4096  # bytes; the limits of Linux, macOS and Windows with long paths
_WRITTEN = (LOCK, *RESULTS)  # the files of a run that are looked at before its end would fail on them
_INSIDE = 128  # bytes that a run's own files add to --output_dir, such as checkpoint-100000/adapter_model.safetensors


def check_names(flags: Flags) -> None:
    """Refuse names that no file or folder can have.

    Raises:
        UserError: all of them, in one message.
    """
    names = [(flag, flags[flag]) for flag in _PATHS if flags[flag] is not None]
    names += [(flag, name) for flag in _LISTS for name in flags.names(flag)]
    if "adapter_name_or_path" in flags and not flags.names("adapter_name_or_path"):  # "$ADAPTER", which is not set
        names.append(("adapter_name_or_path", ""))
    problems = [f"--{flag} {_shown(name)}: {problem}" for flag, name in names if (problem := _problem(flag, name))]
    if problems:
        raise UserError("\n".join(problems))


def check_output_dir(output_dir: str | None) -> None:
    """Try to write where the folder is or would be created: permissions, read-only file systems, files in the way.

    The folder itself is not created yet, so that a mistake found later leaves nothing behind.

    Raises:
        UserError: the results could not be written.
    """
    if output_dir is None:
        raise UserError("--output_dir is missing: the folder for the results")
    folder = Path(output_dir).absolute()
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--output_dir {output_dir}: cannot write to it: it is a file; name a folder")
    if folder.is_symlink() and not folder.exists():
        raise UserError(f"--output_dir {output_dir}: a link to a folder that is not there; create the folder it names")
    taken = [name for name in _WRITTEN if (folder / name).is_dir()]
    if taken:
        raise UserError(
            f"--output_dir {output_dir}: {taken[0]} is a folder, and a run writes a file of this name there"
        )
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            return
    except OSError as error:
        raise UserError(f"--output_dir {output_dir}: cannot write to {folder}: {error.strerror or error}") from error


def _problem(flag: str, name: str) -> str:
    """Why no file can have this name; "" if one can."""
    if not name.strip():
        return "the name is empty; name a folder"
    if "\0" in name:
        return "a NUL character cannot be part of a name; remove it"
    try:
        encoded = name.encode()
    except UnicodeEncodeError:  # Python stands bytes that it cannot decode for by surrogates
        return "the name is not UTF-8, so that no file of the run could hold it; rename it, or set PYTHONUTF8=1"
    longest = max(map(len, encoded.split(b"/")))
    if longest > _LONGEST_NAME:
        return f"a part of the path has {longest} bytes, and file systems take {_LONGEST_NAME}; use a shorter name"
    limit = _LONGEST_PATH - (_INSIDE if flag == "output_dir" else 0)
    if len(encoded) > limit:
        return f"the path has {len(encoded)} bytes, and at most {limit} are possible; use a shorter one"
    return ""


def _shown(name: str) -> str:
    """A name as it can be printed: quoted if it is empty or has control characters, and cut if it is long."""
    shown = name if name.strip() and name.isprintable() else repr(name)
    return shown if len(shown) <= 80 else f"{shown[:40]}...{shown[-20:]}"
