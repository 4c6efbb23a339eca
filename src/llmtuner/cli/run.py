"""The heavy part of the command line: import upstream, patch it, pass it the arguments, and run it."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from llmtuner.cli.config_file import locate_key
from llmtuner.cli.earlier_run import set_aside
from llmtuner.cli.flags import Flags
from llmtuner.cli.preflight import Plan
from llmtuner.cli.preflight_mcq import UNREACHABLE
from llmtuner.cli.words import Words
from llmtuner.errors import UserError
from llmtuner.suggest import did_you_mean

OURS = ("llmtuner", "patches", "train_bash")


def run(plan: Plan) -> None:
    """Let upstream's parser read the flags, then run the stage.

    Raises:
        UserError: an invalid value, or a failed check of upstream.
    """
    values = read_values(plan.flags)
    flags = plan.flags
    if flags["do_train"] and flags["overwrite_output_dir"] and "resume_from_checkpoint" not in flags:
        set_aside(Path(flags["output_dir"]))
    try:
        if plan.run is not None:
            from patches.mcq_stage.run import run_mcq

            run_mcq(plan.run, values)
        else:
            _run_upstream(values)
    except ImportError as error:
        if not _asks_for_a_package(error):
            raise
        raise UserError(f"a package that this run needs is missing or does not fit: {error}") from error
    except OSError as error:
        if "Failed to load" not in str(error):
            raise
        name = flags["model_name_or_path"]
        raise UserError(f"--model_name_or_path {name}: {UNREACHABLE}") from error


def _run_upstream(values: Mapping[str, Any]) -> None:
    from llamafactory.train.tuner import run_exp

    from llmtuner.mcq.finite import FiniteGuard
    from llmtuner.mcq.trained_places import TrainedPlaces

    run_exp(dict(values), callbacks=[FiniteGuard(), TrainedPlaces(values)])


def _asks_for_a_package(error: ImportError) -> bool:
    """Whether a third-party package is missing; a broken import of our own is our bug."""
    top = (error.name or "").partition(".")[0]
    if top:
        return top not in OURS and find_spec(top) is None
    # transformers and others raise it themselves, with the install command.
    frame = [frame for frame, _ in traceback.walk_tb(error.__traceback__)][-1]
    return frame.f_globals.get("__name__", "").partition(".")[0] not in OURS


def full_help() -> str:
    """Upstream's list of every flag, including ours."""
    return _parser().format_help()


def check_names(words: Words, config: Path | None = None) -> None:
    """Check the flags' names against upstream's parser.

    Raises:
        UserError: every unknown flag, with the nearest valid name.
    """
    known = [name.lstrip("-") for name in _parser()._option_string_actions if name.startswith("--")]
    unknown = [name for name in words if name not in known]
    if unknown:
        raise UserError("\n".join(_unknown(name, known, config) for name in unknown))


def read_values(flags: Flags) -> dict[str, Any]:
    """The given values, converted by upstream's parser.

    Raises:
        UserError: the first invalid value.
    """
    from patches.arguments import parse

    _install()
    return parse(flags.to_argv())


def _unknown(name: str, known: list[str], config: Path | None) -> str:
    names = [flag for flag in known if "-" not in flag]
    if config is not None:
        return f"{locate_key(config, name)}: unknown key {name!r}.{did_you_mean(name, names)}"
    suggestion = did_you_mean(name, [f"--{flag}" for flag in names])
    return f"unknown flag --{name}.{suggestion} (--help_all lists every flag)"


def _parser() -> Any:
    from patches.arguments import build_parser

    _install()
    return build_parser()


def _install() -> None:
    """Patch upstream.

    Raises:
        UserError: upstream, or a package that it needs, is missing or has another version than the tested one.
    """
    from patches import install

    install()
