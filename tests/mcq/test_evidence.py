"""The comparison of heads and losses: its splits, its cache and its statistics."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import heads_and_losses
import numpy as np
import pytest
import torch
from evidence import report, states, tables, whole
from evidence.cells import BASELINE, Cell, Result, claim, load_all, save, warmup
from evidence.exams import EXAMS, Exam
from evidence.frozen import BATCH, MOST_RATES, RATES, FrozenExam, _epoch_batches, further_rates
from evidence.states import cache_states
from matplotlib.figure import Figure
from models import build
from safetensors.torch import load_file

from llmtuner.data.load import read_questions
from llmtuner.data.predictions import Prediction, write_predictions
from llmtuner.data.question import Question
from llmtuner.data.split import question_key
from llmtuner.data.tokens.pair import PairEncoder
from llmtuner.mcq.choices import resolve
from llmtuner.mcq.collate import Collator
from llmtuner.mcq.heads import HEADS
from llmtuner.mcq.model import attach_head
from llmtuner.mcq.questions import Example
from llmtuner.mcq.settings import write_settings
from llmtuner.spec.losses import LOSSES as DECLARED


class Words:
    """A tokenizer of letters, with BERT's special tokens."""

    def __call__(self, text, second=None, **_):
        if isinstance(text, list):
            return {"input_ids": [self._ids(one) for one in text]}
        ids = [1, *self._ids(text), 2, *self._ids(second), 2]
        special = [1, *[0] * len(text), 1, *[0] * len(second), 1]
        return {"input_ids": ids, "special_tokens_mask": special}

    def _ids(self, text):
        return [3 + ord(letter) % 190 for letter in text]


def exam(count: int = 24) -> Exam:
    """Questions whose answer is the option that stands in the question."""
    draw = np.random.default_rng(0)
    questions = []
    for row in range(count):
        options = ["".join(draw.choice(list("abcdefgh"), 3)) for _ in range(int(draw.integers(2, 5)))]
        answer = int(draw.integers(len(options)))
        questions.append(Question(str(row), options[answer], tuple(options), answer, context="read this"))
    return Exam("toy", questions[:16], frozenset({0, 5}), questions[16:], [False] * (count - 17) + [True])


@pytest.fixture(scope="module")
def frozen(tmp_path_factory) -> FrozenExam:
    toy, model = exam(), build("bert", causal=False)
    folder = tmp_path_factory.mktemp("states")
    parts = [
        cache_states(model, Words(), questions, folder / part, 64)
        for part, questions in (("train", toy.train), ("test", toy.test))
    ]
    return FrozenExam(toy, *parts, model.config.to_dict())


def test_processes_that_cache_the_same_states_do_not_meet(tmp_path, monkeypatch):
    """One process renamed the half-written file of the other."""
    model, tokenizer = build("bert", causal=False), Words()
    questions, saved = exam().test, np.save

    def save(path, array):
        saved(path, array)
        if not list((tmp_path / "states").glob("000000.npy")):
            with monkeypatch.context() as patched:
                patched.setattr(states.np, "save", saved)
                cache_states(model, tokenizer, questions, tmp_path / "states", 64)

    monkeypatch.setattr(states.np, "save", save)
    actual = cache_states(model, tokenizer, questions, tmp_path / "states", 64)
    monkeypatch.undo()
    again = cache_states(model, tokenizer, questions, tmp_path / "alone", 64)
    assert torch.equal(actual.states_TD, again.states_TD)


@pytest.mark.parametrize("head", ["linear", "cduma"])
def test_cached_states_score_as_the_model_itself(head, frozen):
    """Only half precision may differ from the engine's own forward pass."""
    model = build("bert", causal=False)
    settings = resolve("encoder", {"mcq_head": head}, model.config.to_dict())
    attach_head(model, settings)
    tokens = PairEncoder(Words(), None, 64).encode(list(frozen.exam.test))
    batch = Collator.of(settings, 0)([Example(one, 0, row) for row, one in enumerate(tokens)])
    expected = model(**{name: value for name, value in batch.items() if name not in ("labels", "rows")})
    inputs = frozen.inputs(frozen.test, range(len(tokens)), reads_tokens=head != "linear")
    with torch.no_grad():
        actual = model.mcq_head(*inputs)
    assert torch.equal(inputs[1], expected.mask)
    torch.testing.assert_close(actual[expected.mask], expected.scores[expected.mask], atol=5e-3, rtol=1e-2)


@pytest.mark.parametrize("head", HEADS)
def test_a_batch_may_have_fewer_options_than_its_exam(head, frozen):
    """Features padded to the exam's number of options did not match the spans of a batch of two-option questions."""
    counts = [len(question.options) for question in frozen.exam.train]
    fewest = [row for row, count in enumerate(counts) if count == min(counts)]
    assert max(counts) > min(counts)
    made, reads = frozen._make(Cell("frozen", "toy", head, "cross_entropy", 0)), HEADS[head].reads_tokens
    scores = {}
    for rows in (fewest, list(range(len(counts)))):
        inputs = frozen.inputs(frozen.train, rows, reads_tokens=reads)
        actual = made.eval()(*inputs)
        assert actual.shape == inputs[1].shape
        scores[len(rows)] = {row: actual[place, : counts[row]] for place, row in enumerate(rows)}
    for row in fewest:
        torch.testing.assert_close(scores[len(fewest)][row], scores[len(counts)][row])


def test_an_epoch_has_every_question_once_in_batches_of_like_length():
    lengths = np.random.default_rng(1).integers(5, 200, 1100)
    drawn = [_epoch_batches(range(100, 1100), lengths.tolist(), np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    for batches in drawn:
        assert sorted(row for batch in batches for row in batch) == list(range(100, 1100))
        assert len(batches) == -(-1000 // BATCH)
        padded = sum(len(batch) * lengths[batch].max() for batch in batches)
        assert padded < 1.15 * lengths[100:].sum()


@pytest.mark.parametrize(
    ("head", "loss"), [("linear", "cross_entropy"), ("duma", "cross_entropy:0.5+expected_map3:0.5")]
)
def test_a_cell_is_the_same_each_time_and_its_files_come_back(head, loss, frozen, tmp_path):
    cell = Cell("frozen", "toy", head, loss, 1)
    actual = frozen.run(cell)
    again = frozen.run(cell)
    assert actual.scores == again.scores
    assert [len(row) for row in actual.scores] == [len(question.options) for question in frozen.exam.test]
    save(actual, cell, tmp_path)
    assert load_all(tmp_path) == {cell: actual}


def test_what_is_tuned_by_is_not_trained_on(frozen):
    cell = Cell("frozen", "toy", *BASELINE, 0)
    wrong = [
        replace(q, answer=(q.answer + 1) % len(q.options)) if row == min(frozen.exam.tune) else q
        for row, q in enumerate(frozen.exam.train)
    ]
    wrongly_tuned = replace(frozen, exam=replace(frozen.exam, train=wrong), _cache={})
    actual, changed = frozen.run(cell, 0.1), wrongly_tuned.run(cell, 0.1)
    assert actual.scores == changed.scores
    assert actual.more["tuned_map@3"] != changed.more["tuned_map@3"]
    chosen = frozen.run(cell).more
    assert chosen["tuned_map@3"] == max(chosen["tried"].values()) == chosen["tried"][str(chosen["learning_rate"])]


def test_rows_and_intervals_are_of_paired_differences():
    toy = exam()
    right = [[1.0 if option == q.answer else 0.0 for option in range(len(q.options))] for q in toy.test]
    wrong = [[-value for value in row] for row in right]
    noise = np.random.default_rng(1)
    actual = {
        Cell("frozen", "toy", *BASELINE, seed): Result([[v + noise.normal() for v in row] for row in right], 1.0, 33)
        for seed in range(3)
    }
    actual |= {Cell("frozen", "toy", "duma", "binary", seed): Result(right, 2.0, 99) for seed in range(3)}
    actual |= {Cell("frozen", "toy", "cduma", "binary", 7): Result(wrong, 2.0, 99)}
    every = report.summarise(actual, {"toy": toy})
    assert {row["exam"] for row in every} == {"toy", "toy, unseen texts"}
    rows = {(row["head"], row["loss"]): row for row in every if row["exam"] == "toy"}
    better = rows["duma", "binary"]
    assert better["map@3"] == 1.0
    assert better["spread"] == 0.0
    assert better["map@3_by_seed"] == {0: 1.0, 1: 1.0, 2: 1.0}
    assert better["difference"] == pytest.approx(1.0 - rows[BASELINE]["map@3"])
    low, high = better["interval"]
    assert 0 <= low < better["difference"] < high
    assert "difference" not in rows["cduma", "binary"], "no seed in common with the baseline"
    text = tables.markdown(list(rows.values()), report.baselines_of({"toy": toy}))
    glance, figures = text.split("<details>")
    assert "| loss | linear | duma | cduma |" in glance
    assert f"| cross_entropy | STEP2, {rows[BASELINE]['map@3']:.4f} |  |  |" in glance
    assert f"| binary |  | {better['difference']:+.4f} [{low:+.4f}, {high:+.4f}] |  |" in glance
    assert f"| duma + binary | 3 | 1.0000 | 0.0000 | {better['difference']:+.4f} [" in figures
    assert "| *longest option* | |" in figures


def test_times_of_another_machine_are_not_mixed_in():
    toy = exam()
    scores = [[0.0] * len(q.options) for q in toy.test]
    actual = {
        Cell("encoder", "toy", *BASELINE, seed): Result(scores, time, 33, machine=machine)
        for seed, (time, machine) in enumerate([(10.0, "card"), (12.0, "card"), (700.0, "no card")])
    }
    actual[Cell("encoder", "toy", "duma", "binary", 0)] = Result(scores, 800.0, 99, machine="no card")
    actual |= {Cell("frozen", "toy", *BASELINE, seed): Result(scores, 1.0, 33, machine="no card") for seed in range(5)}
    of_encoder = [row for row in report.summarise(actual, {"toy": toy}) if row["stage"] == "encoder"]
    rows = {row["head"]: row for row in of_encoder if row["exam"] == "toy"}
    assert rows["linear"]["seconds"] == 11.0, "where another stage ran is nothing to this one"
    assert rows["duma"]["seconds"] is None
    assert "| 99 |  |" in tables.markdown(list(rows.values()), report.baselines_of({"toy": toy}))


@pytest.mark.parametrize(
    ("tuned", "wanted"),
    [
        ({0.1: 0.5, 0.3: 0.6}, [1.0]),
        ({0.1: 0.5, 0.3: 0.6, 1.0: 0.6}, []),
        ({0.003: 0.5, 0.01: 0.6}, [0.03]),
        ({3e-4: 0.6, 1e-3: 0.5}, [1e-4]),
        ({1e-4: 0.6, 3e-4: 0.5}, [3e-5]),
        ({10.0**-n: float(n) for n in range(MOST_RATES)}, []),
    ],
)
def test_a_best_rate_at_the_end_of_those_tried_is_not_the_last_word(tuned, wanted):
    """STEP2's linear head was best at the largest rate tried, so everything compared with it looked better."""
    assert further_rates(tuned) == wanted


def test_every_head_has_learning_rates_to_choose_from():
    assert RATES.keys() == HEADS.keys()


def test_the_plot_shows_every_difference(tmp_path, monkeypatch):
    """A row drawn in the wrong panel, colour or place, or outside the picture, still gives a file."""
    drawn, save_figure = [], Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda figure, *args, **more: (drawn.append(figure), save_figure(figure, *args, **more))
    )
    row = {"stage": "frozen", "exam": "toy", "head": "duma", "loss": "binary"}
    rows = [
        {**row, "difference": 0.1, "interval": (0.0, 0.2)},
        {**row, "head": "cduma", "difference": -0.1, "interval": (-0.3, 0.05)},
        {**row, "loss": "poly1", "difference": 0.3, "interval": (0.25, 0.35)},
        {**row, "stage": "encoder", "difference": 0.4, "interval": (0.1, 0.7)},
    ]
    unseen = {**row, "exam": "toy, unseen texts", "difference": 9.0, "interval": (8, 10)}
    report.plot([*rows, unseen], tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_text().startswith("<?xml")
    [figure] = drawn
    actual = set()
    for axis in figure.axes:
        losses = [label.get_text() for label in axis.get_yticklabels()]
        low, high = axis.get_xlim()
        lines = [line for line in axis.get_lines() if line.get_color() in report.COLOURS.values()]
        for interval, point in zip(lines[::2], lines[1::2], strict=True):
            (difference,), (place,) = point.get_xdata(), point.get_ydata()
            assert list(interval.get_ydata()) == [place, place]
            assert low < min(interval.get_xdata()) <= difference <= max(interval.get_xdata()) < high
            ends = tuple(map(float, interval.get_xdata()))
            title = axis.get_title(loc="left")
            actual.add((title, point.get_color(), losses[round(place)], float(difference), ends))
    assert actual == {
        (f"{r['stage']}, {r['exam']}", report.COLOURS[r["head"]], r["loss"], r["difference"], r["interval"])
        for r in rows
    }


def test_no_row_no_picture(tmp_path):
    report.plot([], tmp_path / "plot.svg")
    assert not (tmp_path / "plot.svg").exists()


def test_whole_models_get_the_same_questions_contexts_included(tmp_path):
    """A form without a context column silently lost the context."""
    toy = exam()
    whole.write_exam(toy, tmp_path)
    actual = read_questions(tmp_path / "whole" / "toy" / "test.parquet", purpose="train").questions
    assert [(q.question, q.context, q.options, q.answer) for q in actual] == [
        (q.question, q.context, q.options, q.answer) for q in toy.test
    ]


def test_a_trained_model_starts_again_without_its_head(tmp_path):
    model = attach_head(build("llama"), resolve("causal"))
    model.save_pretrained(tmp_path / "step2")
    write_settings(resolve("causal"), tmp_path / "step2")
    bare = whole.without_head(tmp_path / "step2", tmp_path)
    assert not (bare / "mcq_config.json").exists()
    weights, backbone = load_file(tmp_path / "step2" / "model.safetensors"), load_file(bare / "model.safetensors")
    assert weights.keys() - backbone.keys() == {"mcq_head.mcq_score.weight", "mcq_head.mcq_score.bias"}
    assert whole.without_head(bare, tmp_path) == bare


def test_trainings_side_by_side_keep_logs_of_their_own(tmp_path, monkeypatch):
    """With a mixture's weights in the names, seeds and stages shared a name, and a head got the size of another."""
    toy, logs = exam(), []

    def run(flags, log, threads):
        logs.append(log)
        out = Path(flags[flags.index("--output_dir") + 1])
        out.mkdir(parents=True)
        (out / "train_results.json").write_text('{"train_runtime": 1.0}')
        write_predictions([Prediction("0", (1.0, 2.0))], out)
        return "INFO: head: duma, 1,234 parameters, fresh"

    monkeypatch.setattr(whole, "train_bash", run)
    mixture = "cross_entropy:0.5+expected_map3:0.5"
    for stage in ("encoder", "causal"):
        for seed in range(2):
            actual = whole.run(Cell(stage, "toy", "duma", mixture, seed), toy, "model", tmp_path, 1)
            assert (actual.parameters, actual.scores) == (1234, [[1.0, 2.0]])
    assert len(set(logs)) == len(logs) == 8


def run_comparison(monkeypatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["heads_and_losses.py", *words])
    heads_and_losses.main()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--combinations", "duma"], "--combinations duma: loss : a name is missing"),
        (["--combinations", "dumma/poly1"], "HEAD one of linear, option_mean, duma, cduma"),
        (["--combinations", "duma/poly"], "loss poly"),
        (["--encoder", "nowhere"], "--encoder nowhere: no such folder"),
        ([], "needs --encoder"),
        (["--report"], "--data nowhere"),
    ],
)
def test_a_comparison_of_hours_checks_its_arguments_first(words, message, monkeypatch, capsys):
    """A misspelt head was found only after all other trainings."""
    with pytest.raises(SystemExit) as stopped:
        run_comparison(
            monkeypatch,
            "--data",
            "nowhere",
            *(["--stages", "whole"] if words[:1] == ["--combinations"] else []),
            *words,
        )
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_no_results_replace_no_results(monkeypatch, tmp_path):
    """A report on a mistyped folder replaced the results of four core-hours by an empty file."""
    earlier = tmp_path / "earlier.json"
    earlier.write_text("results")
    monkeypatch.setattr(heads_and_losses, "EXAMS", {"toy": lambda folder: exam()})
    with pytest.raises(SystemExit, match="no results in"):
        run_comparison(
            monkeypatch,
            *("--data", str(tmp_path), "--report", "--work", str(tmp_path / "work"), "--out", str(earlier)),
        )
    assert earlier.read_text() == "results"


def test_each_head_has_its_learning_rate_unless_another_one_is_passed_on(tmp_path, monkeypatch):
    """All heads had the rate of the linear head, ten times what co-attention tolerates."""
    toy, rates = exam(), []

    def run(flags, log, threads):
        place = [n for n, flag in enumerate(flags) if flag == "--head_learning_rate"]
        if "--do_train" in flags:
            rates.append(flags[place[-1] + 1])
        out = Path(flags[flags.index("--output_dir") + 1])
        out.mkdir(parents=True)
        (out / "train_results.json").write_text('{"train_runtime": 1.0}')
        write_predictions([Prediction("0", (1.0, 2.0))], out)
        return "".join(f"INFO: head: {head}, 1,234 parameters, fresh\n" for head in HEADS)

    monkeypatch.setattr(whole, "train_bash", run)
    assert whole.HEAD_RATES.keys() == HEADS.keys()
    for stage in whole.STAGES:
        for head in ("linear", "cduma"):
            whole.run(Cell(stage, "toy", head, "binary", 0), toy, "model", tmp_path, 1)
    whole.run(Cell("llm", "toy", "duma", "binary", 0), toy, "model", tmp_path, 1, ["--head_learning_rate", "0.5"])
    assert rates == ["0.001", "0.0001"] * len(whole.STAGES) + ["0.5"]


def test_whole_models_are_trained_seed_by_seed_with_step2_first():
    """A comparison that is stopped early has equally many runs of every combination and of the baseline."""
    chosen = [("duma", "poly1"), BASELINE]
    cells = list(heads_and_losses.whole_cells(chosen, {"encoder": ("kaggle",), "causal": ("scienceqa",)}, 2))
    places = [("encoder", "kaggle"), ("causal", "scienceqa")]
    pairs = [(seed, place, pair) for seed in range(2) for place in places for pair in (BASELINE, ("duma", "poly1"))]
    assert [(cell.seed, (cell.stage, cell.exam), (cell.head, cell.loss)) for cell in cells] == pairs


def test_results_of_other_models_are_not_mixed(tmp_path):
    claim(tmp_path, {"encoder": "a"})
    claim(tmp_path, {"encoder": "a", "causal": "b"})
    with pytest.raises(SystemExit, match="for encoder a, not for c"):
        claim(tmp_path, {"encoder": "c"})


def test_only_bounded_losses_begin_with_cross_entropy():
    warmed = {loss for loss in (*DECLARED, "cross_entropy:0.5+expected_map3:0.5") if warmup(loss)}
    assert warmed == {"approx_map3", "expected_map3", "cross_entropy:0.5+expected_map3:0.5"}
    assert warmup("expected_map3:0.5+cross_entropy:0.5")
    assert not warmup("cross_entropy:0.5+log_expected_map3:0.5")


def test_seeds_that_scatter_show_no_difference():
    """Resampling only questions, two equal trainings differed "significantly" in half of all comparisons."""
    toy = exam(60)
    right = [[1.0 if option == q.answer else 0.0 for option in range(len(q.options))] for q in toy.test]
    wrong = [[-value for value in row] for row in right]
    actual = {Cell("frozen", "toy", *BASELINE, seed): Result(right if seed else wrong, 1.0, 33) for seed in range(2)}
    actual |= {
        Cell("frozen", "toy", "duma", "binary", seed): Result(wrong if seed else right, 2.0, 99) for seed in range(2)
    }
    actual[Cell("frozen", "toy", "duma", "binary", 2)] = Result(right, 2.0, 99)
    actual[Cell("frozen", "toy", *BASELINE, 2)] = Result(wrong, 1.0, 33)
    rows = {
        (row["exam"], row["head"]): row for row in report.summarise(actual, {"toy": toy}) if row["loss"] == "binary"
    }
    row = rows["toy", "duma"]
    low, high = row["interval"]
    assert row["difference"] > 0.1
    assert low < 0 < high
    assert row["difference_spread"] > 0.5


@pytest.mark.real_data
def test_the_splits_of_the_real_exams(real_data):
    for name, make in EXAMS.items():
        actual = make(real_data)
        assert len(actual.test) >= 1500
        train = {question_key(q.question) for q in actual.train}
        if name == "kaggle":
            assert len(actual.train) == 4900
            assert not train & {question_key(q.question) for q in actual.test[:1100]}
        tuned = {question_key(actual.train[row].question) for row in actual.tune}
        trained_on = {question_key(q.question) for row, q in enumerate(actual.train) if row not in actual.tune}
        assert not tuned & trained_on
        assert len(actual.tune) >= 1000
        trained = {"kaggle": range(3800, 3901), "scienceqa": [2000]}
        assert len(actual.train) - len(actual.tune) in trained[name]
    assert sum(EXAMS["scienceqa"](real_data).seen) > 286, "rows of the 286 texts that are in the train file"


def test_a_stored_cell_names_its_combination(tmp_path):
    cell = Cell("encoder", "kaggle", "duma", "cross_entropy:0.5+binary", 0)
    save(Result([[1.0, 2.0]], 1.0, 5), cell, tmp_path)
    stored = json.loads(next(tmp_path.glob("*/*/*.json")).read_text())
    assert (stored["head"], stored["loss"]) == ("duma", "cross_entropy:0.5+binary")
    assert cell.name == "duma + cross_entropy:0.5+binary"
