"""What a multiple-choice model is: head, layout, pooling, loss, prompt; and the file that keeps it with the weights.

Nothing heavy is imported here, so that a contradiction is found before torch is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from llmtuner.errors import UserError
from llmtuner.files import write_atomic
from llmtuner.mcq import duma_options
from llmtuner.mcq.duma_options import DUMA_HEADS, DumaOptions, resolve_duma
from llmtuner.mcq.loss_terms import loss_text, parse_loss
from llmtuner.suggest import did_you_mean

CONFIG_NAME = "mcq_config.json"
FORMAT = 1
FLAGS = ("mcq_head", "mcq_layout", "mcq_pooling", "mcq_loss", *duma_options.FLAGS)  # what settings are made from

HEAD_LAYOUTS = {
    "linear": ("shared_prefix", "per_option", "joint"),
    "option_mean": ("shared_prefix", "per_option"),
    "duma": ("shared_prefix", "per_option"),
    "cduma": ("shared_prefix", "per_option"),
    "letter": ("joint",),
}
LAYOUT_NAMES = ("shared_prefix", "per_option", "joint")
# Of a causal model, the first token's state is the same for every option: nothing could be learnt from it.
CAUSAL_POOLINGS = ("last", "mean", "option")
LAYOUT_POOLINGS = {
    "shared_prefix": ("last", "first", "mean", "option"),
    "per_option": ("last", "first", "mean", "option"),
    "joint": ("last", "mean"),
}
POOLING_NAMES = ("auto", "last", "first", "mean", "option")
# What the figures in docs/results.md support.
AUTO_POOLING = {"causal": "last", "encoder": "mean"}

# Families with a masked-language model and no causal reading; a test compares them with transformers' own table.
ENCODERS = frozenset(
    """
    albert bert big_bird camembert convbert data2vec-text deberta deberta-v2 distilbert electra ernie esm
    eurobert flaubert fnet funnel ibert jina_embeddings_v3 layoutlm longformer luke megatron-bert mobilebert modernbert
    modernvbert mpnet mra nomic_bert nystromformer rembert roberta roberta-prelayernorm roc_bert roformer squeezebert
    tapas xlm-roberta xlm-roberta-xl xmod yoso
    """.split()  # noqa: SIM905
)

Kind = Literal["causal", "encoder"]


@dataclass(frozen=True, slots=True)
class McqSettings:
    """Everything that has to be the same in training and prediction.

    Args:
        head, layout, pooling: names as in the flags; `pooling` is never "auto", and "none" for the letter head.
        loss: names and weights as in the flag, in one spelling.
        kind: "causal" (decoder, chat template) or "encoder" (bidirectional, pairs of texts).
        num_options: the one number of options that a joint linear head can score, else None.
        cutoff_len: tokens of a question at most, in training; prediction keeps to it unless told otherwise.
        prompt: the prompt's form as `llmtuner.data.tokens.form` stores it.
        base: what the base model is, to notice an adapter of another one.
        duma: measures of the heads duma and cduma (`llmtuner.mcq.duma_options.DumaOptions`), else empty.
        objective: what the training minimised beside the loss: label smoothing, warm-up, R-Drop, dropout, where not 0.
        merged_adapters: adapters that were merged into the base model before this one was trained.
        versions: of the packages that wrote the file.
    """

    head: str = "linear"
    layout: str = "shared_prefix"
    pooling: str = "last"
    loss: str = "cross_entropy"
    kind: Kind = "causal"
    num_options: int | None = None
    cutoff_len: int | None = None
    prompt: dict[str, Any] = field(default_factory=dict)
    base: dict[str, Any] = field(default_factory=dict)
    duma: dict[str, Any] = field(default_factory=dict)
    objective: dict[str, float] = field(default_factory=dict)
    merged_adapters: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)

    def with_(self, **changes: Any) -> McqSettings:
        """A copy with other values."""
        return replace(self, **changes)


OBJECTIVE_FLAGS = ("label_smoothing_factor", "mcq_loss_warmup_ratio", "mcq_rdrop_alpha", "mcq_dropout")


def objective_of(given: Mapping[str, Any]) -> dict[str, float]:
    """What `McqSettings.objective` keeps of a training's flags.

    Raises:
        UserError: a value is no number.
    """
    kept = {}
    for flag in OBJECTIVE_FLAGS:
        value = given.get(flag)
        try:
            number = None if value is None else float(value)
        except ValueError:
            raise UserError(f"--{flag} {value}: a number is needed") from None
        if number or (number is not None and flag == "mcq_dropout"):  # its 0 takes away what the model has
            kept[flag] = number
    return kept


def resolve(kind: Kind, given: Mapping[str, Any] | None = None, config: Mapping[str, Any] | None = None) -> McqSettings:
    """Settings from flags; what is not given is chosen for the kind of model.

    Args:
        given: values of `FLAGS`, as far as they are given.
        config: the model's config.json, for heads whose measures follow the model's.

    Raises:
        UserError: an unknown name, or names that do not go together, with the ones that do.
    """
    given = given or {}
    head, layout = given.get("mcq_head") or "linear", given.get("mcq_layout")
    pooling, loss = given.get("mcq_pooling") or "auto", given.get("mcq_loss")
    loss = loss_text(parse_loss("cross_entropy" if loss is None else loss))
    check_names(given)
    duma = _resolve_duma(head, given, config or {})
    if kind == "encoder":
        _check_encoder(head, layout)
    if layout is None:
        layout = "joint" if head == "letter" else "per_option" if kind == "encoder" else "shared_prefix"
    if layout not in HEAD_LAYOUTS[head]:
        fitting = " or ".join(HEAD_LAYOUTS[head])
        raise UserError(f"--mcq_head {head} does not go with --mcq_layout {layout}; it takes {fitting}")
    if head == "letter":
        if pooling != "auto":
            raise UserError(f"--mcq_pooling {pooling}: the letter head pools nothing; leave the flag out")
        return McqSettings(head, layout, "none", loss, kind)
    if pooling == "auto":
        pooling = "last" if layout == "joint" else AUTO_POOLING[kind]
    poolings = [name for name in LAYOUT_POOLINGS[layout] if kind == "encoder" or name in CAUSAL_POOLINGS]
    if pooling not in poolings:
        reason = " of a causal model, whose first token has seen no option" if pooling == "first" else ""
        raise UserError(
            f"--mcq_pooling {pooling} does not go with --mcq_layout {layout}{reason}; it takes {', '.join(poolings)}"
        )
    return McqSettings(head, layout, pooling, loss, kind, duma=duma)


def check_names(given: Mapping[str, Any]) -> None:
    """Refuse names that are none of the known ones.

    Raises:
        UserError: with the known names, and the nearest one.
    """
    known_names = {"mcq_head": tuple(HEAD_LAYOUTS), "mcq_layout": LAYOUT_NAMES, "mcq_pooling": POOLING_NAMES}
    for flag, known in known_names.items():
        name = given.get(flag)
        if name is not None and name not in known:
            suggestion = did_you_mean(name, known)
            raise UserError(f"--{flag} {name}: there is no such one; known: {', '.join(known)}.{suggestion}")


def _resolve_duma(head: str, given: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    if head in DUMA_HEADS:
        return resolve_duma(given, config)
    for flag in duma_options.FLAGS:
        if given.get(flag) is not None:
            raise UserError(
                f"--{flag} is for --mcq_head {' or '.join(DUMA_HEADS)}, and the head is {head}; leave it out"
            )
    return {}


def _check_encoder(head: str, layout: str | None) -> None:
    if head == "letter":
        raise UserError(
            "--mcq_head letter needs a language model that writes letters; this model is an encoder: leave the flag out"
        )
    if layout == "shared_prefix":
        raise UserError(
            "--mcq_layout shared_prefix: in an encoder every token of the question sees the option, so nothing is "
            "shared between options; leave the flag out (per_option)"
        )
    if layout == "joint":
        raise UserError("--mcq_layout joint is for causal models; encoders take per_option: leave the flag out")


def model_kind(config: Mapping[str, Any]) -> Kind:
    """Which kind a model's config.json describes.

    Raises:
        UserError: an encoder with a decoder behind it (T5, BART), which no layout here fits.
    """
    if config.get("is_encoder_decoder"):
        raise UserError(f"model type {config.get('model_type')!r} has encoder and decoder; use one that has either")
    if config.get("model_type") in ENCODERS and not config.get("is_decoder"):
        return "encoder"
    return "causal"


def read_settings(folder: str | os.PathLike[str]) -> McqSettings | None:
    """The settings stored in a model's or adapter's folder, or None where it has none.

    Raises:
        UserError: the file is damaged, or of a later format.
    """
    path = Path(folder) / CONFIG_NAME
    if not path.is_file():
        return None
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored.pop("format") != FORMAT:
            raise UserError(f"{path}: written by a later version of this project (format {FORMAT} is known)")
        settings = McqSettings(**{**stored, "merged_adapters": tuple(stored["merged_adapters"])})
        if settings.head not in HEAD_LAYOUTS:
            raise UserError(f"{path}: head {settings.head!r} is not known to this version of the project")
        if settings.head in DUMA_HEADS:
            DumaOptions(**settings.duma)
        return settings
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path}: damaged: {error}") from error


def write_settings(settings: McqSettings, folder: str | os.PathLike[str]) -> Path:
    """Write mcq_config.json, whole or not at all."""
    path = Path(folder) / CONFIG_NAME
    stored = {"format": FORMAT, **asdict(settings)}
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in stored.items())
    return write_atomic(path, f"{{\n{lines}\n}}\n")


def settle(stored: McqSettings, given: Mapping[str, Any], where: str) -> McqSettings:
    """Stored settings with the flags beside them: they may repeat or leave out, and choose another row layout.

    Args:
        given: values of `FLAGS` as far as they were given; the loss is not looked at.
        where: the folder that the stored ones come from.

    Raises:
        UserError: a flag contradicts what is stored.
    """
    check_names(given)
    for flag in ("head", "pooling"):
        value, kept = given.get(f"mcq_{flag}"), getattr(stored, flag)
        if value is not None and value not in (kept, "auto"):
            raise UserError(
                f"--mcq_{flag} {value} contradicts {Path(where) / CONFIG_NAME}, which says {kept}; leave the flag out"
            )
    if stored.duma:
        hidden = stored.base.get("hidden_size")
        duma_options.check_stored(given, stored.duma, hidden, str(Path(where) / CONFIG_NAME))
    else:
        _resolve_duma(stored.head, given, {})
    layout = given.get("mcq_layout")
    if layout is None or layout == stored.layout:
        return stored
    if "joint" in (layout, stored.layout):
        raise UserError(
            f"--mcq_layout {layout} contradicts {Path(where) / CONFIG_NAME}, which says {stored.layout}: a joint "
            "prompt is another text; leave the flag out"
        )
    if stored.kind == "encoder":
        _check_encoder(stored.head, layout)
    return stored.with_(layout=layout)
