"""Tokens that were added for a training: a prediction adds the same ones, without their flags."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from llmtuner.cli.flags import Flags
from llmtuner.errors import UserError
from llmtuner.mcq.run import McqRun
from llmtuner.mcq.settings import CONFIG_NAME, read_settings
from llmtuner.runs.adapter import is_adapter
from llmtuner.runs.manifest import RUN_MANIFEST, manifest_of
from llmtuner.runs.vocabulary import CONFIG_FLAG, Vocabulary, tokens_of_file

ORIGIN = "stored with the adapter"


def settle_vocabulary(
    flags: Flags, adapters: Sequence[str], run: McqRun | None
) -> tuple[Flags, McqRun | None, tuple[str, ...]]:
    """The flags with the tokens that the adapters were trained with; in a training, its settings store them.

    Args:
        adapters: all of them, in the order in which they are put on the base model.
        run: of stage mcq; None for other stages.

    Returns:
        the flags, the run, and lines for the user

    Raises:
        UserError: given tokens contradict stored ones, or an encoder cannot take them.
    """
    given = _given(flags)
    stored, source = _stored(adapters)
    if given and run is not None and run.settings.kind == "encoder":
        raise UserError("--add_tokens and --resize_vocab are for causal models; leave them out with an encoder")
    if not stored:
        return flags, _with_vocabulary(run, given), ()
    _check(given, stored, source, flags)
    _refuse_what_a_flag_cannot_say(stored, source, flags)
    added = {"resize_vocab": "true"} if stored.resize_vocab else {}
    if stored.add_tokens:
        added["add_tokens"] = ",".join(stored.add_tokens)
    if stored.add_special_tokens and CONFIG_FLAG not in flags:
        added["add_special_tokens"] = ",".join(stored.add_special_tokens)
    notice = f"{source} was trained with {' '.join(f'--{name} {value}' for name, value in added.items())}: applied"
    missing = any(name not in flags for name in added)
    return flags.with_(ORIGIN, **added), _with_vocabulary(run, stored), (notice,) if missing else ()


def _with_vocabulary(run: McqRun | None, vocabulary: Vocabulary) -> McqRun | None:
    if run is None or not run.training:
        return run
    return run.with_settings(vocabulary=vocabulary.to_json())


def _given(flags: Flags) -> Vocabulary:
    words = {name: list(each.words) for name, each in flags.given.items()}
    if CONFIG_FLAG in words:
        words["add_special_tokens"] = list(tokens_of_file(words[CONFIG_FLAG][0])) if words[CONFIG_FLAG] else []
        vocabulary = Vocabulary.from_flags({**words, "add_special_tokens": None})
        return Vocabulary(vocabulary.resize_vocab, vocabulary.add_tokens, tuple(words["add_special_tokens"]))
    return Vocabulary.from_flags(words)


def _stored(adapters: Sequence[str]) -> tuple[Vocabulary, str]:
    """What the last adapter that says anything was trained with, and its folder."""
    for adapter in reversed(adapters):
        if not is_adapter(adapter):
            continue
        settings, manifest = read_settings(adapter), manifest_of(adapter)
        of_run = Vocabulary.from_json(settings.vocabulary) if settings is not None else Vocabulary()
        if not of_run and manifest is not None:
            of_run = Vocabulary.from_flags(manifest.settings)
        if of_run:
            return of_run, adapter
    return Vocabulary(), ""


def _check(given: Vocabulary, stored: Vocabulary, source: str, flags: Flags) -> None:
    """Refuse other tokens than those that the adapter's embeddings have rows for."""
    file = Path(source) / (CONFIG_NAME if (Path(source) / CONFIG_NAME).is_file() else RUN_MANIFEST)
    for name in ("add_tokens", "add_special_tokens"):
        new, old = getattr(given, name), getattr(stored, name)
        if new and new != old:
            says = f"says {','.join(old)}" if old else "has none"
            raise UserError(f"--{name} {','.join(new)}: contradicts {file}, which {says}; leave it out")
    if "resize_vocab" in flags and stored.resize_vocab and not given.resize_vocab:
        raise UserError(f"--resize_vocab false: contradicts {file}, which says true; leave it out")


def _refuse_what_a_flag_cannot_say(stored: Vocabulary, source: str, flags: Flags) -> None:
    """A flag separates tokens by commas, and a file of tokens may have some with a comma or blanks at their ends."""
    awkward = [token for token in stored.add_special_tokens if "," in token or token != token.strip()]
    if awkward and CONFIG_FLAG not in flags:
        raise UserError(
            f"{source} was trained with the special token {awkward[0]!r}, which no flag can name; pass the file of "
            f"its training: --{CONFIG_FLAG} FILE"
        )
