from __future__ import annotations

import pytest

from llmtuner.cli.flags_2023 import LATER, LEGACY_2023, RULES, Becomes, Drop, Keep, Refuse, Rename, targets, translate
from llmtuner.cli.words import Words
from llmtuner.errors import UserError

# Old names that the pinned parser still reads: two that transformers will drop, and one that it now uses itself.
STILL_PARSED = {"warmup_ratio", "logging_dir", "use_cache"}


def translated(*argv: str) -> tuple[list[str], list[str]]:
    flags = Words.from_argv(argv)
    notices = translate(flags)
    return flags.to_argv(), notices


def refusal(*argv: str) -> str:
    with pytest.raises(UserError) as error:
        translate(Words.from_argv(argv))
    return str(error.value)


def names(rule_kind: type) -> list[str]:
    return [name for name, rule in RULES.items() if isinstance(rule, rule_kind)]


def test_the_table_holds_all_47_flags_of_2023():
    assert len(LEGACY_2023) == 47
    assert not LEGACY_2023.keys() & LATER.keys()


@pytest.mark.parametrize("name", RULES)
def test_every_target_is_a_flag_of_upstream_and_no_old_name_itself(name, upstream_actions):
    for target in targets(RULES[name]):
        assert target in upstream_actions
        assert target not in RULES


@pytest.mark.parametrize("name", RULES)
def test_no_old_name_still_parses(name, upstream_actions):
    assert (name in upstream_actions) == (name in STILL_PARSED)


@pytest.mark.parametrize("name", names(Becomes))
def test_a_switch_becomes_a_value_that_upstream_takes(name, upstream_actions):
    rule = RULES[name]
    action = upstream_actions[rule.to]
    assert rule.value in (action.choices or ["inputs"])
    assert action.default != rule.value  # "no" is the default, so leaving it out is right


@pytest.mark.parametrize("name", names(Rename))
def test_a_renamed_flag_keeps_its_value_and_is_noticed(name):
    rule = RULES[name]
    assert translated(f"--{name}=0.5") == ([f"--{rule.to}=0.5"], [f"--{name} is --{rule.to} today"])
    assert translated(f"--{name}")[0] == [f"--{rule.to}"]


@pytest.mark.parametrize("name", [*names(Rename), *names(Becomes)])
def test_an_old_name_beside_its_new_one_is_refused(name):
    rule = RULES[name]
    expected = f"--{name} is --{rule.to} today, and both are given: keep --{rule.to}"
    assert refusal(f"--{name}=1", f"--{rule.to}=2") == expected
    assert refusal(f"--{rule.to}=2", f"--{name}=1") == expected


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("checkpoint_dir", "adapter_name_or_path"),
        ("resume_lora_training", "create_new_adapter"),
        ("system_prompt", "default_system"),
        ("num_layer_trainable", "freeze_trainable_layers"),
        ("name_module_trainable", "freeze_trainable_modules"),
        ("warmup_ratio", "warmup_steps"),
    ],
)
def test_an_old_name_with_a_rule_of_its_own_beside_its_new_one_is_refused(old, new):
    assert "both are given" in refusal(f"--{old}=0", f"--{new}=0")


def test_two_old_names_for_one_flag_are_refused_by_the_names_that_were_typed():
    assert refusal("--dpo_beta", "0.1", "--orpo_beta", "0.2") == (
        "--orpo_beta and --dpo_beta both mean --pref_beta today: keep one of them"
    )
    assert "--system_prompt and --source_prefix both mean" in refusal("--source_prefix=a", "--system_prompt=b")


@pytest.mark.parametrize("name", names(Drop))
def test_a_dropped_flag_is_gone_and_noticed(name):
    argv, [notice] = translated(f"--{name}=1", "--seed=2")
    assert argv == ["--seed=2"]
    assert notice.startswith(f"--{name} is left out: ")


@pytest.mark.parametrize("name", names(Keep))
def test_a_flag_that_changed_its_meaning_stays_and_is_noticed(name):
    argv, [notice] = translated(f"--{name}=true")
    assert argv == [f"--{name}=true"]
    assert notice.startswith(f"--{name}: ")


@pytest.mark.parametrize("name", names(Refuse))
def test_a_flag_that_cannot_be_had_is_refused_with_the_reason(name):
    assert refusal(f"--{name}=1") == f"--{name} cannot be used today: {RULES[name].why}"


def test_all_refusals_come_together_and_each_once():
    typed = ["--compute_dtype=a", "--max_source_length=x", "--max_target_length=1", "--lora_alpha=x"]
    named = [line.split(" ")[0].rstrip(":") for line in refusal(*typed).splitlines()]
    assert named == ["--compute_dtype", "--max_source_length", "--lora_alpha"]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        # where 2023 stored what was trained
        ("--checkpoint_dir=c", "--adapter_name_or_path=c"),
        ("--checkpoint_dir=a,b", "--adapter_name_or_path=a,b"),
        ("--finetuning_type=lora --checkpoint_dir=c", "--finetuning_type=lora --adapter_name_or_path=c"),
        ("--finetuning_type=none --checkpoint_dir=c", "--adapter_name_or_path=c --finetuning_type=lora"),
        (
            "--model_name_or_path=m --finetuning_type=full --checkpoint_dir=c",
            "--finetuning_type=full --model_name_or_path=c",
        ),
        # inverted
        ("--resume_lora_training=False", "--create_new_adapter=true"),
        ("--resume_lora_training=True", ""),
        ("--resume_lora_training", ""),
        # lengths
        ("--max_source_length=700 --max_target_length=300", "--cutoff_len=1000"),
        ("--max_source_length=700", "--cutoff_len=1212"),
        ("--max_target_length=64", "--cutoff_len=576"),
        ("--max_target_length=64 --cutoff_len=900", "--cutoff_len=900"),
        # switches
        ("--group_by_length", "--train_sampling_strategy=group_by_length"),
        ("--group_by_length=False", ""),
        ("--adafactor=True", "--optim=adafactor"),
        ("--include_inputs_for_metrics", "--include_for_metrics=inputs"),
        ("--torchdynamo=inductor", "--torch_compile_backend=inductor"),
        ("--no_cuda", "--use_cpu"),
        ("--split=train", ""),
        ("--system_prompt=hi", "--default_system=hi"),
        ("--save_safetensors=False", ""),
        (
            "--num_layer_trainable=3 --name_module_trainable=mlp",
            "--freeze_trainable_layers=3 --freeze_trainable_modules=mlp",
        ),
        # values
        ("--finetuning_type=none", "--finetuning_type=lora"),
        ("--lora_alpha=32.0", "--lora_alpha=32"),
        ("--lora_alpha=3.2e1", "--lora_alpha=32"),
        ("--lora_alpha=32", "--lora_alpha=32"),
        ("--warmup_ratio=0.03", "--warmup_steps=0.03"),
        ("--warmup_ratio=0", "--warmup_steps=0"),
        # data for prediction
        ("--stage=pt --dataset=d --do_eval", "--stage=pt --eval_dataset=d --do_eval"),
        ("--dataset=d --do_eval=True --val_size=0.0", "--eval_dataset=d --do_eval=True --val_size=0.0"),
        ("--dataset=d --do_eval --dev_ratio=0.1", "--dataset=d --do_eval --val_size=0.1"),
        ("--dataset=d --do_eval --do_train", "--dataset=d --do_eval --do_train"),
        ("--dataset=d --do_eval --do_train=false", "--eval_dataset=d --do_eval --do_train=false"),
        ("--dataset=d --do_eval --eval_dataset=e", "--dataset=d --do_eval --eval_dataset=e"),
        ("--dataset=d", "--dataset=d"),
        # generation
        ("--do_predict", "--do_predict --predict_with_generate"),
        ("--stage=sft --do_predict=True", "--stage=sft --do_predict=True --predict_with_generate"),
        ("--do_predict=False", "--do_predict=False"),
        ("--stage=mcq --do_predict", "--stage=mcq --do_predict"),
        ("--do_predict --predict_with_generate=true", "--do_predict --predict_with_generate=true"),
        ("--do_predict --predict_with_generate=false", "--do_predict --predict_with_generate=false"),
    ],
)
def test_translations(typed, expected):
    argv, notices = translated(*typed.split())
    assert argv == expected.split()
    assert bool(notices) == (typed != expected)  # a notice wherever something changed, and only there


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("--finetuning_type=freeze --checkpoint_dir=c", "held the trained layers only"),
        ("--finetuning_type=full --checkpoint_dir=a,b", "takes one folder"),
        ("--split=test", '"split": "test"'),
        ("--source_prefix=a|b", "each data set had its own text"),
        ("--lora_alpha=32.5", "expected a whole number"),
        ("--lora_alpha=inf", "expected a whole number"),
        ("--lora_alpha=many", "--lora_alpha: expected a number, found 'many'"),
        ("--max_source_length=long", "--max_source_length: expected a whole number, found 'long'"),
        ("--warmup_ratio=1", "at least 0 and below 1"),
        ("--warmup_ratio=-0.1", "at least 0 and below 1"),
        ("--warmup_ratio=nan", "at least 0 and below 1"),
        ("--finetuning_type=none --do_train", "trains nothing"),
        ("--dataset=d --do_eval --val_size=x", "--val_size: expected a number"),
        ("--finetuning_type=full --checkpoint_dir", "--checkpoint_dir needs a value"),
        ("--resume_lora_training=perhaps", "expected true or false"),
    ],
)
def test_refusals_of_values(typed, message):
    assert message in refusal(*typed.split())


def test_a_full_checkpoint_replaces_the_model_with_a_notice():
    _, [notice] = translated("--model_name_or_path=m", "--finetuning_type=full", "--checkpoint_dir=c")
    assert "--model_name_or_path c" in notice


def test_a_freeze_flag_alone_tells_its_partners_changed_default():
    assert "--freeze_trainable_modules is all by default (mlp in 2023)" in translated("--num_layer_trainable=3")[1][0]
    assert "--freeze_trainable_layers is 2 by default (3 in 2023)" in translated("--name_module_trainable=mlp")[1][0]
    _, notices = translated("--num_layer_trainable=3", "--name_module_trainable=mlp")
    assert not any("by default" in notice for notice in notices)


def test_a_notice_names_no_secret():
    _, notices = translated("--hf_auth_token=hush", "--push_to_hub_token=hush", "--use_auth_token=hush")
    assert len(notices) == 3
    assert "hush" not in "".join(notices)


def test_the_2023_commands_parse_today(upstream_parser):
    train = "--stage sft --model_name_or_path m --do_train --dataset d --template llama2 --finetuning_type lora --fp16"
    old_train = (
        f"{train} --output_dir o --evaluation_strategy no --warmup_ratio 0.1 --lora_alpha 32.0 --padding_side left"
    )
    read = upstream_parser.parse_args(translated(*old_train.split())[0])
    assert (read.eval_strategy, read.warmup_steps, read.lora_alpha, read.dataset) == ("no", 0.1, 32, "d")

    predict = "--stage sft --model_name_or_path m --do_predict --dataset d --template llama2 --finetuning_type lora"
    old_predict = f"{predict} --checkpoint_dir c --output_dir o --per_device_eval_batch_size 8 --max_samples 100"
    read = upstream_parser.parse_args(translated(*old_predict.split())[0])
    assert (read.adapter_name_or_path, read.eval_dataset, read.dataset) == ("c", "d", None)
    assert read.predict_with_generate is True


def test_a_command_of_today_is_left_as_it_is():
    today = [
        "--stage=sft",
        "--do_train",
        "--dataset=d",
        "--lora_alpha=16",
        "--warmup_steps=0.1",
        "--eval_strategy=steps",
    ]
    assert translated(*today) == (today, [])
