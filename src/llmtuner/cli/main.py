"""What `python src/train_bash.py` does, step by step, from command line to exit status."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from llmtuner.cli.config_file import is_config, read_config
from llmtuner.cli.devices import on_this_machine
from llmtuner.cli.flags import Flags
from llmtuner.cli.flags_2023 import translate
from llmtuner.cli.help import help_text
from llmtuner.cli.hub_tokens import move_tokens
from llmtuner.cli.known_flags import KNOWN_FLAGS
from llmtuner.cli.launch import launch_if_several_devices
from llmtuner.cli.preflight import flag_message, offline_environment, preflight
from llmtuner.cli.process import is_first_process, say
from llmtuner.cli.profile_2023 import apply_profile, changed_defaults
from llmtuner.cli.words import Words
from llmtuner.console import escape_unprintable
from llmtuner.errors import RunError, UserError
from llmtuner.runs.stop import TERMINATED, Terminated

DONE, FAILED, USER_ERROR, INTERRUPTED = 0, 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return 0 if done, 1 if the run failed, 2 for a user error, 143 after SIGTERM.

    Args:
        argv: the words after the program's name; by default those of this process.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    escape_unprintable()
    _log_to_stderr()
    try:
        return _run(words)
    except UserError as error:
        if "--traceback" in words:
            traceback.print_exc()
        if is_first_process():
            print(f"error: {flag_message(error)}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except Terminated as error:
        saved = f": {error.saved} is saved, and the same command resumes from it" if error.saved else ""
        print(f"terminated{saved}", file=sys.stderr)
        return TERMINATED
    except RunError as error:
        print(f"error: the run failed: {flag_message(error)}", file=sys.stderr)
        return FAILED
    except Exception as error:  # top level of the program: anything else is a failed run
        traceback.print_exc()
        print(f"error: the run failed: {_explain(error)}", file=sys.stderr)
        return FAILED


def _run(words: list[str]) -> int:
    given = _read(words)
    if "help" in given:
        _show(help_text())
        return DONE
    if "version" in given:
        _show(_versions())
        return DONE
    if "help_all" in given:
        from llmtuner.cli.run import full_help

        _show(full_help())
        return DONE

    say([*given.notices, *translate(given), *apply_profile(given), *changed_defaults(given)])
    given.remove("traceback")
    config = _config_file(words)
    if any(name not in KNOWN_FLAGS for name in given):
        # Perhaps a flag of another version. Ask upstream first: a mistyped flag makes every other message wrong.
        from llmtuner.cli.run import check_names

        check_names(given, config)
    flags = move_tokens(Flags.of(given).with_home().with_answer_base())
    for name, value in offline_environment(flags).items():
        os.environ.setdefault(name, value)
    plan = preflight(flags)
    say(plan.notices)
    say(plan.warnings, "warning")

    # From here on torch and upstream are imported, which takes seconds instead of milliseconds.
    flags, lines = on_this_machine(plan.flags)
    say(lines)
    plan = replace(plan, flags=flags)
    status = launch_if_several_devices(plan.flags, words)
    if status is not None:
        return status
    from llmtuner.cli.run import run

    run(plan)
    return DONE


def _show(text: str) -> None:
    """Print a page; the reader may close the pipe early (`| head`)."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains again at exit


def _config_file(words: Sequence[str]) -> Path | None:
    """The config file that a command begins with, if any."""
    return Path(words[0]) if words and is_config(words[0]) else None


def _read(words: list[str]) -> Words:
    if not words:
        return Words({"help": []})
    config = _config_file(words)
    return Words.from_argv(words) if config is None else read_config(config, words[1:])


def _log_to_stderr() -> None:
    logger = logging.getLogger("llmtuner")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False  # upstream adds a handler to the root logger: each line would be printed twice


def _versions() -> str:
    from importlib.metadata import PackageNotFoundError, version

    from llmtuner import __version__

    lines = [f"llmtuner {__version__}"]
    for package in ("llamafactory", "torch", "transformers", "peft", "trl", "datasets", "accelerate"):
        try:
            lines.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            lines.append(f"{package} is not installed")
    return "\n".join(lines)


def _explain(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    if type(error).__name__ == "OutOfMemoryError" or "out of memory" in text.lower():
        return (
            f"out of memory ({text.splitlines()[0]}); lower --per_device_train_batch_size (and raise "
            "--gradient_accumulation_steps by the same factor) or --cutoff_len, or add --quantization_bit 4"
        )
    return text
