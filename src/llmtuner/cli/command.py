"""The words of a command, read and settled: config files, flags of 2023, profiles; then typed flags."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from llmtuner.cli.config_file import is_config, read_config
from llmtuner.cli.flags import Flags
from llmtuner.cli.flags_2023 import translate
from llmtuner.cli.hub_tokens import move_tokens
from llmtuner.cli.known_flags import KNOWN_FLAGS, OF_THE_COMMAND
from llmtuner.cli.profile_2023 import apply_profile, changed_defaults
from llmtuner.cli.words import Words
from llmtuner.spec.flags import FLAGS


def read_words(words: Sequence[str]) -> Words:
    """Flags as they are given, the first word perhaps a config file; --help if nothing is given.

    Raises:
        UserError: a word belongs to no flag, or the config file cannot be read.
    """
    if not words:
        return Words({"help": []})
    config = config_file(words)
    return Words.from_argv(words) if config is None else read_config(config, words[1:])


def config_file(words: Sequence[str]) -> Path | None:
    """The config file that a command begins with, if any."""
    return Path(words[0]) if words and is_config(words[0]) else None


def settle_words(given: Words) -> list[str]:
    """Translate flags of 2023 and apply a profile, in place; return a line about each change.

    Raises:
        UserError: a flag of 2023 has no meaning today, or an unknown profile.
    """
    _affirm(given)
    lines = [*given.notices, *translate(given), *apply_profile(given), *changed_defaults(given)]
    given.remove("traceback")
    return lines


def _affirm(given: Words) -> None:
    """Put `--X false` in place of upstream's `--no_X`, so that checks see it. As in its parser, the last one counts."""
    names = list(given)
    for place, name in enumerate(names):
        positive = name.removeprefix("no_")
        if positive == name or positive not in FLAGS or FLAGS[positive].type is not bool or given.values(name):
            continue
        origin = given.origins[name]
        given.remove(name)
        if positive not in names[place:]:
            given.set(positive, "false", origin=origin)


def typed(given: Words, config: Path | None = None) -> Flags:
    """The flags with typed values.

    Args:
        config: the config file that the words come from, to say where a key stands.

    Raises:
        UserError: unknown flags, or all invalid values.
    """
    if any(name not in KNOWN_FLAGS | OF_THE_COMMAND for name in given):
        # Perhaps a flag of another version. Ask upstream first: a mistyped flag makes every other message wrong.
        from llmtuner.cli.run import check_names

        check_names(given, config)
    return move_tokens(Flags.of(given).with_home().with_answer_base())
