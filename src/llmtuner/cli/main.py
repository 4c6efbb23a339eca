"""What `python src/train_bash.py` does, step by step, from command line to exit status."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import replace

from llmtuner.cli.command import config_file, read_words, settle_words, typed
from llmtuner.cli.devices import on_this_machine
from llmtuner.cli.dry_run import DRY_RUN, dry_run
from llmtuner.cli.help import help_text
from llmtuner.cli.launch import launch_if_several_devices
from llmtuner.cli.preflight import flag_message, offline_environment, preflight
from llmtuner.cli.process import is_first_of_machine, say
from llmtuner.console import escape_unprintable
from llmtuner.data.problems import escaped
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
        if is_first_of_machine():
            print(f"error: {flag_message(error)}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except Terminated as error:
        saved = f": {error.saved} is saved, and the same command resumes from it" if error.saved else ""
        print(escaped(f"terminated{saved}"), file=sys.stderr)
        return TERMINATED
    except RunError as error:
        print(f"error: the run failed: {flag_message(error)}", file=sys.stderr)
        return FAILED
    except Exception as error:  # top level of the program: anything else is a failed run
        traceback.print_exc()
        print(f"error: the run failed: {_explain(error)}", file=sys.stderr)
        return FAILED


def _run(words: list[str]) -> int:
    try:
        os.getcwd()
    except FileNotFoundError:
        raise UserError("the working directory was deleted; change to a folder that exists") from None
    given = read_words(words)
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

    say(settle_words(given))
    flags = typed(given, config_file(words))
    for name, value in offline_environment(flags).items():
        os.environ.setdefault(name, value)
    if flags[DRY_RUN] is not None:
        return dry_run(flags)
    flags = flags.without(DRY_RUN)  # false
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
