"""Changes that must not go unnoticed, and a runner that tries whether they are: make mutate.

Each row of `MUTATIONS` is one wrong edit of the code beside the tests of which one must fail with it. The runner makes
each edit in a copy of the project, runs those tests there and prints which edits survived. A test in tests/house checks
that the rows still fit the code, so that a row is moved along with the line that it changes.

    python tests/mutations.py                  all of them
    python tests/mutations.py --only NAME ...  some
    python tests/mutations.py --list           their names

Exit status: 0 where every edit was noticed, 1 where one survived, 2 where a row cannot be tried.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 600  # seconds for the tests of one row: an edit may well make a loop without an end
FAILED, NO_FAILURE = 1, 0  # pytest's exit statuses; any other means that the tests could not be run


@dataclass(frozen=True, slots=True)
class Mutation:
    """One wrong edit.

    Args:
        name: short, unique, says what goes wrong.
        file: path from the project's root.
        old, new: the text that is replaced, which occurs once in the file, and what takes its place.
        tests: files or test ids of which at least one must fail.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def defects(self, root: Path = ROOT) -> list[str]:
        """Why the row cannot be tried; empty where it can."""
        path = root / self.file
        if not path.is_file():
            return [f"{self.file} does not exist"]
        count = path.read_text(encoding="utf-8").count(self.old)
        found = [] if count == 1 else [f"its text occurs {count} times in {self.file}"]
        found += [] if self.new != self.old else ["it changes nothing"]
        found += [] if self.tests else ["it names no test"]
        return found + [f"{test} does not exist" for test in self.tests if not _exists(test, root)]


def _exists(test: str, root: Path) -> bool:
    name, _, function = test.partition("::")
    path = root / name
    return path.is_file() and (not function or f"def {function.partition('[')[0]}(" in path.read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one row: "killed", "survived", or why it could not be tried."""

    name: str
    status: str
    seconds: float = 0.0
    output: str = ""

    @property
    def tried(self) -> bool:
        """Whether the tests ran to an end."""
        return self.status in ("killed", "survived")


def copy_project(target: Path) -> None:
    """The files of the project without what is ignored; the virtual environment is linked."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    (target / ".venv").symlink_to((ROOT / ".venv").resolve())


def run_tests(tests: Sequence[str], folder: Path) -> tuple[int | None, str]:
    """pytest's exit status in a copy of the project, None where it took too long, and what it printed."""
    environment = {name: value for name, value in os.environ.items() if name != "LLMSCIENCE_REAL_DATA"}
    # An installed package points to the project itself; the copy has to come first, also for processes of the tests.
    environment |= {"PYTHONPATH": f"{folder / 'src'}{os.pathsep}{folder}", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", "--hypothesis-seed=0", *tests]
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, errors="replace", timeout=LIMIT
        )
    except subprocess.TimeoutExpired:
        return None, ""
    return done.returncode, done.stdout + done.stderr


def attempt(mutation: Mutation) -> Outcome:
    """Make the edit in a copy and run its tests."""
    if defects := mutation.defects():
        return Outcome(mutation.name, f"stale: {'; '.join(defects)}")
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        copy_project(Path(folder))
        path = Path(folder, mutation.file)
        path.write_text(path.read_text(encoding="utf-8").replace(mutation.old, mutation.new), encoding="utf-8")
        status, output = run_tests(mutation.tests, Path(folder))
    names = {FAILED: "killed", None: "killed", NO_FAILURE: "survived"}
    return Outcome(
        mutation.name, names.get(status, f"broken: pytest ended with {status}"), time.monotonic() - begin, output
    )


def untouched(mutations: Sequence[Mutation]) -> Outcome:
    """The same tests without any edit: where they fail anyway, no edit is shown to be noticed."""
    tests = dict.fromkeys(test for mutation in mutations for test in mutation.tests)
    whole_files = {test for test in tests if "::" not in test}
    wanted = [test for test in tests if test in whole_files or test.partition("::")[0] not in whole_files]
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        copy_project(Path(folder))
        status, output = run_tests(wanted, Path(folder))
    outcome = "survived" if status == NO_FAILURE else "broken: the tests fail without any edit"
    return Outcome("(no edit)", outcome, time.monotonic() - begin, output)


def main(argv: Sequence[str] | None = None) -> int:
    """Try the rows and print what became of each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="try these alone")
    parser.add_argument("--list", action="store_true", help="print the names and files of all rows")
    parser.add_argument("--jobs", type=int, default=2, help="rows that are tried at once (2)")
    given = parser.parse_args(argv)
    unknown = set(given.only or ()) - {mutation.name for mutation in MUTATIONS}
    if unknown:
        parser.error(f"no such row: {', '.join(sorted(unknown))}; --list names them")
    chosen = [mutation for mutation in MUTATIONS if not given.only or mutation.name in given.only]
    width = max(len(mutation.name) for mutation in chosen)
    if given.list:
        for mutation in chosen:
            print(f"{mutation.name:<{width}}  {mutation.file}")
        return 0
    outcomes = []
    with ThreadPoolExecutor(max(1, given.jobs)) as pool:
        fresh = [mutation for mutation in chosen if not mutation.defects()]
        first = pool.submit(untouched, fresh) if fresh else None
        for outcome in pool.map(attempt, chosen):
            outcomes.append(outcome)
            print(f"{outcome.name:<{width}}  {outcome.seconds:5.0f} s  {outcome.status}", flush=True)
        outcomes += [first.result()] if first else []
    return _verdict(outcomes)


def _verdict(outcomes: Sequence[Outcome]) -> int:
    untried = [outcome for outcome in outcomes if not outcome.tried]
    survivors = [outcome for outcome in outcomes if outcome.status == "survived" and outcome.name != "(no edit)"]
    for outcome in untried:
        print(f"\n{outcome.name}: {outcome.status}\n{outcome.output[-3000:]}")
    killed = sum(outcome.status == "killed" for outcome in outcomes)
    print(f"\n{killed} killed, {len(survivors)} survived, {len(untried)} could not be tried")
    for outcome in survivors:
        print(f"survived: {outcome.name}")
    return 2 if untried else 1 if survivors else 0


MUTATIONS: tuple[Mutation, ...] = (
    Mutation(
        "kaggle: the answer's letter off by one",
        "src/llmtuner/data/forms/kaggle.py",
        'return place, "" if written',
        'return place - 1, "" if written',
        ("tests/data/test_load.py",),
    ),
    Mutation(
        "arc: gold counted from 1",
        "src/llmtuner/data/forms/arc.py",
        'row.index("gold", len(options)))',
        '(row.index("gold", len(options)) or 1) - 1)',
        ("tests/data/test_load.py",),
    ),
    Mutation(
        "scienceqa: the hint dropped",
        "src/llmtuner/data/forms/scienceqa.py",
        '("hint", "lecture") if',
        '("lecture",) if',
        ("tests/data/test_load.py",),
    ),
    Mutation(
        "kaggle: the context dropped",
        "src/llmtuner/data/forms/kaggle.py",
        'context = next(iter(passages.values()), "")',
        'context = ""',
        ("tests/data/test_load.py",),
    ),
    Mutation(
        "csv: a row's line off by one",
        "src/llmtuner/data/readers/csv_file.py",
        "line = reader.line_num + 1",
        "line = reader.line_num",
        ("tests/data/test_csv_file.py",),
    ),
    Mutation(
        "jsonl: lines split at U+2028, too",
        "src/llmtuner/data/readers/jsonl_file.py",
        'enumerate(text.split("\\n"), start=1)',
        "enumerate(text.splitlines(), start=1)",
        ("tests/data/test_load.py",),
    ),
    Mutation(
        "rules: every blank last option is no option",
        "src/llmtuner/data/forms/rules.py",
        "MIXED_PERCENT = 1\n",
        "MIXED_PERCENT = 0\n",
        ("tests/data/test_rules.py",),
    ),
    Mutation(
        "num_samples ignored",
        "src/llmtuner/data/collect.py",
        "if source.num_samples is None:",
        "if True:",
        ("tests/data/test_collect.py",),
    ),
    Mutation(
        "registry: num_samples not read",
        "src/llmtuner/data/registry.py",
        'entries[name][0].get("num_samples"))',
        "None)",
        ("tests/data/test_collect.py",),
    ),
    Mutation(
        "split: one row a group",
        "src/llmtuner/data/split.py",
        "groups.setdefault(key, [])",
        'groups.setdefault(f"{key}{row}", [])',
        ("tests/data/test_split.py",),
    ),
    Mutation(
        "split: case makes another question",
        "src/llmtuner/data/split.py",
        ".casefold().split()",
        ".split()",
        ("tests/data/test_split.py",),
    ),
    Mutation(
        "audit: chance taken for a favoured place",
        "src/llmtuner/data/audit/positions.py",
        "SURE = 0.001",
        "SURE = 0.05",
        ("tests/data/audit/test_positions.py",),
    ),
    Mutation(
        "audit: the model scored on what it was fitted to",
        "src/llmtuner/data/audit/model.py",
        "np.isin(question_O, fitted_Q), np.isin",
        "np.isin(question_O, question_O), np.isin",
        ("tests/data/audit/test_shortcuts.py",),
    ),
    Mutation(
        "audit: a leak counted in one file only",
        "src/llmtuner/data/audit/repeats.py",
        "shared = first & second",
        "shared = first",
        ("tests/data/audit/test_repeats.py",),
    ),
    Mutation(
        "audit: answers not doubted by probability",
        "src/llmtuner/data/audit/label_errors.py",
        "prediction.probabilities for _, prediction in group",
        "prediction.scores for _, prediction in group",
        ("tests/data/audit/test_label_errors.py",),
    ),
    Mutation(
        "prompt: every option has the first letter",
        "src/llmtuner/data/prompt.py",
        'Field("letter", index), "\\n"]',
        'Field("letter", 0), "\\n"]',
        ("tests/data/tokens/test_joint.py",),
    ),
    Mutation(
        "prompt: an option's sequence without context",
        "src/llmtuner/data/prompt.py",
        'user: list[Part] = [Field("context"), "\\n\\n"] if with_context',
        'user: list[Part] = [Field("context"), "\\n\\n"] if not with_context',
        ("tests/data/tokens/test_option.py",),
    ),
    Mutation(
        "tokens: the beginning of the context cut",
        "src/llmtuner/data/tokens/fields.py",
        "context = context[: len(context) - cut]",
        "context = context[cut:]",
        ("tests/data/tokens/test_pair.py",),
    ),
    Mutation(
        "tokens: data text becomes a control token",
        "src/llmtuner/data/tokens/fields.py",
        "split_special_tokens=True",
        "split_special_tokens=False",
        ("tests/data/tokens/test_pair.py",),
    ),
    Mutation(
        "tokens: an option cut for the shortest",
        "src/llmtuner/data/tokens/option.py",
        "longest = max(map(len, options))",
        "longest = min(map(len, options))",
        (
            "tests/data/tokens/test_pair.py",
            "tests/data/tokens/test_option.py",
        ),
    ),
    Mutation(
        "tokens: options that begin alike share all",
        "src/llmtuner/data/tokens/option.py",
        "own = min(map(len, self.sequences)) - 1",
        "own = min(map(len, self.sequences))",
        ("tests/mcq/test_layout.py",),
    ),
    Mutation(
        "tokens: letters scored one token late",
        "src/llmtuner/data/tokens/joint.py",
        "choices = [sequence[shared] if",
        "choices = [sequence[shared - 1] if",
        ("tests/data/tokens/test_joint.py",),
    ),
    Mutation(
        "tokens: no blank between context and question",
        "src/llmtuner/data/tokens/pair.py",
        'f" {question.question}"',
        'f"{question.question}"',
        ("tests/data/tokens/test_pair.py",),
    ),
    Mutation(
        "predictions: ties ranked from the last letter",
        "src/llmtuner/data/predictions.py",
        "(-self.scores[i], i)",
        "(-self.scores[i], -i)",
        ("tests/data/test_predictions.py",),
    ),
    Mutation(
        "submission: two letters a question",
        "src/llmtuner/data/predictions.py",
        "BEST = 3",
        "BEST = 2",
        ("tests/data/test_predictions.py",),
    ),
    Mutation(
        "questions: a permuted answer stays in place",
        "src/llmtuner/mcq/questions.py",
        "order.index(question.answer)",
        "question.answer",
        ("tests/mcq/test_questions.py",),
    ),
    Mutation(
        "layout: positions count along the row",
        "src/llmtuner/mcq/layout.py",
        "positions += range(shared, len(sequence))",
        "positions += range(len(ids) - len(sequence) + shared, len(ids))",
        ("tests/mcq/test_layout.py",),
    ),
    Mutation(
        "layout: a token's place off by one",
        "src/llmtuner/mcq/layout.py",
        "self.begin + token - self.shared",
        "self.begin + token - self.shared - 1",
        ("tests/mcq/test_layout.py",),
    ),
    Mutation(
        "mask: an option sees those before it",
        "src/llmtuner/mcq/attention.py",
        "own_BQT = query_BQ1 == key_B1T",
        "own_BQT = query_BQ1 >= key_B1T",
        ("tests/mcq/test_layout.py",),
    ),
    Mutation(
        "mask: the next token is seen",
        "src/llmtuner/mcq/attention.py",
        "(distance_BQT >= 0)",
        "(distance_BQT >= -1)",
        ("tests/mcq/test_layout.py",),
    ),
    Mutation(
        "mask: a window one token wider",
        "src/llmtuner/mcq/attention.py",
        "(distance_BQT < window)",
        "(distance_BQT <= window)",
        ("tests/mcq/test_exactness.py::test_a_window_narrower_than_the_row_is_masked_everywhere",),
    ),
    Mutation(
        "mask: the common prefix is not causal",
        "src/llmtuner/mcq/attention.py",
        "*prefix, None, is_causal=True",
        "*prefix, None, is_causal=False",
        (
            "tests/mcq/test_exactness.py::test_neighbours_in_the_batch_change_nothing",
            "tests/mcq/test_exactness.py::test_every_pooling_agrees_in_both_layouts",
        ),
    ),
    Mutation(
        "pooling: the token before the last",
        "src/llmtuner/mcq/pooling.py",
        "return length - 1, length",
        "return length - 2, length - 1",
        ("tests/mcq/test_pooling.py",),
    ),
    Mutation(
        "pooling: a mean over padding",
        "src/llmtuner/mcq/pooling.py",
        "counts_QNS / counts_QNS.sum(-1, keepdim=True).clamp(min=1)",
        "counts_QNS / counts_QNS.shape[-1]",
        ("tests/mcq/test_pooling.py",),
    ),
    Mutation(
        "pooling: the passage without the context",
        "src/llmtuner/mcq/pooling.py",
        "tokens.context[0] if tokens.context[1] > tokens.context[0] else",
        "tokens.question[0] if tokens.context[1] > tokens.context[0] else",
        ("tests/mcq/test_head_layouts.py::test_spans_follow_the_text_where_the_common_prefix_runs_into_the_options",),
    ),
    Mutation(
        "collate: token_type_ids off by one",
        "src/llmtuner/mcq/collate.py",
        "rows.position_ids_BT >= torch.tensor(starts)",
        "rows.position_ids_BT > torch.tensor(starts)",
        ("tests/mcq/test_encoders.py",),
    ),
    Mutation(
        "collate: joint positions count padding",
        "src/llmtuner/mcq/collate.py",
        "(mask_BT.cumsum(-1) - 1).clamp(min=0)",
        "torch.arange(mask_BT.shape[1]).expand_as(mask_BT)",
        ("tests/mcq/test_questions.py",),
    ),
    Mutation(
        "encoders: RoBERTa's positions off by one",
        "src/llmtuner/mcq/model.py",
        "known -= (config.pad_token_id or 0) + 1",
        "known -= config.pad_token_id or 0",
        ("tests/mcq/test_encoders.py",),
    ),
    Mutation(
        "encoders: the pooler is trained",
        "patches/mcq_stage/encoder.py",
        "            parameter.requires_grad_(False)\n",
        "            parameter.requires_grad_(True)\n",
        ("tests/patches/test_encoder.py",),
    ),
    Mutation(
        "check: the bound of packed rows 25 times wider",
        "src/llmtuner/mcq/check.py",
        "TOLERANCE = 1e-4",
        "TOLERANCE = 25e-4",
        ("tests/mcq/test_check.py",),
    ),
    Mutation(
        "duma: the passage's residual removed",
        "src/llmtuner/mcq/heads/duma.py",
        "passage.states + of_passage",
        "of_passage",
        ("tests/mcq/heads/test_formulas.py",),
    ),
    Mutation(
        "duma: one direction's weights for both",
        "src/llmtuner/mcq/heads/duma.py",
        "place + self._directions - 1",
        "place",
        ("tests/mcq/heads/test_formulas.py",),
    ),
    Mutation(
        "cduma: the gate turned round",
        "src/llmtuner/mcq/heads/cduma.py",
        "gate * answer.states + (1 - gate) * compared",
        "(1 - gate) * answer.states + gate * compared",
        ("tests/mcq/heads/test_formulas.py",),
    ),
    Mutation(
        "cduma: an option compared with itself, too",
        "src/llmtuner/mcq/heads/attention.py",
        "option_S[:, None] != option_S[None, :]",
        "option_S[:, None] >= 0 * option_S[None, :]",
        ("tests/mcq/heads/test_formulas.py",),
    ),
    Mutation(
        "heads: a mean over padding",
        "src/llmtuner/mcq/heads/base.py",
        "mask_QMS.sum(-1, keepdim=True).clamp(min=1)",
        "mask_QMS.shape[-1]",
        ("tests/mcq/heads/test_formulas.py",),
    ),
    Mutation(
        "option_mean: the mean counts the option itself",
        "src/llmtuner/mcq/heads/option_mean.py",
        "(mask_QN.sum(-1) - 1).clamp(min=1)",
        "mask_QN.sum(-1)",
        ("tests/mcq/heads/test_formulas.py",),
    ),
    Mutation(
        "linear: scores rounded to half precision",
        "src/llmtuner/mcq/heads/base.py",
        "functional.linear(states.float(), layer.weight.float(), bias)",
        "functional.linear(states.float(), layer.weight.float(), bias).bfloat16()",
        ("tests/mcq/heads/test_heads.py",),
    ),
    Mutation(
        "letter: the head computes in half precision",
        "src/llmtuner/mcq/letter.py",
        "weight_LD = weight[rows_L].float()",
        "weight_LD = weight[rows_L]",
        ("tests/mcq/test_letter.py",),
    ),
    Mutation(
        "cross_entropy: smoothing over padding",
        "src/llmtuner/mcq/losses/cross_entropy.py",
        "(log_p_QN * mask_QN).sum(-1) / mask_QN.sum(-1)",
        "log_p_QN.mean(-1)",
        ("tests/mcq/losses/test_cross_entropy.py",),
    ),
    Mutation(
        "binary: a sum in place of a mean",
        "src/llmtuner/mcq/losses/binary.py",
        ".sum(-1) / mask_QN.sum(-1)",
        ".sum(-1)",
        ("tests/mcq/losses/test_losses.py",),
    ),
    Mutation(
        "ranknet: a mean over all options",
        "src/llmtuner/mcq/losses/ranknet.py",
        "/ wrong_QN.sum(-1)",
        "/ (wrong_QN.sum(-1) + 1)",
        ("tests/mcq/losses/test_losses.py",),
    ),
    Mutation(
        "lambda_map3: a tie counts as won",
        "src/llmtuner/mcq/losses/lambda_map3.py",
        "((deficits_QN >= 0) & wrong_QN)",
        "((deficits_QN > 0) & wrong_QN)",
        ("tests/mcq/losses/test_losses.py",),
    ),
    Mutation(
        "approx_map3: the cut at place 3",
        "src/llmtuner/mcq/losses/approx_map3.py",
        "(K + 0.5 - rank_Q)",
        "(K - rank_Q)",
        ("tests/mcq/losses/test_losses.py",),
    ),
    Mutation(
        "expected_map3: the third place earns a half",
        "src/llmtuner/mcq/losses/expected_map3.py",
        "new_tensor(3.0)",
        "new_tensor(2.0) + 0",
        ("tests/mcq/losses/test_losses.py",),
    ),
    Mutation(
        "log_expected_map3: half of it",
        "src/llmtuner/mcq/losses/log_expected_map3.py",
        "return -log_expected(",
        "return -0.5 * log_expected(",
        ("tests/mcq/losses/test_losses.py",),
    ),
    Mutation(
        "poly1: its term turned round",
        "src/llmtuner/mcq/losses/poly1.py",
        "EPSILON * (1 - p_answer_Q)",
        "EPSILON * p_answer_Q",
        ("tests/mcq/losses/test_losses.py",),
    ),
    Mutation(
        "topk_ce: weights in another order",
        "src/llmtuner/mcq/losses/topk_ce.py",
        "PLACES = (1 / 2, 1 / 6, 1 / 3)",
        "PLACES = (1 / 3, 1 / 6, 1 / 2)",
        ("tests/mcq/losses/test_losses.py",),
    ),
    Mutation(
        "rdrop: not halved",
        "src/llmtuner/mcq/losses/rdrop.py",
        ".sum(-1) / 2",
        ".sum(-1)",
        ("tests/mcq/losses/test_losses.py",),
    ),
    Mutation(
        "mixture: weights ignored",
        "src/llmtuner/mcq/losses/mixture.py",
        "weight * loss(",
        "loss(",
        ("tests/mcq/losses/test_losses.py",),
    ),
    Mutation(
        "objective: a warm-up at the end",
        "src/llmtuner/mcq/objective.py",
        "progress < self.warmup_ratio",
        "progress >= self.warmup_ratio",
        ("tests/mcq/test_objective.py",),
    ),
    Mutation(
        "objective: smoothing left in an evaluation",
        "src/llmtuner/mcq/objective.py",
        "return LossMixture(parse_loss(self.loss))(",
        "return LossMixture(parse_loss(self.loss), self.label_smoothing)(",
        (
            "tests/mcq/test_objective.py",
            "tests/mcq/test_trainer.py",
        ),
    ),
    Mutation(
        "metrics: a tie counts as won",
        "src/llmtuner/metrics.py",
        "range(rank.above + 1, rank.above + rank.tied + 1)",
        "[rank.above + 1] * rank.tied",
        ("tests/test_metrics.py",),
    ),
    Mutation(
        "metrics: MAP@3 counts two places",
        "src/llmtuner/metrics.py",
        "if place <= k)",
        "if place < k)",
        ("tests/test_metrics.py",),
    ),
    Mutation(
        "metrics: gaps of the bins cancel in ECE",
        "src/llmtuner/metrics.py",
        "np.abs(gaps).sum()",
        "np.abs(gaps.sum())",
        ("tests/test_metrics_oracles.py",),
    ),
    Mutation(
        "metrics: seeds not drawn for an interval",
        "src/llmtuner/metrics.py",
        "if seeds > 1 else [0]",
        "if seeds > 99 else [0]",
        (
            "tests/test_metrics.py",
            "tests/mcq/test_evidence.py::test_seeds_that_scatter_show_no_difference",
        ),
    ),
    Mutation(
        "floors: the shortest option",
        "src/llmtuner/mcq/predict.py",
        "[[len(option) for option in question.options]",
        "[[-len(option) for option in question.options]",
        ("tests/mcq/test_predict.py",),
    ),
    Mutation(
        "batches: no sort by length within a step",
        "src/llmtuner/mcq/batches.py",
        'step = step[np.argsort([self.shapes[row][1] for row in step], kind="stable")]',
        "step = step[:]",
        ("tests/mcq/test_batches.py",),
    ),
    Mutation(
        "batches: every epoch in the same order",
        "src/llmtuner/mcq/batches.py",
        "default_rng([self.seed, self.epoch])",
        "default_rng([self.seed])",
        ("tests/mcq/test_batches.py",),
    ),
    Mutation(
        "batches: a filler counts",
        "src/llmtuner/mcq/batches.py",
        "counted=False, epoch=self.epoch",
        "epoch=self.epoch",
        ("tests/mcq/test_batches.py",),
    ),
    Mutation(
        "batches: a budget of tokens exceeded",
        "src/llmtuner/mcq/batches.py",
        "max(1, budget // largest)",
        "max(1, budget // largest + 1)",
        ("tests/mcq/test_batches.py",),
    ),
    Mutation(
        "scoring: a batch of one question more",
        "src/llmtuner/mcq/batches.py",
        "else len(batch) == batch_size",
        "else len(batch) > batch_size",
        ("tests/mcq/test_batches.py",),
    ),
    Mutation(
        "resume: the epoch before is dealt again",
        "src/llmtuner/mcq/deal.py",
        "int((state.epoch or 0) + 1e-6)",
        "int(state.epoch or 0)",
        ("tests/mcq/test_deal.py",),
    ),
    Mutation(
        "trainer: gradients shrink with the processes",
        "src/llmtuner/mcq/trainer.py",
        "self.args.world_size if num_items_in_batch is not None else 1",
        "1",
        ("tests/mcq/test_trainer.py",),
    ),
    Mutation(
        "trainer: a mean of the batches' means",
        "src/llmtuner/mcq/trainer.py",
        "num_items_in_batch if num_items_in_batch is not None else counts_Q.sum().clamp(min=1)",
        "counts_Q.sum().clamp(min=1)",
        ("tests/mcq/test_trainer.py",),
    ),
    Mutation(
        "trainer: a filler is learnt",
        "src/llmtuner/mcq/trainer.py",
        "losses_Q.where(counts_Q, 0.0).sum()",
        "losses_Q.sum()",
        ("tests/mcq/test_trainer.py",),
    ),
    Mutation(
        "trainer: time left of the whole training",
        "src/llmtuner/mcq/trainer.py",
        "seconds / done * (steps - step)",
        "seconds / done * steps",
        ("tests/mcq/test_trainer.py",),
    ),
    Mutation(
        "trainer: time left by the steps of the run before",
        "src/llmtuner/mcq/trainer.py",
        "max(step - (self._first_step or 0), 1)",
        "max(step, 1)",
        ("tests/mcq/test_trainer.py",),
    ),
    Mutation(
        "dropout: layerdrop set, too",
        "src/llmtuner/mcq/dropout.py",
        ' and "layer" not in name',
        "",
        ("tests/mcq/test_dropout.py",),
    ),
    Mutation(
        "dropout: adapters lose theirs",
        "src/llmtuner/mcq/dropout.py",
        ' or "lora_" in name',
        "",
        ("tests/mcq/test_dropout.py",),
    ),
    Mutation(
        "guard: one non-finite gradient goes through",
        "src/llmtuner/mcq/finite.py",
        "FP16_PATIENCE if args.fp16 else 1",
        "FP16_PATIENCE if args.fp16 else 2",
        ("tests/mcq/test_finite.py",),
    ),
    Mutation(
        "settings: a contradiction passed over",
        "src/llmtuner/mcq/settings.py",
        'value not in (kept, "auto")',
        'value not in (kept, value, "auto")',
        ("tests/mcq/test_settings.py",),
    ),
    Mutation(
        "settings: a layout that a head does not take",
        "src/llmtuner/mcq/settings.py",
        "if layout not in HEAD_LAYOUTS[head]:",
        "if layout not in LAYOUT_NAMES:",
        ("tests/mcq/test_settings.py",),
    ),
    Mutation(
        "checkpoint: another base model accepted",
        "src/llmtuner/mcq/checkpoint.py",
        "found.get(name) != wanted",
        "found.get(name) is None",
        ("tests/mcq/test_model.py",),
    ),
    Mutation(
        "command line: a finished run trained again",
        "src/llmtuner/cli/earlier_run.py",
        "if _is_finished(last, flags):",
        "if False:",
        ("tests/cli/test_earlier_run.py",),
    ),
    Mutation(
        "command line: checkpoints by name",
        "src/llmtuner/cli/earlier_run.py",
        "key=lambda checkpoint: checkpoint.step)",
        "key=lambda checkpoint: checkpoint.folder.name)",
        ("tests/cli/test_earlier_run.py",),
    ),
)


if __name__ == "__main__":
    sys.exit(main())
