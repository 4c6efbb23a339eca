"""Models that upstream loads get a head over options, where the stage asks for one.

Upstream: the name `init_adapter` in `llamafactory.model.loader` (0.8.0 to 0.9.5), called once a load between reading
the weights and adding adapters: after quantisation, so that the head is never quantised, and before PEFT, so that the
head is trained in full and saved with the adapter.
Can go when upstream has a stage with a classifier (asked for in its issues 1463 and 2914, and refused).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from llmtuner.mcq.settings import McqSettings
from patches.seam import Seam

SEAM = Seam(
    "llamafactory.model.loader",
    "init_adapter",
    ("config", "model", "model_args", "finetuning_args", "is_trainable"),
)
WANTED = "mcq_settings"  # an attribute of the finetuning arguments, set by the stage


def apply() -> None:
    """Attach the head where it is wanted."""
    SEAM.replace(_with_head)


def _with_head(original: Callable[..., Any]) -> Callable[..., Any]:
    def init_adapter(config: Any, model: Any, model_args: Any, finetuning_args: Any, is_trainable: bool) -> Any:
        settings = getattr(finetuning_args, WANTED, None)
        if settings is None:
            return original(config, model, model_args, finetuning_args, is_trainable)
        prepare(model, model_args, finetuning_args, settings)
        with completed_adapters(model, model_args, settings):
            model = original(config, model, model_args, finetuning_args, is_trainable)
        finish(model, is_trainable)
        return model

    return init_adapter


def prepare(model: Any, model_args: Any, finetuning_args: Any, settings: McqSettings) -> None:
    """Attach the head, with its trained weights where the model's folder has them, and name what is trained.

    Raises:
        UserError: a trained head is missing or of another shape.
    """
    from llamafactory.model.model_utils.misc import find_all_linear_modules

    from llmtuner.mcq.checkpoint import check_head, load_head, require_safetensors
    from llmtuner.mcq.model import HEAD, attach_head
    from llmtuner.mcq.settings import read_settings

    if finetuning_args.finetuning_type == "lora" and finetuning_args.lora_target == ["all"]:
        # Named before the head is there: no layer of it may get an adapter. Nor may the language-model head, which
        # upstream knows by one name only.
        found = set(find_all_linear_modules(model, finetuning_args.freeze_vision_tower))
        if model.can_generate():
            found -= {_name_of(model, model.get_output_embeddings())}
        finetuning_args.lora_target = sorted(found)
    attach_head(model, settings)
    for adapter in model_args.adapter_name_or_path or []:
        require_safetensors(adapter)
    if settings.head == "letter":
        return
    below = read_settings(model_args.model_name_or_path)
    if below is not None:
        load_head(model, model_args.model_name_or_path, grown=below.head != settings.head)
    for adapter in model_args.adapter_name_or_path or []:
        below = read_settings(adapter)
        if below is not None:
            check_head(adapter, getattr(model, HEAD), grown=below.head != settings.head)
    if finetuning_args.finetuning_type == "lora":
        given = finetuning_args.additional_target
        if given is None and model_args.resize_vocab:
            given = [_name_of(model, model.get_input_embeddings())]  # what upstream adds where nothing is given
        finetuning_args.additional_target = [*(given or []), HEAD]


@contextmanager
def completed_adapters(model: Any, model_args: Any, settings: McqSettings) -> Iterator[None]:
    """Adapters below a head that has grown, as peft can load them."""
    from llmtuner.mcq.checkpoint import completed
    from llmtuner.mcq.model import HEAD

    given = model_args.adapter_name_or_path
    if not given or settings.head == "letter":
        yield
        return
    with completed(given, getattr(model, HEAD)) as folders:
        model_args.adapter_name_or_path = folders
        try:
            yield
        finally:
            model_args.adapter_name_or_path = given


def finish(model: Any, is_trainable: bool) -> None:
    """Let the head train in full, whatever upstream froze, and check that no adapter went into it.

    Raises:
        UserError: one did.
    """
    from llmtuner.errors import UserError
    from llmtuner.mcq.model import HEAD

    for name, parameter in model.named_parameters():
        if f"{HEAD}." not in name or "original_module" in name:
            continue
        if "lora_" in name:
            raise UserError(f"an adapter was put into the head ({name}); name other modules in --lora_target")
        parameter.requires_grad_(is_trainable)


def _name_of(model: Any, module: Any) -> str:
    return next(name for name, found in model.named_modules() if found is module).split(".")[-1]
