"""The words of a command, settled before anything reads them."""

from __future__ import annotations

import pytest

from llmtuner.cli.command import settle_words, typed
from llmtuner.cli.words import Words


@pytest.mark.parametrize(
    ("words", "trains"),
    [
        (["--no_do_train"], False),
        (["--do_train", "--no_do_train"], False),
        (["--no_do_train", "--do_train"], True),
        (["--do_train", "false"], False),
        (["--do_train"], True),
    ],
)
def test_a_no_flag_is_the_flag_that_is_false(words, trains):
    """The checks once read do_train alone, and upstream's parser, which knows --no_do_train, did not train."""
    given = Words.from_argv(words)
    settle_words(given)
    assert typed(given)["do_train"] is trains
    assert "no_do_train" not in given


def test_a_no_flag_keeps_its_origin_for_messages():
    given = Words.from_argv(["--do_sample", "--no_do_sample"])
    before = given.origins["no_do_sample"]
    settle_words(given)
    assert given.origins["do_sample"] == before
