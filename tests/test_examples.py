"""The files of examples/: each parses, has a comment on every key, and runs on a tiny random model of its family."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from support import DEMO, ROOT, wordpiece
from test_distributed import environment, run_all

from llmtuner.cli.config_file import read_config
from llmtuner.cli.flags import Flags
from llmtuner.cli.flags_2023 import translate
from llmtuner.cli.main import main
from llmtuner.cli.run import check_names, read_values
from llmtuner.retrieval.index.build import build_index

EXAMPLES = {path.stem: path for path in sorted((ROOT / "examples").glob("*.yaml"))}
README = ROOT / "examples" / "README.md"
CHINESE = ROOT / "docs" / "zh" / "examples.md"
QUESTIONS = 6
QUICK = (f"max_samples={QUESTIONS}", "max_steps=2", "use_cpu=true")
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 2048,
}
LLAMA3 = [
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<|eom_id|>",
]
QWEN = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


# ---- the files


def commands(text: str) -> list[list[str]]:
    """The words of the commands in a file's comments or code blocks, with continued lines joined."""
    lines = re.sub(r"^# ?", "", text, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    actual = [line.strip() for line in lines if re.match(r"\s*([A-Z_]+=\S+ )*python ", line)]
    return [shlex.split(command.replace("$(python scripts/minilm.py)", "MINILM"), comments=True) for command in actual]


def check(words: list[str]) -> Flags:
    """Process the words after train_bash.py as `main` does before it looks for models and data."""
    path = Path(words[0])
    given = read_config(path, words[1:])
    assert given.notices == [], "a key or an override that is given twice, or is text by mistake"
    assert translate(given) == [], "a flag of 2023"
    check_names(given, path)
    flags = Flags.of(given)
    read_values(flags)
    return flags


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_has_known_keys_and_values_that_fit(name):
    """Guards against a key that a new version of upstream no longer has."""
    flags = check([str(EXAMPLES[name])])
    assert flags["output_dir"] == ("out/predict" if name == "predict" else f"out/{name}")


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_key_of_an_example_has_a_comment(name):
    text = EXAMPLES[name].read_text(encoding="utf-8")
    lines = text.splitlines()
    keys = [(key.value, lines[key.start_mark.line]) for key, _ in yaml.compose(text).value]
    for key, line in keys:
        comment = line.partition("  # ")[2]
        assert len(comment.split()) >= 2, f"{key} has no comment beside it: {line}"
    assert len(keys) >= 7


@pytest.mark.parametrize("path", [*EXAMPLES.values(), README], ids=lambda path: path.name)
def test_the_commands_of_examples_parse(path, monkeypatch):
    """Guards against a command in a header that names a file or a flag that does not exist."""
    monkeypatch.chdir(ROOT)
    started = []
    for words in commands(path.read_text(encoding="utf-8")):
        script, *more = words[words.index("python") + 1 :]
        assert (ROOT / script).is_file(), words
        if script == "src/train_bash.py":
            check(more)
            started.append(more[0])
    assert path == README or started[0] == f"examples/{path.name}", "the first command starts the example"
    assert started


@pytest.mark.parametrize(("index", "folder"), [(README, ""), (CHINESE, "../../examples/")], ids=["English", "Chinese"])
def test_the_index_has_a_row_for_every_example(index, folder):
    """Guards against a new example that is missing from one of the two tables."""
    row = re.compile(rf"^\| \[(\w+)\.yaml\]\({re.escape(folder)}(\w+)\.yaml\) \|", flags=re.MULTILINE)
    assert sorted(row.findall(index.read_text(encoding="utf-8"))) == [(name, name) for name in EXAMPLES]


# ---- tiny models


def byte_level(special: list[str], **named: str) -> Any:
    """A tokenizer like Llama-3's and Qwen's: byte-level BPE, with the special tokens of their templates."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    sizes = {"vocab_size": 700, "initial_alphabet": alphabet, "show_progress": False}
    tokenizer.train([str(DEMO)], trainers.BpeTrainer(special_tokens=special, **sizes))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named)


def with_instruction_marks(llama: Path) -> Any:
    """Mistral's tokenizer is like Llama-2's, with special tokens for the markers of its template."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(llama)
    tokenizer.add_special_tokens({"additional_special_tokens": ["[INST]", "[/INST]"]})
    return tokenizer


def unigram() -> Any:
    """A tokenizer like DeBERTa-v3's."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import DebertaV2Tokenizer

    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    sizes = {"vocab_size": 600, "unk_token": "[UNK]", "show_progress": False}
    tokenizer.train([str(DEMO)], trainers.UnigramTrainer(special_tokens=special, **sizes))
    pieces = json.loads(tokenizer.to_str())["model"]["vocab"]
    return DebertaV2Tokenizer(vocab=[tuple(piece) for piece in pieces])


def write(folder: Path, loader: Any, tokenizer: Any, shape: dict[str, Any]) -> Path:
    from transformers import AutoConfig

    torch.manual_seed(0)
    given = {**SIZES, "vocab_size": len(tokenizer), **shape}
    loader.from_config(AutoConfig.for_model(given.pop("model_type"), **given)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def models(tiny_llama, tmp_path_factory) -> dict[str, Path]:
    """A folder with a random model of every family."""
    from transformers import AutoModel, AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("families")
    causal: dict[str, tuple[Any, dict[str, Any]]] = {
        "llama3": (
            byte_level(LLAMA3, bos_token=LLAMA3[0], eos_token=LLAMA3[1]),
            {"model_type": "llama", "num_key_value_heads": 2},
        ),
        "qwen": (byte_level(QWEN, eos_token=QWEN[0]), {"model_type": "qwen2", "num_key_value_heads": 2}),
        "mistral": (with_instruction_marks(tiny_llama), {"model_type": "mistral", "num_key_value_heads": 2}),
    }
    encoders: dict[str, tuple[Any, dict[str, Any]]] = {
        "bert": (wordpiece(), {"model_type": "bert", "max_position_embeddings": 512}),
        "minilm": (wordpiece(), {"model_type": "bert", "max_position_embeddings": 512, "num_hidden_layers": 6}),
        "deberta": (
            unigram(),
            {
                "model_type": "deberta-v2",
                "max_position_embeddings": 512,
                "relative_attention": True,
                "pos_att_type": ["p2c", "c2p"],
                "position_buckets": 16,
                "type_vocab_size": 0,
            },
        ),
    }
    made = {"llama2": tiny_llama}
    for loader, families in ((AutoModelForCausalLM, causal), (AutoModel, encoders)):
        made |= {name: write(folder / name, loader, *given) for name, given in families.items()}
    return made


# ---- every example runs


def results(folder: Path) -> dict:
    return json.loads((folder / "predict_results.json").read_text())


def predictions(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "predictions.jsonl").open(encoding="utf-8")]


def start(name: str, model: Path, output_dir: Path, *more: str) -> Path:
    """Run an example on a few questions."""
    words = [str(EXAMPLES[name]), f"model_name_or_path={model}", f"output_dir={output_dir}", *QUICK, *more]
    words.append("allow_unknown_tokens=true")  # small vocabularies of the demo lack signs such as "°C" and "²"
    assert main(words) == 0
    return output_dir


def assert_predicted(folder: Path) -> None:
    """Check for a ranking of each question, the submission, and MAP@3."""
    lines = predictions(folder)
    assert len(lines) == QUESTIONS
    assert len((folder / "submission.csv").read_text().splitlines()) == 1 + QUESTIONS
    assert 0 <= results(folder)["predict_map@3"] <= 1
    assert all(sum(line["probabilities"].values()) == pytest.approx(1) for line in lines)


def assert_trained(folder: Path, weights: str) -> None:
    """Two steps, and weights under the name that predict.yaml expects."""
    assert json.loads((folder / "trainer_state.json").read_text())["global_step"] == 2
    assert (folder / weights).is_file()


@pytest.fixture(scope="module")
def step2(models, tmp_path_factory) -> Path:
    return start("step2_classifier", models["llama2"], tmp_path_factory.mktemp("step2") / "adapter")


@pytest.fixture(scope="module")
def encoder(models, tmp_path_factory) -> Path:
    return start("encoder", models["bert"], tmp_path_factory.mktemp("encoder") / "model")


def test_step1_is_trained_and_then_predicts_by_overrides(models, tmp_path):
    trained = start("step1_sft", models["llama2"], tmp_path / "trained")
    assert_trained(trained, "adapter_model.safetensors")
    assert_predicted(trained)
    again = ("do_train=false", f"adapter_name_or_path={trained}")
    assert_predicted(start("step1_sft", models["llama2"], tmp_path / "again", *again))
    for first, second in zip(predictions(trained), predictions(tmp_path / "again"), strict=True):
        assert list(first["scores"].values()) == pytest.approx(list(second["scores"].values()), abs=1e-5)
    assert not (tmp_path / "again" / "adapter_model.safetensors").exists(), "it was to predict only"


def test_step2_is_trained_and_predict_repeats_its_scores(models, step2, tmp_path):
    assert_trained(step2, "adapter_model.safetensors")
    assert_predicted(step2)
    start("predict", models["llama2"], tmp_path, f"adapter_name_or_path={step2}")
    for first, second in zip(predictions(step2), predictions(tmp_path), strict=True):
        assert list(first["scores"].values()) == pytest.approx(list(second["scores"].values()), abs=1e-5)


def test_step3_continues_from_step2(models, step2, tmp_path):
    trained = start("step3_coattention", models["llama2"], tmp_path, f"adapter_name_or_path={step2}")
    assert_trained(trained, "adapter_model.safetensors")
    assert_predicted(trained)
    assert json.loads((trained / "mcq_config.json").read_text())["head"] == "duma"


CAUSAL = {
    "step3_coattention": "llama2",
    "qlora_16gb": "llama2",
    "llama2": "llama2",
    "llama3": "llama3",
    "qwen": "qwen",
    "mistral": "mistral",
}
WITHOUT_BITSANDBYTES = {"qlora_16gb": ("quantization_bit=null",)}


@pytest.mark.parametrize("name", CAUSAL)
def test_a_causal_model_is_trained_and_predicts(name, models, tmp_path, capsys):
    """The tokenizers have the templates' special tokens: no example needs --resize_vocab."""
    trained = start(name, models[CAUSAL[name]], tmp_path, *WITHOUT_BITSANDBYTES.get(name, ()))
    assert_trained(trained, "adapter_model.safetensors")
    assert_predicted(trained)
    stored = json.loads((trained / "mcq_config.json").read_text())
    assert (stored["layout"], stored["prompt"]["template"]) == ("shared_prefix", CAUSAL[name])
    assert "New tokens have been added" not in capsys.readouterr().err


def test_open_book_is_trained_and_predicts_with_the_stored_index(models, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LLMTUNER_CACHE", str(tmp_path / "cache"))
    build_index([str(ROOT / "data" / "elementary" / "corpus.jsonl")], tmp_path / "index")
    trained = start("open_book", models["llama2"], tmp_path / "trained", f"retrieve={tmp_path / 'index'}")
    assert_trained(trained, "adapter_model.safetensors")
    assert_predicted(trained)
    closed = ("dataset=null", "eval_dataset=llmscience_elementary_test", f"adapter_name_or_path={trained}")
    start("predict", models["llama2"], tmp_path / "again", *closed)
    assert "contexts are retrieved from" in capsys.readouterr().err
    for first, second in zip(predictions(trained), predictions(tmp_path / "again"), strict=True):
        assert list(first["scores"].values()) == pytest.approx(list(second["scores"].values()), abs=1e-5)


@pytest.mark.parametrize("name", ["deberta", "minilm"])
def test_an_encoder_is_trained_and_predicts(name, models, tmp_path):
    trained = start(name, models[name], tmp_path)
    assert_trained(trained, "model.safetensors")
    assert_predicted(trained)
    assert json.loads((trained / "mcq_config.json").read_text())["kind"] == "encoder"


def test_the_best_epoch_of_an_encoder_is_stored_and_predicts(encoder, tmp_path):
    assert_trained(encoder, "model.safetensors")
    state = json.loads((encoder / "trainer_state.json").read_text())
    scores = {entry["step"]: entry["eval_map@3"] for entry in state["log_history"] if "eval_map@3" in entry}
    assert len(scores) == 2, "an evaluation after each epoch"
    assert scores[state["best_global_step"]] == max(scores.values()) == state["best_metric"]
    assert_predicted(start("predict", encoder, tmp_path, "adapter_name_or_path=null", "fp16=false"))


def test_letters_rank_without_training(models, tmp_path):
    out = start("zero_shot_letter", models["qwen"], tmp_path)
    assert_predicted(out)
    assert results(out)["mcq_layout"] == "joint"
    assert not list(out.glob("*.safetensors"))


def test_likelihoods_rank_without_training(models, tmp_path):
    out = start("zero_shot_likelihood", models["qwen"], tmp_path)
    assert_predicted(out)
    assert (results(out)["mcq_layout"], results(out)["mcq_likelihood_norm"]) == ("shared_prefix", "char")
    assert not list(out.glob("*.safetensors"))


def test_shots_stand_before_every_question(models, tmp_path):
    out = start("few_shot", models["qwen"], tmp_path)
    assert_predicted(out)
    assert results(out)["mcq_layout"] == "shared_prefix"


@pytest.mark.subprocess
def test_two_t4_runs_as_two_processes(models, tmp_path):
    """As the launcher does with two visible GPUs, but on a CPU."""
    out = tmp_path / "out"
    overrides = (f"model_name_or_path={models['llama2']}", f"output_dir={out}", *QUICK)
    words = [str(EXAMPLES["two_t4"]), *overrides, "quantization_bit=null"]
    two = environment(FORCE_TORCHRUN="1", NPROC_PER_NODE="2")
    run_all([[sys.executable, str(ROOT / "src" / "train_bash.py"), *words]], [two], tmp_path)
    assert "starting torchrun with 2 processes" in (tmp_path / "process-0.log").read_text()
    assert_trained(out, "adapter_model.safetensors")
    assert_predicted(out)
