"""The rules of the house: which way imports run, how large modules and functions may grow."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "patches").rglob("*.py")])
SCRIPTS = sorted([*(ROOT / "scripts").glob("*.py"), *(ROOT / "benchmarks").glob("*.py")])

# A room may import itself and the rooms named here: imports run one way, inwards.
INWARDS = {
    "train_bash": {"llmtuner.cli"},
    "llmtuner.cli": {"patches", "llmtuner.data", "llmtuner.mcq", "llmtuner.metrics", "llmtuner.report"},
    "patches": {"llmtuner.data", "llmtuner.mcq", "llmtuner.metrics", "llmtuner.report"},
    "llmtuner.data": {"llmtuner.metrics"},
    "llmtuner.mcq": {"llmtuner.data", "llmtuner.metrics"},
    "llmtuner.report": {"llmtuner.data", "llmtuner.metrics"},
    "llmtuner.metrics": set(),
    "llmtuner.errors": set(),
    "llmtuner.suggest": set(),
    "llmtuner": set(),
}
EVERYWHERE = {"llmtuner.errors", "llmtuner.suggest", "llmtuner"}
HEAVY = {"torch", "transformers", "datasets", "peft", "trl", "llamafactory", "pandas", "matplotlib", "pyarrow"}


def module_name(path: Path) -> str:
    base = ROOT / "src" if path.is_relative_to(ROOT / "src") else ROOT
    return ".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__")


def room(name: str) -> str:
    parts = name.split(".")
    return parts[0] if parts[0] != "llmtuner" else ".".join(parts[:2])


def imports(tree: ast.AST, *, top_only: bool = False) -> set[str]:
    nodes = tree.body if top_only and isinstance(tree, ast.Module) else list(ast.walk(tree))
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module}
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_run_one_way(path):
    here = room(module_name(path))
    assert here in INWARDS, f"a new room: say in this test what {here} may import"
    allowed = INWARDS[here] | EVERYWHERE | {here}
    for name in imports(parse(path)):
        if name.split(".")[0] in ("llmtuner", "patches"):
            there = room(name)
            # `from llmtuner.data import load` names room and module; a name in a package's __init__ is the room's own
            assert there in allowed or (name.split(".")[0] == "llmtuner" and there not in INWARDS), f"{here} -> {name}"


@pytest.mark.parametrize("path", [p for p in MODULES if p.is_relative_to(ROOT / "src")], ids=module_name)
def test_only_patches_and_the_runner_touch_upstream(path):
    touched = {name for name in imports(parse(path)) if name.split(".")[0] == "llamafactory"}
    runner = path == ROOT / "src" / "llmtuner" / "cli" / "run.py"
    assert not touched or (runner and touched <= {"llamafactory.train.tuner", "llamafactory.train.tuner.run_exp"})


@pytest.mark.parametrize(
    "path",
    [p for p in MODULES if room(module_name(p)) in ("llmtuner.cli", "llmtuner.data", "llmtuner")],
    ids=module_name,
)
def test_the_front_end_imports_nothing_heavy_at_the_top(path):
    heavy = {name for name in imports(parse(path), top_only=True) if name.split(".")[0] in HEAVY}
    assert not heavy, "import it inside the function that needs it: --help and data checks answer at once"


@pytest.mark.parametrize("path", [*MODULES, *SCRIPTS], ids=lambda p: str(p.relative_to(ROOT)))
def test_modules_and_functions_stay_small(path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 500
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno + 1 <= 60, f"{node.name} has more than 60 lines"


@pytest.mark.parametrize("path", [*MODULES, *SCRIPTS], ids=lambda p: str(p.relative_to(ROOT)))
def test_public_names_are_documented(path):
    tree = parse(path)
    assert ast.get_docstring(tree) or not tree.body, "a module says what it is"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{node.name} has no docstring"


def test_the_entry_point_stays_thin():
    assert (ROOT / "src" / "train_bash.py").read_text().count("\n") < 60


@pytest.mark.parametrize("path", sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "Makefile"]))
def test_relative_links_lead_somewhere(path):
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_a_wheel_has_every_room():
    """A folder without __init__.py works from the tree and is missing from what pip installs."""
    for base in (ROOT / "src" / "llmtuner", ROOT / "patches"):
        for folder in {path.parent for path in base.rglob("*.py")}:
            assert (folder / "__init__.py").is_file(), folder.relative_to(ROOT)
