"""Every flag that this project declares, reads or shows: its own, and the upstream flags that it needs to know."""

from __future__ import annotations

import re

from llmtuner.spec.entry import table
from llmtuner.spec.flag import ABOVE_0, AT_LEAST_0, AT_LEAST_1, SHARE, Conflict, Flag, Range
from llmtuner.spec.heads import HEADS, OPTION_TOKENS
from llmtuner.spec.layouts import LAYOUTS
from llmtuner.spec.norms import DEFAULT_NORM, NORMS
from llmtuner.spec.poolings import AUTO, POOLINGS
from llmtuner.spec.retrievers import CONTEXT_ORDERS, QUERY_KINDS
from llmtuner.spec.upstream_flags import STAGES, UPSTREAM_GROUPS

MCQ = ("mcq",)  # stages
CO_ATTENTION = tuple(name for name, head in HEADS.items() if head.measures == "duma")
LIKELIHOOD = tuple(name for name, head in HEADS.items() if head.reads == OPTION_TOKENS)
DUMA_PRESETS = ("bottleneck", "paper")
DUMA_PASSAGES = ("context_question", "context")
MOST_OPTIONS = 10  # of a question (llmtuner.data.question.MAX_OPTIONS)


def _mcq(name: str, help: str, field: str, **more: object) -> Flag:
    return Flag(name=name, help=help, field=field, stages=MCQ, arguments="finetuning", **more)  # type: ignore[arg-type]


def _duma(name: str, help: str, **more: object) -> Flag:
    return _mcq(f"mcq_duma_{name}", help, f"duma.{name}", heads=CO_ATTENTION, **more)


def _retrieval() -> tuple[Flag, ...]:
    """The flags of open-book runs; those of scripts/add_context.py without "retrieve_"."""

    def flag(name: str, help: str, **more: object) -> Flag:
        return Flag(name=name, help=help, stages=STAGES, arguments="data", **more)  # type: ignore[arg-type]

    return (
        flag("retrieve", "fill blank contexts with passages of this index (scripts/build_index.py)", value="INDEX"),
        flag("retrieve_k", "passages of a question, at most", type=int, default=5, range=AT_LEAST_1, value="N"),
        flag("retrieve_max_words", "words of a context, at most", type=int, default=300, range=AT_LEAST_1, value="N"),
        flag(
            "retrieve_query",
            "what a question is searched by: all (question and all options), per_option (question and one option at "
            "a time), or prompt (the question alone)",
            default="all",
            choices=(*QUERY_KINDS,),
            value="NAME",
        ),
        flag(
            "retrieve_order",
            "where the best passage stands: best_last (next to the question) or best_first",
            default="best_last",
            choices=CONTEXT_ORDERS,
            value="NAME",
        ),
        flag(
            "retrieve_rerank",
            "folder of a cross-encoder, or of a training of stage mcq, whose model reranks the best 50 passages",
            value="DIR",
        ),
        flag("retrieve_replace", "also replace the contexts that questions have", type=bool, default=False),
    )


OWN = (
    Flag(name="profile", help="defaults of LLaMA-Factory v0.1.6 (2023) for flags you leave out", value="2023"),
    _mcq(
        "mcq_head",
        "head that scores each option; names below",
        "head",
        default="linear",
        choices=(*HEADS,),
        value="NAME",
    ),
    _mcq("mcq_layout", "how options become rows of tokens; names below", "layout", choices=(*LAYOUTS,), value="NAME"),
    _mcq(
        "mcq_pooling",
        "which tokens' hidden states give an option its score; names below; auto: last, or mean for encoders",
        "pooling",
        default=AUTO,
        choices=(AUTO, *POOLINGS),
        value="NAME",
    ),
    _mcq(
        "mcq_likelihood_norm",
        f"head likelihood: how options of different length are compared; names below; unless given, {DEFAULT_NORM}",
        "likelihood_norm",
        choices=(*NORMS,),
        heads=LIKELIHOOD,
        value="NAME",
    ),
    _mcq(
        "mcq_prompt",
        "form of the prompt; names below (unless given, template), or a YAML FILE with the texts question, option, "
        "context, answer_mark and system; a FILE goes into the turns of --template if that is given, and is plain "
        "text otherwise",
        "prompt",
        value="NAME",
    ),
    _mcq(
        "mcq_shots",
        "number of solved examples in front of every question (few-shot)",
        "shots",
        type=int,
        range=Range(0, 1000),
        value="K",
    ),
    _mcq("mcq_shots_from", "questions with answers from which the examples are drawn", "shots_from", value="DATA"),
    _mcq(
        "mcq_shots_seed",
        "seed of that draw; unless given, 0",
        "shots_seed",
        type=int,
        range=AT_LEAST_0,
        value="N",
    ),
    _mcq(
        "mcq_loss", "loss: NAME, or NAME:WEIGHT+NAME:WEIGHT; names below", "loss", default="cross_entropy", value="LOSS"
    ),
    _mcq(
        "mcq_loss_warmup_ratio",
        "share of all steps, from the first on, that use cross_entropy instead",
        "warmup_ratio",
        type=float,
        default=0.0,
        range=SHARE,
        value="X",
    ),
    _mcq(
        "mcq_rdrop_alpha",
        "weight of R-Drop: two passes with different dropout should agree",
        "rdrop_alpha",
        type=float,
        default=0.0,
        range=AT_LEAST_0,
        value="X",
    ),
    _mcq(
        "mcq_dropout",
        "dropout of the whole model in training; unless given, the model's own",
        "dropout",
        type=float,
        range=SHARE,
        value="X",
    ),
    _duma(
        "preset",
        "shape of the co-attention: bottleneck (default), or paper (as in DUMA's code)",
        choices=DUMA_PRESETS,
        value="NAME",
    ),
    _duma(
        "width",
        "width of the co-attention; default: that of the model, but not above 512",
        type=int,
        range=Range(1, 65536),
        value="N",
    ),
    _duma(
        "heads",
        "attention heads of the co-attention; unless given, about width / 64",
        type=int,
        range=Range(1, 1024),
        value="N",
    ),
    _duma("layers", "layers of the co-attention; unless given, 1", type=int, range=Range(1, 64), value="N"),
    _duma("share", "share attention weights between both directions; unless given, true", type=bool, value="BOOL"),
    _duma(
        "passage",
        "text that an option is compared with: context_question (default) or context",
        choices=DUMA_PASSAGES,
        value="NAME",
    ),
    _mcq(
        "head_learning_rate",
        "learning rate of the head; unless given, that of --learning_rate",
        "head_learning_rate",
        type=float,
        range=ABOVE_0,
        value="X",
    ),
    _mcq(
        "mcq_tokens_per_batch",
        "maximum number of tokens per batch, padding included; replaces the batch size",
        "tokens_per_batch",
        type=int,
        range=AT_LEAST_1,
        value="N",
    ),
    _mcq(
        "mcq_shuffle_options",
        "shuffle the options in training (head letter, layout joint)",
        "shuffle_options",
        type=bool,
        default=False,
    ),
    Flag(
        name="mcq_option_orders",
        help="predictions from joint prompts (head letter, layout joint, stage sft): average each option's probability "
        "over K cyclic orders of the options (no more than it has options); evaluations during training use one order",
        type=int,
        default=1,
        range=Range(1, MOST_OPTIONS),
        stages=("mcq", "sft"),
        value="K",
        field="option_orders",
        arguments="data",
    ),
    Flag(
        name="mcq_answer_base",
        help="how answers are written, for files that do not say: 0 or 1 (the first option's number), letter, or text",
        default="auto",
        choices=("auto", "0", "1", "letter", "text"),
        value="BASE",
    ),
    Flag(
        name="mcq_drop_long",
        type=bool,
        default=False,
        help="skip questions that are too long even without context, instead of stopping",
        field="drop_long",
        arguments="data",
    ),
    Flag(
        name="allow_unknown_tokens",
        type=bool,
        default=False,
        help="only warn about a tokenizer that cannot read the questions, instead of stopping",
        field="allow_unknown_tokens",
        arguments="data",
    ),
    *_retrieval(),
    Flag(
        name="allow_other_base",
        type=bool,
        default=False,
        help="accept an adapter that was trained on another base model",
        arguments="finetuning",
    ),
    Flag(
        name="dry_run",
        help="only say what the run would do: settings, data, prompts, steps, memory and time, measured on the longest "
        "batch; as text, or as json; writes nothing",
        choices=("text", "json"),
        bare="text",
        value="[FORM]",
        stages=STAGES,
        conflicts=(Conflict("streaming", "True", "the number of rows and steps is unknown; leave out one of them"),),
    ),
    Flag(name="help", type=bool, help="show this page"),
    Flag(name="help_all", type=bool, help="show every flag of upstream (LLaMA-Factory)"),
    Flag(name="version", type=bool, help="show the versions of this project and of the packages it runs on"),
    Flag(name="traceback", type=bool, help="also show where a user error was raised"),
)
GROUPS: dict[str, tuple[Flag, ...]] = {"This project's own": OWN, **UPSTREAM_GROUPS}
FLAGS = table(*(flag for group in GROUPS.values() for flag in group))
FIELDS = {flag.field: flag for flag in FLAGS.values() if flag.field}  # flags by the engine's names


def with_flags(message: str) -> str:
    """Replace field names, which the engine's messages put in `backticks`, by the names of their flags."""

    def flag(match: re.Match[str]) -> str:
        name = match[1]
        if name in FIELDS:
            return f"--{FIELDS[name].name}"
        return f"--{name}" if name in FLAGS else match[0]

    return re.sub(r"`([\w.]+)`", flag, message)


def own(arguments: str) -> list[Flag]:
    """The project's own flags in one of upstream's argument classes."""
    return [flag for flag in OWN if flag.arguments == arguments]
