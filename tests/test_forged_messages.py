"""Data that is written to look like this project's messages."""

from __future__ import annotations

import json

import pytest

from llmtuner.cli.main import main
from llmtuner.report.summary import print_scores
from llmtuner.runs.checkpoints import set_all_aside

ESCAPE = "\x1b[2J"
FORGED = f"1{ESCAPE}\nerror: forged"


def write(path, **first):
    rows = [{"id": str(n), "prompt": f"{n}?", "A": "a", "B": "b", "C": "c", "answer": "A"} for n in range(3)]
    rows[0] |= first
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.mark.parametrize("stage", ["sft", "mcq"])
def test_no_text_of_the_data_begins_a_line_or_reaches_the_terminal_as_an_escape(tiny_llama, tmp_path, capfd, stage):
    """Ids in messages, and in stage sft the example that upstream prints, could clear the screen or forge an error."""
    data = write(tmp_path / "data.jsonl", id=FORGED, prompt=f"Which? {FORGED} " + "word " * 60, A=f"x{FORGED}")
    command = ["--stage", stage, "--model_name_or_path", str(tiny_llama), "--template", "llama2", "--cutoff_len", "60"]
    command += ["--do_predict", "--eval_dataset", data, "--output_dir", str(tmp_path / "out")]
    command += ["--predict_with_generate", "--max_new_tokens", "1"] if stage == "sft" else ["--mcq_head", "letter"]
    assert main(command) == 0
    printed = "".join(capfd.readouterr())
    assert ESCAPE not in printed
    assert not [line for line in printed.splitlines() if line.startswith("error: forged")]
    assert "id 1\\x1b[2J\\nerror: forged" in printed, "the question is too long, and named"
    stored = json.loads((tmp_path / "out" / "predictions.jsonl").read_text().splitlines()[0])
    assert stored["id"] == FORGED, "files have the id as it is"


def test_an_error_that_names_such_an_id_is_one_line(tiny_llama, tmp_path, capsys):
    data = write(tmp_path / "data.jsonl", id=FORGED, prompt="word " * 200)
    command = ["--stage", "mcq", "--model_name_or_path", str(tiny_llama), "--template", "llama2", "--cutoff_len", "60"]
    command += ["--do_train", "--dataset", data, "--output_dir", str(tmp_path / "out")]
    assert main(command) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "forged" in line] == [
        line for line in lines if "id 1\\x1b[2J\\nerror: forged: " in line
    ]
    assert sum(line.startswith("error:") for line in lines) == 1


def test_a_folder_whose_name_has_control_characters_forges_no_line(tmp_path, capfd):
    (tmp_path / FORGED).mkdir()
    (tmp_path / FORGED / "run.json").write_text("{}")
    set_all_aside([tmp_path / FORGED / "run.json"])
    print_scores({}, str(tmp_path / FORGED))
    printed = "".join(capfd.readouterr())
    assert ESCAPE not in printed
    assert not [line for line in printed.splitlines() if line.startswith("error: forged")]
    assert printed.count("forged") == 2
