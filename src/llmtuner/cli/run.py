"""The heavy end of the command line: upstream is imported, patched, given the arguments, and run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from llmtuner.cli.config_file import locate_key
from llmtuner.cli.earlier_run import set_aside
from llmtuner.cli.flags import Flags
from llmtuner.errors import UserError
from llmtuner.suggest import did_you_mean


def run(flags: Flags, *, config: Path | None = None) -> None:
    """Check the flags against upstream's parser, then run the stage.

    Raises:
        UserError: an unknown flag or a value that does not fit, or a check of upstream's own.
    """
    prepare(flags, config)
    from llamafactory.train.tuner import run_exp

    from llmtuner.mcq.finite import FiniteGuard

    starts_afresh = flags.is_true("overwrite_output_dir") and "resume_from_checkpoint" not in flags
    if flags.is_true("do_train") and starts_afresh:
        set_aside(Path(flags.get("output_dir") or ""))
    try:
        if flags.get("stage") == "mcq":
            from patches.mcq_stage.run import run_mcq

            run_mcq(flags.to_argv())
        else:
            run_exp(flags.to_argv(), callbacks=[FiniteGuard()])
    except ImportError as error:
        raise UserError(f"a package that this run needs is missing or does not fit: {error}") from error
    except OSError as error:
        if "Failed to load" not in str(error):
            raise
        name = flags.get("model_name_or_path")
        raise UserError(
            f"--model_name_or_path {name}: neither a model's folder here nor reachable on the hub"
        ) from error


def prepare(flags: Flags, config: Path | None = None) -> None:
    """Import upstream, patch it, and let its parser check the flags.

    Raises:
        UserError: an unknown flag or a value that does not fit.
    """
    from patches import install

    install()
    check_flags(flags, config)


def full_help() -> str:
    """Upstream's own list of every flag, ours among them."""
    return _parser().format_help()


def check_flags(flags: Flags, config: Path | None = None) -> None:
    """Let upstream's parser read the flags, with one message in place of its whole help.

    Raises:
        UserError: every unknown flag with the nearest right one, or the first value that does not fit.
    """
    parser = _parser()
    known = [name.lstrip("-") for name in parser._option_string_actions if name.startswith("--")]
    unknown = [name for name in flags if name not in known]
    if unknown:
        raise UserError("\n".join(_unknown(name, known, config) for name in unknown))

    def refuse(message: str) -> NoReturn:
        raise UserError(message)

    parser.error = refuse
    parser.parse_args(flags.to_argv())


def _unknown(name: str, known: list[str], config: Path | None) -> str:
    names = [flag for flag in known if "-" not in flag]
    if config is not None:
        return f"{locate_key(config, name)}: unknown key {name!r}.{did_you_mean(name, names)}"
    suggestion = did_you_mean(name, [f"--{flag}" for flag in names])
    return f"unknown flag --{name}.{suggestion} (--help_all lists every flag)"


def _parser() -> Any:
    from patches import install
    from patches.arguments import build_parser

    install()
    return build_parser()
