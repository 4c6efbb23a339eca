"""The heavy part of the command line: import upstream, patch it, pass it the arguments, and run it."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from llmtuner.cli.config_file import locate_key
from llmtuner.cli.flags import Flags
from llmtuner.cli.known_flags import OF_THE_COMMAND
from llmtuner.cli.preflight import Plan
from llmtuner.cli.preflight_mcq import UNREACHABLE
from llmtuner.cli.preflight_scoring import models_of, trained_and_scored
from llmtuner.cli.process import is_first_process
from llmtuner.cli.words import Words
from llmtuner.data.trained import TrainedQuestions
from llmtuner.errors import RunError, UserError
from llmtuner.files import remove_leftovers
from llmtuner.report.dry_run import Measured
from llmtuner.runs.checkpoints import finish_removals, remove_partial, set_all_aside
from llmtuner.runs.disk import disk_full, is_full
from llmtuner.runs.lock import locked
from llmtuner.runs.position import Position
from llmtuner.runs.stop import StopRequest
from llmtuner.runs.trained import read_trained
from llmtuner.spec.upstream_flags import STAGES
from llmtuner.suggest import did_you_mean

if TYPE_CHECKING:  # imports torch
    from llmtuner.runs.keeper import RunKeeper

OURS = ("llmtuner", "patches", "train_bash")


def run(plan: Plan) -> None:
    """Let upstream's parser read the flags, then run the stage.

    Raises:
        UserError: an invalid value, a failed check of upstream, or another run in the same folder.
        RunError: the run failed although its input was valid.
        Terminated: the process was told to stop.
    """
    values = read_values(plan.flags)
    output_dir, stop = Path(plan.flags["output_dir"]), StopRequest()
    with ExitStack() as stack:
        if is_first_process():
            stack.enter_context(locked(output_dir, training=_is_kept(plan)))
            remove_leftovers(output_dir)
            finish_removals(output_dir)
        stack.enter_context(stop.listening())
        with _errors_of_packages(plan.flags):
            _run_stage(plan, values, stop)


def dry(plan: Plan, flags: Flags, *, processes: int, sharded: bool) -> Measured:
    """What tokenizer and model tell of a run, from a few steps that leave no file.

    Args:
        flags: of the plan, as this machine needs them.
        processes: that the run would have.
        sharded: whether its weights are split over them.

    Raises:
        UserError: an invalid value, or a failed check of upstream.
    """
    with TemporaryDirectory(prefix="llmtuner-dry-run-", ignore_cleanup_errors=True) as folder:
        flags = flags.with_("dry run", output_dir=folder, overwrite_output_dir="true", report_to="none")
        values = read_values(flags.without("resume_from_checkpoint", "push_to_hub"))
        position = Position.of(plan.earlier.checkpoint)
        from patches.gradient_checkpointing import left_open

        with _errors_of_packages(flags), left_open("disable_gradient_checkpointing" not in flags):
            if plan.run is not None:
                from patches.dry_run.mcq import dry_mcq

                return dry_mcq(plan.run, values, processes=processes, position=position, sharded=sharded)
            from patches.dry_run.sft import dry_sft

            return dry_sft(values, processes=processes, position=position, sharded=sharded)


def _is_kept(plan: Plan) -> bool:
    """Whether the run is a training with manifests: of a stage whose callbacks all save before ours."""
    return plan.training is not None and plan.flags["stage"] in STAGES


def _run_stage(plan: Plan, values: Mapping[str, Any], stop: StopRequest) -> None:
    from llmtuner.runs.keeper import RunKeeper

    flags = plan.flags
    keeper = None
    if plan.training is not None and _is_kept(plan):
        keeper = RunKeeper(plan.training, Path(flags["output_dir"]), stop, plan.earlier, _trained(plan))
    elif is_first_process():
        set_all_aside(plan.earlier.replaced)
    from patches.gradient_checkpointing import left_open

    with left_open("disable_gradient_checkpointing" not in flags):
        if plan.run is not None:
            from patches.mcq_stage.run import run_mcq

            run_mcq(plan.run, values, keeper)
        else:
            _run_upstream(values, keeper)


def _trained(plan: Plan) -> TrainedQuestions:
    """What the model was trained on before; and what it is trained on now, where its trainer does not know it.

    In stage sft it has no questions; with --retrieve it has them with other contexts than their files.
    """
    before = read_trained(models_of(plan.flags))
    if plan.run is None or plan.flags["retrieve"]:
        return before | TrainedQuestions.of(trained_and_scored(plan.flags)[0])
    return before


def _run_upstream(values: Mapping[str, Any], keeper: RunKeeper | None) -> None:
    from llamafactory.train.tuner import run_exp

    from llmtuner.mcq.finite import FiniteGuard
    from llmtuner.mcq.trained_places import FlagsOfRun

    run_exp(dict(values), callbacks=[FiniteGuard(), FlagsOfRun(values), *([] if keeper is None else [keeper])])
    if keeper is not None:
        keeper.finish()


@contextmanager
def _errors_of_packages(flags: Flags) -> Iterator[None]:
    """Missing packages, models and disk space are no bugs of ours.

    Raises:
        UserError: a package is missing, or a name is no model.
        RunError: the disk is full.
    """
    try:
        yield
    except ImportError as error:
        if not _is_missing_package(error):
            raise
        raise UserError(f"a package that this run needs is missing or does not fit: {error}") from error
    except OSError as error:
        if "Failed to load" in str(error):
            name = flags["model_name_or_path"]
            raise UserError(f"--model_name_or_path {name}: {UNREACHABLE}") from error
        _raise_if_disk_is_full(flags, error)
        raise
    except Exception as error:  # torch, safetensors and tokenizers report a full disk in types and words of their own
        _raise_if_disk_is_full(flags, error)
        if isinstance(error, RuntimeError) and "to be installed" in str(error):  # a tracker of --report_to
            raise UserError(f"a package that this run needs is missing: {error}") from error
        raise


def _raise_if_disk_is_full(flags: Flags, error: Exception) -> None:
    output_dir = flags["output_dir"]
    if is_full(error):
        message = disk_full(output_dir, error, trains=flags["do_train"])
        if is_first_process():
            remove_partial(Path(output_dir))
        raise RunError(message) from error


def _is_missing_package(error: ImportError) -> bool:
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
    known += OF_THE_COMMAND
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
    return parse(flags.without(*OF_THE_COMMAND).to_argv())


def _unknown(name: str, known: list[str], config: Path | None) -> str:
    names = [flag for flag in known if "-" not in flag]
    if config is not None:
        return f"{locate_key(config, name)}: unknown key {name!r}.{did_you_mean(name, names)}"
    suggestion = did_you_mean(name, [f"--{flag}" for flag in names])
    return f"unknown flag --{name}.{suggestion} (--help and --help_all list all flags)"


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
