"""Old flags that need more than a rename: each function changes the flags and returns its notice."""

from __future__ import annotations

from llmtuner.cli.words import Words
from llmtuner.errors import UserError

# In 2023 prompt and answer had separate limits, in tokens.
_LENGTH_2023 = 512


def refuse_both(flags: Words, old: str, new: str) -> None:
    """Refuse an old name if today's name is given as well."""
    if new in flags:
        raise UserError(f"--{old} is --{new} today, and both are given: keep --{new}")


def checkpoint_dir(flags: Words, name: str) -> str:
    """Where 2023 stored what was trained: an adapter or, for full tuning, the whole model."""
    tuning = flags.get("finetuning_type") or "lora"
    if tuning == "freeze":
        raise UserError(
            "--checkpoint_dir with --finetuning_type freeze cannot be used today: in 2023 such folders held the "
            "trained layers only; give a folder with the whole model as --model_name_or_path"
        )
    if tuning != "full":
        refuse_both(flags, name, "adapter_name_or_path")
        flags.rename(name, "adapter_name_or_path")
        return "--checkpoint_dir is --adapter_name_or_path today"
    folder = flags.get(name) or ""
    if "," in folder:
        raise UserError(f"--checkpoint_dir {folder}: --finetuning_type full takes one folder")
    flags.set("model_name_or_path", folder)
    flags.remove(name)
    return (
        f"--checkpoint_dir with --finetuning_type full is --model_name_or_path {folder} today and replaces a given one"
    )


def resume_lora_training(flags: Words, name: str) -> str:
    """Inverted since: the flag of 2023 meant "resume", today's means "start over"."""
    refuse_both(flags, name, "create_new_adapter")
    resumes = flags.is_true(name)
    flags.remove(name)
    if resumes:
        return "--resume_lora_training is left out: training a given adapter further is the default"
    flags.set("create_new_adapter", "true")
    return "--resume_lora_training false is --create_new_adapter true today"


def lengths(flags: Words, name: str) -> str:
    """Combine the two lengths of 2023 into one; a missing one counts as 512, the default of 2023."""
    names = ("max_source_length", "max_target_length")
    words = [flags.get(each) for each in names]
    given = " and ".join(f"--{each}" for each in names if each in flags)
    tokens = [_LENGTH_2023 if word is None else _whole(each, word) for each, word in zip(names, words, strict=True)]
    for each in names:
        flags.remove(each)
    if "cutoff_len" in flags:
        return f"{given} left out: --cutoff_len is given and limits prompt and answer together"
    flags.set("cutoff_len", str(sum(tokens)))
    return f"{given}: --cutoff_len {tokens[0]} + {tokens[1]} = {sum(tokens)} today"


def _whole(name: str, word: str) -> int:
    try:
        return int(word)
    except ValueError:
        raise UserError(f"--{name}: expected a whole number, found {word!r}") from None


def system(flags: Words, name: str) -> str:
    """One system prompt for all data sets."""
    if "|" in (flags.get(name) or ""):
        raise UserError(
            f"--{name} with |: in 2023 each data set had its own text; today --default_system is one text, and the "
            "column `system` of a data set replaces it"
        )
    refuse_both(flags, name, "default_system")
    flags.rename(name, "default_system")
    return f"--{name} is --default_system today"


def split(flags: Words, name: str) -> str:
    """Which split of a data set to read."""
    split = flags.get(name)
    if split != "train":
        raise UserError(f'--split {split} cannot be used today: write "split": "{split}" into the data set\'s entry')
    flags.remove(name)
    return "--split train is left out: it is the default"


def num_layer_trainable(flags: Words, name: str) -> str:
    """Freeze tuning, number of layers: a rename, but the default of the partner flag has changed since."""
    partner = ("name_module_trainable", "freeze_trainable_modules")
    return _freeze(flags, name, "freeze_trainable_layers", partner, "all by default (mlp in 2023)")


def name_module_trainable(flags: Words, name: str) -> str:
    """Freeze tuning, which modules: a rename, but the default of the partner flag has changed since."""
    partner = ("num_layer_trainable", "freeze_trainable_layers")
    return _freeze(flags, name, "freeze_trainable_modules", partner, "2 by default (3 in 2023)")


def _freeze(flags: Words, name: str, new: str, partner: tuple[str, str], default: str) -> str:
    """Rename, and report the partner's changed default if the partner is given under neither of its names."""
    refuse_both(flags, name, new)
    flags.rename(name, new)
    hint = "" if any(known in flags for known in partner) else f"; --{partner[1]} is {default}"
    return f"--{name} is --{new} today{hint}"


def save_safetensors(flags: Words, name: str) -> str:
    """Whether to save safetensors instead of pickle; today it always does."""
    wanted = flags.is_true(name)
    flags.remove(name)
    return f"--{name} is left out: weights are always saved as safetensors" + ("" if wanted else ", never as pickle")


def warmup_ratio(flags: Words, name: str) -> str:
    """A fraction of the steps: `warmup_steps` now takes fractions, too."""
    refuse_both(flags, name, "warmup_steps")
    ratio = flags.get(name) or ""
    # A value of 1 or more would be read as a number of steps.
    if not 0 <= _number(name, ratio) < 1:
        raise UserError(f"--warmup_ratio {ratio}: expected a share of the steps, at least 0 and below 1")
    flags.rename(name, "warmup_steps")
    return f"--warmup_ratio is --warmup_steps {ratio} today: below 1 it is a share of the steps"


def _number(name: str, word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise UserError(f"--{name}: expected a number, found {word!r}") from None


def tuning_none(flags: Words) -> str:
    """Evaluation of the bare model."""
    if flags.get("finetuning_type") != "none":
        return ""
    if flags.is_true("do_train"):
        raise UserError("--finetuning_type none trains nothing: choose lora, full or freeze, or leave out --do_train")
    flags.set("finetuning_type", "lora")
    return "--finetuning_type none is lora today: without an adapter it leaves the model unchanged"


def whole_lora_alpha(flags: Words) -> str:
    """`32.0` was valid in 2023; today's parser rejects it."""
    word = flags.get("lora_alpha")
    if word is None or word.lstrip("+-").isdecimal():
        return ""
    alpha = _number("lora_alpha", word)
    if not alpha.is_integer():
        raise UserError(f"--lora_alpha {word}: expected a whole number; upstream no longer takes fractions")
    flags.set("lora_alpha", str(int(alpha)))
    return f"--lora_alpha {word} is {int(alpha)} today"


def data_for_prediction(flags: Words) -> str:
    """In 2023 `--dataset` also named the data to predict if nothing was trained."""
    predicts = flags.is_true("do_eval") or flags.is_true("do_predict")
    if "dataset" not in flags or "eval_dataset" in flags or flags.is_true("do_train") or not predicts:
        return ""
    if _number("val_size", flags.get("val_size") or "0") > 0:
        return ""
    flags.rename("dataset", "eval_dataset")
    return "--dataset is --eval_dataset today if nothing is trained"


def generate(flags: Words) -> str:
    """Set the flag that upstream requires for prediction."""
    generative = flags.get("stage") in (None, "sft")
    if not generative or not flags.is_true("do_predict") or "predict_with_generate" in flags:
        return ""
    flags.set("predict_with_generate")
    notice = "--predict_with_generate is added: --do_predict needs it in stage sft"
    if flags.is_true("do_train"):
        notice += "; evaluation during training also generates text and has no eval_loss"
    return notice
