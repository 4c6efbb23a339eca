"""The helper scripts: a reproducible tiny model, and weights converted from pickles."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support import DEMO, load_script
from transformers import AutoTokenizer


def digest(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_the_same_arguments_give_the_same_model(tmp_path):
    script = load_script("make_tiny_llama")
    folders = [tmp_path / name for name in ("one", "two", "other")]
    for folder, seed in zip(folders, ("3", "3", "4"), strict=True):
        assert script.main([str(folder), "--text", str(DEMO), "--hidden_size", "32", "--seed", seed]) == 0
    first, same_seed, other_seed = map(digest, folders)
    assert first == same_seed
    assert first["model.safetensors"] != other_seed["model.safetensors"]


def test_the_tokenizer_spells_any_text(tiny_llama):
    """Characters that the training text did not have fall back to bytes instead of <unk>."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    text = "∮ 𝛼 ☃ 题目 \n\t tabs"
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids) == text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--vocab_size", "50"], "too small"), (["--hidden_size", "40"], "multiple"), (["--text", "no_such"], "no_such")],
)
def test_sizes_that_cannot_be_built_are_refused(tmp_path, capsys, arguments, message):
    assert load_script("make_tiny_llama").main([str(tmp_path / "model"), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "model").exists()


def test_pickled_weights_become_safetensors(tmp_path, capsys):
    weights = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2)}
    weights["tied"] = weights["a"]
    torch.save(weights, tmp_path / "adapter_model.bin")
    torch.save({"x": torch.zeros(1)}, tmp_path / "pytorch_model.bin")
    torch.save({"not": "weights"}, tmp_path / "training_args.bin")
    assert load_script("to_safetensors").main([str(tmp_path)]) == 0
    written = load_file(tmp_path / "adapter_model.safetensors")
    assert all(torch.equal(written[name], weights[name]) for name in weights)
    assert (tmp_path / "model.safetensors").is_file()
    assert not (tmp_path / "training_args.safetensors").exists()


class Payload:
    def __reduce__(self):
        return (print, ("executed",))


@pytest.mark.parametrize("content", [Payload(), {"a": "text"}, [torch.zeros(1)]])
def test_a_pickle_of_anything_else_is_refused_and_not_run(tmp_path, capsys, content):
    torch.save(content, tmp_path / "adapter_model.bin")
    assert load_script("to_safetensors").main([str(tmp_path)]) == 2
    message = capsys.readouterr()
    assert "error: " in message.err
    assert "executed" not in message.out


BASELINES = {f"floor_{name}_{score}": 0.25 for name in ("longest", "random") for score in ("map@3", "accuracy")}


def scored(folder: Path, **metrics: float) -> str:
    folder.mkdir()
    (folder / "predict_results.json").write_text(json.dumps({**BASELINES, **metrics}))
    return str(folder)


def test_predictions_are_compared_in_one_table(tmp_path, capsys):
    letters = scored(
        tmp_path / "sft", **{"predict_map@3": 0.5, "predict_top1_accuracy": 0.375, "predict_accuracy": 0.1}
    )
    head = scored(tmp_path / "mcq", **{"predict_map@3": 0.625, "predict_accuracy": 0.5})
    assert load_script("compare").main([f"STEP1, letters={letters}", head]) == 0
    lines = [line.rsplit(None, 2) for line in capsys.readouterr().out.splitlines()[1:]]
    assert lines == [
        ["STEP1, letters", "0.500", "0.375"],
        ["mcq", "0.625", "0.500"],
        ["longest option", "0.250", "0.250"],
        ["random", "0.250", "0.250"],
    ]


def predicted(folder: Path, answers: dict[str, str | None], dataset: str = "") -> None:
    rows = [
        {"id": name, "scores": {"A": 1.0, "B": 2.0}, "answer": answer, **({"dataset": dataset} if dataset else {})}
        for name, answer in answers.items()
    ]
    (folder / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_baseline_that_differs_stands_once_for_each_run(tmp_path, capsys):
    """Models that were trained on other data have another most frequent place, and were refused."""
    places = [{"predict_map@3": 0.5, "predict_accuracy": 0.5, "floor_place_map@3": 0.75, "floor_place_accuracy": 0.5}]
    passage = {"floor_passage_map@3": 0.8, "floor_passage_accuracy": 0.7}
    places.append({**places[0], "floor_place_map@3": 0.25, **passage})
    folders = [scored(tmp_path / name, **figures) for name, figures in zip(("one", "other"), places, strict=True)]
    predicted(tmp_path / "one", {"7": "A", "8": None})
    predicted(tmp_path / "other", {"8": None, "7": "A"})
    assert load_script("compare").main(folders) == 0
    lines = [line.rsplit(None, 2) for line in capsys.readouterr().out.splitlines()[3:]]
    assert lines == [
        ["longest option", "0.250", "0.250"],
        ['most frequent place, training data of "one"', "0.750", "0.500"],
        ['most frequent place, training data of "other"', "0.250", "0.500"],
        ['BM25, contexts of "other"', "0.800", "0.700"],
        ["random", "0.250", "0.250"],
    ]


def test_a_baseline_that_several_runs_share_is_printed_once(tmp_path, capsys):
    """The demo printed BM25 four times, because one of its five runs is closed book."""
    closed = {"predict_map@3": 0.5, "predict_accuracy": 0.5}
    read = {**closed, "floor_passage_map@3": 0.8, "floor_passage_accuracy": 0.7}
    figures = {"closed": closed, "open": read, "too": read}
    folders = [scored(tmp_path / name, **values) for name, values in figures.items()]
    for name in figures:
        predicted(tmp_path / name, {"7": "A"})
    assert load_script("compare").main(folders) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines() if "BM25" in line] == [
        ["BM25", "with", "context", "0.800", "0.700"]
    ]


def test_runs_that_agree_on_a_baseline_share_its_row(tmp_path, capsys):
    """Four untrained runs and three trained ones gave seven rows of the most frequent place."""
    places = {"a": 0.5, "b": 0.75, "c": 0.5, "d": 0.5}
    base = {"predict_map@3": 0.5, "predict_accuracy": 0.5, "floor_place_accuracy": 0.5}
    folders = [scored(tmp_path / name, **base, **{"floor_place_map@3": place}) for name, place in places.items()]
    assert load_script("compare").main(folders) == 0
    rows = [line.split(" of ")[1].rsplit(None, 2) for line in capsys.readouterr().out.splitlines() if "place" in line]
    assert rows == [['"a" and 2 more rows', "0.500", "0.500"], ['"b"', "0.750", "0.500"]]


def test_a_baseline_of_contexts_is_named_after_their_source(tmp_path, capsys):
    """It was named after the models, which looked as if BM25 had scored their answers."""
    base = {"predict_map@3": 0.5, "predict_accuracy": 0.5, "floor_passage_accuracy": 0.5}
    sources = {"a": (0.5, "data"), "b": (0.75, "retrieve"), "c": (0.5, "data")}
    folders = [
        scored(tmp_path / name, **base, **{"floor_passage_map@3": score, "floor_passage_from": source})
        for name, (score, source) in sources.items()
    ]
    compare = load_script("compare").main
    assert compare(folders) == 0
    rows = [line.rsplit(None, 2)[0] for line in capsys.readouterr().out.splitlines() if "BM25" in line]
    assert rows == ["BM25 with given contexts", "BM25 with retrieved contexts"]
    unlike_a = scored(tmp_path / "d", **base, **{"floor_passage_map@3": 0.25, "floor_passage_from": "data"})
    assert compare([*folders, unlike_a]) == 0
    rows = [line.rsplit(None, 2)[0] for line in capsys.readouterr().out.splitlines() if "BM25" in line]
    assert rows == ['BM25, contexts of "a" and 1 more row', "BM25 with retrieved contexts", 'BM25, contexts of "d"']


def test_a_row_whose_interval_holds_chance_says_so(tmp_path, capsys):
    """A score of a third of the questions beside chance reads as a result."""
    interval = {
        "predict_map@3_low": 0.2,
        "predict_map@3_high": 0.4,
        "floor_longest_map@3_low": 0.26,
        "floor_longest_map@3": 0.3,
    }
    figures = {"predict_map@3": 0.3, "predict_accuracy": 0.1, "floor_longest_map@3_high": 0.5, **interval}
    above = scored(tmp_path / "above", **{**figures, "predict_map@3_low": 0.26})
    assert load_script("compare").main([scored(tmp_path / "chance", **figures), above]) == 0
    lines = {line[:16].strip(): line[16:].split() for line in capsys.readouterr().out.splitlines()[1:]}
    assert lines["chance"] == ["0.300", "[0.200,", "0.400]", "0.100", "not", "above", "chance"]
    assert lines["above"] == ["0.300", "[0.260,", "0.400]", "0.100"]
    assert lines["longest option"] == ["0.300", "[0.260,", "0.500]", "0.250"]
    assert lines["random"] == ["0.250", "0.250"]


def test_predictions_of_other_questions_are_not_compared(tmp_path, capsys):
    """Equal baselines do not make equal questions: 40 questions of one length have the baselines of 40 others."""
    figures = {"predict_map@3": 0.5, "predict_accuracy": 0.5}
    folders = [scored(tmp_path / name, **figures) for name in ("one", "other")]
    compare = load_script("compare").main
    ids = {str(number): "A" for number in range(8)}
    predicted(tmp_path / "one", ids)
    predicted(tmp_path / "other", {**ids, "\x1b[31m": "B"})
    assert compare(folders) == 2
    message = capsys.readouterr()
    assert "one was scored on other questions than other, and has no id '\\x1b[31m'" in message.err
    assert message.out == "", "no table of things that cannot be compared"
    predicted(tmp_path / "other", {"9": "A"})
    assert compare(folders) == 2
    assert "has no id '0', '1', '2', '3', '4' and 3 more" in capsys.readouterr().err
    predicted(tmp_path / "other", {**ids, "3": "B"})
    assert compare(folders) == 2
    assert "other was scored with other answers than one, for id '3'" in capsys.readouterr().err
    predicted(tmp_path / "other", {**ids, "3": None})
    assert compare(folders) == 2
    assert "other was scored with other answers than one, for id '3'" in capsys.readouterr().err
    predicted(tmp_path / "other", ids, dataset="exam")
    assert compare(folders) == 2
    assert "other was scored on other questions than one, and has no id '0'" in capsys.readouterr().err
    (tmp_path / "other" / "predictions.jsonl").unlink()
    assert compare(folders) == 0
    assert "whether other has the same questions was not checked" in capsys.readouterr().err
    unscored = scored(tmp_path / "unscored")
    assert compare([unscored]) == 2
    assert "has no scores" in capsys.readouterr().err
    assert compare([str(tmp_path / "nowhere")]) == 2


def test_rows_are_joined_by_id_as_text_and_refused_where_they_cannot_be(tmp_path, capsys):
    """Runs with a repeated id, or with another right answer for a row, were compared in silence."""
    compare, answers = load_script("compare").main, {"1": "A", "01": "B", "10": "B", "2": "A"}
    folders = [scored(tmp_path / name, **{"predict_map@3": 0.75, "predict_accuracy": 0.5}) for name in ("a", "b")]
    predicted(tmp_path / "a", answers)
    for other, message in [
        (
            {name: answers[name] for name in ("2", "01", "1")},
            "b was scored on other questions than a, and has no id '10'",
        ),
        ({**answers, "01": "A"}, "b was scored with other answers than a, for id '01'; predict again"),
        (dict.fromkeys(answers, "A"), "b was scored with other answers than a, for id '01', '10'; predict again"),
    ]:
        predicted(tmp_path / "b", dict(reversed(other.items())))
        assert compare([*folders, "--difference", "a", "b"]) == 2
        outputs = capsys.readouterr()
        assert message in outputs.err
        assert outputs.out == ""
    predicted(tmp_path / "b", dict(reversed(answers.items())))
    assert compare([*folders, "--difference", "a", "b"]) == 0
    assert "MAP@3 of a - b: +0.000" in capsys.readouterr().out
    predictions = tmp_path / "b" / "predictions.jsonl"
    predictions.write_text(predictions.read_text() + '{"id": "10", "scores": {"A": 1.0, "B": 2.0}, "answer": "B"}\n')
    assert compare(folders) == 2
    assert "b repeats id '10'; give each question an id of its own" in capsys.readouterr().err


def test_a_difference_is_paired_by_question_and_has_its_interval(tmp_path, capsys):
    scores = {"good": [3.0, 2.0, 1.0], "bad": [1.0, 2.0, 3.0]}
    for name, values in scores.items():
        score = 1.0 if name == "good" else 1 / 3
        scored(tmp_path / name, **{"predict_map@3": score, "predict_accuracy": 0.5})
        rows = [{"id": str(row), "scores": dict(zip("ABC", values, strict=True)), "answer": "A"} for row in range(20)]
        order = rows if name == "good" else rows[::-1]
        (tmp_path / name / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in order))
    compare, folders = load_script("compare").main, [str(tmp_path / name) for name in scores]
    assert compare([*folders, "--difference", "good", "bad"]) == 0
    assert "MAP@3 of good - bad: +0.667 [+0.667, +0.667] (95 %, 20 questions)" in capsys.readouterr().out
    assert compare([*folders, "--difference", "good", "worse"]) == 2
    assert "unknown name worse; choose from: good, bad" in capsys.readouterr().err
    assert compare([folders[0], folders[0]]) == 2
    assert "have the same name good" in capsys.readouterr().err
    (tmp_path / "bad" / "predictions.jsonl").write_text('{"id": "0", "scores": {"A": 1.0, "B": 2.0}, "answer": "Z"}\n')
    assert compare([*folders, "--difference", "good", "bad"]) == 2
    assert "predictions.jsonl:1: answer 'Z' is not one of AB" in capsys.readouterr().err
    (tmp_path / "bad" / "predictions.jsonl").unlink()
    assert compare([*folders, "--difference", "good", "bad"]) == 2
    assert "predictions.jsonl: not found" in capsys.readouterr().err


def test_the_help_of_minilm_says_what_it_prints(capsys):
    """`--help` printed the folder, as if no flag had been given."""
    with pytest.raises(SystemExit) as stopped:
        load_script("minilm").main(["--help"])
    assert stopped.value.code == 0
    assert "Print the folder of the small encoder" in capsys.readouterr().out
