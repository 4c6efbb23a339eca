"""Merges an adapter into its base model and writes one folder, whole or not at all. For both stages, without upstream.

Upstream's export drops the head over options, and its command line imports packages that are not installed here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmtuner.errors import UserError
from llmtuner.files import as_os_error, new_folder
from llmtuner.mcq.adapters import names_below
from llmtuner.mcq.settings import McqSettings, read_settings
from llmtuner.runs.adapter import ADAPTER_CONFIG, check_adapter_files, check_random_start, is_adapter
from llmtuner.runs.base import below_of, check_lower_adapters, check_same_base, manifest_of, stored_base
from llmtuner.runs.intact import require_intact, warn_unless_intact, write_training
from llmtuner.runs.trained import trained_in

TOKENIZERS = ("tokenizer_config.json", "tokenizer.json", "tokenizer.model")


@dataclass(frozen=True, slots=True)
class Merge:
    """What is merged.

    Args:
        adapter: the last adapter, whose tokenizer and settings are written.
        base: folder of the base model, or its name on the hub.
        below: adapters that are merged before it.
        settings: of stage mcq; None for an adapter of stage sft.
        allow_other_base: accept another base model than the adapters were trained on.
    """

    adapter: Path
    base: str
    below: tuple[str, ...] = ()
    settings: McqSettings | None = None
    allow_other_base: bool = False


def merge(adapter: Path, out: Path, base_model: str | None = None, *, allow_other_base: bool = False) -> Path:
    """Write the merged model and its tokenizer to `out`, whole or not at all; for stage mcq also its mcq_config.json.

    Args:
        adapter: the --output_dir of a training with LoRA, or a checkpoint in it.
        out: a new or empty folder.
        base_model: the current path of the base model; by default the path from the training.
        allow_other_base: accept another base model than the adapter was trained on.

    Raises:
        UserError: no adapter, no base model, another one or a quantised one, weights that are missing, or an output
            folder that is not empty.
    """
    settled = _settle(adapter, out, base_model, allow_other_base)
    save = _loaded_text_model(settled) if settled.settings is None else _loaded_scorer(settled)
    # An interrupted run must not leave half a model that looks whole.
    with new_folder(out) as temporary, as_os_error(temporary):
        save(temporary)
    return out


def _settle(adapter: Path, out: Path, base_model: str | None, allow_other_base: bool) -> Merge:
    """Reject what cannot be merged before anything is loaded."""
    if not adapter.is_dir():
        raise UserError(f"{adapter}: no such folder; expected the --output_dir of a training with LoRA")
    if not is_adapter(adapter):
        raise UserError(
            f"{adapter}: has no {ADAPTER_CONFIG}, so there is nothing to merge; expected the --output_dir of a "
            "training with LoRA (after full or freeze tuning the folder is a whole model already)"
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} exists and is not an empty folder; choose another one, or remove it first")
    if not out.resolve().parent.is_dir():
        raise UserError(f"{out}: the folder {out.resolve().parent} does not exist; create it first")
    settings = read_settings(adapter)
    below = tuple(below_of(name, adapter, absolute=settings is not None) for name in names_below(adapter))
    base = base_model or stored_base(adapter)
    check_lower_adapters((*below, str(adapter)), allow_other=allow_other_base)
    check_files = warn_unless_intact if settings is None else require_intact  # of stage mcq, load_scorer warns
    for each in (*below, str(adapter)):
        check_files(Path(each))
        check_adapter_files(each)
        check_random_start(each)
        check_same_base(each, base, allow_other=allow_other_base)
    _refuse_quantised(adapter, base)
    return Merge(adapter, base, below, settings, allow_other_base)


def _refuse_quantised(adapter: Path, base: str) -> None:
    method = getattr(_config(adapter, base), "quantization_config", None)
    if method:
        name = method.get("quant_method") if isinstance(method, dict) else type(method).__name__
        raise UserError(
            f"{base} is quantised ({name}), and an adapter cannot be added to rounded weights without loss; pass the "
            "model before quantisation as `base_model`"
        )


def _config(adapter: Path, base: str) -> Any:
    """The base model's configuration, from a folder or the hub."""
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(base)
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise UserError(
            f"{adapter}: its base model {base} cannot be read ({first}); pass its path as `base_model`"
        ) from error


def _loaded_scorer(settled: Merge) -> Callable[[Path], None]:
    """Load a model of stage mcq with its head and adapters, and return what saves it."""
    from llmtuner.mcq.scorer import load_scorer

    scorer = load_scorer(settled.adapter, base_model=settled.base, allow_other_base=settled.allow_other_base)
    return scorer.save


def _loaded_text_model(settled: Merge) -> Callable[[Path], None]:
    """Load a language model with its adapters, and return what saves it."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from llmtuner.mcq.adapter_fit import check_fit
    from llmtuner.mcq.embeddings import grow_embeddings
    from llmtuner.mcq.whole import load_whole
    from llmtuner.runs.vocabulary import Vocabulary

    adapters = (*settled.below, str(settled.adapter))
    has_tokenizer = any((settled.adapter / name).is_file() for name in TOKENIZERS)
    tokenizer = AutoTokenizer.from_pretrained(settled.adapter if has_tokenizer else settled.base)
    manifest = manifest_of(settled.adapter)
    added = manifest is not None and bool(Vocabulary.from_flags(manifest.settings))
    more = {"dtype": "auto", "use_safetensors": True}
    model = load_whole(AutoModelForCausalLM.from_pretrained, settled.base, scores_tokens=True, **more)
    grow_embeddings(model, adapters, tokens=len(tokenizer) if added else 0, scores_tokens=True)
    for adapter in adapters:
        check_fit(model, adapter)
    for adapter in adapters:
        model = PeftModel.from_pretrained(model, adapter).merge_and_unload()

    def save(folder: Path) -> None:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        if manifest is not None:
            write_training(manifest, trained_in(settled.adapter), folder)

    return save
