from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from llmtuner.cli.flags_2023 import RULES
from llmtuner.cli.help import default_text, help_text
from llmtuner.cli.run import _parser
from llmtuner.cli.words import Words
from llmtuner.spec.flags import GROUPS, OWN
from llmtuner.spec.heads import HEADS
from llmtuner.spec.layouts import LAYOUTS
from llmtuner.spec.losses import LOSSES
from llmtuner.spec.metrics import METRICS
from llmtuner.spec.poolings import POOLINGS
from llmtuner.spec.upstream_flags import HIDDEN

ROOT = Path(__file__).resolve().parents[2]
UPSTREAMS = [flag for flags in GROUPS.values() if flags is not OWN for flag in flags]
SHOWN = [flag for title, flags in GROUPS.items() if title != HIDDEN for flag in flags]


def number_or_text(value: object) -> object:
    try:
        return float(str(value))
    except ValueError:
        return str(value)


@pytest.mark.parametrize("flag", UPSTREAMS, ids=lambda flag: flag.name)
def test_every_everyday_flag_is_one_of_upstreams(flag, upstream_actions):
    assert flag.name in upstream_actions


@pytest.mark.parametrize("flag", [flag for flag in UPSTREAMS if flag.default is not None], ids=lambda flag: flag.name)
def test_a_stated_default_is_the_real_one(flag, upstream_actions):
    default = upstream_actions[flag.name].default
    assert number_or_text(flag.default) == number_or_text(getattr(default, "value", default))


@pytest.mark.parametrize("flag", UPSTREAMS, ids=lambda flag: flag.name)
def test_a_declared_type_is_the_one_that_upstream_gives_the_words(flag, upstream_actions):
    """Preflight would read another value than the run."""
    action = upstream_actions[flag.name]
    if flag.type in (int, float):
        assert action.type is flag.type
    if action.nargs == "?" or not flag.value:
        assert flag.type is bool, "only yes/no flags may be bare"
    assert flag.value or flag.type is bool, "--help shows no value for yes/no flags alone"


@pytest.mark.parametrize("flag", OWN, ids=lambda flag: flag.name)
def test_our_own_flags_hide_none_of_upstreams(flag):
    from llamafactory.hparams import parser

    # Our flags reach the parser through subclasses of upstream's classes, if another test has patched it already.
    upstream = [
        next(base for base in cls.__mro__ if base.__module__.startswith("llamafactory")) for cls in parser._TRAIN_ARGS
    ]
    names = {field.name for cls in upstream for field in fields(cls)}
    assert "stage" in names
    assert flag.name not in names


def test_no_flag_has_its_old_name():
    assert not {flag.name for flag in SHOWN} & RULES.keys()


def test_every_flag_stands_in_the_page_with_its_meaning_and_default():
    page = re.sub(r"\s+", " ", help_text())
    for flag in SHOWN:
        left = f"--{flag.name} {flag.value}".rstrip()
        assert f" {left} {flag.help}{default_text(flag)} " in page, flag.name


@pytest.mark.parametrize(
    ("title", "table"),
    [("Heads", HEADS), ("Layouts", LAYOUTS), ("Poolings", POOLINGS), ("Losses", LOSSES), ("Metrics", METRICS)],
)
def test_every_name_that_can_be_chosen_stands_in_the_page(title, table):
    """It only knew STEP2's."""
    section = help_text().split(f"\n{title}:\n")[1].split("\n\n")[0]
    assert re.findall(r"^  (\S+)", section, re.MULTILINE) == [*table]


def test_the_page_fits_a_terminal():
    assert max(map(len, help_text().splitlines())) <= 120


def test_the_scripts_that_the_page_names_are_there():
    named = set(re.findall(r"scripts/\w+\.\w+", help_text()))
    assert named
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_the_examples_parse_as_they_stand():
    upstream_parser = _parser()
    text = help_text().split("Examples:")[1].replace("\\\n", " ")
    commands = re.findall(r"python src/train_bash\.py (.*)", text)
    assert len(commands) == 4
    read = [upstream_parser.parse_args(Words.from_argv(command.split()).to_argv()) for command in commands]
    assert (read[0].dataset, read[0].learning_rate, read[0].fp16) == ("llmscience", 5e-5, True)
    assert (read[1].adapter_name_or_path, read[1].do_predict) == ("sft_checkpoint", True)
    assert [arguments.stage for arguments in read] == ["sft", "sft", "mcq", "mcq"]


@pytest.mark.subprocess
def test_help_and_reading_a_config_import_nothing_heavy(tmp_path):
    config = tmp_path / "cfg.yaml"
    config.write_text("stage: sft\n")
    code = """
import sys
from llmtuner.cli import preflight, preflight_mcq
from llmtuner.mcq import layouts, run, settings
layouts.layout_of("shared_prefix")
from llmtuner.cli.help import help_text
from llmtuner import suggest
from llmtuner.cli import config_file, flags_2023, profile_2023
help_text()
assert "omegaconf" not in sys.modules and "yaml" not in sys.modules
config_file.read_config(sys.argv[1])
heavy = {"torch", "transformers", "datasets", "llamafactory", "numpy", "pandas"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code, str(config)], check=True, cwd=ROOT / "src")
