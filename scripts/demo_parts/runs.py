"""What the demo runs: a command line for each training and prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

GIVEN = {"train": "llmscience_elementary_train", "test": "llmscience_elementary_test"}  # each with its fact
INDEX = "facts_index"  # of the elementary exam's corpus
EXAM = "exam_predict"  # the prediction of the harder exam, which has other questions than the table


@dataclass(frozen=True, slots=True)
class Run:
    """A command of the demo.

    Args:
        name: of its folder and its log.
        title: what is printed while it runs.
        words: the command line of train_bash.py, without --output_dir.
        row: its name in the table; "" for trainings.
    """

    name: str
    title: str
    words: tuple[str, ...]
    row: str = ""


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """The model of the three steps.

    Args:
        label: its name in the table.
        precision: --bf16, or nothing for fp32.
        training: its finetuning type and epochs, which depend on its size.
        letters, classifier: the learning rate of STEP1, which learns from one token of a question, and of STEP2 and
            STEP3.
        pretrained: whether it knows anything before it is trained.
    """

    label: str
    folder: str
    template: str
    precision: tuple[str, ...]
    training: tuple[str, ...]
    letters: tuple[str, ...]
    classifier: tuple[str, ...]
    pretrained: bool = True


def with_lora(label: str, folder: str, template: str, precision: tuple[str, ...]) -> LanguageModel:
    """A pretrained model, trained by LoRA."""
    training = _flags("--finetuning_type lora --num_train_epochs 1 --warmup_steps 3")
    rates = _flags("--learning_rate 1e-3"), _flags("--learning_rate 2e-4")
    return LanguageModel(label, folder, template, precision, training, *rates)


def random_llama(folder: str) -> LanguageModel:
    """A random model that is so small that all its weights are trained, in fp32."""
    training, rate = _flags("--finetuning_type full --num_train_epochs 3"), _flags("--learning_rate 1e-3")
    return LanguageModel("random Llama", folder, "llama2", (), training, rate, rate, pretrained=False)


def language_runs(model: LanguageModel, out: Path) -> list[Run]:
    """Untrained by letters and by likelihood, then the three steps, then the harder exam."""
    base = ("--model_name_or_path", model.folder)
    given = ("--eval_dataset", GIVEN["test"])
    asked = ("--template", model.template, *model.precision)
    mcq, batches = ("--stage", "mcq"), ("--mcq_tokens_per_batch", "2048")
    likelihood = (*mcq, "--mcq_head", "likelihood", *base, "--do_predict", *asked, *batches)
    train = ("--do_train", "--dataset", GIVEN["train"], *asked, *model.training)
    train += _flags("--per_device_train_batch_size 8 --lr_scheduler_type cosine --logging_steps 5 --seed 1")
    train += _flags("--save_strategy no")
    heads = (*model.classifier, *_flags("--head_learning_rate 1e-3"))
    step3 = _flags("--mcq_head cduma --mcq_loss cross_entropy:0.5+expected_map3:0.5")

    def trained(name: str) -> tuple[str, ...]:
        """The flags that load a training of the demo."""
        folder = str(out / f"{name}_checkpoint")
        lora = "lora" in model.training
        return (*base, "--adapter_name_or_path", folder) if lora else ("--model_name_or_path", folder)

    def scored(name: str, words: Sequence[str]) -> tuple[str, ...]:
        return (*words, *trained(name), "--do_predict", *given, *model.precision)

    generated = ("--template", model.template, *_flags("--predict_with_generate --max_new_tokens 2 --do_sample false"))
    generated += _flags("--per_device_eval_batch_size 8")
    closed = ("--eval_dataset", str(out / "closed_test.jsonl"))
    name = model.label
    return [
        Run("letters_predict", f"{name}, untrained: probabilities of the letters, with the fact of each question",
            (*mcq, "--mcq_head", "letter", *base, "--do_predict", *asked, *batches, *given),
            f"{name}, letters, given facts"),
        Run("closed_predict", f"{name}, untrained: likelihood of the options, closed book",
            (*likelihood, *closed), f"{name}, likelihood, closed book"),
        Run("searched_predict", f"{name}, untrained: likelihood of the options, with facts that a search finds",
            (*likelihood, *closed, "--retrieve", str(out / INDEX), "--retrieve_k", "3"),
            f"{name}, likelihood, searched facts"),
        Run("given_predict", f"{name}, untrained: likelihood of the options, with the fact of each question",
            (*likelihood, *given), f"{name}, likelihood, given facts"),
        Run(EXAM, f"{name}, untrained: likelihood on the exam, with passages",
            (*likelihood, "--eval_dataset", "llmscience_demo_test"), ""),
        Run("step1_checkpoint", "STEP1: LoRA SFT on 120 questions, the answer is a letter",
            ("--stage", "sft", *base, *train, *model.letters)),
        Run("step1_predict", "STEP1: generated text and probabilities of the letters",
            scored("step1", ("--stage", "sft", *generated)), "STEP1, letters"),
        Run("step2_checkpoint", "STEP2: a classifier over the options, 120 questions", (*mcq, *base, *train, *heads)),
        Run("step2_predict", "STEP2: prediction", scored("step2", (*mcq, *batches)), "STEP2, linear head"),
        Run("step3_checkpoint", "STEP3: CDUMA and a loss that follows MAP@3, 120 questions",
            (*mcq, *base, *train, *heads, *step3)),
        Run("step3_predict", "STEP3: prediction", scored("step3", (*mcq, *batches)), "STEP3, CDUMA"),
    ]  # fmt: skip


def encoder_runs(folder: str, out: Path) -> list[Run]:
    """MiniLM through STEP2's classifier: its last two layers are trained, without and with the facts."""
    runs = []
    closed = {part: str(out / f"closed_{part}.jsonl") for part in GIVEN}
    for book, files in (("closed", closed), ("open", GIVEN)):
        train = "--finetuning_type freeze --freeze_trainable_layers 2 --learning_rate 1e-4 --head_learning_rate 1e-3"
        train += " --warmup_steps 5 --mcq_dropout 0 --mcq_tokens_per_batch 2048 --cutoff_len 256 --num_train_epochs 3"
        train += " --save_strategy no --seed 1"
        words = ("--do_train", "--dataset", files["train"], *_flags(train))
        start = ("--stage", "mcq", "--model_name_or_path")
        predict = ("--do_predict", "--eval_dataset", files["test"], "--mcq_tokens_per_batch", "8192")
        made = f"minilm_{book}_checkpoint"
        runs += [
            Run(made, f"MiniLM, {book} book: training", (*start, folder, *words)),
            Run(f"minilm_{book}_predict", f"MiniLM, {book} book: prediction",
                (*start, str(out / made), *predict), f"MiniLM, {book} book"),
        ]  # fmt: skip
    return runs


def _flags(text: str) -> tuple[str, ...]:
    """Flags whose values hold no blank."""
    return tuple(text.split())
