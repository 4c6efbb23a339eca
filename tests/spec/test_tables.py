"""Every declared entry is implemented, every implementation is declared, and every idea is in docs/sources.md."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from types import ModuleType

import pytest
from support import ROOT

import llmtuner.mcq.heads
import llmtuner.mcq.layouts
import llmtuner.mcq.losses
import llmtuner.metrics
from llmtuner.mcq import pooling
from llmtuner.mcq.heads.base import OptionHead
from llmtuner.mcq.layouts.base import Layout
from llmtuner.spec import FLAGS, HEADS, LAYOUTS, LOSSES, METRICS, NORMS, POOLINGS
from llmtuner.spec.entry import KINDS, Entry
from llmtuner.spec.flags import FIELDS, OWN

TABLES = {
    "heads": HEADS,
    "losses": LOSSES,
    "layouts": LAYOUTS,
    "poolings": POOLINGS,
    "metrics": METRICS,
    "norms": NORMS,
}
ENTRIES = [pytest.param(entry, id=f"{table}-{name}") for table, t in TABLES.items() for name, entry in t.items()]
# Modules in the losses' folder that are not losses.
PARTS = {"pairs", "criterion", "rdrop"}


def modules(package: ModuleType) -> list[ModuleType]:
    names = [info.name for info in pkgutil.iter_modules(package.__path__)]
    return [importlib.import_module(f"{package.__name__}.{name}") for name in names]


def concrete(package: ModuleType, base: type) -> set[type]:
    """The concrete classes of a package, without base classes."""
    classes = {each for module in modules(package) for each in vars(module).values() if inspect.isclass(each)}
    return {each for each in classes if issubclass(each, base) and not inspect.isabstract(each)}


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_declared_name_is_implemented(entry: Entry):
    assert callable(entry.load()), f"{entry.code} is not there"
    assert entry.help
    assert "\n" not in entry.help


def test_an_implemented_head_is_declared():
    assert concrete(llmtuner.mcq.heads, OptionHead) == {head.load() for head in HEADS.values() if head.pools}


def test_an_implemented_layout_is_declared():
    assert concrete(llmtuner.mcq.layouts, Layout) == {layout.load() for layout in LAYOUTS.values()}


def test_an_implemented_loss_is_declared():
    files = {module.__name__.rsplit(".", 1)[1] for module in modules(llmtuner.mcq.losses)}
    assert files - PARTS == set(LOSSES)


def test_an_implemented_pooling_is_declared():
    functions = {f for f in vars(pooling).values() if inspect.isfunction(f) and f.__module__ == pooling.__name__}
    spans = {f for f in functions if [*inspect.signature(f).parameters] == ["tokens", "option"]}
    assert {p.load() for p in POOLINGS.values()} == spans - set(pooling.PASSAGES.values())


def test_an_implemented_metric_is_declared():
    """Every public function of `scores` and `answers` is a metric, except the one that computes all metrics."""
    functions = [f for f in vars(llmtuner.metrics).values() if inspect.isfunction(f) and f.__name__[0] != "_"]
    of_scores = {f for f in functions if [*inspect.signature(f).parameters][:2] == ["scores", "answers"]}
    assert of_scores - {llmtuner.metrics.figures} == {metric.load() for metric in METRICS.values()}


@pytest.mark.parametrize("entry", [e for e in ENTRIES if e.id.split("-")[0] in ("heads", "losses", "layouts", "norms")])
def test_every_head_loss_layout_and_norm_has_its_row_in_the_sources(entry: Entry):
    path = f"../src/{entry.code.partition(':')[0].replace('.', '/')}.py"
    rows = [line for line in (ROOT / "docs" / "sources.md").read_text(encoding="utf-8").splitlines() if "|" in line]
    assert any(f"({path})" in row for row in rows), f"{entry.name}: no row of docs/sources.md links to {path}"


def test_tables_name_each_other_rightly():
    for head in HEADS.values():
        assert set(head.layouts) <= set(LAYOUTS)
        assert not head.extends or HEADS[head.extends].pools
    for layout in LAYOUTS.values():
        assert set(layout.load().poolings) <= set(POOLINGS)
        assert set(layout.load().kinds) <= set(KINDS)
        assert layout.load().why_not or set(layout.load().kinds) == set(KINDS), "a kind is refused without a reason"
    for flag in FLAGS.values():
        assert set(flag.heads) <= set(HEADS)
        assert all(conflict.flag in FLAGS for conflict in flag.conflicts)
        assert flag.range is None or flag.type in (int, float)
        assert flag.default is None or flag.problem(flag.default) == "", f"--{flag.name}: its own default"


@pytest.mark.parametrize("flag", [flag for flag in OWN if flag.arguments], ids=lambda flag: flag.name)
def test_a_declared_flag_is_read_somewhere(flag):
    """A flag that nothing reads is accepted and does nothing."""
    if flag.field:
        assert FIELDS[flag.field] is flag
    names = {flag.name, flag.field.rpartition(".")[2]}
    declared = ROOT / "src" / "llmtuner" / "spec"
    sources = [*(ROOT / "src").rglob("*.py"), *(ROOT / "patches").rglob("*.py")]
    read = {
        word
        for path in sources
        if not path.is_relative_to(declared) and path.stem != "known_flags"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for word in _names_of(node)
    }
    assert names & read


def _names_of(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return {node.value}
    return {node.attr} if isinstance(node, ast.Attribute) else set()


def test_the_room_imports_nothing_but_errors_and_suggest():
    for path in Path(ROOT / "src" / "llmtuner" / "spec").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        rooms = set(re.findall(r"^\s*(?:from|import) llmtuner\.(\w+)", text, re.MULTILINE))
        assert rooms <= {"spec", "errors", "suggest"}, path.name
        assert not re.search(r"^\s*(?:from|import) (torch|numpy|transformers)", text, re.MULTILINE)


def test_one_module_reads_argv():
    """The stage read a flag from the command line again and bypassed the settled value."""
    readers = {
        str(path.relative_to(ROOT))
        for folder in ("src", "patches")
        for path in (ROOT / folder).rglob("*.py")
        if "sys.argv" in path.read_text(encoding="utf-8")
    }
    assert readers == {"src/llmtuner/cli/main.py"}
