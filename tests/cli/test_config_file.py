from __future__ import annotations

import json

import pytest

from llmtuner.cli.config_file import is_config, locate_key, read_config
from llmtuner.cli.config_values import COMMA_FLAGS, JSON_FLAGS
from llmtuner.cli.words import Words
from llmtuner.errors import UserError

# Old names of fields that upstream splits at commas, and fields that it splits elsewhere than in its dataclasses.
NOT_IN_THE_DATACLASSES = {
    *("checkpoint_dir", "new_special_tokens", "ref_model_checkpoint", "dpo_ref_model_checkpoint"),
    *("reward_model_checkpoint", "ref_model_adapters", "reward_model_adapters", "profile_modules"),
}


@pytest.fixture
def config(tmp_path):
    """Write a config file; return its path as text."""

    def write(text: str | bytes, name: str = "cfg.yaml") -> str:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


def refusal(path: str, *overrides: str) -> str:
    with pytest.raises(UserError) as error:
        read_config(path, overrides)
    return str(error.value)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("do_train: true", ["true"]),
        ("do_train: yes", ["true"]),
        ("fp16: false", ["false"]),
        ("fp16: off", ["false"]),
        ("learning_rate: 5e-5", ["5e-05"]),
        ("learning_rate: 1.0e-4", ["0.0001"]),
        ("num_train_epochs: 3.0", ["3.0"]),
        ("seed: 42", ["42"]),
        ("max_steps: -1", ["-1"]),
        ("output_dir: a b", ["a b"]),
        ("output_dir: ''", [""]),
        ("default_system: |-\n  one\n  two", ["one\ntwo"]),
        ("default_system: '--be brief'", ["--be brief"]),
        ("report_to: none", ["none"]),
        ("report_to: [wandb]", ["wandb"]),
        ("eval_strategy: no", ["no"]),
        ("save_strategy: 'no'", ["no"]),
        ("dataset: [a, b]", ["a,b"]),
        ("dataset: a,b", ["a,b"]),
        ("lora_target: [q_proj, v_proj]", ["q_proj,v_proj"]),
        ("interleave_probs: [0.5, 0.5]", ["0.5,0.5"]),
        ("checkpoint_dir: [a, b]", ["a,b"]),
        ("label_names: [a, b]", ["a", "b"]),
        ("include_for_metrics: [loss]", ["loss"]),
        ("gradient_checkpointing_kwargs: {use_reentrant: false}", ['{"use_reentrant": false}']),
    ],
)
def test_values_become_words(config, line, words):
    flags = read_config(config(line + "\n"))
    assert flags.values(line.split(":")[0]) == words


def test_null_is_left_out(config):
    assert read_config(config("seed: null\ntemplate: ~\nval_size:\nstage: sft\n")) == Words({"stage": ["sft"]})


def test_the_order_of_the_file_is_kept_and_dashes_become_underscores(config):
    flags = read_config(config("### model\nmodel-name-or-path: m\nstage: sft\ndo_train: true\n"))
    assert list(flags) == ["model_name_or_path", "stage", "do_train"]


def test_json_says_the_same_as_yaml(config):
    content = {"do_train": True, "learning_rate": 5e-5, "dataset": ["a", "b"], "seed": None, "fsdp_config": {"x": [1]}}
    from_json = read_config(config(json.dumps(content), "cfg.json"))
    assert from_json == read_config(
        config("do_train: true\nlearning_rate: 5e-5\ndataset: [a, b]\nseed: null\nfsdp_config: {x: [1]}")
    )


def test_json_may_be_indented_with_tabs(config):
    path = config('{\n\t"stage": "sft",\n\t"seed": {"a": 1}\n}', "cfg.json")
    assert refusal(path).startswith(f"{path}:3: seed takes one value, found a mapping")


@pytest.mark.parametrize(("text", "name"), [(b"stage: sft\n", "cfg.yaml"), (b'{"stage": "sft"}', "cfg.json")])
def test_a_byte_order_mark_is_no_part_of_the_file(config, text, name):
    assert read_config(config(b"\xef\xbb\xbf" + text, name)) == Words({"stage": ["sft"]})


def test_a_config_may_be_given_as_a_path(tmp_path):
    path = tmp_path / "cfg.YML"
    path.write_text("seed: 1\n")
    assert read_config(path).get("seed") == "1"
    assert locate_key(path, "seed") == f"{path}:1"


def test_what_arrives_at_upstreams_parser(config, upstream_parser):
    text = "do_train: true\nlearning_rate: 5e-5\ndataset: [a, b]\nlabel_names: [x, y]\nfp16: false\nwarmup_steps: 0.1\n"
    read = upstream_parser.parse_args(read_config(config(text)).to_argv())
    assert (read.do_train, read.learning_rate, read.dataset) == (True, 5e-5, "a,b")
    assert (read.label_names, read.fp16, read.warmup_steps) == (["x", "y"], False, 0.1)


@pytest.mark.parametrize(
    ("overrides", "name", "words"),
    [
        (["seed=3"], "seed", ["3"]),
        (["learning_rate=5e-5"], "learning_rate", ["5e-05"]),
        (["dataset=[a,b]"], "dataset", ["a,b"]),
        (["dataset=a,b"], "dataset", ["a,b"]),
        (["do_train=true"], "do_train", ["true"]),
        (["output_dir=x=y"], "output_dir", ["x=y"]),
        (["fsdp_config.x=2"], "fsdp_config", ['{"x": 2}']),
        (["--seed", "3"], "seed", ["3"]),
        (["--seed=3", "--do_train"], "do_train", []),
        (["stage=pt", "--seed", "3"], "seed", ["3"]),
    ],
)
def test_overrides_replace_the_files_values(config, overrides, name, words):
    flags = read_config(config("seed: 1\nstage: sft\ndataset: z\nfsdp_config: {x: 1}\n"), overrides)
    assert flags.values(name) == words
    assert flags.notices == []


def test_an_override_with_null_takes_a_key_out(config):
    assert "seed" not in read_config(config("seed: 1\nstage: sft\n"), ["seed=null"])


def test_two_overrides_of_one_key_are_noticed(config):
    flags = read_config(config("seed: 1\n"), ["seed=2", "--seed", "3", "--stage", "pt", "--stage", "sft"])
    assert (flags.get("seed"), flags.get("stage")) == ("3", "sft")
    assert flags.notices == [
        "--stage is given more than once: the last value is used",
        "--seed is given more than once: the last value is used",
    ]


def test_a_reference_is_not_resolved_and_a_notice_says_so(config):
    path = config("stage: sft\noutput_dir: out/${oc.env:HOME}\n")
    flags = read_config(path)
    assert flags.get("output_dir") == "out/${oc.env:HOME}"
    assert flags.notices == [f"{path}:2: output_dir: ${{...}} is kept as text, not resolved"]


@pytest.mark.parametrize(
    ("text", "place", "expected"),
    [
        ("- a\n- b\n", ":1", "found a list"),
        ("# c\nseed 42\n", ":2", "found text"),
        ("", "", "the file is empty"),
        ("# only this\n", "", "comments only"),
        ("stage: sft\nlr 2\nseed: 1\n", ":3:1", "could not find expected ':'"),
        ("a: [1\nb: 2\n", ":2:", "expected ',' or ']'"),
        ("\ta: 1\n", ":1:1", "cannot start any token"),
        ("seed: 1\nstage: sft\nseed: 2\n", ":3:1", "duplicate key seed"),
        ("seed: 1\na: !!python/object/apply:os.system [ls]\n", ":2:4", "python/object/apply:os.system"),
        ("seed: 1\na: !!python/name:os.system\n", ":2:4", "could not determine a constructor"),
        ("seed: 1\n---\nseed: 2\n", ":2:1", "another document"),
        ("seed: 1\nmodel:\n  template: llama2\n", ":2", "model takes one value, found a mapping"),
        ("seed: 1\ndataset:\n  - a\n  - {b: 1}\n", ":2", "dataset takes text, a number or true/false, found a mapping"),
        ("seed: [1, 2]\n", ":1", "seed takes one value, found a list of 2"),
        ("report_to: [wandb, tensorboard]\n", ":1", "report_to takes one value"),
        ("dataset: []\n", ":1", "empty list"),
        ("dataset: ['a,b', c]\n", ":1", "'a,b' contains a comma"),
        ("label_names: [a, --b]\n", ":1", "begins with a dash"),
        ("--seed: 1\n", ":1", "'--seed' is not a flag name"),
        ("1: 2\n", ":1", "1 is not a flag name"),
        ("null: 2\n", "", "NoneType"),
        ("max-steps: 1\nmax_steps: 2\n", ":", "'max_steps' is given twice, with dashes and with underscores"),
        ("seed: 1\na: ${\n", ":2", "no viable alternative"),
        ("a: !!binary aGVsbG8=\n", ":1", "found binary data"),
        ("a: !!set {x, y}\n", ":1", "not a supported"),
    ],
)
def test_a_broken_yaml_file_is_refused_with_its_line(config, text, place, expected):
    path = config(text)
    message = refusal(path)
    assert message.startswith(f"{path}{place}")
    assert expected in message


@pytest.mark.parametrize(
    ("text", "place", "expected"),
    [
        ('{"a": 1,\n "b" 2}', ":2:6", "Expecting ':' delimiter"),
        ('{"a": 1,\n}', ":", "this is not JSON"),
        ("[1]", ":1", "found a list"),
        ('"x"', ":1", "found text"),
        ('{"seed": 1,\n "stage": "sft",\n "seed": 2}', ":3", "the key 'seed' is given twice"),
        ('{"stage": "sft",\n "seed": [1, 2]}', ":2", "seed takes one value"),
    ],
)
def test_a_broken_json_file_is_refused_with_its_line(config, text, place, expected):
    path = config(text, "cfg.json")
    message = refusal(path)
    assert message.startswith(f"{path}{place}")
    assert expected in message


def test_all_problems_of_a_file_come_together(config):
    path = config("seed: [1, 2]\nstage: sft\nmodel: {a: 1}\n")
    assert [line.split(" ")[0] for line in refusal(path).splitlines()] == [f"{path}:1:", f"{path}:3:"]


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["seed"], "'seed' after a config file: expected key=value or --key value"),
        (["=3"], "expected key=value"),
        (["seed=[1"], "override 'seed=[1': the value is not YAML"),
        (["seed=[1,2]"], "override 'seed=[1,2]': seed takes one value, found a list of 2"),
        (["model.x=1"], "override 'model.x=1': model takes one value, found a mapping"),
        (["--max_steps", "2", "seed=3"], "write key=value words such as 'seed=3' before the first --flag"),
        (["--seed", "1", "2"], "'2' belongs to no flag"),
    ],
)
def test_a_broken_override_is_named(config, overrides, expected):
    assert expected in refusal(config("stage: sft\n"), *overrides)


def test_missing_and_unreadable_files(tmp_path, config):
    assert "no such config file" in refusal(str(tmp_path / "no.yaml"))
    assert "cannot be read" in refusal(config(b"\xff\xfe\x00a", "cfg.yaml"))
    (tmp_path / "folder.yaml").mkdir()
    assert "cannot be read" in refusal(str(tmp_path / "folder.yaml"))
    assert "expected a name that ends in .yaml, .yml, .json" in refusal(config("a: 1", "cfg.toml"))


def test_locate_key(config, tmp_path):
    yaml_file = config("# c\nstage: sft\n\nmax-steps: 1\n")
    json_file = config('{\n\t"stage": "sft",\n\t"seed": 1\n}', "cfg.json")
    assert locate_key(yaml_file, "max_steps") == f"{yaml_file}:4"
    assert locate_key(json_file, "seed") == f"{json_file}:3"
    assert locate_key(yaml_file, "absent") == yaml_file
    assert locate_key(str(tmp_path / "no.yaml"), "seed") == str(tmp_path / "no.yaml")


@pytest.mark.parametrize(("word", "expected"), [("a.yaml", True), ("a.YML", True), ("a.json", True), ("--a", False)])
def test_what_counts_as_a_config_file(word, expected):
    assert is_config(word) is expected


def test_the_comma_flags_are_the_texts_that_upstream_splits(upstream_actions):
    """Give every text field of upstream's data classes "1,2" and see which ones come back as a list."""
    from llamafactory.hparams.data_args import DataArguments
    from llamafactory.hparams.finetuning_args import FinetuningArguments
    from llamafactory.hparams.model_args import ModelArguments

    needed = {ModelArguments: {"model_name_or_path": "m"}, FinetuningArguments: {}, DataArguments: {}}
    split = set()
    for cls, arguments in needed.items():
        extra = {"mix_strategy": "interleave_under"} if cls is DataArguments else {}
        for name in cls.__dataclass_fields__:
            action = upstream_actions.get(name)
            if action is None or action.type is not str or name == "new_special_tokens_config":
                continue
            made = cls(**{**arguments, **extra, name: "1,2"})
            split |= {name} if isinstance(getattr(made, name), list) else set()
    assert split == COMMA_FLAGS - NOT_IN_THE_DATACLASSES
    modern = {"ref_model_adapters", "reward_model_adapters", "profile_modules"}
    assert modern <= upstream_actions.keys()


def test_the_json_flags_are_those_that_upstream_reads_as_json(upstream_actions):
    from llamafactory.hparams.training_args import TrainingArguments

    by_transformers = set(TrainingArguments._VALID_DICT_FIELDS)
    by_upstream = {"ray_init_kwargs", "sglang_config", "vllm_config"}
    assert by_transformers | by_upstream == JSON_FLAGS
    assert all(upstream_actions[name].type is str for name in JSON_FLAGS)
