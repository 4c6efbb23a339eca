"""What differs between a stored training and the one that is to resume it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from llmtuner.runs.manifest import Manifest
from llmtuner.runs.vocabulary import TOKENS, tokens_of
from llmtuner.runs.weights import same_tokenizer
from llmtuner.spec.flags import FLAGS
from llmtuner.spec.resume import BY_CONTENT, CHOOSES_WEIGHTS, ORDER_OF_BATCHES, TAKEN_UP, is_reported, is_secret

_SHOWN = 12  # digits of a digest in messages


@dataclass(frozen=True, slots=True)
class Changes:
    """Differences, a line each: those that stop a resumed training, and those that it takes up."""

    refused: tuple[str, ...] = ()
    taken_up: tuple[str, ...] = ()


def changes_of(stored: Manifest, planned: Manifest) -> Changes:
    """Compare a stored manifest with that of the planned training, of the same stage.

    Data is compared by its digest and the base model by its fingerprint; by their names only where these are unknown.
    """
    refused = [
        *_data(stored, planned),
        *_retrieval(stored, planned),
        *_base(stored, planned),
        *_adapters(stored, planned),
    ]
    taken_up = []
    evaluation = _evaluation(stored, planned)
    if evaluation and stored.settings.get("eval_dataset") and _chooses_weights(planned):
        refused.append(f"{evaluation}: the best checkpoint would be chosen by scores of different questions")
    elif evaluation:
        taken_up.append(evaluation)
    for name in sorted({*stored.settings, *planned.settings} - BY_CONTENT):
        before, now = _setting(stored, name), _setting(planned, name)
        if same(before, now) or is_reported(name) or is_secret(name):
            continue
        if name in TAKEN_UP:
            order = "; the order of the batches changes" if name in ORDER_OF_BATCHES else ""
            taken_up.append(f"--{name} {shown(now)}, before {shown(before)}{order}")
        else:
            refused.append(f"--{name} stored {shown(before)}, given {shown(now)}")
    return Changes(tuple(refused), tuple(taken_up))


def _setting(manifest: Manifest, name: str) -> Any:
    """A flag's value; the default of one that the version of the manifest did not declare, and that was not given.

    Added tokens are text, which earlier versions stored as numbers where they look like some.
    """
    default = FLAGS[name].default if name in FLAGS else None
    value = manifest.settings.get(name, default)
    return tokens_of(value) or None if name in TOKENS else value


def same(first: Any, second: Any) -> bool:
    """Whether two values are the same: JSON has lists for tuples, and 1 equals 1.0 but not true."""
    if isinstance(first, list | tuple) and isinstance(second, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return first == second and isinstance(first, bool) == isinstance(second, bool)


def shown(value: Any) -> str:
    """A setting as it would be given."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return " ".join(map(shown, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _data(stored: Manifest, planned: Manifest) -> Iterator[str]:
    before, now = stored.settings.get("dataset"), planned.settings.get("dataset")
    if stored.data is None or planned.data is None:
        if not same(before, now):
            yield f"--dataset stored {shown(before)}, given {shown(now)}"
    elif stored.data.sha256 != planned.data.sha256:
        yield (
            f"--dataset (other data) stored {shown(before)} ({stored.data.sha256[:_SHOWN]}), given {shown(now)} "
            f"({planned.data.sha256[:_SHOWN]})"
        )


def _chooses_weights(planned: Manifest) -> bool:
    return any(planned.settings.get(name) for name in CHOOSES_WEIGHTS)


def _evaluation(stored: Manifest, planned: Manifest) -> str:
    """Other questions that are evaluated; "" if there were none before, or are the same."""
    before, now = stored.settings.get("eval_dataset"), planned.settings.get("eval_dataset")
    if stored.eval_data is None or planned.eval_data is None:
        return "" if same(before, now) else f"--eval_dataset {shown(now)}, before {shown(before)}"
    if stored.eval_data.sha256 == planned.eval_data.sha256:
        return ""
    return (
        f"--eval_dataset (other questions) {shown(now)} ({planned.eval_data.sha256[:_SHOWN]}), before {shown(before)} "
        f"({stored.eval_data.sha256[:_SHOWN]})"
    )


def _retrieval(stored: Manifest, planned: Manifest) -> Iterator[str]:
    """The index of the contexts, and what reranks them; the settings are flags of their own."""
    before, now = (manifest.retrieve or {} for manifest in (stored, planned))
    for flag, digest, what in (("retrieve", "fingerprint", "index"), ("retrieve_rerank", "reranker", "reranker")):
        old, new = stored.settings.get(flag), planned.settings.get(flag)
        if not before.get(digest) or not now.get(digest):
            if not same(old, new):
                yield f"--{flag} stored {shown(old)}, given {shown(new)}"
        elif before[digest] != now[digest]:
            yield (
                f"--{flag} (another {what}) stored {shown(old)} ({before[digest][:_SHOWN]}), given {shown(new)} "
                f"({now[digest][:_SHOWN]})"
            )


def _base(stored: Manifest, planned: Manifest) -> Iterator[str]:
    before, now = stored.settings.get("model_name_or_path"), planned.settings.get("model_name_or_path")
    if not stored.base or not planned.base:
        if not same(before, now):
            yield f"--model_name_or_path stored {shown(before)}, given {shown(now)}"
    elif stored.base != planned.base:
        yield (
            f"--model_name_or_path (another model) stored {shown(before)} ({stored.base[:_SHOWN]}), given {shown(now)} "
            f"({planned.base[:_SHOWN]})"
        )


def _adapters(stored: Manifest, planned: Manifest) -> Iterator[str]:
    """Adapters below, and the tokenizer, which is no weight of the base model."""
    before, now = stored.settings.get("adapter_name_or_path"), planned.settings.get("adapter_name_or_path")
    if not all((*stored.adapters, *planned.adapters)) or bool(before) != bool(now) or not stored.adapters:
        if not same(before, now):
            yield f"--adapter_name_or_path stored {shown(before)}, given {shown(now)}"
    elif tuple(stored.adapters) != tuple(planned.adapters):
        yield (
            f"--adapter_name_or_path (other weights) stored {shown(before)} "
            f"({', '.join(each[:_SHOWN] for each in stored.adapters)}), given {shown(now)} "
            f"({', '.join(each[:_SHOWN] for each in planned.adapters)})"
        )
    if not same_tokenizer(stored.tokenizer, planned.tokenizer):
        name, _, before = stored.tokenizer.partition(":")
        given = planned.tokenizer.partition(":")[2]
        yield f"--model_name_or_path (another {name}) stored {before[:_SHOWN]}, given {given[:_SHOWN]}"
