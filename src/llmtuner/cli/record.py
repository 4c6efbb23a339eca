"""What a training is made of, as its manifests store it: flags, data, base model, prompt, versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llmtuner.cli.flags import Flags
from llmtuner.cli.preflight_scoring import trained_and_scored
from llmtuner.data.collect import answer_places
from llmtuner.data.digest import data_digest
from llmtuner.data.registry import PROJECT_DATA
from llmtuner.mcq.prompts import recorded_flags
from llmtuner.mcq.rerank import RERANKERS
from llmtuner.mcq.run import McqRun
from llmtuner.retrieval.check import checked
from llmtuner.retrieval.settings import retrieve_of
from llmtuner.runs.base import model_folder
from llmtuner.runs.manifest import DataDigest, Manifest, manifest_or_merged
from llmtuner.runs.versions import installed_versions
from llmtuner.runs.vocabulary import CONFIG_FLAG, TOKENS, tokens_of_file
from llmtuner.runs.weights import base_fingerprint, vocabulary_digest
from llmtuner.spec.flags import FIELDS, FLAGS
from llmtuner.spec.resume import is_secret

_ONLY_HERE = ("help", "help_all", "version", "traceback", "dry_run")  # flags of the command line alone
SYSTEM = "default_system"  # a flag of upstream, part of a prompt
_SETTLED = ("head", "layout", "pooling", "loss")  # what stage mcq decides if no flag does


def planned_manifest(flags: Flags, run: McqRun | None) -> Manifest:
    """The manifest of a training before its first step: without steps and files.

    Raises:
        UserError, DataError: a file of the data or of the base model is damaged.
    """
    dataset_dir = flags["dataset_dir"] or str(PROJECT_DATA)
    model = flags["model_name_or_path"] or ""
    base = model_folder(model, revision=flags["model_revision"], cache_dir=flags["cache_dir"])
    return Manifest(
        stage=flags["stage"],
        step=0,
        max_steps=0,
        epoch=0.0,
        data=_digest(flags.names("dataset"), dataset_dir),
        eval_data=_digest(flags.names("eval_dataset"), dataset_dir),
        base="" if base is None else base_fingerprint(base),
        adapters=[base_fingerprint(name) for name in (run.adapters if run else flags.names("adapter_name_or_path"))],
        tokenizer="" if base is None else vocabulary_digest(base),
        settings=settings_of(flags, run),
        answer_places=answer_places(trained_and_scored(flags)[0]),
        prompt={} if flags["template"] is None else {"template": flags["template"]},
        retrieve=retrieve_digests(flags),
        versions=installed_versions(),
    )


def _digest(names: Sequence[str], dataset_dir: str) -> DataDigest | None:
    digest = data_digest(names, dataset_dir) if names else None
    return None if digest is None else DataDigest(*digest)


def retrieve_digests(flags: Flags) -> dict[str, Any] | None:
    """How contexts are retrieved, with digests of the index and the reranker, which were checked before."""
    settings = retrieve_of(flags.__getitem__)
    return None if settings is None else checked(settings, RERANKERS).to_json()


def prompt_content(run: McqRun | None) -> dict[str, Any] | None:
    """Texts and examples of a prompt, whose files may change; None for that of the template without examples."""
    recorded = {} if run is None else recorded_flags(run.settings.prompt)
    return recorded if any(recorded.values()) else None


def settings_of(flags: Flags, run: McqRun | None) -> dict[str, Any]:
    """Every declared flag with its value, and the other given flags; no secrets."""
    settings = {name: flags[name] for name in FLAGS if name not in _ONLY_HERE}
    settings |= {name: _plain(flags.given[name].value) for name in flags if name not in FLAGS}
    settings |= {name: ",".join(flags.given[name].words) for name in TOKENS if name in flags}
    if CONFIG_FLAG in settings:  # the file may change
        settings[CONFIG_FLAG] = tokens_of_file(str(settings[CONFIG_FLAG]))
    if settings.get("lora_alpha") is None:
        settings["lora_alpha"] = 2 * settings["lora_rank"]  # upstream's default
    if run is not None:
        inherited = (stored_training(run) or {}).get(SYSTEM)
        if inherited is not None:
            settings.setdefault(SYSTEM, inherited)
        settings |= {FIELDS[field].name: getattr(run.settings, field) for field in _SETTLED}
        settings |= recorded_flags(run.settings.prompt)
    return {name: value for name, value in sorted(settings.items()) if not is_secret(name)}


def stored_training(run: McqRun) -> Mapping[str, Any] | None:
    """The flags of the training whose stored prompt a run uses; None without such a prompt, or without its manifest.

    Raises:
        UserError: the manifest beside the prompt is damaged.
    """
    manifest = manifest_or_merged(run.source) if run.source and run.settings.kind != "encoder" else None
    return None if manifest is None else manifest.settings


def _plain(words: tuple[str, ...]) -> Any:
    """Words of a flag that only upstream declares, so that equal values are equal: 1e-4 and 0.0001, true and bare."""
    if not words:
        return True
    values = [_value(word) for word in words]
    return values[0] if len(values) == 1 else values


def _value(word: str) -> Any:
    if word.lower() in ("true", "false"):
        return word.lower() == "true"
    try:
        return float(word)
    except ValueError:
        return word
