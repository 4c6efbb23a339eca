"""What Python's readers of YAML and JSON cannot hold, as errors with a place: deep nesting and very long numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from llmtuner.data.problems import TOO_LONG_A_NUMBER
from llmtuner.errors import UserError

_LONG_NUMBER = re.compile(r"[\da-fA-F_:]{3000,}")


@contextmanager
def within_limits(where: str, text: str = "") -> Iterator[None]:
    """Turn errors of depth and length into a user error.

    Args:
        where: the file or override that is read.
        text: its content, in which the number's line is looked up.

    Raises:
        UserError: it is nested too deeply, or a number in it is too long.
    """
    try:
        yield
    except UserError:
        raise
    except RecursionError:
        raise UserError(
            f"{where}: brackets or indents are nested too deeply; a config file is flat: `key: value` lines"
        ) from None
    except ValueError as error:
        if "integer string conversion" not in str(error):
            raise
        number = _LONG_NUMBER.search(text)
        line = f":{text.count(chr(10), 0, number.start()) + 1}" if number else ""
        raise UserError(f"{where}{line}: {TOO_LONG_A_NUMBER}") from error
