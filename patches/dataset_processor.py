"""Upstream's dataset processors use the ready tokens of multiple-choice rows.

Upstream: `llamafactory.data.loader._get_dataset_processor` (0.9.2 to 0.9.5) and the method `_encode_data_example` of
the processors that it returns. Labels, packing, mixing with other data and generation remain upstream's code.
Can go together with dataset_encoding.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from datasets.formatting.formatting import LazyBatch

from llmtuner.data.problems import escaped
from llmtuner.data.tokens.rows import training_rows
from patches.dataset_encoding import TOKENS
from patches.dataset_files import COLUMN
from patches.seam import Seam, SeamError

SEAM = Seam(
    "llamafactory.data.loader",
    "_get_dataset_processor",
    ("data_args", "stage", "template", "tokenizer", "processor", "do_generate"),
)
MEDIA = ("images", "videos", "audios")  # columns of upstream's rows; of a question they are null
SCORED = "mcq"  # what letter scoring needs of a row; a column of prediction data sets


def apply() -> None:
    """Make the processor's class use the ready tokens."""
    SEAM.replace(_with_ready_tokens)


class ReadyText(str):
    """A message whose tokens are known; upstream hands it from `preprocess_dataset` to `_encode_data_example`."""

    row: int


class ReadyTokens:
    """Mixin placed before one of upstream's processor classes."""

    keeps_questions = False  # set for generation, where the rows are scored afterwards
    train_on_prompt = False
    one_row_each = False  # set for plain training, where each question is a row of its own

    def preprocess_dataset(self, examples: Any) -> dict[str, list[Any]] | pa.Table:
        """Upstream's method, with each question's message marked so that its tokens can be found.

        A batch of questions only, each a row of its own, does not go through Python lists: 200,000 rows took 32 s.
        """
        self._encoded: list[int | None] = []  # rows of the batch, None for rows of other data sets
        if TOKENS not in examples:
            return super().preprocess_dataset(examples)  # type: ignore[misc]
        if self.one_row_each and isinstance(examples, LazyBatch) and not examples.pa_table[TOKENS].null_count:
            return self._as_table(examples.pa_table)
        self._tokens, self._questions = examples[TOKENS], examples.get(COLUMN, [])
        prompts = [
            messages if tokens is None else [{"role": "user", "content": _ready(row)}]
            for row, (messages, tokens) in enumerate(zip(examples["_prompt"], examples[TOKENS], strict=True))
        ]
        outputs = super().preprocess_dataset({**examples, "_prompt": prompts})  # type: ignore[misc]
        if self.keeps_questions:
            # Each row of the output came from one call of _encode_data_example, in this order.
            outputs[SCORED] = [None if row is None else self._scored(row) for row in self._encoded]
        return outputs

    def _as_table(self, batch: pa.Table) -> pa.Table:
        from llamafactory.extras.constants import IGNORE_INDEX

        tokens = batch[TOKENS].combine_chunks()
        prompts, responses = pc.struct_field(tokens, "prompt"), pc.struct_field(tokens, "response")
        rows = training_rows(prompts, responses, ignored=IGNORE_INDEX, train_on_prompt=self.train_on_prompt)
        return pa.table(rows | {name: batch[f"_{name}"] for name in MEDIA})

    def print_data_example(self, example: dict[str, list[int]]) -> None:
        """Upstream's example, indented and with control characters escaped: data must not look like our messages."""
        text = io.StringIO()
        with redirect_stdout(text):
            super().print_data_example(example)  # type: ignore[misc]
        for line in text.getvalue().splitlines():
            print("  " + escaped(line, keep="\t"))

    def _encode_data_example(self, prompt: list[dict[str, str]], **rest: Any) -> tuple[list[int], list[int]]:
        content = prompt[0]["content"]
        if not isinstance(content, ReadyText):
            self._encoded.append(None)
            return super()._encode_data_example(prompt=prompt, **rest)  # type: ignore[misc]
        self._encoded.append(content.row)
        tokens = self._tokens[content.row]
        return self._compose(list(tokens["prompt"]), list(tokens["response"]))

    def _compose(self, prompt: list[int], response: list[int]) -> tuple[list[int], list[int]]:
        if self.keeps_questions:  # generation: the prompt is the input, the answer the label
            return prompt, response
        from llamafactory.extras.constants import IGNORE_INDEX

        return prompt + response, (prompt if self.train_on_prompt else [IGNORE_INDEX] * len(prompt)) + response

    def _scored(self, row: int) -> dict[str, Any]:
        return {"question": dict(self._questions[row]), "tokens": dict(self._tokens[row])}


def _ready(row: int) -> ReadyText:
    text = ReadyText("")
    text.row = row
    return text


def _with_ready_tokens(original: Callable[..., Any]) -> Callable[..., Any]:
    def _get_dataset_processor(
        data_args: Any, stage: str, template: Any, tokenizer: Any, processor: Any, do_generate: bool = False
    ) -> Any:
        made = original(data_args, stage, template, tokenizer, processor, do_generate)
        if stage != "sft":
            return made
        from llamafactory.data.processor import SupervisedDatasetProcessor

        upstream = type(made)
        if not hasattr(upstream, "_encode_data_example"):
            raise SeamError(f"{upstream.__name__} has no _encode_data_example in this llamafactory")
        extended = type(f"Ready{upstream.__name__}", (ReadyTokens, upstream), {})
        ready = extended(template=template, tokenizer=tokenizer, processor=processor, data_args=data_args)
        ready.keeps_questions, ready.train_on_prompt = do_generate, data_args.train_on_prompt
        ready.one_row_each = upstream is SupervisedDatasetProcessor
        return ready

    return _get_dataset_processor
