"""Which differences stop a resumed training (the rest is in tests/cli/test_earlier_run.py)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtuner.runs.changes import Changes, changes_of, same, shown
from llmtuner.runs.manifest import DataDigest, Manifest
from llmtuner.spec.flags import FLAGS
from llmtuner.spec.resume import (
    BY_CONTENT,
    CHOOSES_WEIGHTS,
    ORDER_OF_BATCHES,
    REPORTED,
    TAKEN_UP,
    is_reported,
    is_secret,
)

STORED = Manifest(stage="mcq", step=1, max_steps=2, epoch=0.5)


@pytest.mark.parametrize("name", [name for name in FLAGS if not is_reported(name) and not is_secret(name)])
def test_every_flag_is_refused_taken_up_or_compared_by_content(name):
    """A new flag that shapes a training must not be resumed with another value by accident."""
    changes = changes_of(replace(STORED, settings={name: 1}), replace(STORED, settings={name: 2}))
    is_taken_up = name in TAKEN_UP or name == "eval_dataset"
    assert bool(changes.refused) == (not is_taken_up and name != "dataset_dir")
    assert bool(changes.taken_up) == is_taken_up


@pytest.mark.parametrize("chooses", CHOOSES_WEIGHTS)
def test_the_best_checkpoint_is_not_chosen_by_scores_of_different_questions(chooses):
    """A validation file was corrected between kill and resume; the weights of the earlier best were saved."""

    def manifest(sha, path="valid.jsonl", **settings):
        return replace(STORED, eval_data=DataDigest(sha, 9), settings={"eval_dataset": path, **settings})

    before = manifest("a" * 64, **{chooses: 2})
    assert changes_of(before, manifest("a" * 64, "moved.jsonl", **{chooses: 2})) == Changes()
    (line,) = changes_of(before, manifest("b" * 64, **{chooses: 2})).refused
    assert line == (
        f"--eval_dataset (other questions) valid.jsonl ({'b' * 12}), before valid.jsonl ({'a' * 12}): the best "
        "checkpoint would be chosen by scores of different questions"
    )
    changes = changes_of(manifest("a" * 64), manifest("b" * 64))
    assert not changes.refused
    assert len(changes.taken_up) == 1, "where they are only logged, other questions may be evaluated"
    without = replace(STORED, settings={"eval_dataset": None})
    assert not changes_of(without, manifest("b" * 64, **{chooses: None})).refused
    assert not [line for line in changes_of(without, before).refused if "eval_dataset" in line]


def test_evaluated_questions_of_an_earlier_version_are_compared_by_name():
    stored = replace(STORED, settings={"eval_dataset": "a", "load_best_model_at_end": True})
    planned = replace(stored, eval_data=DataDigest("b" * 64, 9))
    assert changes_of(stored, planned) == Changes()
    assert changes_of(stored, replace(planned, settings={**stored.settings, "eval_dataset": "b"})).refused


def test_a_flag_that_an_earlier_version_did_not_declare_has_its_default():
    """A checkpoint could not resume after an update that declares one more flag."""
    assert changes_of(replace(STORED, settings={}), replace(STORED, settings={"pissa_init": False})) == Changes()
    changes = changes_of(replace(STORED, settings={}), replace(STORED, settings={"pissa_init": True}))
    assert changes.refused == ("--pissa_init stored false, given true",)


def test_the_tables_do_not_overlap():
    assert ORDER_OF_BATCHES <= TAKEN_UP
    assert not TAKEN_UP & BY_CONTENT
    assert not [name for name in TAKEN_UP if is_reported(name)]


@pytest.mark.parametrize("name", ["learning_rate", "seed", "mcq_head", "lora_rank", "template", "cutoff_len", "bf16"])
def test_no_pattern_of_reported_flags_covers_what_shapes_the_weights(name):
    assert not is_reported(name)


@pytest.mark.parametrize("name", ["hub_token", "hf_hub_token", "swanlab_api_key", "swanlab_lark_secret"])
def test_secrets_are_never_compared_or_shown(name):
    changes = changes_of(replace(STORED, settings={name: "a"}), replace(STORED, settings={name: "b"}))
    assert not changes.refused


def test_the_names_in_the_tables_are_flags():
    from patches import install
    from patches.arguments import build_parser

    install()
    names = {action.dest for action in build_parser()._actions} | {*FLAGS}
    assert names >= TAKEN_UP | BY_CONTENT
    from fnmatch import filter as matching

    unused = [pattern for pattern in REPORTED if not matching(names, pattern)]
    assert unused in ([], ["allow_other_base"])


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_a_value_is_the_same_as_itself_after_json(value):
    import json

    assert same(value, json.loads(json.dumps(value)))


@pytest.mark.parametrize(("first", "second"), [(1, True), (0, False), ("1", 1), ([1], [1, 2]), (None, "")])
def test_values_of_other_types_differ(first, second):
    assert not same(first, second)


@pytest.mark.parametrize(("value", "text"), [(None, "nothing"), (True, "true"), (1e-4, "0.0001"), (["a", 1], "a 1")])
def test_values_are_shown_as_they_are_given(value, text):
    assert shown(value) == text


@pytest.mark.parametrize(
    ("stored", "planned", "refused"),
    [
        ({"adapters": ("aa",)}, {"adapters": ("aa",)}, ""),
        ({"adapters": ("aa",)}, {"adapters": ("bb",)}, "other weights"),
        ({"tokenizer": "tokenizer.json:aa"}, {"tokenizer": "tokenizer.json:aa"}, ""),
        ({"tokenizer": "tokenizer.json:aa"}, {"tokenizer": "tokenizer.json:bb"}, "another tokenizer.json"),
        ({"tokenizer": "tokenizer.json:aa"}, {"tokenizer": "tokenizer.model:bb"}, ""),
        ({}, {"tokenizer": "tokenizer.json:bb"}, ""),
    ],
)
def test_adapters_below_and_the_tokenizer_are_compared_by_content(stored, planned, refused):
    """A folder whose adapter or tokenizer.json was replaced was resumed in silence, with other weights."""
    one = replace(STORED, settings={"adapter_name_or_path": "a"}, **stored)
    two = replace(STORED, settings={"adapter_name_or_path": "./a" if stored.get("adapters") else "a"}, **planned)
    lines = changes_of(one, two).refused
    assert refused in lines[0] if refused else not lines, lines


RETRIEVE = {"index": "/index", "k": 5, "fingerprint": "a" * 64, "reranker": "b" * 64}


@pytest.mark.parametrize(
    ("before", "now", "message"),
    [
        (RETRIEVE, RETRIEVE | {"index": "/moved"}, ""),
        (
            RETRIEVE,
            RETRIEVE | {"fingerprint": "c" * 64},
            "--retrieve (another index) stored /index (aaaaaaaaaaaa), given",
        ),
        (RETRIEVE, RETRIEVE | {"reranker": "c" * 64}, "--retrieve_rerank (another reranker) stored"),
        (RETRIEVE, None, "--retrieve stored /index, given nothing"),
        (None, RETRIEVE, "--retrieve stored nothing, given /index"),
        (None, None, ""),
    ],
)
def test_a_moved_index_resumes_and_another_one_is_refused_and_named(before, now, message):
    stored, planned = (
        replace(STORED, retrieve=each, settings={"retrieve": each and each["index"]}) for each in (before, now)
    )
    refused = changes_of(stored, planned).refused
    assert bool(refused) == bool(message)
    assert not message or refused[0].startswith(message)


@pytest.mark.parametrize(("before", "now"), [(42.0, "42"), (["a", 7.0], "a,7"), (None, None)])
def test_tokens_that_an_earlier_version_stored_as_numbers_are_the_same(before, now):
    stored, planned = (
        Manifest(stage="sft", step=0, max_steps=0, epoch=0.0, settings={} if value is None else {"add_tokens": value})
        for value in (before, now)
    )
    assert changes_of(stored, planned) == Changes()
    more = replace(planned, settings={"add_tokens": "007"})
    assert changes_of(stored, more).refused == (
        f"--add_tokens stored {(now or 'nothing').replace(',', ' ')}, given 007",
    )


def test_the_negative_name_of_a_reported_flag_is_reported():
    """A training whose manifest has --no_do_sample of an earlier version could not be resumed."""
    before, now = (
        Manifest(stage="sft", step=0, max_steps=0, epoch=0.0, settings=settings)
        for settings in ({"no_do_sample": True}, {"do_sample": False})
    )
    assert changes_of(before, now) == Changes()
