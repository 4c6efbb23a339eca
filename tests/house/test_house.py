"""The rules of the house: which way imports run, and how large modules and functions may be."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "patches").rglob("*.py")])
DOCUMENTS = sorted(
    [*ROOT.glob("*.md")]
    + [
        page
        for name in ("docs", "data", "scripts", "benchmarks", "examples", "src", "patches", "tests", ".ci")
        for page in (ROOT / name).rglob("*.md")
    ]
)
SCRIPTS = sorted([*(ROOT / "scripts").glob("*.py"), *(ROOT / "benchmarks").glob("*.py")])

# A room may import itself and the rooms named here: imports run one way, inwards.
INWARDS = {
    "train_bash": {"llmtuner.cli"},
    "llmtuner.studies": {
        "llmtuner.cli",
        "llmtuner.data",
        "llmtuner.metrics",
        "llmtuner.report",
        "llmtuner.runs",
    },
    "llmtuner.cli": {
        "llmtuner.retrieval",
        "patches",
        "llmtuner.data",
        "llmtuner.mcq",
        "llmtuner.metrics",
        "llmtuner.report",
        "llmtuner.runs",
    },
    "patches": {
        "llmtuner.data",
        "llmtuner.mcq",
        "llmtuner.metrics",
        "llmtuner.report",
        "llmtuner.retrieval",
        "llmtuner.runs",
    },
    "llmtuner.data": {"llmtuner.metrics"},
    "llmtuner.mcq": {"llmtuner.data", "llmtuner.metrics", "llmtuner.retrieval", "llmtuner.runs"},
    "llmtuner.runs": {"llmtuner.data"},
    "llmtuner.gguf_files": {"llmtuner.data", "llmtuner.mcq"},
    "llmtuner.blending": {"llmtuner.data", "llmtuner.metrics", "llmtuner.report"},
    "llmtuner.report": {"llmtuner.data", "llmtuner.metrics"},
    "llmtuner.retrieval": {"llmtuner.data", "llmtuner.runs"},
    "llmtuner.metrics": set(),
    "llmtuner.spec": set(),
    "llmtuner.errors": set(),
    "llmtuner.files": set(),
    "llmtuner.cache": set(),
    "llmtuner.suggest": set(),
    "llmtuner.console": set(),
    "llmtuner": set(),
}
EVERYWHERE = {
    "llmtuner.spec",
    "llmtuner.errors",
    "llmtuner.files",
    "llmtuner.cache",
    "llmtuner.suggest",
    "llmtuner.console",
    "llmtuner",
}
_FENCE = re.compile(r"^ *```.*?^ *```[^\n]*$", flags=re.DOTALL | re.MULTILINE)
HEAVY = {"torch", "transformers", "datasets", "peft", "trl", "llamafactory", "pandas", "matplotlib", "pyarrow"}


def module_name(path: Path) -> str:
    base = ROOT / "src" if path.is_relative_to(ROOT / "src") else ROOT
    return ".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__")


def room(name: str) -> str:
    parts = name.split(".")
    return parts[0] if parts[0] != "llmtuner" else ".".join(parts[:2])


def imports(tree: ast.AST, *, top_only: bool = False) -> set[str]:
    nodes = tree.body if top_only and isinstance(tree, ast.Module) else list(ast.walk(tree))
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module}
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_run_one_way(path):
    importer = room(module_name(path))
    assert importer in INWARDS, f"a new room: add to this test the rooms that {importer} may import"
    allowed = INWARDS[importer] | EVERYWHERE | {importer}
    for name in imports(parse(path)):
        if name.split(".")[0] in ("llmtuner", "patches"):
            imported = room(name)
            # `from llmtuner import __version__` imports a name of the package, not a room
            is_name = name.split(".")[0] == "llmtuner" and imported not in INWARDS
            assert imported in allowed or is_name, f"{importer} -> {name}"


def import_graph(trees: Mapping[str, ast.Module]) -> dict[str, set[str]]:
    """The modules that each module imports: at its top, in functions, and for types.

    An import also runs the `__init__` of every package on the way to the module, except of packages that contain the
    importing module: those have already run.
    """
    graph: dict[str, set[str]] = {}
    for name, tree in trees.items():
        imported = {module for target in imports(tree) if (module := nearest_module(target, trees)) and module != name}
        packages = {package for module in imported for package in packages_of(module) if package in trees}
        graph[name] = imported | {package for package in packages if not f"{name}.".startswith(f"{package}.")}
    return graph


def nearest_module(target: str, modules: Mapping[str, object]) -> str | None:
    """The module itself, or the module that a name is imported from."""
    return next((name for name in (target, *packages_of(target)[:1]) if name in modules), None)


def packages_of(name: str) -> list[str]:
    """The packages around a module, innermost first."""
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(len(parts) - 1, 0, -1)]


def children_graph(graph: Mapping[str, set[str]], package: str) -> dict[str, set[str]]:
    """The same for the parts of one package: each module in it, and each subpackage as a whole."""
    children: dict[str, set[str]] = {}
    depth = package.count(".") + 2
    for name, imported in graph.items():
        if name.startswith(f"{package}."):
            child = ".".join(name.split(".")[:depth])
            parts = {".".join(target.split(".")[:depth]) for target in imported if target.startswith(f"{package}.")}
            children.setdefault(child, set()).update(parts - {child})
    return children


def find_cycle(graph: Mapping[str, set[str]]) -> str:
    """A cycle as "a -> b -> a" (a imports b), starting with the first in the alphabet; "" if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        names = error.args[1][:0:-1]
        first = names.index(min(names))
        return " -> ".join([*names[first:], *names[: first + 1]])
    return ""


def cycles(sources: Mapping[str, str]) -> Iterator[str]:
    """Cycles between modules, and between the parts of every package."""
    graph = import_graph({name: ast.parse(source) for name, source in sources.items()})
    packages = {package for name in graph for package in packages_of(name)}
    yield from filter(None, [find_cycle(graph), *(find_cycle(children_graph(graph, name)) for name in packages)])


def test_imports_have_no_cycle():
    """Not even through a late import or `TYPE_CHECKING`, which hide a cycle but do not remove it."""
    all_cycles = list(cycles({module_name(path): path.read_text(encoding="utf-8") for path in MODULES}))
    assert not all_cycles, "\n".join(all_cycles)


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ({"p.a": "import p.b", "p.b": "def f():\n    from p.a import g"}, {"p.a -> p.b -> p.a"}),
        ({"p.a": "import p.b", "p.b": "if TYPE_CHECKING:\n    from p import a"}, {"p.a -> p.b -> p.a"}),
        ({"p.q.a": "import p.r.a", "p.r.a": "", "p.r.b": "import p.q.b", "p.q.b": ""}, {"p.q -> p.r -> p.q"}),
        (
            {"p.q": "import p.q.a", "p.q.a": "import p.r", "p.q.b": "", "p.r": "import p.q.b"},
            {"p.q -> p.q.a -> p.r -> p.q", "p.q -> p.r -> p.q"},
        ),
        ({"p.q": "import p.q.a", "p.q.a": "import p.q.b", "p.q.b": "", "p.r": "import p.q.b, p.q.a"}, set()),
    ],
    ids=["late", "for types", "between packages", "through __init__", "none"],
)
def test_the_search_for_cycles_sees_them(sources, expected):
    assert set(cycles(sources)) == expected


@pytest.mark.parametrize("path", [p for p in MODULES if p.is_relative_to(ROOT / "src")], ids=module_name)
def test_only_patches_and_the_runner_touch_upstream(path):
    touched = {name for name in imports(parse(path)) if name.split(".")[0] == "llamafactory"}
    runner = path == ROOT / "src" / "llmtuner" / "cli" / "run.py"
    assert not touched or (runner and touched <= {"llamafactory.train.tuner", "llamafactory.train.tuner.run_exp"})


@pytest.mark.parametrize(
    "path",
    [
        p
        for p in MODULES
        if room(module_name(p)) in ("llmtuner.cli", "llmtuner.data", "llmtuner.gguf_files", "llmtuner")
        and module_name(p) != "llmtuner.gguf_files.weights"  # loads a model
    ],
    ids=module_name,
)
def test_the_front_end_imports_nothing_heavy_at_the_top(path):
    heavy = {name for name in imports(parse(path), top_only=True) if name.split(".")[0] in HEAVY}
    assert not heavy, "import it inside the function that needs it: --help and data checks answer at once"


@pytest.mark.parametrize("path", [p for p in MODULES if module_name(p) in EVERYWHERE], ids=module_name)
def test_what_every_room_may_import_needs_the_standard_library_only(path):
    roots = {name.split(".")[0] for name in imports(parse(path))}
    assert roots <= {"llmtuner", *sys.stdlib_module_names}


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


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_relative_links_lead_somewhere(path):
    """A page was renamed, or a heading reworded, and links to it led nowhere."""
    for target, heading in links(path.read_text(encoding="utf-8")):
        page = path.parent / target if target else path
        assert page.exists(), f"{path.relative_to(ROOT)} links to {target}, which does not exist"
        assert not heading or heading in anchors(page.read_text(encoding="utf-8")), (
            f"{path.relative_to(ROOT)} links to {target}#{heading}: no such heading"
        )


def links(text: str) -> list[tuple[str, str]]:
    """The relative links and images of a page outside code, as path and heading."""
    prose = re.sub(r"`[^`]*`", "", _FENCE.sub("", text))
    targets = re.findall(r"\]\((?!https?://|mailto:)([^)\s]+)\)", prose)
    return [(path, heading) for path, _, heading in (target.partition("#") for target in targets)]


def anchors(text: str) -> set[str]:
    """GitHub's anchors for a page's headings."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", text), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def test_the_search_for_links_sees_them():
    text = "[a](b.md) ![c](d.svg)\n[e\nf](g/h.md#i-j) [k](#l) [m](https://n) `[o](p.md)`\n```\n[q](r.md)\n```\n"
    assert links(text) == [("b.md", ""), ("d.svg", ""), ("g/h.md", "i-j"), ("", "l")]
    assert anchors("# A `b_c`: d, e\n```\n# no\n```\n## STEP1") == {"a-b_c-d-e", "step1"}


@pytest.mark.parametrize("path", [p for p in DOCUMENTS if p.is_relative_to(ROOT / "docs")], ids=lambda p: p.name)
def test_every_page_is_linked_from_the_index(path):
    """Nobody reads a page without links to it: the index of its folder, or results.md, must name it."""
    folder = ROOT / "docs"
    indexes = [folder / "README.md", folder / "results.md"]
    linked = {(index.parent / target).resolve() for index in indexes for target, _ in links(index.read_text("utf-8"))}
    translated = path.parent.name == "zh"
    assert translated or path in indexes[:1] or path.resolve() in linked


def test_a_wheel_has_every_file_that_is_no_module():
    """Without py.typed, an installed package has no types; without its template, no audit page is made."""
    listed = re.search(r"package_data=(\{.*\})", (ROOT / "setup.py").read_text(encoding="utf-8"))
    packaged = {
        path
        for package, patterns in ast.literal_eval(listed[1]).items()
        for pattern in patterns
        for path in (ROOT / "src" / package.replace(".", "/")).glob(pattern)
    }
    files = {
        path
        for base in (ROOT / "src", ROOT / "patches")
        for path in base.rglob("*")
        if path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts
    }
    assert ROOT / "src" / "llmtuner" / "py.typed" in files
    assert {path for path in files if ".egg-info" not in str(path)} == packaged


def test_a_wheel_has_every_room():
    """A folder without __init__.py works from the tree but is missing from what pip installs."""
    for base in (ROOT / "src" / "llmtuner", ROOT / "patches"):
        for folder in {path.parent for path in base.rglob("*.py")}:
            assert (folder / "__init__.py").is_file(), folder.relative_to(ROOT)


def test_a_run_is_resolved_in_one_place_of_each_way_in():
    """Both the checks and the stage planned it, and the two plans could differ."""
    callers = {
        str(path.relative_to(ROOT))
        for path in MODULES
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "resolve_run"
    }
    assert callers == {"src/llmtuner/cli/preflight_mcq.py", "src/llmtuner/mcq/training.py"}


def test_the_map_of_the_code_names_every_room_and_no_file_that_is_gone():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for name in INWARDS:
        if name.count(".") == 1:
            assert re.search(rf"\b{name.rpartition('.')[2]}\b", text), f"{name} is not in the map"
    named = set(re.findall(r"\b((?:mcq|cli|spec|data|report|patches)(?:/\w+)*/\w+\.py)\b", text))
    roots = (ROOT / "src" / "llmtuner", ROOT)
    assert [name for name in named if not any((root / name).is_file() for root in roots)] == []


def test_no_two_test_files_have_the_same_name():
    """pytest imports them by name alone: the second one is an error, but only when both are collected."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    repeated = {name for name in names if names.count(name) > 1}
    assert not repeated
