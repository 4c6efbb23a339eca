"""The list of flags that are known without asking upstream matches upstream's own."""

from __future__ import annotations

import textwrap

from llmtuner.cli.known_flags import KNOWN_FLAGS
from llmtuner.cli.run import _parser
from llmtuner.spec.flags import OWN


def flags_of_the_parser() -> set[str]:
    names = {name[2:] for name in _parser()._option_string_actions if name.startswith("--")}
    return {name for name in names if "-" not in name}


def test_every_flag_is_known_and_nothing_else_is():
    assert flags_of_the_parser() == KNOWN_FLAGS


if __name__ == "__main__":
    of_upstream = flags_of_the_parser() - {flag.name for flag in OWN if flag.arguments}
    print(textwrap.indent(textwrap.fill(" ".join(sorted(of_upstream)), width=112), "    "))
