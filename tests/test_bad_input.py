"""Bad input through the whole program: one message with file and line, status 2, nothing written, no model loaded."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from llmtuner.cli.main import main

HEADER = "id,prompt,A,B,C,D,E,answer\n"
ROW = "1,Which?,a,b,c,d,e,B\n"


def parquet(**columns) -> bytes:
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


GOOD_PARQUET = parquet(prompt=["Which?"], A=["a"], B=["b"], answer=["A"])

# name, content of the file, what the message must say
TRAINING_ERRORS = [
    ("missing_column.csv", "id,A,B,C,D,E,answer\n1,a,b,c,d,e,B\n", ["missing_column.csv:1", "missing column 'prompt'"]),
    ("misspelt.csv", "id,prompt,A,B, Answer\n1,Which?,a,b,B\n", ["' Answer'", "did you mean 'answer'"]),
    ("twice.csv", "prompt,A,A,B,answer\nWhich?,a,a,b,B\n", ["column 'A' occurs twice"]),
    ("gap.csv", "prompt,A,B,D,answer\nWhich?,a,b,d,B\n", ["C is missing"]),
    ("outside.csv", HEADER + "1,Which?,a,b,c,d,e,F\n", ["outside.csv:2", "answer 'F' is not one of A-E"]),
    ("option_a.csv", HEADER + "1,Which?,a,b,c,d,e,Option A\n", ["'Option A'", "write only the letter: A"]),
    ("some_answers.csv", HEADER + ROW + "2,Which?,a,b,c,d,e,\n", ["some_answers.csv:3", "no answer"]),
    ("no_answers.csv", "prompt,A,B\nWhich?,a,b\n", ["missing column 'answer'"]),
    ("empty.csv", "", ["is empty (0 bytes)"]),
    ("header_only.csv", HEADER, ["no questions"]),
    ("empty_prompt.csv", HEADER + "1,,a,b,c,d,e,B\n", ["empty_prompt.csv:2", "no text"]),
    ("extra_field.csv", HEADER + ROW + "2,Which?,a,b,c,d,e,B,x\n", ["extra_field.csv:3", "9 fields, the header has 8"]),
    ("missing_field.csv", HEADER + ROW + "2,Which?,a,b,c,d,B\n", ["missing_field.csv:3", "7 fields"]),
    ("trailing_commas.csv", HEADER + "1,Which?,a,b,c,d,e,B,\n" * 3, ["every row has 9 fields", "comma at the end"]),
    ("open_quote.csv", HEADER + ROW + '2,"Which?,a,b,c,d,e,B\n3,W,a,b,c,d,e,B\n', ["open_quote.csv:3", "never closes"]),
    ("semicolons.csv", "prompt;A;B;answer\nWhich?;a;b;A\n", ["the separator seems to be ';'"]),
    ("utf16.csv", (HEADER + ROW).encode("utf-16"), ["UTF-16", "iconv"]),
    ("latin1.csv", HEADER.encode() + "1,Grüße?,a,b,c,d,e,B\n".encode("latin-1"), ["latin1.csv:2", "not UTF-8 at byte"]),
    ("page.csv", "<!DOCTYPE html><html><body>Sign in</body></html>", ["is a web page"]),
    ("pointer.csv", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", ["Git LFS pointer"]),
    ("zipped.csv", b"PK\x03\x04 and so on", ["zip archive"]),
    ("nul.csv", HEADER + "1,Which\0?,a,b,c,d,e,B\n", ["nul.csv:2", "NUL"]),
    ("formula.csv", HEADER + "=1+1,Which?,a,b,c,d,e,B\n", ["run as a formula"]),
    ("unknown.csv", "instruction,input,output\na,b,c\n", ["not a known multiple-choice form", "'instruction'"]),
    ("truncated.parquet", GOOD_PARQUET[: len(GOOD_PARQUET) // 2], ["truncated or damaged"]),
    ("types.parquet", parquet(prompt=[1], A=["a"], B=["b"], answer=["A"]), ["column prompt must be text"]),
    ("page.parquet", b"<html></html>", ["is a web page"]),
    ("broken.json", '[{"prompt": "Which?",}]', ["broken.json:1", "not JSON"]),
    ("object.json", '{"prompt": "Which?"}', ["expected an array of objects"]),
    (
        "broken.jsonl",
        '{"prompt": "W?", "A": "a", "B": "b", "answer": "A"}\n{"prompt": \n',
        ["broken.jsonl:2", "not JSON"],
    ),
    ("number.jsonl", '{"prompt": "W?", "A": 3.10, "B": "b", "answer": "A"}\n', ["number.jsonl:1", "put it in quotes"]),
    ("one_option.jsonl", '{"query": "W?", "choices": ["a"], "gold": 0}\n', ["1 option", "2 to 10"]),
    ("eleven.jsonl", json.dumps({"query": "W?", "choices": list("abcdefghijk"), "gold": 0}), ["11 options"]),
    ("gold.jsonl", '{"query": "W?", "choices": ["a", "b"], "gold": 2}\n', ["gold 2 is outside the 2 options"]),
    ("file.txt", "a,b", ["unknown file type '.txt'", ".csv"]),
]


def command(model, dataset, output_dir, *more: str) -> list[str]:
    return [
        *("--stage", "sft", "--model_name_or_path", str(model), "--do_train", "--dataset", str(dataset)),
        *("--template", "llama2", "--finetuning_type", "lora", "--output_dir", str(output_dir), *more),
    ]


def refused(arguments: list[str], capsys) -> str:
    """Run a command that must be refused; return its message."""
    assert main(arguments) == 2
    message = capsys.readouterr().err
    assert message.count("error: ") == 1, message
    assert "Traceback" not in message
    return message


@pytest.fixture
def heavy_is_forbidden(monkeypatch):
    """The run must not get as far as importing or loading anything."""
    monkeypatch.setattr("llmtuner.cli.launch.launch_if_several_devices", None)


@pytest.mark.parametrize(("name", "content", "parts"), TRAINING_ERRORS, ids=[case[0] for case in TRAINING_ERRORS])
def test_a_bad_file_is_refused_with_its_place(name, content, parts, tiny_llama, tmp_path, capsys, heavy_is_forbidden):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    message = refused(command(tiny_llama, path, tmp_path / "out"), capsys)
    for part in parts:
        assert part in message
    assert not (tmp_path / "out").exists(), "nothing is written"


def test_all_problems_of_a_file_come_together(tiny_llama, tmp_path, capsys):
    path = tmp_path / "exam.csv"
    path.write_text(HEADER + "1,W?,a,b,c,d,e,F\n2,W?,a,b,c,d,e\n3,W?,a,b,c,d,e,\n" + "4,W?,a,b,c,d,e,Z\n" * 40)
    message = refused(command(tiny_llama, path, tmp_path / "out"), capsys)
    for part in ("43 problems", "exam.csv:2", "exam.csv:3", "exam.csv:4", "and 23 more"):
        assert part in message


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--dataset", "llmscience_smple"], ["unknown data set 'llmscience_smple'", "llmscience_sample"]),
        (["--dataset", "llmscience"], ["train.csv: not found", "kaggle competitions download", "5900_examples.csv"]),
        (["--dataset", "llmscience_hq"], ["llmscience_hq.jsonl: not found", "prepare_llmscience.py --raw data/raw"]),
        (["--dataset", "no/such/file.csv"], ["not found"]),
        (["--dataset_dir", "no/such/folder"], ["no such folder"]),
        (["--model_name_or_path", "./no_such_model"], ["no such folder"]),
        (["--adapter_name_or_path", "sft_checkpoint"], ["no such folder", "--output_dir of a training"]),
        (["--profile", "2022"], ["2022", "2023"]),
        (["--sharded_ddp", "simple"], ["--sharded_ddp", "--fsdp"]),
        (["--dev_ratio", "0.1", "--val_size", "0.1"], ["--dev_ratio", "--val_size"]),
        (["--stage", "pt"], ["--stage pt cannot use", "--stage sft"]),
        (["--stage", "dpo"], ["--stage dpo cannot use"]),
        (["--do_train", "false"], ["nothing to do", "--do_predict"]),
        (["--model_name_or_path", "models/typo"], ["models/typo", "no such folder"]),
        (["--output_dri", "x"], ["unknown flag --output_dri", "--output_dir"]),
        (["--cutoff_len", "0"], ["--cutoff_len 0"]),
    ],
)
def test_what_flags_point_to_is_checked_first(arguments, parts, tiny_llama, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = refused([*command(tiny_llama, "llmscience_sample", tmp_path / "out"), *arguments], capsys)
    for part in parts:
        assert part in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--learing_rate", "1e-4"], ["unknown flag --learing_rate", "--learning_rate"]),
        (["--lora_ran", "4"], ["unknown flag --lora_ran", "--lora_rank"]),
        (["--learning_rate", "fast"], ["--learning_rate fast: expected a number"]),
        (["--stage", "sftt"], ["--stage", "'sftt'"]),
        (["--finetuning_type", "lorra"], ["lorra"]),
        (
            ["--val_size", "0.1", "--eval_dataset", "llmscience_sample"],
            ["--val_size", "does not go with --eval_dataset", "predict with --eval_dataset in a second command"],
        ),
        (["--template", "no_such_template"], ["no_such_template"]),
        # It was read once, in silence, and run.json counted its rows twice.
        (
            ["--dataset", "llmscience_sample,llmscience_sample"],
            ["--dataset llmscience_sample", "named twice", "`weight`"],
        ),
        (["--eval_dataset", "llmscience_sample,llmscience_sample"], ["--eval_dataset", "named twice"]),
    ],
)
def test_flags_that_upstream_does_not_know(arguments, parts, tiny_llama, tmp_path, capsys):
    """Upstream prints 1,400 lines of help before it names the mistake."""
    message = refused([*command(tiny_llama, "llmscience_sample", tmp_path / "out"), *arguments], capsys)
    for part in parts:
        assert part in message
    assert len(message.splitlines()) < 12
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("do", "name"), [("do_train", "dataset"), ("do_predict", "eval_dataset"), ("do_eval", "eval_dataset")]
)
def test_a_run_without_data_is_refused_in_both_stages(do, name, tiny_llama, tmp_path, capsys):
    """Stage sft answered in upstream's words: "Please make sure eval_dataset be provided or val_size >1e-6"."""
    for stage in ("sft", "mcq"):
        words = ["--stage", stage, "--model_name_or_path", str(tiny_llama), "--template", "llama2", f"--{do}"]
        message = refused([*words, "--output_dir", str(tmp_path / "out")], capsys)
        assert f"--{do} needs questions: name them with --{name}" in message


@pytest.mark.parametrize("file_name", ["../outside.csv", "/etc/hostname", "link.csv"])
def test_a_registry_does_not_lead_out_of_its_folder(file_name, tiny_llama, tmp_path, capsys):
    """A downloaded dataset_info.json could name any file on the machine."""
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "outside.csv").write_text(HEADER + ROW)
    (folder / "link.csv").symlink_to(tmp_path / "outside.csv")
    for entry in ({"file_name": file_name, "formatting": "mcq"}, {"file_name": file_name}):
        (folder / "dataset_info.json").write_text(json.dumps({"mine": entry}))
        message = refused([*command(tiny_llama, "mine", tmp_path / "out"), "--dataset_dir", str(folder)], capsys)
        assert "outside the data folder" in message


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"formatting": "mcq", "sources": ["nope"]}, "source 'nope'"),
        ({"formatting": "mcq", "sources": "llmscience_sample"}, "a list of names"),
        ({"formatting": "mcq", "file_name": "x.csv", "kaggle": "somewhere"}, "x.csv: not found"),
        ({"formatting": "mqc", "file_name": "x.csv"}, "did you mean mcq?"),
        ({"file_name": "x.json"}, "x.json: not found"),
        ("x.csv", "expected an object"),
    ],
)
def test_a_mistake_in_a_registry_is_a_users_mistake(entry, message, tiny_llama, tmp_path, capsys):
    (tmp_path / "dataset_info.json").write_text(json.dumps({"mine": entry}))
    assert message in refused([*command(tiny_llama, "mine", tmp_path / "out"), "--dataset_dir", str(tmp_path)], capsys)


def test_a_missing_flag_that_was_mistyped_is_found_by_its_typing_error(tiny_llama, tmp_path, capsys):
    """ "--model_name_or_path is missing" does not help a user who misspelt it."""
    arguments = command(tiny_llama, "llmscience_sample", tmp_path / "out")
    arguments[arguments.index("--model_name_or_path")] = "--modle_name_or_path"
    message = refused(arguments, capsys)
    assert "unknown flag --modle_name_or_path. Did you mean --model_name_or_path?" in message


def test_a_broken_registry_is_named_with_its_line(tiny_llama, tmp_path, capsys):
    (tmp_path / "dataset_info.json").write_text('{\n"a": {},\n}')
    message = refused([*command(tiny_llama, "a", tmp_path / "out"), "--dataset_dir", str(tmp_path)], capsys)
    assert "dataset_info.json:3" in message


@pytest.mark.parametrize(
    ("remove", "parts"),
    [
        (["config.json"], ["no config.json"]),
        (["tokenizer.json", "tokenizer.model"], ["no tokenizer"]),
        (["model.safetensors"], ["no weights"]),
    ],
)
def test_an_incomplete_model_folder(remove, parts, tiny_llama, tmp_path, capsys):
    model = tmp_path / "model"
    model.mkdir()
    for file in tiny_llama.iterdir():
        if file.name not in remove:
            (model / file.name).write_bytes(file.read_bytes())
    message = refused(command(model, "llmscience_sample", tmp_path / "out"), capsys)
    for part in parts:
        assert part in message


class Payload:
    """A pickle that writes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.write_text, (self.path, "executed"))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "adapter_model.bin"])
def test_pickled_weights_are_refused_and_never_opened(name, tiny_llama, tmp_path, capsys):
    import pickle

    folder, mark = tmp_path / "folder", tmp_path / "executed"
    folder.mkdir()
    for file in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (folder / file).write_bytes((tiny_llama / file).read_bytes())
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "base_model_name_or_path": "base"}')
    (folder / name).write_bytes(pickle.dumps(Payload(mark)))
    arguments = command(tiny_llama, "llmscience_sample", tmp_path / "out")
    flag = "--adapter_name_or_path" if name.startswith("adapter") else "--model_name_or_path"
    message = refused([*arguments, flag, str(folder)], capsys)
    assert "to_safetensors.py" in message
    assert not mark.exists()


def test_an_output_folder_that_cannot_be_written(tiny_llama, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    message = refused(command(tiny_llama, "llmscience_sample", tmp_path / "file" / "out"), capsys)
    assert "--output_dir" in message
    assert "cannot write" in message


@pytest.mark.skipif(
    os.name != "posix" or not Path("/proc/self").exists(), reason="needs Linux's /proc, which is read-only"
)
def test_an_output_folder_on_a_read_only_system(tiny_llama, capsys):
    message = refused(command(tiny_llama, "llmscience_sample", "/proc/out"), capsys)
    assert "cannot write" in message


def test_questions_longer_than_the_limit_stop_a_training(tiny_llama, tmp_path, capsys):
    arguments = command(tiny_llama, "llmscience_sample", tmp_path / "out", "--cutoff_len", "60")
    message = refused(arguments, capsys)
    for part in ("longer than --cutoff_len 60", "questions.jsonl:", "tokens", "--mcq_drop_long", "and "):
        assert part in message


def test_a_user_error_can_be_traced(tiny_llama, tmp_path, capsys):
    assert main([*command(tiny_llama, "llmscience_smple", tmp_path / "out"), "--traceback"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_help_and_version_answer_without_torch(capsys):
    assert main([]) == main(["--help"]) == main(["--version"]) == 0
    output = capsys.readouterr().out
    assert "--stage sft" in output
    assert "llamafactory 0.9" in output


@pytest.mark.subprocess
def test_help_imports_nothing_heavy(tmp_path):
    import subprocess

    program = (
        "import sys; from llmtuner.cli.main import main; status = main(['--help']); "
        "heavy = {'torch', 'transformers', 'datasets', 'llamafactory', 'pandas', 'pyarrow'} & set(sys.modules); "
        "print('heavy:', sorted(heavy)); sys.exit(status)"
    )
    src = Path(__file__).resolve().parents[1] / "src"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(src)}
    )
    assert result.returncode == 0
    assert "heavy: []" in result.stdout
