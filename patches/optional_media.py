"""torchaudio becomes optional; a broken torchvision or torchaudio counts as not installed.

Upstream: `llamafactory.data.mm_plugin` imports torchaudio at its top (0.9.5, and 0.9.6.dev0 of 2026-08), although only
audio models use it; a missing or mismatched build stops text training with ImportError or OSError. transformers imports
an installed torchvision without checking that it works.
Can go when upstream imports torchaudio where it is used (pull request 10747).
"""

from __future__ import annotations

import importlib.util
import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType

MEDIA = ("torchvision", "torchaudio")
USER = "llamafactory.data.mm_plugin"


def apply() -> None:
    """Hide broken packages, report them, and import upstream's module while a stand-in is in place."""
    for name in MEDIA:
        _hide_if_broken(name)
    if USER in sys.modules:
        return
    if importlib.util.find_spec("torchaudio") is not None:
        import_module(USER)
        return
    marked_broken = "torchaudio" in sys.modules
    stand_in = ModuleType("torchaudio")
    stand_in.__spec__ = ModuleSpec("torchaudio", None)  # find_spec raises on a module without one
    sys.modules["torchaudio"] = stand_in
    try:
        import_module(USER)
    finally:
        del sys.modules["torchaudio"]
        if marked_broken:
            sys.modules["torchaudio"] = None  # type: ignore[assignment]


def _hide_if_broken(name: str) -> None:
    if name in sys.modules or importlib.util.find_spec(name) is None:
        return
    before = set(sys.modules)
    try:
        import_module(name)
    except Exception as error:  # an ABI mismatch raises OSError, a missing operator RuntimeError
        for loaded in set(sys.modules) - before:
            if loaded == name or loaded.startswith(f"{name}."):
                del sys.modules[loaded]
        # None in sys.modules is Python's own mark for "do not import": to find_spec and import, the package is absent.
        sys.modules[name] = None  # type: ignore[assignment]
        reason = str(error).strip().split("\n")[0][:200]
        print(
            f"note: {name} is installed but broken ({reason}); continuing without it, because text does not need it",
            file=sys.stderr,
        )
