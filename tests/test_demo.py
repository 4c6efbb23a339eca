"""What the demo runs, what it deletes, and what it says at its end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT, load_script

from llmtuner.cli.flags import Flags
from llmtuner.cli.preflight import preflight
from llmtuner.cli.words import Words

sys.path.insert(0, str(ROOT / "scripts"))

from demo_parts import closing as closing_module
from demo_parts.process import carry_out
from demo_parts.runs import EXAM, GIVEN, INDEX, Run, encoder_runs, language_runs, random_llama, with_lora


@pytest.fixture
def demo():
    return load_script("demo")


def test_the_demo_deletes_only_what_it_made(demo, tmp_path):
    """It ran `rm -rf "$DEMO_DIR"`, whatever the folder held."""
    demo.prepare(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "my_checkpoint").mkdir()
    for name in demo.made_names(tmp_path):
        path = tmp_path / name
        path.write_text("an earlier demo") if path.suffix else (path / "checkpoint-1").mkdir(parents=True)
    demo.prepare(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {demo.MARK, "notes.txt", "my_checkpoint", "closed_train.jsonl", "closed_test.jsonl"}
    assert "an earlier demo" not in (tmp_path / "closed_test.jsonl").read_text()


def test_an_index_of_an_earlier_version_is_built_anew(demo, tmp_path):
    """After an update the demo ended with "is an index of other inputs"."""
    demo.prepare(tmp_path)
    (tmp_path / INDEX).mkdir()
    (tmp_path / INDEX / "manifest.json").write_text('{"version": "0.0.1"}')
    demo.prepare(tmp_path)
    assert not (tmp_path / INDEX).exists()


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_folder_that_the_demo_did_not_make_is_refused_and_stays(demo, tmp_path, kind, monkeypatch, capsys):
    folder = tmp_path / "home"
    if kind == "folder":
        (folder / "step1_predict").mkdir(parents=True)
        (folder / "step1_predict" / "thesis.txt").write_text("years")
    else:
        folder.write_text("years")
    monkeypatch.setenv("DEMO_DIR", str(folder))
    assert demo.main([]) == 2
    assert "not made by this demo" in capsys.readouterr().err
    assert (folder / "step1_predict" / "thesis.txt" if kind == "folder" else folder).read_text() == "years"


def test_a_link_in_the_folder_is_deleted_and_not_what_it_points_at(demo, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "thesis.txt").write_text("years")
    demo.prepare(tmp_path / "demo")
    (tmp_path / "demo" / "step1_predict").symlink_to(tmp_path / "real")
    demo.prepare(tmp_path / "demo")
    assert (tmp_path / "real" / "thesis.txt").read_text() == "years"
    assert not (tmp_path / "demo" / "step1_predict").exists()


def test_the_closed_book_questions_are_the_given_ones_without_their_facts(demo, tmp_path):
    demo.prepare(tmp_path)
    given = [json.loads(line) for line in (ROOT / "data" / "elementary" / "test.jsonl").open(encoding="utf-8")]
    closed = [json.loads(line) for line in (tmp_path / "closed_test.jsonl").open(encoding="utf-8")]
    assert closed == [row | {"context": ""} for row in given]
    assert all(row["context"] for row in given)


@pytest.mark.parametrize("kind", ["lora", "random"])
def test_every_command_of_the_demo_passes_the_checks_before_a_run(
    demo, tiny_llama, tiny_bert, tmp_path, kind, monkeypatch
):
    """A flag that was renamed ended the demo in its fourth minute."""
    demo.prepare(tmp_path)
    model = random_llama(str(tiny_llama)) if kind == "random" else with_lora("SmolLM2", str(tiny_llama), "llama2", ())
    for run in [*language_runs(model, tmp_path), *encoder_runs(str(tiny_bert), tmp_path)]:
        flags = Flags.of(Words.from_argv([*run.words, "--output_dir", str(tmp_path / run.name)]))
        if not any("_checkpoint" in word or "_index" in word for word in run.words):  # those folders do not exist yet
            assert preflight(flags).flags["output_dir"] == str(tmp_path / run.name)


def test_all_rows_of_the_table_score_the_same_questions(tmp_path):
    runs = [*language_runs(with_lora("SmolLM2", "M", "smollm2", ()), tmp_path), *encoder_runs("E", tmp_path)]
    sets = {run.words[run.words.index("--eval_dataset") + 1] for run in runs if run.row}
    assert sets == {GIVEN["test"], str(tmp_path / "closed_test.jsonl")}
    assert len({run.row for run in runs if run.row}) == len([run for run in runs if run.row]) == 9
    assert [run.name for run in runs if "--do_predict" in run.words and not run.row] == [EXAM]


def write_prediction(folder: Path, right: int, of: int, chance: float = 0.45) -> None:
    folder.mkdir()
    rows = [{"id": str(i), "answer": "A", "scores": {"A": float(i < right), "B": 0.5}} for i in range(of)]
    (folder / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    score = (right + (of - right) / 2) / of
    figures = {"predict_map@3": score, "predict_map@3_low": score - 0.05, "predict_map@3_high": score + 0.05}
    (folder / "predict_results.json").write_text(json.dumps(figures | {"floor_random_map@3": chance}))


@pytest.mark.parametrize(
    ("given", "closed", "step2", "expected"),
    [
        (38, 20, 40, ("is what helps most", "does not clearly change")),
        (20, 20, 38, ("does not clearly help", "raises the score")),
        (38, 20, 10, ("is what helps most", "lowers the score")),
    ],
)
def test_the_last_sentences_follow_from_the_figures(tmp_path, given, closed, step2, expected):
    """Sentences that were fixed would claim what another machine's run did not show."""
    counts = {"given": given, "searched": 25, "closed": closed, "step1": 22, "step2": step2, "step3": 30}
    for name, right in counts.items():
        write_prediction(tmp_path / f"{name}_predict", right, 40)
    write_prediction(tmp_path / EXAM, 0, 40, chance=0.458)
    model = with_lora("SmolLM2", "M", "smollm2", ())
    harder, _, seen, meaning, following = closing_module.closing(tmp_path, model)
    assert "MAP@3 0.500 [0.450, 0.550]; chance is 0.458, so it is not above chance." in harder
    assert seen.startswith("Seen: ")
    assert f"finds by {(25 - closed) / 80:+.3f} [" in seen
    assert f"STEP2 {(step2 + (40 - step2) / 2) / 40:.3f}" in seen
    assert all(part in meaning for part in expected)
    assert following.startswith("Next: ")
    assert "knows nothing" in closing_module.closing(tmp_path, random_llama("M"))[3]


def test_a_run_that_fails_ends_the_demo_with_the_end_of_its_log(tmp_path, capfd):
    with pytest.raises(SystemExit) as ended:
        carry_out([Run("bad", "a mistake", ("--stage", "mcq", "--no_such_flag", "1"))], tmp_path)
    assert ended.value.code == 1
    shown = capfd.readouterr()
    assert "no_such_flag" in shown.err
    assert "the whole log is" in shown.err
    assert "== a mistake" in shown.out
    assert (tmp_path / "bad.log").read_text().startswith("python src/train_bash.py --stage mcq --no_such_flag 1")


def test_what_was_printed_before_a_log_does_not_go_to_the_log(tmp_path):
    """With a pipe as its output, the demo's first line was found in a log."""
    code = (
        "import sys; from pathlib import Path; from demo_parts.process import log_of\n"
        "print('before')\nwith log_of(Path(sys.argv[1])):\n    print('inside')\nprint('after')"
    )
    paths = {"PYTHONPATH": f"{ROOT / 'scripts'}:{ROOT / 'src'}"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.log")],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, **paths},
    )
    assert done.stdout == "before\nafter\n"
    assert (tmp_path / "a.log").read_text() == "inside\n"
