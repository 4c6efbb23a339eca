"""A run, resolved once: what is trained, evaluated or predicted, with which model, settings, data and output.

Light: the checks before a run create it, and the stage, the trainer and the files read it. A run is immutable: what
becomes known later (the prompt's form, the layout that the model can take) makes a new run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from llmtuner.errors import FieldError, UserError
from llmtuner.mcq.adapters import with_lower_adapters
from llmtuner.mcq.choices import duma_given, objective_of, resolve, settle
from llmtuner.mcq.duma_options import resolve_duma
from llmtuner.mcq.fields import check_field
from llmtuner.mcq.kinds import model_kind
from llmtuner.mcq.layouts import layout_of
from llmtuner.mcq.objective import NUMBERS, Objective
from llmtuner.mcq.prompts import carried, check_prompt, fresh_prompt, is_plain
from llmtuner.mcq.settings import CONFIG_NAME, McqSettings, read_settings
from llmtuner.retrieval.settings import Retrieve
from llmtuner.runs.base import stored_path
from llmtuner.spec.entry import choose_from
from llmtuner.spec.flags import FIELDS
from llmtuner.spec.heads import HEADS
from llmtuner.spec.norms import NORMS

PREDICTS = "it is for predictions, and evaluations during training use one order: add --do_predict, or leave it out"
CUTOFF_LEN = 2048  # the most tokens of a question, unless the run or the model says otherwise


@dataclass(frozen=True, slots=True)
class RunData:
    """The questions of a run.

    Args:
        train, evaluate: names or paths of data sets.
        dataset_dir: where names are looked up.
        val_size: questions held out of the training data: a share, or a number above 1; 0 for none.
        max_samples: use only the first `max_samples` rows of each set; None for all.
        drop_long: whether training questions that are too long are dropped; otherwise they stop the run.
        shuffle_options: whether the options of joint prompts are permuted in training.
        each: whether every evaluation set is scored on its own.
        allow_unknown_tokens: whether a tokenizer that cannot read the questions only gives a warning.
        retrieve: how contexts are retrieved; None if they are not.
    """

    train: tuple[str, ...] = ()
    evaluate: tuple[str, ...] = ()
    dataset_dir: str = ""
    val_size: float = 0.0
    max_samples: int | None = None
    drop_long: bool = False
    shuffle_options: bool = False
    each: bool = False
    allow_unknown_tokens: bool = False
    retrieve: Retrieve | None = None


@dataclass(frozen=True, slots=True)
class McqRun:
    """A run of the engine.

    Args:
        model: folder of the base model, or its name on the hub.
        settings: as saved beside the weights, except for what only the data and the model tell.
        adapters: all adapters, in the order in which they are put on the base model.
        merge_all: whether all of them are merged into the base model before a new adapter is trained.
        source: the folder that the settings come from; None if they come from given values.
        training, evaluating, predicting: what the run does.
        cutoff_len: the most tokens of a question.
        layout_required: whether the layout was given by name; then a model that cannot take it stops the run.
        template: name of the chat template; None for encoders, and if the prompt's form is stored.
        tokens_per_batch: padded tokens per batch, instead of a batch size.
        head_learning_rate: of the head; None for the common learning rate.
        option_orders: cyclic orders of the options that a prediction from joint prompts averages, at most.
        data: the questions.
        output_dir: where everything is written.
        notices: lines for the user.
    """

    model: str
    settings: McqSettings
    adapters: tuple[str, ...] = ()
    merge_all: bool = False
    source: str | None = None
    training: bool = False
    evaluating: bool = False
    predicting: bool = False
    cutoff_len: int = CUTOFF_LEN
    layout_required: bool = False
    template: str | None = None
    tokens_per_batch: int | None = None
    head_learning_rate: float | None = None
    option_orders: int = 1
    data: RunData = field(default_factory=RunData)
    output_dir: str = ""
    notices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_field("cutoff_len", self.cutoff_len)
        for name in ("tokens_per_batch", "head_learning_rate"):
            if getattr(self, name) is not None:
                check_field(name, getattr(self, name))
        if self.head_learning_rate is not None and not HEADS[self.settings.head].pools:
            raise FieldError(
                "head_learning_rate",
                self.head_learning_rate,
                f"the {self.settings.head} head has no weights; leave it out",
            )
        norm = self.settings.likelihood_norm
        if self.training and norm is not None and NORMS[norm].neutral:
            takes = ", ".join(name for name, each in NORMS.items() if not each.neutral)
            raise FieldError("likelihood_norm", norm, f"it is for prediction only; train with one of {takes}")
        check_option_orders(self.option_orders, self.settings)
        if self.option_orders > 1 and not self.predicting:
            raise FieldError("option_orders", self.option_orders, PREDICTS)
        if self.data.shuffle_options and self.training and layout_of(self.settings.layout).text != "joint":
            raise FieldError(
                "shuffle_options",
                None,
                "it is for joint prompts (head letter, or layout joint); elsewhere the order of the options changes no "
                "score: leave it out",
            )

    @property
    def objective(self) -> Objective:
        """What is minimised."""
        return self.settings.objective

    @property
    def new(self) -> bool:
        """Whether this run creates the head."""
        return self.source is None

    def with_settings(self, **changes: Any) -> McqRun:
        """A copy with changed settings."""
        return replace(self, settings=self.settings.with_(**changes))


def check_option_orders(orders: int, settings: McqSettings) -> None:
    """Refuse several orders of options that do not see each other.

    Raises:
        FieldError: the layout is not joint, or the number is out of range.
    """
    check_field("option_orders", orders)
    if orders > 1 and layout_of(settings.layout).text != "joint":
        raise FieldError(
            "option_orders",
            orders,
            f"it is for joint prompts (a language model's `head` letter, or layout joint); in the layout "
            f"{settings.layout} options do not see each other, so their order changes no score: leave it out",
        )


def resolve_run(
    model: str,
    adapters: Sequence[str] = (),
    given: Mapping[str, Any] | None = None,
    *,
    training: bool,
    new_adapter: bool = False,
    config: Mapping[str, Any] | None = None,
    data: RunData | None = None,
    **more: Any,
) -> McqRun:
    """Decide head, layout, pooling and objective, and which adapters are merged before training.

    Args:
        model, adapters: folders, or names on the hub.
        given: the given values by field (`llmtuner.spec.flags.FIELDS`).
        training: if false, the head must have been trained.
        new_adapter: whether to train a new adapter on top of the given ones.
        config: the model's configuration; if None, its config.json is read.
        data, more: the questions, whose fields given values replace; other fields of the run.

    Raises:
        UserError: given values contradict each other or stored ones, or there is no trained head to predict with.
    """
    given = _known(given or {})
    config = _config(model) if config is None else config
    stored, source = _stored(model, adapters)
    notices: tuple[str, ...] = ()
    used, below = _data(data or RunData(), given), {}
    if stored is not None and training and _leaves_no_head(stored, given):
        below = carried(stored.prompt, given)
        adapters, given, notices = _below_fresh_head(stored, source, adapters, given)
        stored, source = None, ""
    if stored is None:
        settings, complete = _fresh(model, adapters, given, config, training), tuple(adapters)
        settings = settings.with_(prompt={**below, **fresh_prompt(given, settings.kind, used.dataset_dir)})
    else:
        settings, complete, notices = _stored_run(stored, source, model, adapters, given, config, training)
        check_prompt(stored.prompt, given, stored.kind, used.dataset_dir, Path(source) / CONFIG_NAME)
    # A fresh head needs a new adapter; letter and stored heads continue with the last one.
    fresh_head = stored is None and HEADS[settings.head].pools
    merge_all = bool(training and complete and (fresh_head or new_adapter))
    if training and complete:
        settings = settings.with_(merged_adapters=tuple(map(stored_path, complete if merge_all else complete[:-1])))
    return McqRun(
        model=model,
        settings=settings,
        adapters=complete,
        merge_all=merge_all,
        source=source or None,
        training=training,
        cutoff_len=given.get("cutoff_len", settings.cutoff_len or CUTOFF_LEN),
        layout_required=given.get("layout") == settings.layout,
        template=_template(settings, source, given.get("template")),
        **{name: given[name] for name in ("tokens_per_batch", "head_learning_rate", "option_orders") if name in given},
        data=used,
        notices=(*notices, *_merged(complete if merge_all else (), settings, fresh_head), *_left_out(settings, given)),
        **more,
    )


def _merged(adapters: Sequence[str], settings: McqSettings, fresh_head: bool) -> tuple[str, ...]:
    trained = f"a fresh {settings.head} head is" if fresh_head else "a new adapter is"
    return (f"{', '.join(adapters)} merged into the base model; {trained} trained on top",) if adapters else ()


def _known(given: Mapping[str, Any]) -> dict[str, Any]:
    """The values that are given. An unknown name is rejected: a mistyped one would be silently ignored.

    Raises:
        FieldError: with the nearest name.
    """
    given = {name: value for name, value in given.items() if value is not None}
    names = [name for name in FIELDS if name not in ("model", "adapters")]
    for name in given:
        if name not in names:
            raise FieldError(name, None, choose_from(name, names))
    return given


def _data(data: RunData, given: Mapping[str, Any]) -> RunData:
    """The data with its fields replaced by given values."""
    chosen = {each.name: given[each.name] for each in fields(RunData) if each.name in given}
    for name, value in chosen.items():
        check_field(name, value)
    return replace(data, **chosen)


def _fresh(
    model: str, adapters: Sequence[str], given: Mapping[str, Any], config: Mapping[str, Any], training: bool
) -> McqSettings:
    if not training:
        for name in ("loss", *NUMBERS):
            if given.get(name):
                raise FieldError(name, given[name], "it is for training: leave it out")
    settings = resolve(model_kind(config), given, config)
    if training or not HEADS[settings.head].pools:
        return settings
    field, folder = ("adapters", adapters[-1]) if adapters else ("model", model)
    and_whole = "" if adapters else " (or as `model`, after full or freeze tuning)"
    other_stage = " (an adapter of --stage sft has none)" if adapters else ""
    raise FieldError(
        field,
        folder,
        f"no {CONFIG_NAME} in it, so it has no trained head{other_stage}; pass the output folder of a --stage mcq "
        f"training as `adapters`{and_whole}, or `head` letter or likelihood, which need no training",
    )


def _stored_run(
    stored: McqSettings,
    source: str,
    model: str,
    adapters: Sequence[str],
    given: Mapping[str, Any],
    config: Mapping[str, Any],
    training: bool,
) -> tuple[McqSettings, tuple[str, ...], tuple[str, ...]]:
    """Settings, adapters and notices of a run that starts from what is stored."""
    kind = model_kind(config)
    if stored.kind != kind:
        raise UserError(f"{source}: made for a model of kind {stored.kind}, and {model} is a model of kind {kind}")
    grown = _grown(stored, given, config, source) if training else stored
    settings = settle(grown, given, source)
    if training:
        settings = settings.with_(objective=objective_of(given, stored.loss))
    else:
        _refuse_other_objective(stored.objective, given, source)
    complete, notices = with_lower_adapters(settings, adapters, source)
    if grown is not stored:
        notices += (f"the {stored.head} head of {source} becomes a {settings.head} head, which starts with its scores",)
    return settings, complete, notices


def _leaves_no_head(stored: McqSettings, given: Mapping[str, Any]) -> bool:
    """Whether a head with weights is given, and the stored one has none."""
    head = given.get("head")
    return head in HEADS and HEADS[head].pools and not HEADS[stored.head].pools


def _below_fresh_head(
    stored: McqSettings, source: str, adapters: Sequence[str], given: dict[str, Any]
) -> tuple[tuple[str, ...], dict[str, Any], tuple[str, ...]]:
    """Adapters, given values and notices of a training whose head leaves nothing of the stored one out.

    What was trained under a head without weights is a language model, to which a head is attached as to any other.
    """
    complete, _ = with_lower_adapters(stored, adapters, source)
    notice = f"a fresh {given['head']} head is trained on {source}, whose {stored.head} head has no weights"
    template = stored.prompt.get("template")
    given = given if template is None else {"template": template, **given}
    return complete, given, () if complete else (notice,)


def _grown(stored: McqSettings, given: Mapping[str, Any], config: Mapping[str, Any], source: str) -> McqSettings:
    """STEP3 on STEP2's model: a head that starts from the trained one that it extends.

    Raises:
        FieldError: the stored head is a different one.
    """
    head = given.get("head", stored.head)
    extends = HEADS[head].extends if head in HEADS else ""
    if not extends or head == stored.head:
        return stored
    joint = layout_of(stored.layout).text == "joint"
    if stored.head != extends or joint:
        stored_head = f"{stored.head} head" + (" over joint prompts" if joint else "")
        raise FieldError(
            "head",
            head,
            f"{source} has a {stored_head}, and only STEP2's {extends} head (one score per option) can be extended; "
            "start from a model with that head, or from the base model",
        )
    duma = resolve_duma(duma_given(given), config) if HEADS[head].measures == "duma" else None
    return stored.with_(head=head, duma=duma)


def _refuse_other_objective(stored: Objective, given: Mapping[str, Any], source: str) -> None:
    """Refuse an objective other than the stored one: a prediction minimises nothing."""
    file = Path(source) / CONFIG_NAME
    if given.get("loss") is not None and Objective(given["loss"]).loss != stored.loss:
        raise FieldError("loss", given["loss"], f"contradicts {file}, which says {stored.loss}; leave it out")
    for name in NUMBERS:
        value, stored_value = given.get(name), getattr(stored, name)
        if value is not None and value != stored_value:
            says = "none" if stored_value is None else f"{stored_value:g}"
            raise FieldError(
                name, f"{value:g}", f"contradicts {file}, which says {says}; it is for training: leave it out"
            )


def _template(settings: McqSettings, source: str, given: str | None) -> str | None:
    """The chat template: none for encoders and plain prompts, for a stored model the one it was trained with."""
    if settings.kind == "encoder" or is_plain(settings.prompt):
        return None
    if not source:
        return given
    stored = settings.prompt.get("template")
    if given not in (None, stored):
        raise FieldError(
            "template", given, f"contradicts {Path(source) / CONFIG_NAME}, which says {stored or 'none'}; leave it out"
        )
    return stored


def _left_out(settings: McqSettings, given: Mapping[str, Any]) -> tuple[str, ...]:
    if settings.kind == "encoder" and given.get("template") is not None:
        return (f"`template` {given['template']} is ignored: an encoder reads pairs of texts, without a chat template",)
    if settings.kind == "causal" and is_plain(settings.prompt) and given.get("template") is not None:
        return (f"`template` {given['template']} is ignored: the prompt is plain text, without chat turns",)
    return ()


def _config(model: str) -> dict[str, Any]:
    path = Path(model) / "config.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FieldError("model", model, "expected the folder of a model; it has no config.json") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON: {error}") from error


def _stored(model: str, adapters: Sequence[str]) -> tuple[McqSettings | None, str]:
    """The settings of the last adapter that has any, else the model's."""
    for folder in (*reversed(adapters), model):
        settings = read_settings(folder)
        if settings is not None:
            return settings, folder
    return None, ""
