"""The public names of `llmtuner.data`: all present, typed as at run time, none hidden by a module."""

from __future__ import annotations

import ast
import pkgutil
from importlib import import_module
from pathlib import Path

import pytest

import llmtuner.data
from llmtuner.data.load import read_questions


def typed_names() -> dict[str, str]:
    """The modules from which a type checker takes the names."""
    tree = ast.parse(Path(llmtuner.data.__file__).read_text(encoding="utf-8"))
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    return {alias.name: node.module for node in block.body for alias in node.names}


def test_every_name_leads_to_what_a_type_checker_sees():
    """Names are in three lists; a name that is in only two of them fails only when it is used."""
    types = typed_names()
    assert sorted(llmtuner.data.__all__) == sorted(types) == sorted(set(dir(llmtuner.data)) & set(types))
    for name in llmtuner.data.__all__:
        assert getattr(llmtuner.data, name) is getattr(import_module(types[name]), name)
    assert llmtuner.data.read_questions is read_questions


def test_no_name_is_that_of_a_module():
    """`from llmtuner.data import collect` gave the function, or the module if that had been imported before."""
    modules = {module.name for module in pkgutil.iter_modules(llmtuner.data.__path__)}
    assert modules.isdisjoint(llmtuner.data.__all__)


def test_every_name_is_documented():
    assert all(name in (llmtuner.data.__doc__ or "") for name in llmtuner.data.__all__)
    assert all(getattr(llmtuner.data, name).__doc__ for name in llmtuner.data.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'read_question'"):
        _ = llmtuner.data.read_question
