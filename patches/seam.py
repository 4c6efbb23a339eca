"""How a patch replaces an upstream object, and notices when upstream has changed."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

TESTED = "llamafactory 0.9.5"


class SeamError(ImportError):
    """Upstream's object is gone, or its parameters differ from those that the patch was written for."""


@dataclass(frozen=True)
class Seam:
    """A name in an upstream module that a patch replaces.

    Args:
        module: where the name is looked up when it is used (not always where it is defined).
        name: the name to replace.
        parameters: its parameter names in the tested version, to notice a change; None if it is not callable.
    """

    module: str
    name: str
    parameters: tuple[str, ...] | None

    def original(self) -> Any:
        """Upstream's own object, even after it was replaced.

        Raises:
            SeamError: it is missing, or its parameters differ.
        """
        current = getattr(import_module(self.module), self.name, None)
        upstream = getattr(current, "__upstream__", current)
        if upstream is None:
            raise SeamError(f"{self.module}.{self.name} is not in this llamafactory; {TESTED} has it")
        if self.parameters is not None:
            parameters = tuple(inspect.signature(upstream).parameters)
            if parameters != self.parameters:
                raise SeamError(
                    f"{self.module}.{self.name} takes {parameters} in this llamafactory, "
                    f"and {self.parameters} in the tested {TESTED}"
                )
        return upstream

    def replace(self, build: Callable[[Any], Any]) -> None:
        """Replace it by `build(current)`, once for each `build`: several patches may share a name, one around another.

        A second patch of the same name was passed over in silence, because the first had replaced it already.
        """
        module, patch = import_module(self.module), f"{build.__module__}.{build.__qualname__}"
        original = self.original()
        current = getattr(module, self.name)
        applied = getattr(current, "__patches__", ())
        if patch in applied:
            return
        replacement = build(current)
        replacement.__upstream__ = original
        replacement.__patches__ = (*applied, patch)
        setattr(module, self.name, replacement)

    def restore(self) -> None:
        """Restore upstream's object (for tests that compare with and without the patch)."""
        setattr(import_module(self.module), self.name, self.original())
