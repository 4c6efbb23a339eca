"""Upstream is as the patches expect it, and a change gives a message that says where."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import patches
from patches.seam import Seam, SeamError


@pytest.fixture(scope="module", autouse=True)
def installed():
    patches.install()


def seams():
    for name in patches.PATCHES:
        seam = getattr(import_module(f"patches.{name}"), "SEAM", None)
        if seam is not None:
            yield pytest.param(seam, id=name)


@pytest.mark.parametrize("seam", list(seams()))
def test_upstream_takes_the_parameters_that_the_patch_was_written_for(seam):
    seam.original()


@pytest.mark.parametrize("seam", list(seams()))
def test_every_patch_is_applied(seam, request):
    """Two patches of one name: the second was never applied, and --tokenized_path took other data."""
    name = request.node.callspec.id
    source = Path(import_module(f"patches.{name}").__file__).read_text(encoding="utf-8")
    if "SEAM.replace(" not in source and "SEAM.around(" not in source:
        pytest.skip("it registers itself with upstream and replaces nothing")
    applied = getattr(getattr(import_module(seam.module), seam.name), "__patches__", ())
    assert any(patch.startswith(f"patches.{name}.") for patch in applied)


def test_several_patches_of_one_name_lie_around_each_other(upstream_module):
    def first(inner):
        return lambda data: f"first({inner(data)})"

    def second(inner):
        return lambda data: f"second({inner(data)})"

    upstream_module.load = lambda data: "upstream"
    seam = Seam("some_upstream", "load", ("data",))
    for build in (first, second, first, second):
        seam.replace(build)
    assert upstream_module.load(None) == "second(first(upstream))"
    assert seam.original()(None) == "upstream"


def test_every_patch_file_is_in_the_table_and_documented():
    files = {path.stem for path in Path(patches.__file__).parent.glob("*.py")} - {"__init__", "seam", "sft_data"}
    assert files == set(patches.PATCHES)
    for name in patches.PATCHES:
        documentation = import_module(f"patches.{name}").__doc__
        assert "Upstream: " in documentation, name
        assert "Can go" in documentation or "Stays" in documentation, name
        assert "0.9.5" in documentation or "since 0.9" in documentation, name


def test_installing_twice_changes_nothing():
    """A second install wrapped the wrappers, and every question was tokenised twice."""
    from llamafactory.data import loader

    first = loader.get_dataset_list, loader._load_single_dataset, loader._get_preprocessed_dataset
    patches.install()
    assert first == (loader.get_dataset_list, loader._load_single_dataset, loader._get_preprocessed_dataset)


@pytest.fixture
def upstream_module():
    module = ModuleType("some_upstream")
    sys.modules["some_upstream"] = module
    yield module
    del sys.modules["some_upstream"]


def test_a_changed_signature_names_module_and_parameters(upstream_module):
    upstream_module.load = lambda data, new_argument: None
    seam = Seam("some_upstream", "load", ("data",))
    with pytest.raises(SeamError, match=r"some_upstream\.load takes \('data', 'new_argument'\).*'data',.*0\.9\.5"):
        seam.replace(lambda original: original)


def test_a_name_that_is_gone_is_reported(upstream_module):
    with pytest.raises(SeamError, match=r"some_upstream\.load is not in this llamafactory"):
        Seam("some_upstream", "load", ()).original()


def test_replacing_can_be_undone(upstream_module):
    original = upstream_module.load = lambda data: "upstream"
    seam = Seam("some_upstream", "load", ("data",))
    seam.replace(lambda inner: lambda data: "ours, " + inner(data))
    assert upstream_module.load(None) == "ours, upstream"
    seam.restore()
    assert upstream_module.load is original
