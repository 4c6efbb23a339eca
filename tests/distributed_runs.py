"""Small trainings with only McqTrainer, in one process or as a torchrun worker, for tests/test_distributed.py."""

from __future__ import annotations

import json
import random
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

import torch  # noqa: E402
from peft import LoraConfig, get_peft_model  # noqa: E402
from transformers import LlamaConfig, LlamaForCausalLM, TrainerCallback, TrainingArguments  # noqa: E402

from llmtuner.data.question import Question  # noqa: E402
from llmtuner.data.tokens.option import OptionTokens  # noqa: E402
from llmtuner.mcq.attention import choose_attention  # noqa: E402
from llmtuner.mcq.choices import resolve  # noqa: E402
from llmtuner.mcq.model import HEAD, attach_head  # noqa: E402
from llmtuner.mcq.questions import QuestionSet  # noqa: E402
from llmtuner.mcq.run import McqRun  # noqa: E402
from llmtuner.mcq.trainer import McqTrainer  # noqa: E402
from llmtuner.mcq.unwrap import unwrap  # noqa: E402

QUESTIONS = 21  # steps of 8 leave 5, which two processes cannot share evenly
STEPS = 10


@dataclass(frozen=True)
class Run:
    """One training: batch size and accumulation per process, or a token budget instead of the batch size."""

    batch: int = 1
    accumulation: int = 1
    tokens: int | None = None


# The runs in two processes; each has a counterpart in one process with the same optimizer steps.
OF_TWO = {"size": Run(batch=1, accumulation=4), "tokens": Run(accumulation=1, tokens=500)}


class RandomEncoder:
    """Tokens that depend only on a question's id: ragged lengths, two to five options."""

    cutoff_len = 200

    def encode(self, questions):
        return [self._tokens(question) for question in questions]

    def _tokens(self, question) -> OptionTokens:
        draw = random.Random(question.id)
        tokens = lambda n: [draw.randrange(3, 200) for _ in range(n)]  # noqa: E731
        length = draw.randrange(8, 40)
        start, options = tokens(length), [tokens(draw.randrange(1, 9)) for _ in question.options]
        return OptionTokens(
            sequences=[[*start, *option, 2] for option in options],
            context=(1, 3),
            question=(3, length),
            options=[(length, length + len(option)) for option in options],
            cut=0,
            over=0,
        )


def question_set() -> QuestionSet:
    draw = random.Random(1)
    questions = []
    for row in range(QUESTIONS):
        options = tuple("ABCDE"[: draw.randrange(2, 6)])
        questions.append(Question(str(row), "?", options, answer=draw.randrange(len(options))))
    return QuestionSet(questions, RandomEncoder())


def model(settings):
    """A Llama with adapters and a head, as the stage builds it; no dropout."""
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    torch.manual_seed(0)
    actual = attach_head(LlamaForCausalLM(LlamaConfig(vocab_size=200, pad_token_id=0, **sizes)), settings)
    choose_attention(unwrap(actual))
    # Not the usual zero initialisation, which makes half of the gradients zero.
    config = LoraConfig(
        r=4, target_modules=["q_proj", "down_proj"], modules_to_save=[HEAD], init_lora_weights=False, lora_dropout=0.0
    )
    return get_peft_model(actual, config)


class FirstGradients(TrainerCallback):
    """Records the gradients of the first optimizer step."""

    def __init__(self) -> None:
        self.gradients: dict[str, torch.Tensor] = {}

    def on_pre_optimizer_step(self, args, state, control, model=None, **_):
        if not self.gradients:
            named = (
                unwrap(model).named_parameters() if not hasattr(model, "module") else model.module.named_parameters()
            )
            self.gradients = {name: p.grad.clone() for name, p in named if p.grad is not None}


def train(run: Run, folder: Path) -> dict:
    """Train; return the steps' losses, the first step's gradients, all questions' scores, and the final evaluation."""
    settings, questions, first = resolve("causal"), question_set(), FirstGradients()
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=run.batch,
        gradient_accumulation_steps=run.accumulation,
        per_device_eval_batch_size=2,
        max_steps=STEPS,
        learning_rate=1e-3,
        max_grad_norm=0.0,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
        ddp_find_unused_parameters=False,
    )
    trainer = McqTrainer(
        model(settings),
        arguments,
        McqRun("", settings, training=True, tokens_per_batch=run.tokens),
        train_set=questions,
        eval_set=questions,
        callbacks=[first],
    )
    trainer.train()
    predictions, _ = trainer.predict_options(questions, "predict")
    metrics = trainer.evaluate()
    return {
        "losses": [entry["loss"] for entry in trainer.state.log_history if "loss" in entry],
        "gradients": {name.removeprefix("base_model.model."): g for name, g in first.gradients.items()},
        "ids": [prediction.id for prediction in predictions],
        "scores": [list(prediction.scores) for prediction in predictions],
        "evaluation": {name: metrics[name] for name in ("eval_loss", "eval_map@3", "eval_nll")},
    }


def main(folder: Path) -> None:
    """As a worker, do every run of `OF_TWO`; each process writes its results to its own file."""
    actual = {name: train(run, folder / name) for name, run in OF_TWO.items()}
    rank = torch.distributed.get_rank()
    torch.save({name: result.pop("gradients") for name, result in actual.items()}, folder / f"gradients-{rank}.pt")
    (folder / f"results-{rank}.json").write_text(json.dumps(actual))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
