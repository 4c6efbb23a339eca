"""Training from Python, without upstream: one function, and what the command line's stage calls a run.

scorer = train("models/Llama-2-7b-hf", questions, "mcq_checkpoint", head="linear")
predictions = scorer.score(other_questions)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llmtuner.data.question import Question
from llmtuner.data.tokens.fields import Template
from llmtuner.data.tokens.templates import template_of
from llmtuner.mcq.dropout import set_dropout
from llmtuner.mcq.encoding import complete, make_encoder
from llmtuner.mcq.model import HEAD, attach_head, freeze_pooler
from llmtuner.mcq.packing import settle_layout
from llmtuner.mcq.questions import QuestionSet
from llmtuner.mcq.run import McqRun, resolve_run
from llmtuner.mcq.scorer import OptionScorer, load_scorer
from llmtuner.mcq.trainer import McqTrainer


def train(
    model: str,
    questions: Sequence[Question],
    output_dir: str,
    *,
    evaluate: Sequence[Question] = (),
    lora: Any = None,
    template: Template | None = None,
    arguments: Mapping[str, Any] | None = None,
    trust_remote_code: bool = False,
    **fields: Any,
) -> OptionScorer:
    """Train a head, with all weights of the model or with LoRA, and return what scores questions with it.

    Args:
        model: folder of the base model.
        questions: with answers.
        output_dir: for weights, tokenizer, settings and checkpoints; `load_scorer` reads it.
        evaluate: questions for evaluations during the training (`eval_strategy` in the arguments).
        lora: a `peft.LoraConfig`; all weights are trained where it is None.
        template: makes the prompts of a causal model; the tokenizer's own chat template where it is None, or plain text
            where the tokenizer has none.
        arguments: of `transformers.TrainingArguments`.
        fields: head, layout, pooling, loss, dropout, tokens_per_batch, head_learning_rate and the other fields of
            `llmtuner.spec.flags.FIELDS` by their names; those of co-attention as `duma_width` and so on.

    Raises:
        FieldError: a field's value is not possible, or contradicts another one.
        DataError: a question has no answer, or gives no tokens.
        RunError: the loss became NaN or Inf.
    """
    from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer, TrainingArguments, set_seed

    from llmtuner.data.collect import require_answers

    require_answers(questions, "training needs")
    training = TrainingArguments(output_dir=output_dir, **{"report_to": "none", **(arguments or {})})
    given = {name.replace("duma_", "duma."): value for name, value in fields.items()}
    run = resolve_run(model, given=given, training=True, output_dir=output_dir, evaluating=bool(evaluate))
    run.objective.require_packages()
    set_seed(training.seed)
    loader = AutoModel if run.settings.kind == "encoder" else AutoModelForCausalLM
    loaded = loader.from_pretrained(model, dtype="auto", trust_remote_code=trust_remote_code, use_safetensors=True)
    tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=trust_remote_code)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return _train(run, loaded, tokenizer, questions, evaluate, lora, template, training)


def _train(
    run: McqRun,
    model: Any,
    tokenizer: Any,
    questions: Sequence[Question],
    evaluate: Sequence[Question],
    lora: Any,
    template: Template | None,
    training: Any,
) -> OptionScorer:
    template = template or (template_of(tokenizer) if run.settings.kind == "causal" else None)
    encoder = make_encoder(run.settings, tokenizer, model.config, cutoff_len=run.cutoff_len, template=template)
    train_set, eval_set = QuestionSet(questions, encoder), QuestionSet(evaluate, encoder)
    if run.settings.layout == "joint" and run.settings.head == "linear":
        run = run.with_settings(num_options=len(questions[0].options))
    settings = complete(run.settings, encoder, model.config, None)
    attach_head(model, settings)
    freeze_pooler(model)
    if lora is not None:
        from peft import get_peft_model

        lora.modules_to_save = [*(lora.modules_to_save or []), HEAD]
        model = get_peft_model(model, lora)
    if run.objective.dropout is not None:
        set_dropout(model, run.objective.dropout)
    pad_token_id = tokenizer.pad_token_id or 0
    settings, _ = settle_layout(model, settings, train_set.tokens, pad_token_id, required=run.layout_required)
    run = run.with_settings(layout=settings.layout, prompt=settings.prompt, base=settings.base)
    run = run.with_settings(cutoff_len=settings.cutoff_len, versions=settings.versions)
    trainer = McqTrainer(
        model,
        training,
        run,
        pad_token_id=pad_token_id,
        train_set=train_set,
        eval_set=eval_set if evaluate else None,
        processing_class=tokenizer,
    )
    trainer.train()
    trainer.save_model()
    return load_scorer(run.output_dir, base_model=run.model if lora is not None else None)
