from __future__ import annotations

import hashlib

import pytest

from llmtuner.cli.profile_2023 import DEFAULTS, LLAMA2_SYSTEM, apply_profile, changed_defaults
from llmtuner.cli.words import Words
from llmtuner.errors import UserError

BACK = "--profile 2023 restores these defaults"


def profiled(*argv: str) -> dict[str, list[str]]:
    flags = Words.from_argv(["--profile", "2023", *argv])
    assert len(apply_profile(flags)) == 1
    assert "profile" not in flags
    return {name: flags.values(name) for name in flags}


def test_the_profile_sets_the_defaults_of_2023():
    assert profiled("--template", "llama2") == {
        "template": ["llama2"],
        "lora_target": ["q_proj,v_proj"],
        "lora_alpha": ["32"],
        "lora_dropout": ["0.1"],
        "cutoff_len": ["1024"],
        "max_new_tokens": ["512"],
        "default_system": [LLAMA2_SYSTEM],
    }


@pytest.mark.parametrize("default", DEFAULTS, ids=lambda default: default.flag)
def test_the_profile_leaves_what_the_user_gave(default):
    given = ["--template=llama2", f"--finetuning_type={default.tuning or 'lora'}"]
    assert profiled(*given, f"--{default.flag}=7")[default.flag] == ["7"]


def test_the_system_prompt_belongs_to_the_llama2_template_alone():
    assert "default_system" not in profiled("--template", "llama2_zh")
    assert "default_system" not in profiled()


def test_an_empty_system_prompt_is_one_that_the_user_gave():
    assert profiled("--template", "llama2", "--default_system", "")["default_system"] == [""]


@pytest.mark.parametrize(
    ("tuning", "sets"), [("full", set()), ("freeze", {"freeze_trainable_layers", "freeze_trainable_modules"})]
)
def test_other_tuning_gets_no_lora_defaults(tuning, sets):
    assert profiled("--finetuning_type", tuning).keys() == {"finetuning_type", "cutoff_len", "max_new_tokens", *sets}


def test_without_a_profile_nothing_is_set():
    flags = Words({"stage": ["sft"]})
    assert apply_profile(flags) == []
    assert flags == Words({"stage": ["sft"]})


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--profile", "2024"], "--profile 2024: unknown value; choose from: 2023. Did you mean 2023?"),
        (["--profile", "old"], "--profile old: unknown value; choose from: 2023."),
        (["--profile"], "--profile needs a value"),
    ],
)
def test_an_unknown_profile_is_refused_with_the_names(argv, message):
    with pytest.raises(UserError) as error:
        apply_profile(Words.from_argv(argv))
    assert str(error.value) == message


def test_the_notice_tells_what_was_set_but_not_the_whole_system_prompt():
    [notice] = apply_profile(Words.from_argv(["--profile=2023", "--template=llama2", "--cutoff_len=9"]))
    assert "lora_target q_proj,v_proj" in notice
    assert "cutoff_len" not in notice
    assert "Meta's system prompt" in notice
    assert "respectful" not in notice


def test_the_system_prompt_is_metas_to_the_letter():
    # Two spaces after "while being safe." and an empty line between the paragraphs, as published.
    assert (
        hashlib.sha256(LLAMA2_SYSTEM.encode()).hexdigest()
        == "d52c188a3c969c4ece4e68846b15aaf27ef75639b76c08bdd71f062e52c7b9fc"
    )
    assert "while being safe.  Your answers" in LLAMA2_SYSTEM
    assert LLAMA2_SYSTEM.count("\n\n") == 1


def test_a_plain_training_run_names_what_changed():
    assert changed_defaults(Words.from_argv(["--do_train", "--template", "llama2"])) == [
        "lora_target: all (2023: q_proj,v_proj)",
        "lora_alpha: 16 (2023: 32)",
        "lora_dropout: 0.0 (2023: 0.1)",
        "cutoff_len: 2048 (2023: 1024)",
        "default_system: none (2023: Meta's system prompt of Llama-2 chat)",
        BACK,
    ]


def test_only_what_the_user_has_not_set_is_named():
    argv = ["--do_train", "--lora_target=all", "--lora_alpha=16", "--lora_dropout=0", "--cutoff_len=2048"]
    assert changed_defaults(Words.from_argv(argv)) == []


def test_a_rank_of_16_gives_the_alpha_of_2023():
    lines = changed_defaults(Words.from_argv(["--do_train", "--lora_rank", "16"]))
    assert not any(line.startswith("lora_alpha") for line in lines)


def test_generation_is_named_where_the_run_predicts_too():
    assert "max_new_tokens: 1024 (2023: 512)" in changed_defaults(Words.from_argv(["--do_train", "--do_predict"]))


@pytest.mark.parametrize("argv", [["--stage=mcq", "--do_train"], ["--stage=pt", "--do_train"], ["--do_predict"], []])
def test_other_runs_are_told_nothing(argv):
    assert changed_defaults(Words.from_argv(argv)) == []


@pytest.mark.parametrize("tuning", ["lora", "freeze", "full"])
def test_under_the_profile_nothing_differs(tuning):
    flags = Words.from_argv(["--profile=2023", "--do_train", "--do_predict", "--template=llama2"])
    flags.set("finetuning_type", tuning)
    apply_profile(flags)
    assert changed_defaults(flags) == []


@pytest.mark.parametrize("default", DEFAULTS, ids=lambda default: default.flag)
def test_what_is_called_todays_default_is_upstreams(default, upstream_actions):
    real = upstream_actions[default.flag].default
    if default.flag == "lora_alpha":
        assert real is None
        assert upstream_actions["lora_rank"].default == 8
    else:
        assert default.today == ("none" if real is None else str(real))


@pytest.mark.parametrize("default", DEFAULTS, ids=lambda default: default.flag)
def test_upstream_takes_the_values_of_2023(default, upstream_parser):
    read = upstream_parser.parse_args(Words({default.flag: [default.then]}).to_argv())
    assert str(getattr(read, default.flag)) == default.then
