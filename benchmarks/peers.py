#!/usr/bin/env python3
"""How fast do other tools score the same questions with the same small model?

    pip install -e '.[bench]'      # lm_eval; without it the other ways are measured
    python benchmarks/peers.py --questions validation.parquet [--limit 100] [--out FILE]

The questions are the first ones of the file that have a context. The model is a random Llama; its tokenizer is trained
on their text. All ways take turns in one process with one thread. The figure is questions in a second of CPU time, with
the best batch size in the best round. Tokenising counts; reading files and loading models does not.

- `lm_eval`: lm-evaluation-harness, its HFLM on the model object and a local multiple_choice task. The prompt is the
  context, a blank line and the question; the option follows after a space. Only its loglikelihood call counts; the
  time of the harness around it is reported separately. Its score is the log-likelihood of the option, so it needs
  logits of all positions.
- `sequence_classification`: transformers' LlamaForSequenceClassification with one label, one row for each option,
  batched by length. It reads the same tokens as this project, and the scores are compared.
- `per_option` and `shared_prefix`: this project, with one row for each option and with packed rows.

Every way reads a start token, context, question and option. lm_eval tokenises the prompt as a whole and this project
field by field, so a few tokens differ where the parts meet; lm_eval also leaves the last token out.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT), str(ROOT / "scripts")]
for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TOKENIZERS_PARALLELISM"):
    os.environ.setdefault(name, "0" if name.startswith("TOK") else "1")

import torch  # noqa: E402
from make_tiny_llama import make_tiny_llama  # noqa: E402
from provenance import commit, hardware, trial_file, write_result  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForSequenceClassification  # noqa: E402

from llmtuner.data.load import read_questions  # noqa: E402
from llmtuner.data.question import Question  # noqa: E402
from llmtuner.data.tokens.option import OptionEncoder, OptionTokens  # noqa: E402
from llmtuner.mcq.attention import choose_attention  # noqa: E402
from llmtuner.mcq.batches import by_length  # noqa: E402
from llmtuner.mcq.choices import resolve  # noqa: E402
from llmtuner.mcq.collate import Collator, pad_rows  # noqa: E402
from llmtuner.mcq.model import HEAD, attach_head  # noqa: E402
from llmtuner.mcq.predict import Scoring, score_questions  # noqa: E402
from llmtuner.mcq.questions import QuestionSet  # noqa: E402

CUTOFF = 2048
SIZE = {"hidden_size": 256, "num_layers": 6, "vocab_size": 1000, "seed": 0}
ROWS = (1, 4, 16)  # rows in a batch, for the ways with one row for each option
QUESTIONS = (1, 4)  # questions in a batch, for this project


class PlainTemplate:
    """No chat format: the start token, the prompt, the option."""

    efficient_eos = False

    def encode_oneturn(
        self, tokenizer: Any, messages: list[dict[str, str]], system: str | None = None, tools: str | None = None
    ) -> tuple[list[int], list[int]]:
        """Token ids of both turns; only the start token is added."""
        user, answer = (tokenizer.encode(message["content"], add_special_tokens=False) for message in messages)
        return [tokenizer.bos_token_id, *user], answer


class Peers:
    """All ways to score the same questions, by name: from a batch size to a tuple of scores for each question."""

    def __init__(self, folder: Path, questions: Sequence[Question]) -> None:
        self.folder, self.questions = folder, list(questions)
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.tokens: dict[str, int] = {}  # that each way reads, without padding
        self.harness_seconds = float("inf")
        torch.manual_seed(1)
        self.ours = attach_head(AutoModelForCausalLM.from_pretrained(folder), resolve("causal")).eval()
        choose_attention(self.ours)
        self.rows = LlamaForSequenceClassification.from_pretrained(folder, num_labels=1).eval()
        self.rows.config.pad_token_id = (
            self.tokenizer.unk_token_id
        )  # its forward takes the last token that is not this one
        self.rows.score.weight.data.copy_(getattr(self.ours, HEAD).mcq_score.weight)
        self.harness = self._harness()

    def ways(self) -> dict[str, tuple[Callable[[int], list[tuple[float, ...]]], tuple[int, ...]]]:
        """Each way with the batch sizes to try."""
        ways = {
            "sequence_classification": (self.sequence_classification, ROWS),
            "per_option": (lambda size: self.engine("per_option", size), QUESTIONS),
            "shared_prefix": (lambda size: self.engine("shared_prefix", size), QUESTIONS),
        }
        return ({"lm_eval": (self.lm_eval, ROWS)} if self.harness else {}) | ways

    def engine(self, layout: str, size: int) -> list[tuple[float, ...]]:
        """This project, with one of its layouts."""
        encoded = QuestionSet(self.questions, self._encoder())
        self._count(layout, encoded.tokens, packed=layout == "shared_prefix")
        return score_questions(self.ours, encoded, Scoring(Collator(layout, "last", 0), batch_size=size))

    @torch.inference_mode()
    def sequence_classification(self, size: int) -> list[tuple[float, ...]]:
        """One row for each option, batched by length."""
        encoded = self._encoder().encode(self.questions)
        self._count("sequence_classification", encoded, packed=False)
        rows = [sequence for tokens in encoded for sequence in tokens.sequences]
        scores: dict[int, float] = {}
        for batch in by_length([(1, len(row)) for row in rows], batch_size=size):
            ids_BT = pad_rows([rows[row] for row in batch], self.rows.config.pad_token_id)
            mask_BT = pad_rows([[1] * len(rows[row]) for row in batch], 0)
            logits_B1 = self.rows(input_ids=ids_BT, attention_mask=mask_BT, use_cache=False).logits
            scores |= dict(zip(batch, logits_B1[:, 0].tolist(), strict=True))
        order = iter(range(len(rows)))
        return [tuple(scores[next(order)] for _ in tokens.sequences) for tokens in encoded]

    def lm_eval(self, size: int) -> list[tuple[float, ...]]:
        """The harness; `timed_loglikelihood` times its loglikelihood call."""
        from lm_eval import simple_evaluate

        self.harness.batch_size_per_gpu = size
        start = time.process_time()
        evaluation = simple_evaluate(self.harness, tasks=[self._task()], bootstrap_iters=0, log_samples=True)
        self.harness_seconds = min(self.harness_seconds, time.process_time() - start)
        samples = sorted(evaluation["samples"]["local_questions"], key=lambda sample: sample["doc_id"])
        return [tuple(float(score) for score, _ in sample["filtered_resps"]) for sample in samples]

    def _harness(self) -> Any:
        try:
            from lm_eval.models.huggingface import HFLM
        except ImportError as error:
            print(f"skipped: lm_eval ({error}); to measure it: pip install -e '.[bench]'", file=sys.stderr)
            return None
        logging.getLogger("lm_eval").setLevel(logging.ERROR)
        model = AutoModelForCausalLM.from_pretrained(self.folder).eval()
        harness = HFLM(
            pretrained=model,
            tokenizer=self.tokenizer,
            max_length=CUTOFF,
            add_bos_token=True,
            batch_size=1,
            device="cpu",
        )
        return timed_loglikelihood(harness, self)

    def _task(self) -> dict[str, Any]:
        from datasets import Dataset

        docs = [
            {"context": q.context, "question": q.question, "options": list(q.options), "answer": q.answer or 0}
            for q in self.questions
        ]
        return {
            "task": "local_questions",
            "custom_dataset": lambda **_: {"test": Dataset.from_list(docs)},
            "test_split": "test",
            "output_type": "multiple_choice",
            "doc_to_text": "{{context}}\n\n{{question}}",
            "doc_to_choice": "{{options}}",
            "doc_to_target": "{{answer}}",
            "target_delimiter": " ",
            "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        }

    def _encoder(self) -> OptionEncoder:
        return OptionEncoder(self.tokenizer, PlainTemplate(), CUTOFF)

    def _count(self, way: str, encoded: Sequence[Any], *, packed: bool) -> None:
        self.tokens[way] = sum(tokens_read(tokens, packed=packed) for tokens in encoded)


def timed_loglikelihood(harness: Any, peers: Peers) -> Any:
    """Make the harness record the CPU seconds of each loglikelihood call, and the tokens that it reads."""
    whole, inner = harness.loglikelihood, harness._loglikelihood_tokens

    def loglikelihood(*args: Any, **kwargs: Any) -> Any:
        start = time.process_time()
        result = whole(*args, disable_tqdm=True, **kwargs)
        harness.seconds = time.process_time() - start
        return result

    def tokens(requests: Any, *args: Any, **kwargs: Any) -> Any:
        peers.tokens["lm_eval"] = sum(len(context) + len(option) - 1 for _, context, option in requests)
        return inner(requests, *args, **kwargs)

    harness.loglikelihood, harness._loglikelihood_tokens = loglikelihood, tokens
    return harness


def tokens_read(tokens: OptionTokens, *, packed: bool) -> int:
    """The number of tokens in the rows of a question."""
    own = sum(len(sequence) - tokens.prefix_length for sequence in tokens.sequences)
    return own + tokens.prefix_length * (1 if packed else len(tokens.sequences))


def measure(peers: Peers, rounds: int) -> tuple[dict[str, dict[str, Any]], dict[str, list[tuple[float, ...]]]]:
    """The least CPU seconds of each way over batch sizes and rounds, and its scores."""
    best: dict[str, dict[int, float]] = {}
    scores = {}
    for _ in range(rounds):
        for name, (way, sizes) in peers.ways().items():
            for size in sizes:
                start = time.process_time()
                scores[name] = way(size)
                spent = time.process_time() - start if name != "lm_eval" else peers.harness.seconds
                seconds = best.setdefault(name, {})
                seconds[size] = min(spent, seconds.get(size, float("inf")))
                print(f"{name}, {size} a batch: {spent:.1f} s", file=sys.stderr, flush=True)
    rows = {}
    for name, seconds in best.items():
        size = min(seconds, key=lambda size: seconds[size])
        rows[name] = {
            "questions_a_second": round(len(peers.questions) / seconds[size], 2),
            "seconds": round(seconds[size], 2),
            "batch_size": size,
            "seconds_by_batch_size": {str(size): round(spent, 2) for size, spent in seconds.items()},
            "tokens": peers.tokens[name],
        }
    ours = rows["shared_prefix"]["seconds"]
    for row in rows.values():
        row["shared_prefix_is_faster_by"] = round(row["seconds"] / ours, 2)
    if "lm_eval" in rows:
        rows["lm_eval"]["seconds_with_the_harness"] = round(peers.harness_seconds, 2)
    return rows, scores


def differences(scores: dict[str, list[tuple[float, ...]]]) -> dict[str, float]:
    """The largest difference of an option's log-probability from that of shared_prefix."""

    def log_p(way: str) -> torch.Tensor:
        return torch.cat([torch.tensor(of_question).log_softmax(-1) for of_question in scores[way]])

    ours = log_p("shared_prefix")
    ways = ("sequence_classification", "per_option")
    return {way: float(f"{(log_p(way) - ours).abs().max():.1e}") for way in ways}


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that are compared."""
    from importlib.metadata import PackageNotFoundError, version

    versions_by_name = {"python": platform.python_version()}
    for package in ("torch", "transformers", "lm_eval"):
        try:
            versions_by_name[package] = version(package)
        except PackageNotFoundError:
            versions_by_name[package] = "not installed"
    return versions_by_name


def main() -> int:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--questions", type=Path, required=True, help="a file of questions")
    parser.add_argument("--limit", type=int, default=100, help="number of questions, the first ones with a context")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--out", type=Path, default=trial_file("peers"), help="the results as JSON")
    args = parser.parse_args()
    torch.set_num_threads(1)
    all_questions = read_questions(args.questions, purpose="predict").questions
    questions = [question for question in all_questions if question.context.strip()][: args.limit]
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "text.txt"
        text.write_text("\n".join(f"{q.context}\n{q.question}\n{' '.join(q.options)}" for q in questions), "utf-8")
        peers = Peers(make_tiny_llama(Path(folder) / "model", [text], **SIZE), questions)
        rows, scores = measure(peers, args.rounds)
    result = {
        "command": f"python benchmarks/peers.py --questions {args.questions.name} --limit {args.limit}",
        "commit": commit(),
        "hardware": hardware("cpu"),
        "threads": 1,
        "versions": versions(),
        "questions": len(questions),
        "options": sum(len(question.options) for question in questions),
        "model": SIZE | {"parameters": sum(parameter.numel() for parameter in peers.rows.parameters())},
        "token_ratio": round(peers.tokens["per_option"] / peers.tokens["shared_prefix"], 3),
        "differs": "lm_eval: logits of all positions (its score is a log-likelihood), its own tokenisation at the "
        "joints of prompt and option, last token left out. All others: the same tokens and weights.",
        "largest_difference_from_shared_prefix": differences(scores),
        "rows": rows,
    }
    write_result(result, args.out, indent=2)
    print(json.dumps(result, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
