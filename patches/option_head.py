"""Models that upstream loads get a head over options if the stage needs one, and adapters that fit.

Upstream: the name `init_adapter` in `llamafactory.model.loader` (0.8.0 to 0.9.5), called once per load, between reading
the weights and adding adapters. That is after quantisation, so the head is never quantised, and before PEFT, so the
head is trained in full and saved with the adapter. In every stage, adapters are checked against the model's modules,
because peft loads what fits and leaves the rest out, and a new adapter names its base model by an absolute path.
Can go when upstream has a stage with a classifier (requested in its issues 1463 and 2914, and declined).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from llmtuner.errors import UserError
from llmtuner.mcq.run import McqRun
from llmtuner.spec.heads import HEADS
from patches.seam import Seam

SEAM = Seam(
    "llamafactory.model.loader",
    "init_adapter",
    ("config", "model", "model_args", "finetuning_args", "is_trainable"),
)
_RUN: ContextVar[McqRun | None] = ContextVar("mcq_run", default=None)


def apply() -> None:
    """Attach the head if the run has one."""
    SEAM.replace(_with_head)


@contextmanager
def head_of(run: McqRun) -> Iterator[None]:
    """Models that upstream loads inside this context get the run's head."""
    token = _RUN.set(run)
    try:
        yield
    finally:
        _RUN.reset(token)


def current_run() -> McqRun | None:
    """The run whose model is being loaded; None in other stages."""
    return _RUN.get()


def _with_head(original: Callable[..., Any]) -> Callable[..., Any]:
    def init_adapter(config: Any, model: Any, model_args: Any, finetuning_args: Any, is_trainable: bool) -> Any:
        run = _RUN.get()
        if run is None:
            check_adapters(model, model_args.adapter_name_or_path or ())
            finetuning_args = with_targets(model, finetuning_args, is_trainable)
            model = original(config, model, model_args, finetuning_args, is_trainable)
            return with_base_named(model, model_args.model_name_or_path)
        finetuning_args = attach(model, model_args, finetuning_args, run)
        with completed_adapters(model, model_args, run) as completed_args:
            model = original(config, model, completed_args, finetuning_args, is_trainable)
        finish(model, is_trainable)
        return with_base_named(model, run.model)

    return init_adapter


def with_targets(model: Any, finetuning_args: Any, is_trainable: bool) -> Any:
    """The finetuning arguments with modules that a new adapter fits.

    Raises:
        UserError: the model has no module of a given name.
    """
    from llmtuner.mcq.lora_targets import fitting_targets

    if is_trainable and finetuning_args.finetuning_type == "lora":
        finetuning_args = copy.copy(finetuning_args)
        finetuning_args.lora_target = fitting_targets(model, finetuning_args.lora_target)
    return finetuning_args


def check_adapters(model: Any, adapters: Sequence[str]) -> None:
    """Check that each adapter fits the model, before the first one is put on it.

    Raises:
        UserError: one does not, or it has no weights as safetensors.
    """
    from llmtuner.mcq.adapter_fit import check_fit
    from llmtuner.mcq.checkpoint import require_safetensors

    for adapter in adapters:
        require_safetensors(adapter)
        if model is not None:  # unsloth loads it later, by itself
            check_fit(model, adapter)


def with_base_named(model: Any, base: str) -> Any:
    """The model; its adapters, if any, store the base model's absolute path, so that it is found from any folder."""
    from llmtuner.runs.base import stored_path

    for config in getattr(model, "peft_config", {}).values():
        config.base_model_name_or_path = stored_path(base)
    return model


def attach(model: Any, model_args: Any, finetuning_args: Any, run: McqRun) -> Any:
    """Attach the head, with trained weights if the model's folder has them, and name the modules to train.

    Returns:
        the finetuning arguments, with the names of the modules that get an adapter and of those saved with it

    Raises:
        UserError: a trained head is missing or has another shape.
    """
    from llamafactory.model.model_utils.misc import find_all_linear_modules

    from llmtuner.mcq.checkpoint import check_head, load_head
    from llmtuner.mcq.model import HEAD, attach_head
    from llmtuner.mcq.settings import read_settings

    finetuning_args = with_targets(model, copy.copy(finetuning_args), run.training)
    lora = finetuning_args.finetuning_type == "lora"
    if lora and finetuning_args.lora_target == ["all"]:
        # Collect the names before the head is attached, because none of its layers may get an adapter. Nor may the
        # language-model head, for which upstream knows only one name.
        linear = set(find_all_linear_modules(model, finetuning_args.freeze_vision_tower))
        if model.can_generate():
            linear -= {_name_of(model, model.get_output_embeddings())}
        finetuning_args.lora_target = sorted(linear)
    attach_head(model, run.settings)
    check_adapters(model, run.adapters)
    if not HEADS[run.settings.head].pools:
        return finetuning_args
    below = read_settings(run.model)
    if below is not None and HEADS[below.head].pools:
        load_head(model, run.model, grown=below.head != run.settings.head)
    for adapter in run.adapters:
        below = read_settings(adapter)
        if below is not None and HEADS[below.head].pools:
            check_head(adapter, getattr(model, HEAD), grown=below.head != run.settings.head)
    if lora:
        given = finetuning_args.additional_target
        if given is None and model_args.resize_vocab:
            given = [_name_of(model, model.get_input_embeddings())]  # what upstream adds if nothing is given
        finetuning_args.additional_target = [*(given or []), HEAD]
    return finetuning_args


@contextmanager
def completed_adapters(model: Any, model_args: Any, run: McqRun) -> Iterator[Any]:
    """The model arguments; adapters below an extended head are completed so that peft can load them."""
    from llmtuner.mcq.checkpoint import completed
    from llmtuner.mcq.model import HEAD

    if not run.adapters or not HEADS[run.settings.head].pools:
        yield model_args
        return
    with completed(run.adapters, getattr(model, HEAD)) as folders:
        model_args = copy.copy(model_args)
        model_args.adapter_name_or_path = folders
        yield model_args


def finish(model: Any, is_trainable: bool) -> None:
    """Train the head in full, whatever upstream froze, and check that it has no adapter inside.

    Raises:
        UserError: it has one.
    """
    from llmtuner.mcq.model import HEAD

    for name, parameter in model.named_parameters():
        if f"{HEAD}." not in name or "original_module" in name:
            continue
        if "lora_" in name:
            raise UserError(f"an adapter was put into the head ({name}); name other modules in --lora_target")
        parameter.requires_grad_(is_trainable)


def _name_of(model: Any, module: Any) -> str:
    return next(name for name, candidate in model.named_modules() if candidate is module).split(".")[-1]
