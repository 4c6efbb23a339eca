"""The differences between two records."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from typing import Any

CLOSE = 1e-6  # for stage sft: absolute for scores, and relative for its other figures
SHOWN = 3  # differences of a list to print one by one
MACHINE = ("cpu", "threads", "python", "torch", "transformers", "peft", "accelerate", "llamafactory")

Record = dict[str, Any]


def differences(earlier: Record, later: Record) -> list[str]:
    """A line for each value of the earlier record that is missing or different in the later one.

    Scores and figures of stage mcq must have the same bits; those of stage sft may differ by 1e-6. Rankings, ids and
    files must be equal. Cases and figures that only the later record has are ignored.
    """
    lines = []
    for name, case in earlier["cases"].items():
        if name not in later["cases"]:
            lines.append(f"{name}: missing")
            continue
        lines += [f"{name}: {line}" for line in _of_case(case, later["cases"][name])]
    return lines


def other_machine(earlier: Record, later: Record) -> list[str]:
    """Processor, threads and versions that differ, so that bits may differ without a change of code."""
    old, new = earlier["about"], later["about"]
    return [f"{name}: {old.get(name)}, then {new.get(name)}" for name in MACHINE if old.get(name) != new.get(name)]


def _of_case(case: Record, later: Record) -> Iterator[str]:
    if case.get("failed") or later.get("failed"):
        if case.get("failed") != later.get("failed"):
            yield f"failed: {case.get('failed') or 'no'}, then {later.get('failed') or 'no'}"
        return
    yield from _listed(case.get("files", {}), later.get("files", {}), "file", exact=True)
    for name, step in case.get("steps", {}).items():
        if name not in later.get("steps", {}):
            yield f"{name}: missing"
            continue
        yield from (f"{name}: {line}" for line in _of_step(step, later["steps"][name]))


def _of_step(step: Record, later: Record) -> Iterator[str]:
    exact = step["stage"] != "sft"
    for name in ("stage", "command", "ids", "rankings"):
        if step.get(name) != later.get(name):
            yield f"{name}: {_first_other(step.get(name), later.get(name))}"
    if step.get("ids") == later.get("ids"):
        named = [dict(zip(s.get("ids", ()), s.get("scores", ()), strict=True)) for s in (step, later)]
        yield from _listed(*named, "scores", exact=exact, relative=False)
    for name in ("figures", "history"):
        yield from _listed(_flat(step.get(name)), _flat(later.get(name)), name, exact=exact)


def _flat(values: Any) -> dict[str, Any]:
    """Figures by name, and those of a list by position and name."""
    if isinstance(values, list):
        return {f"{place} {name}": value for place, line in enumerate(values) for name, value in line.items()}
    return values or {}


def _listed(old: Record, new: Record, what: str, *, exact: bool, relative: bool = True) -> Iterator[str]:
    lines = []
    for name, value in old.items():
        if name not in new:
            lines.append(f"{what} {name}: missing")
        elif not _same(value, new[name], exact=exact, relative=relative):
            lines.append(f"{what} {name}: {value!r}, then {new[name]!r}")
    yield from lines[:SHOWN]
    if len(lines) > SHOWN:
        yield f"{what}: {len(lines) - SHOWN} more"


def _same(old: Any, new: Any, *, exact: bool, relative: bool) -> bool:
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(
            _same(a, b, exact=exact, relative=relative) for a, b in zip(old, new, strict=True)
        )
    if isinstance(old, float) and isinstance(new, float):
        if struct.pack("<d", old) == struct.pack("<d", new):
            return True
        return not exact and math.isclose(old, new, rel_tol=CLOSE if relative else 0, abs_tol=CLOSE)
    return type(old) is type(new) and old == new


def _first_other(old: Any, new: Any) -> str:
    if isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            return f"{len(old)}, then {len(new)}"
        return next(f"{a!r}, then {b!r} (place {n})" for n, (a, b) in enumerate(zip(old, new, strict=True)) if a != b)
    return f"{old!r}, then {new!r}"
