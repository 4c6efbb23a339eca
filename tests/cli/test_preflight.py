"""What the checks before a run decide without a model: whether the network is turned off."""

from __future__ import annotations

import json

import pytest

from llmtuner.cli.command import settle_words
from llmtuner.cli.flags import Flags
from llmtuner.cli.preflight import OFFLINE, _check_conflicts, _check_data, _check_sets, offline_environment
from llmtuner.cli.preflight_mcq import check_other_stage
from llmtuner.cli.preflight_model import fitted
from llmtuner.cli.words import Words
from llmtuner.errors import UserError


@pytest.mark.parametrize(
    ("more", "offline"),
    [
        ({}, True),
        ({"dataset": "llmscience_sample"}, True),
        ({"push_to_hub": "true"}, False),
        ({"adapter_name_or_path": "somebody/adapter"}, False),
        ({"dataset_dir": "ONLINE", "dataset": "somebody/data"}, False),
    ],
)
def test_the_network_is_left_out_where_nothing_needs_it(more, offline, tmp_path):
    """The decision came too late: after transformers had been imported for the model's configuration."""
    words = Words({"model_name_or_path": [str(tmp_path)], **{name: [word] for name, word in more.items()}})
    assert offline_environment(Flags.of(words)) == (OFFLINE if offline else {})


def test_a_model_on_the_hub_needs_the_network():
    assert offline_environment(Flags.of(Words({"model_name_or_path": ["somebody/model"]}))) == {}
    assert offline_environment(Flags()) == {}


GPT2 = {"model_type": "gpt2", "n_positions": 256}


def fit(config: dict, **given: str) -> tuple[int, int, str]:
    """The cutoff, the number of new tokens, and what is said."""
    words = Words({name: [word] for name, word in {"stage": "sft", **given}.items()})
    flags, notices = fitted(Flags.of(words), config)
    return flags["cutoff_len"], flags["max_new_tokens"], "; ".join(notices)


@pytest.mark.parametrize(
    ("given", "cutoff", "new", "said"),
    [
        ({"do_train": "true"}, 256, 1024, "cutoff_len: 256 instead of 2048: the model has positions for 256 tokens"),
        ({"do_train": "true", "cutoff_len": "200"}, 200, 1024, ""),
        (
            {"do_predict": "true"},
            224,
            32,
            "max_new_tokens: 32: the model has positions for 256 tokens; cutoff_len: 224",
        ),
        ({"do_predict": "true", "max_new_tokens": "8"}, 248, 8, "256 tokens, 8 of them for generated text"),
        ({"do_predict": "true", "max_new_tokens": "8", "cutoff_len": "240"}, 240, 8, ""),
        # It said "-1 of them for generated text", of 257 tokens.
        ({"do_predict": "true", "max_new_tokens": "-1"}, 256, -1, "cutoff_len: 256 instead of 2048: the model has "),
        ({"do_train": "true", "stage": "mcq"}, 2048, 1024, ""),  # settled with the encoder of the prompts
    ],
)
def test_a_text_fits_into_the_models_positions(given, cutoff, new, said):
    """GPT-2 has a table of positions: "index out of range in self" at the first longer question."""
    fitted_cutoff, fitted_new, notices = fit(GPT2, **given)
    assert (fitted_cutoff, fitted_new) == (cutoff, new)
    assert said in notices
    assert bool(said) == bool(notices)


def test_padding_does_not_lead_out_of_the_positions():
    """Upstream pads the rows of a training to a multiple of 8."""
    assert fit({**GPT2, "n_positions": 250}, do_train="true")[0] == 248
    assert fit({**GPT2, "n_positions": 250}, do_predict="true", max_new_tokens="2")[0] == 248


def test_generated_text_that_leaves_no_room_is_refused():
    with pytest.raises(UserError, match="max_new_tokens 300: the model has positions for 256 tokens, prompt"):
        fit(GPT2, do_predict="true", max_new_tokens="300")


@pytest.mark.parametrize("flag", ["packing", "neat_packing"])
def test_packed_rows_have_a_multiple_of_8_tokens(flag):
    """Upstream ended in a traceback about the shape of its mask."""
    given = {"do_train": "true", flag: "true"}
    assert fit({}, **given, cutoff_len="420")[::2] == (
        416,
        "cutoff_len: 416 instead of 420: packed rows have a multiple of 8 tokens",
    )
    assert fit({}, **given, cutoff_len="416")[::2] == (416, "")
    assert fit({}, do_train="true", cutoff_len="420")[::2] == (420, "")
    with pytest.raises(UserError, match="--cutoff_len 7: packed rows have a multiple of 8 tokens; raise it to 8"):
        fit({}, **given, cutoff_len="7")


def test_names_that_no_file_can_have_do_not_stop_the_look_at_the_network():
    """The check of the names comes later; this one ended in a traceback."""
    for name in ("a" * 300, "a\0b"):
        assert offline_environment(Flags.of(Words({"model_name_or_path": [name]}))) == {}
        given = {"model_name_or_path": ["."], "dataset": [name]}
        assert offline_environment(Flags.of(Words(given))) in ({}, OFFLINE)


def test_a_prediction_by_data_set_is_refused_in_stage_sft():
    """It was a KeyError of upstream, after the model was loaded."""
    given = {"stage": "sft", "do_predict": "true", "eval_on_each_dataset": "true"}
    with pytest.raises(UserError, match="leave it out, and predict each data set with a command of its own"):
        check_other_stage(Flags.of(Words({name: [word] for name, word in given.items()})))
    check_other_stage(Flags.of(Words({"stage": ["sft"], "do_eval": ["true"], "eval_on_each_dataset": ["true"]})))


@pytest.mark.parametrize(
    ("given", "samples"),
    [
        ("--no_do_sample", False),
        ("--do_sample --no_do_sample", False),
        ("--no_do_sample --do_sample true", True),
        ("--do_sample false", False),
    ],
)
def test_upstreams_name_of_do_sample_false_counts(given, samples):
    """--temperature 0 --no_do_sample was refused with the advice to add --do_sample False."""
    words = Words.from_argv(["--temperature", "0", *given.split()])
    settle_words(words)
    flags = Flags.of(words)
    assert flags["do_sample"] is samples
    assert "no_do_sample" not in flags
    if samples:
        with pytest.raises(UserError, match="nothing can be sampled at 0"):
            _check_conflicts(flags)
    else:
        _check_conflicts(flags)


@pytest.mark.parametrize("second", ["./a.jsonl", "sub/../a.jsonl", "a.jsonl?answer=answer"])
def test_a_file_that_is_spelt_in_two_ways_is_named_twice(second, tmp_path, monkeypatch):
    """Its rows counted twice in silence."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.jsonl").write_text("")
    with pytest.raises(UserError, match="named twice"):
        _check_sets(Flags.of(Words({"dataset": [f"a.jsonl,{second}"]})))


def test_rows_of_interleaved_sets_are_not_held_out(tmp_path):
    """trained_questions.txt named other questions than those that were trained on."""
    for name in "ab":
        row = {"id": name, "prompt": f"{name}?", "A": "x", "B": "y", "answer": "A"}
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    given = {"stage": "sft", "do_train": "true", "dataset": f"{tmp_path / 'a.jsonl'},{tmp_path / 'b.jsonl'}"}
    given |= {"val_size": "0.5", "mix_strategy": "interleave_under"}
    with pytest.raises(UserError, match="--val_size does not go with --mix_strategy interleave_under"):
        check_data(given)
    for changed in ({"val_size": "0"}, {"mix_strategy": "concat"}, {"dataset": str(tmp_path / "a.jsonl")}):
        check_data({**given, **changed})


def check_data(given: dict[str, str]) -> None:
    _check_data(Flags.of(Words({name: [word] for name, word in given.items()})))
