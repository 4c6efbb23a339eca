"""From words to values: types, ranges, names, and the messages about invalid values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtuner.cli.flags import Flags
from llmtuner.cli.words import Words
from llmtuner.errors import FieldError, UserError
from llmtuner.spec import FLAGS
from llmtuner.spec.flag import ABOVE_0, AT_LEAST_1, SHARE, Flag, Range


@pytest.mark.parametrize(
    ("flag", "words", "value"),
    [
        (Flag(name="n", type=int, help="."), ["3"], 3),
        (Flag(name="x", type=float, help="."), ["1e-4"], 1e-4),
        (Flag(name="b", type=bool, help="."), [], True),
        (Flag(name="b", type=bool, help="."), ["No"], False),
        (Flag(name="t", help="."), [""], ""),
        (Flag(name="t", help=".", bare="true"), [], "true"),
        (Flag(name="t", help=".", bare="text", choices=("text", "json")), ["True"], "text"),
        (Flag(name="t", help=".", bare="text", choices=("text", "json")), ["false"], None),
        (Flag(name="t", help=".", bare="text", choices=("text", "json")), ["json"], "json"),
        (Flag(name="t", help=".", bare="true"), ["false"], "false"),  # a name of its own, such as a folder's
        (Flag(name="n", type=int, help=".", range=Range(low=1, special=(-1,))), ["-1"], -1),
    ],
)
def test_words_become_values(flag, words, value):
    assert flag.parse(words) == value


@pytest.mark.parametrize(
    ("flag", "words", "message"),
    [
        (Flag(name="n", type=int, help="."), ["3.5"], "--n 3.5: expected a whole number"),
        (Flag(name="n", type=int, help=".", range=AT_LEAST_1), ["0"], "--n 0: expected a whole number of at least 1"),
        (Flag(name="x", type=float, help=".", range=ABOVE_0), ["0"], "--x 0: expected a number above 0"),
        (Flag(name="x", type=float, help=".", range=ABOVE_0), ["nan"], "--x nan: expected a number above 0"),
        (
            Flag(name="x", type=float, help=".", range=SHARE),
            ["1"],
            "--x 1: expected a number of at least 0 and below 1",
        ),
        (Flag(name="b", type=bool, help="."), ["perhaps"], "--b is a yes/no flag: expected true or false"),
        (Flag(name="t", help="."), [], "--t needs a value"),
        (Flag(name="t", help="."), ["a", "b"], "--t takes one value, found 2"),
        (Flag(name="t", help=".", choices=("last", "mean")), ["lats"], "choose from: last, mean. Did you mean last?"),
    ],
)
def test_a_value_that_the_flag_cannot_have_is_named_with_what_it_can(flag, words, message):
    with pytest.raises(UserError) as caught:
        flag.parse(words)
    assert message in str(caught.value)


@given(st.floats(allow_nan=True), st.sampled_from([AT_LEAST_1, ABOVE_0, SHARE, Range(low=0, high=2)]))
def test_a_range_takes_exactly_the_numbers_between_its_bounds(number, bounds):
    low = number > bounds.low if bounds.above else number >= bounds.low
    high = bounds.high is None or (number < bounds.high if bounds.below else number <= bounds.high)
    assert (number in bounds) == (low and high and number not in (float("inf"), float("-inf")))


def test_flags_are_read_once_and_never_changed():
    words = Words.from_argv(["--mcq_head", "duma", "--max_steps", "5", "--unheard_of", "x"])
    flags = Flags.of(words)
    assert (flags["mcq_head"], flags["max_steps"], flags["mcq_pooling"]) == ("duma", 5, "auto")
    assert flags.fields() == {"head": "duma"}, "what is not given is left to the engine"
    more = flags.with_("stored with the model", template="llama2")
    assert "template" not in flags
    assert (more["template"], more.given["template"].origin) == ("llama2", "stored with the model")
    assert "template" not in more.without("template")
    assert Words.from_argv(flags.to_argv()) == words
    with pytest.raises(TypeError):
        flags.given["seed"] = None


def test_all_values_that_cannot_be_are_reported_together_with_where_they_are_from():
    words = Words.from_argv(["--mcq_head", "dumma", "--max_steps", "many"])
    words.set("cutoff_len", "0", origin="run.yaml:7")
    with pytest.raises(UserError) as caught:
        Flags.of(words)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("--mcq_head dumma: unknown value")
    assert lines[1] == "--max_steps many: expected a whole number"
    assert lines[2] == "run.yaml:7: --cutoff_len 0: expected a whole number of at least 1"


def test_the_engine_names_fields_and_the_command_line_their_flags():
    from llmtuner.cli.preflight import flag_message

    error = FieldError("duma.heads", 5, "it does not divide `duma.width` 384; add `lora_dropout` 0.1")
    assert str(error) == "duma.heads 5: it does not divide `duma.width` 384; add `lora_dropout` 0.1"
    assert flag_message(error) == "--mcq_duma_heads 5: it does not divide --mcq_duma_width 384; add --lora_dropout 0.1"
    assert FLAGS["mcq_duma_heads"].field == "duma.heads"
