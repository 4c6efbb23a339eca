"""The recorded cases: each is a few commands of train_bash.py, one after another.

Paths are relative to the folder of the recording, where all commands run. The path is the name of the data set, and
messages and records hold it: absolute paths would give others in another folder.
"""

from __future__ import annotations

from dataclasses import dataclass

from llmtuner.spec import HEADS, LOSSES

TRAIN, TEST = "data/train.jsonl", "data/test.jsonl"
RAGGED_TRAIN, RAGGED_TEST = "data/ragged_train.jsonl", "data/ragged_test.jsonl"
LLAMA = "tiny-llama"

HEAD_LAYOUTS = {name: head.layouts for name, head in HEADS.items()}
CAUSAL_FAMILIES = (
    *("llama", "llama-gqa", "qwen2", "qwen3", "mistral-wide", "mistral-narrow"),
    *("gemma2", "gemma3", "phi3", "gpt_neox"),
)
ENCODERS = ("bert", "deberta-v2", "roberta", "distilbert")
FULL = ("--finetuning_type", "full", "--learning_rate", "1e-3")
FREEZE = ("--finetuning_type", "freeze", "--freeze_trainable_layers", "1", "--learning_rate", "1e-3")
DEFAULTS = {
    "--template": "llama2",
    "--finetuning_type": "lora",
    "--max_samples": "8",
    "--max_steps": "3",
    "--per_device_train_batch_size": "2",
    "--gradient_accumulation_steps": "2",
    "--learning_rate": "1e-2",
    "--logging_steps": "1",
    "--save_strategy": "no",
    "--seed": "7",
    "--cutoff_len": "1024",
}


@dataclass(frozen=True)
class Case:
    """Commands that run in their own folder.

    Args:
        name: with slashes; also the path of the folder.
        steps: the words of each command by the name of its output folder.
    """

    name: str
    steps: dict[str, tuple[str, ...]]


def folder(case: str, step: str) -> str:
    """The output folder of a step."""
    return f"cases/{case}/{step}"


def unless_given(defaults: dict[str, str], more: tuple[str, ...]) -> list[str]:
    """The words of the default flags that are not in `more`."""
    return [word for name, value in defaults.items() if name not in more for word in (name, value)]


def train(case: str, model: str, *more: str, stage: str = "mcq", step: str = "train") -> tuple[str, ...]:
    """The words of a training; flags in `more` replace defaults of the same name."""
    defaults = {"--dataset": TRAIN} | DEFAULTS
    words = ("--stage", stage, "--model_name_or_path", model, "--do_train", *unless_given(defaults, more))
    return (*words, "--output_dir", folder(case, step), "--overwrite_cache", *more)


def predict(case: str, model: str, *more: str, adapter: str = "", stage: str = "mcq", step: str = "predict") -> tuple:
    """The words of a prediction; `adapter` is a folder, or "" for a whole model."""
    words = ("--stage", stage, "--model_name_or_path", model, *(("--adapter_name_or_path", adapter) if adapter else ()))
    defaults = {"--eval_dataset": TEST, "--per_device_eval_batch_size": "4"}
    return (
        *words,
        "--do_predict",
        *unless_given(defaults, more),
        "--output_dir",
        folder(case, step),
        "--overwrite_cache",
        *more,
    )


def model_folder(name: str) -> str:
    """The folder of a model of `recorded.models`."""
    return f"models/{name}"


def mcq(case: str, *more: str, model: str = LLAMA, predicting: tuple[str, ...] = ()) -> Case:
    """A training of stage mcq, and a prediction with the trained model."""
    base, trained = model_folder(model), folder(case, "train")
    whole = "full" in more or "freeze" in more
    places = (trained, "") if whole else (base, trained)
    actual = predict(case, places[0], *predicting, adapter=places[1])
    return Case(case, {"train": train(case, base, *more), "predict": actual})


def _heads() -> list[Case]:
    cases = [
        mcq(f"head/{head}/{layout}", "--mcq_head", head, "--mcq_layout", layout)
        for head, layouts in HEAD_LAYOUTS.items()
        for layout in layouts
    ]
    ragged = ("--dataset", RAGGED_TRAIN)
    asked = ("--eval_dataset", RAGGED_TEST)
    cases += [
        mcq(f"ragged/{head}/{layout}", "--mcq_head", head, "--mcq_layout", layout, *ragged, predicting=asked)
        for head, layout in (
            *(("linear", "shared_prefix"), ("linear", "per_option")),
            *(("option_mean", "shared_prefix"), ("cduma", "per_option"), ("letter", "joint")),
        )
    ]
    paper = ("--mcq_duma_preset", "paper", "--mcq_layout")
    cases += [
        mcq("tuning/full", *FULL),
        mcq("tuning/freeze", *FREEZE),
        mcq("tuning/full-cduma", "--mcq_head", "cduma", *FULL),
        mcq("tuning/lora-rank-4", "--lora_rank", "4", "--lora_target", "q_proj,v_proj"),
        mcq("duma/paper", "--mcq_head", "duma", *paper, "shared_prefix"),
        mcq("duma/paper-cduma", "--mcq_head", "cduma", *paper, "per_option"),
        mcq(
            "duma/measures",
            *("--mcq_head", "duma", "--mcq_duma_width", "32", "--mcq_duma_heads", "2", "--mcq_duma_layers", "2"),
            *("--mcq_duma_share", "false", "--mcq_duma_passage", "context"),
        ),
        mcq("layout/trained-packed", "--mcq_layout", "shared_prefix", predicting=("--mcq_layout", "per_option")),
        mcq("layout/trained-single", "--mcq_layout", "per_option", predicting=("--mcq_layout", "shared_prefix")),
    ]
    return cases


def _poolings() -> list[Case]:
    cases = [mcq(f"pooling/{name}", "--mcq_pooling", name) for name in ("auto", "last", "mean", "option")]
    cases += [mcq("pooling/joint-mean", "--mcq_layout", "joint", "--mcq_pooling", "mean")]
    encoders = ("auto", "last", "first", "mean", "option")
    return cases + [mcq(f"pooling/bert-{name}", "--mcq_pooling", name, *_SHORT, model="bert") for name in encoders]


def _losses() -> list[Case]:
    cases = [mcq(f"loss/{name}", "--mcq_loss", name) for name in LOSSES]
    mixture = ("--mcq_loss", "cross_entropy:0.5+expected_map3:0.5")
    return [
        *cases,
        mcq("loss/mixture", *mixture, "--mcq_loss_warmup_ratio", "0.3"),
        mcq("loss/ragged-mixture", *mixture, "--dataset", RAGGED_TRAIN, predicting=("--eval_dataset", RAGGED_TEST)),
        mcq("loss/smoothed", "--label_smoothing_factor", "0.1"),
        mcq("loss/smoothed-poly1", "--label_smoothing_factor", "0.1", "--mcq_loss", "poly1"),
        mcq("loss/rdrop", "--mcq_rdrop_alpha", "1", "--lora_dropout", "0.1"),
        mcq("loss/rdrop-cduma", "--mcq_rdrop_alpha", "0.5", "--mcq_head", "cduma", "--lora_dropout", "0.1"),
        mcq("loss/joint-rdrop", "--mcq_rdrop_alpha", "1", "--mcq_layout", "joint", "--lora_dropout", "0.1"),
    ]


def _training() -> list[Case]:
    letter, bf16 = ("--mcq_head", "letter"), ("--bf16", "--use_cpu")
    return [
        mcq(
            "training/tokens-per-batch", "--mcq_tokens_per_batch", "1500", predicting=("--mcq_tokens_per_batch", "900")
        ),
        mcq("training/tokens-per-batch-single", "--mcq_tokens_per_batch", "1500", "--mcq_layout", "per_option"),
        mcq("training/shuffled-letters", *letter, "--mcq_shuffle_options"),
        mcq("training/shuffled-joint", "--mcq_layout", "joint", "--mcq_shuffle_options"),
        mcq("training/head-rate", "--head_learning_rate", "1e-3", "--weight_decay", "0.1", "--warmup_steps", "1"),
        mcq("training/validation", "--val_size", "0.25", "--eval_strategy", "steps", "--eval_steps", "1"),
        mcq("training/dropout", "--mcq_dropout", "0.1", "--lora_dropout", "0.1"),
        mcq("training/cut", "--cutoff_len", "160", predicting=("--per_device_eval_batch_size", "3")),
        mcq("training/cut-joint", "--cutoff_len", "240", *letter),
        mcq("training/drop-long", "--cutoff_len", "48", "--mcq_drop_long", predicting=("--cutoff_len", "1024")),
        mcq("training/epochs", "--max_steps", "-1", "--num_train_epochs", "2", "--lr_scheduler_type", "cosine"),
        mcq("training/checkpointing", "--gradient_checkpointing", "true"),
        mcq("training/bf16", *bf16, predicting=bf16),
        mcq("training/alpaca-template", "--template", "alpaca"),
        mcq("training/default-template", "--template", "default"),
        mcq("training/profile-2023", "--profile", "2023"),
    ]


_SHORT = ("--cutoff_len", "256")


def _families() -> list[Case]:
    cases = [mcq(f"family/{name}", model=name) for name in CAUSAL_FAMILIES]
    cases += [mcq(f"family-single/{name}", "--mcq_layout", "per_option", model=name) for name in CAUSAL_FAMILIES]
    cases += [mcq(f"family/{name}", *_SHORT, model=name) for name in ENCODERS]
    cases += [mcq(f"encoder/cduma-{name}", *_SHORT, "--mcq_head", "cduma", model=name) for name in ("bert", "roberta")]
    return [
        *cases,
        mcq("encoder/full", *_SHORT, *FULL, model="bert"),
        mcq("encoder/freeze", *_SHORT, *FREEZE, "--mcq_dropout", "0", model="bert"),
        mcq("encoder/rdrop", *_SHORT, "--mcq_rdrop_alpha", "1", model="bert"),
        mcq("encoder/tokens-per-batch", *_SHORT, "--mcq_tokens_per_batch", "2000", model="bert"),
    ]


def _chains() -> list[Case]:
    """Trainings that continue from another one."""
    llama, cases = model_folder(LLAMA), []
    name = "chain/step2-step3"
    step2, step3 = (folder(name, step) for step in ("train", "grown"))
    grown = ("--mcq_head", "cduma", "--adapter_name_or_path", step2)
    new = (*grown, "--create_new_adapter")
    steps = {
        "train": train(name, llama),
        "grown": train(name, llama, *grown, step="grown"),
        "predict": predict(name, llama, adapter=step3),
        "new": train(name, llama, *new, step="new"),
        "predict_new": predict(name, llama, adapter=folder(name, "new"), step="predict_new"),
    }
    cases.append(Case(name, steps))

    name = "chain/resumed"
    often = ("--save_strategy", "steps", "--save_steps", "2", "--lora_dropout", "0.1")
    resumed = ("--resume_from_checkpoint", f"{folder(name, 'train')}/checkpoint-2", *often)
    steps = {
        "train": train(name, llama, *often),
        "resumed": train(name, llama, *resumed, step="resumed"),
        "predict": predict(name, llama, adapter=folder(name, "resumed")),
    }
    cases.append(Case(name, steps))

    name = "chain/at-once"
    at_once = ("--do_predict", "--eval_dataset", TEST, "--per_device_eval_batch_size", "4")
    return [*cases, Case(name, {"train": train(name, llama, *at_once)})]


def _letters() -> list[Case]:
    """Stage sft, and stage mcq with its adapter."""
    llama, cases = model_folder(LLAMA), []
    greedy = ("--template", "llama2", "--max_new_tokens", "2", "--do_sample", "False")
    for name, more in (
        ("sft/lora", ()),
        ("sft/validation", ("--val_size", "0.25", "--eval_strategy", "steps", "--eval_steps", "1")),
        ("sft/cut", ("--cutoff_len", "280")),
        ("sft/packed", ("--packing", "true", "--cutoff_len", "600")),
        ("sft/ragged", ("--dataset", RAGGED_TRAIN)),
    ):
        trained = folder(name, "train")
        asked = ("--eval_dataset", RAGGED_TEST) if name == "sft/ragged" else ()
        steps = {
            "train": train(name, llama, *more, stage="sft"),
            "predict": predict(name, llama, *greedy, *asked, adapter=trained, stage="sft"),
        }
        if name == "sft/lora":
            letter = ("--mcq_head", "letter", "--template", "llama2")
            steps["letter"] = predict(name, llama, *letter, adapter=trained, step="letter")
            below = ("--adapter_name_or_path", trained)
            steps["mcq"] = train(name, llama, *below, step="mcq")
            steps["predict_mcq"] = predict(name, llama, adapter=folder(name, "mcq"), step="predict_mcq")
        cases.append(Case(name, steps))
    name = "sft/untrained"
    letter = ("--mcq_head", "letter", "--template", "llama2")
    steps = {
        "predict": predict(name, llama, *greedy, stage="sft"),
        "letter": predict(name, llama, *letter, step="letter"),
    }
    return [*cases, Case(name, steps)]


CASES = [*_heads(), *_poolings(), *_losses(), *_training(), *_families(), *_chains(), *_letters()]
