from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtuner.cli.words import LIST_FLAGS, Words
from llmtuner.errors import UserError

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,12}", fullmatch=True)
plain_words = st.text(max_size=12).filter(lambda word: not word.startswith("-"))
single = st.tuples(names, st.lists(st.text(max_size=20), max_size=1))
several = st.tuples(st.sampled_from(sorted(LIST_FLAGS)), st.lists(plain_words, min_size=2, max_size=4))
command_lines = st.lists(st.one_of(single, several), max_size=8).map(lambda pairs: Words(dict(pairs)))


@given(command_lines)
def test_what_is_written_for_the_parser_reads_back_the_same(flags):
    again = Words.from_argv(flags.to_argv())
    assert again == flags
    assert again.notices == []


@given(st.lists(st.text(max_size=12) | st.text("-=aB_1. \n", max_size=10) | st.just("--debug"), max_size=6))
def test_any_command_line_is_read_or_refused_as_a_user_error(argv):
    try:
        flags = Words.from_argv(argv)
    except UserError:
        return
    assert Words.from_argv(flags.to_argv()) == flags


@given(st.text(max_size=30), st.text(max_size=30))
def test_texts_reach_upstreams_parser_unchanged(upstream_parser, system, path):
    flags = Words({"default_system": [system], "do_train": [], "output_dir": [path]})
    read = upstream_parser.parse_args(flags.to_argv())
    assert (read.default_system, read.output_dir, read.do_train) == (system, path, True)


@given(st.lists(st.from_regex(r"-?\d{1,5}(\.\d{1,3})?|[a-z ]{0,6}", fullmatch=True), min_size=1, max_size=4))
def test_several_values_reach_upstreams_parser_unchanged(upstream_parser, values):
    assert upstream_parser.parse_args(Words({"label_names": values}).to_argv()).label_names == values


@pytest.mark.parametrize(
    ("argv", "name", "values"),
    [
        (["--do_train"], "do_train", []),
        (["--seed", "7"], "seed", ["7"]),
        (["--seed=7"], "seed", ["7"]),
        (["--do-train"], "do_train", []),
        (["--learning-rate=5e-5"], "learning_rate", ["5e-5"]),
        (["--output_dir", "a-b"], "output_dir", ["a-b"]),
        (["--output_dir=x=y"], "output_dir", ["x=y"]),
        (["--default_system="], "default_system", [""]),
        (["--default_system", ""], "default_system", [""]),
        (["--default_system", "- be brief"], "default_system", ["- be brief"]),
        (["--default_system", "--be brief"], "default_system", ["--be brief"]),
        (["--default_system=--be brief"], "default_system", ["--be brief"]),
        (["--default_system=a\nb"], "default_system", ["a\nb"]),
        (["--max_steps", "-1"], "max_steps", ["-1"]),
        (["--x", "-1e-5"], "x", ["-1e-5"]),
        (["--x", "-.5"], "x", ["-.5"]),
        (["--x", "-inf"], "x", ["-inf"]),
        (["--x", "-"], "x", ["-"]),
        (["--label_names", "a", "b c"], "label_names", ["a", "b c"]),
        (["--_n_gpu", "2"], "_n_gpu", ["2"]),
        (["-h"], "help", []),
    ],
)
def test_forms_of_a_flag(argv, name, values):
    flags = Words.from_argv(argv)
    assert list(flags) == [name]
    assert flags.values(name) == values


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["train", "--seed", "7"], "'train' comes before any flag"),
        (["--seed=7", "8"], "--seed=... already has its value"),
        (["--default_system", "be", "brief"], "'brief' belongs to no flag: --default_system already"),
        (["--dataset", "a,", "b"], "separate names by commas without spaces"),
        (["-seed", "7"], "'-seed' is neither a flag nor a value"),
        (["--seed", "7", "--"], "'--' is neither a flag nor a value"),
        (["--=7"], "neither a flag nor a value"),
        (["---seed"], "neither a flag nor a value"),
        (["--label_names", "a", "-1e5"], "begins with a dash"),
    ],
)
def test_stray_words_are_refused_with_what_they_belong_to(argv, message):
    with pytest.raises(UserError) as error:
        Words.from_argv(argv)
    assert message in str(error.value)


def test_of_a_flag_given_twice_the_last_holds_with_a_notice():
    flags = Words.from_argv(["--seed", "1", "--do-train", "--seed=2"])
    assert flags.get("seed") == "2"
    assert flags.notices == ["--seed is given more than once: the last value is used"]


def test_a_repeated_flag_moves_behind_its_opposite():
    # Upstream's parser takes the last of --do_sample and --no_do_sample.
    flags = Words.from_argv(["--do_sample", "--no_do_sample", "--do_sample"])
    assert flags.to_argv() == ["--no_do_sample", "--do_sample"]


@pytest.mark.parametrize("word", ["True", "true", "1", "yes", "Y", "t"])
def test_true_words_as_transformers_reads_them(word, upstream_parser):
    assert Words({"fp16": [word]}).is_true("fp16")
    assert upstream_parser.parse_args([f"--fp16={word}"]).fp16 is True


@pytest.mark.parametrize("word", ["False", "false", "0", "no", "N", "f"])
def test_false_words_as_transformers_reads_them(word, upstream_parser):
    assert not Words({"fp16": [word]}).is_true("fp16")
    assert upstream_parser.parse_args([f"--fp16={word}"]).fp16 is False


def test_bare_is_true_and_absent_is_not():
    flags = Words({"fp16": []})
    assert flags.is_true("fp16")
    assert not flags.is_true("bf16")


def test_neither_true_nor_false_is_a_user_error():
    with pytest.raises(UserError, match="--fp16 is a yes/no flag: expected true or false, found 'on'"):
        Words({"fp16": ["on"]}).is_true("fp16")


def test_get_needs_exactly_one_value():
    flags = Words({"template": [], "label_names": ["a", "b"], "seed": ["1"]})
    assert flags.get("seed") == "1"
    assert flags.get("missing") is None
    with pytest.raises(UserError, match="--template needs a value"):
        flags.get("template")
    with pytest.raises(UserError, match="--label_names takes one value"):
        flags.get("label_names")


def test_names_are_found_with_dashes_and_underscores():
    flags = Words({"do_train": []})
    flags.set("learning-rate", "1e-4")
    assert "do-train" in flags
    assert flags.get("learning_rate") == flags.get("learning-rate") == "1e-4"
    flags.remove("do-train")
    flags.remove("do-train")
    assert list(flags) == ["learning_rate"]


def test_rename_keeps_the_place_and_never_overwrites():
    flags = Words({"a": ["1"], "b": ["2"], "c": []})
    flags.rename("a", "first")
    assert flags.to_argv() == ["--first=1", "--b=2", "--c"]
    with pytest.raises(ValueError, match="--b is already given"):
        flags.rename("first", "b")
    with pytest.raises(KeyError):
        flags.rename("a", "d")


def test_values_cannot_be_changed_from_outside():
    flags = Words({"label_names": ["a", "b"]})
    flags.values("label_names").append("c")
    assert flags.values("label_names") == ["a", "b"]


def test_the_list_flags_are_upstreams_flags_of_several_values(upstream_actions):
    assert {name for name, action in upstream_actions.items() if action.nargs == "+"} == LIST_FLAGS
