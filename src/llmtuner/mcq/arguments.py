"""transformers' arguments of a training from Python, checked as the command line checks its flags."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import Any

from llmtuner.errors import FieldError, UserError
from llmtuner.mcq.best_metric import check_reported
from llmtuner.mcq.lora_targets import refuse_embeddings
from llmtuner.runs.adapter import starts_at_random
from llmtuner.runs.checkpoints import EarlierRun, all_of, holds_run
from llmtuner.spec.flags import FLAGS
from llmtuner.spec.metrics import higher_is_better
from llmtuner.spec.model_files import TRAINER_LOG

# transformers' arguments that mean something else here, and what to give instead.
REFUSED = {
    "label_smoothing_factor": "give label_smoothing",
    "auto_find_batch_size": "give a batch size, or tokens_per_batch",
    "dataloader_drop_last": "every question counts once an epoch",
    "resume_from_checkpoint": "a training from Python starts afresh; the command line resumes",
    "overwrite_output_dir": "give overwrite",
}
# Fields of the command line that a training from Python has other means for.
REFUSED_FIELDS = {
    "val_size": "give the questions that are held out as `evaluate`",
    "max_samples": "give fewer questions",
    "each": "questions of several sets are evaluated together",
    "adapters": "merge them into the model first (scripts/merge.py)",
}

HEADS_OF_PEFT = ("SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS")  # its task types whose models get a head, or another forward


def engine_fields(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of keywords: `duma_width` is duma.width.

    Raises:
        FieldError: a field that would do nothing here.
    """
    for name, instead in REFUSED_FIELDS.items():
        if keywords.get(name):
            raise FieldError(name, keywords[name], f"{instead}; leave it out")
    return {
        name.replace("duma_", "duma.", 1) if name.startswith("duma_") else name: keywords[name] for name in keywords
    }


def check_lora(lora: Any) -> None:
    """Refuse a `peft.LoraConfig` whose adapter could not be loaded again.

    Raises:
        UserError: with what to give instead.
    """
    if lora is None:
        return
    task = getattr(lora, "task_type", None)
    if task in HEADS_OF_PEFT:
        raise UserError(
            f'lora: task_type="{getattr(task, "value", task)}" adds a head of peft beside the one over options; '
            "leave it out"
        )
    if getattr(lora, "trainable_token_indices", None):
        raise UserError(
            "lora: trainable_token_indices puts an adapter into the embeddings, which cannot be loaded again; leave it "
            'out, or train them whole: modules_to_save=["embed_tokens"]'
        )
    refuse_embeddings(lora)
    start = getattr(lora, "init_lora_weights", None)
    if starts_at_random(start):
        raise UserError(
            f'lora: init_lora_weights="{start}" changes the base model at random, and loading cannot repeat it; give '
            '"pissa"'
        )
    if getattr(lora, "bias", "none") == "all":
        raise UserError('lora: bias="all" also trains the biases of the head a second time; give bias="none"')


def check_template(template: Any, kind: str) -> None:
    """Refuse what is no template, and a template that an encoder would ignore.

    Raises:
        FieldError: with what to give instead.
    """
    if template is None:
        return
    if kind == "encoder":
        raise FieldError("template", None, "an encoder has no chat template; leave it out")
    if not hasattr(template, "encode_oneturn"):
        raise FieldError(
            "template",
            repr(template),
            "expected an object with encode_oneturn, such as a template of LLaMA-Factory; leave it out for the "
            "tokenizer's own chat template",
        )


def training_arguments(output_dir: str, given: Mapping[str, Any]) -> Any:
    """transformers' arguments, without those that mean something else here.

    Raises:
        FieldError: a number is out of the range of the flag with its name.
        UserError: an argument means something else here, or the metric that chooses the best model is not reported by
            any evaluation.
    """
    from transformers import TrainingArguments

    for name, instead in REFUSED.items():
        if given.get(name):
            raise UserError(f"{name}: {instead}; leave it out of the arguments")
    for name, value in given.items():
        _check_range(name, value)
    best = given.get("metric_for_best_model")
    check_reported(best)
    direction = {} if best is None else {"greater_is_better": higher_is_better(best)}
    return TrainingArguments(output_dir=output_dir, **{"report_to": "none", **direction, **given})


def _check_range(name: str, value: Any) -> None:
    """Refuse a number out of range; what is no number, transformers checks."""
    flag = FLAGS.get(name)
    if flag is None or flag.range is None or isinstance(value, bool) or not isinstance(value, Real):
        return
    if float(value) not in flag.range:
        raise FieldError(name, value, flag.problem(value))


def settle_folder(output_dir: Path, model: str, *, overwrite: bool) -> EarlierRun:
    """What a training that starts afresh does with the earlier run in its folder.

    Args:
        model: that the training starts from.
        overwrite: set the files of the earlier run aside.

    Raises:
        UserError: the folder holds a training and must not be overwritten, or the model is one of its files.
    """
    if not output_dir.is_dir():
        return EarlierRun()
    replaced, source = all_of(output_dir), Path(model).resolve()
    if output_dir.resolve() == source or any(path.resolve() in (source, *source.parents) for path in replaced):
        raise UserError(
            f"output_dir {output_dir}: the training starts from {model}, whose files it would replace; give another one"
        )
    if holds_run(output_dir) and not overwrite:
        raise UserError(
            f"output_dir {output_dir} holds an earlier training or a model; give another output_dir, or "
            "overwrite=True, which renames the earlier files to replaced-*"
        )
    log = output_dir / TRAINER_LOG  # of a training by the command line; a report would draw its losses
    return EarlierRun(None, (), (*replaced, *([log] if log.is_file() else [])))
