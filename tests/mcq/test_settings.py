"""Head, layout and pooling: which combinations are valid, what is stored, and what may be given besides."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from llmtuner.errors import UserError
from llmtuner.mcq import choices, kinds
from llmtuner.mcq.choices import resolve, settle
from llmtuner.mcq.kinds import model_kind
from llmtuner.mcq.pooling import PASSAGES
from llmtuner.mcq.run import resolve_run
from llmtuner.mcq.settings import McqSettings, read_settings, write_settings
from llmtuner.spec.flags import DUMA_PASSAGES

MINILM = {"hidden_size": 384, "num_attention_heads": 12, "attention_probs_dropout_prob": 0.1}
LIKELIHOOD = McqSettings(head="likelihood", pooling="none", likelihood_norm="token")
LLAMA = {"hidden_size": 4096, "num_attention_heads": 32, "attention_dropout": 0.0}


def test_the_declared_passages_are_implemented():
    assert tuple(PASSAGES) == DUMA_PASSAGES


def test_encoders_are_families_with_a_masked_language_model():
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES as masked

    assert kinds.ENCODERS - masked.keys() == set()
    left_out = {"bart", "mbart", "mvp", "perceiver", "reformer", "xlm"}  # encoder-decoder models, or also causal
    assert masked.keys() - kinds.ENCODERS <= left_out


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({"model_type": "llama"}, "causal"),
        ({"model_type": "bert"}, "encoder"),
        ({"model_type": "bert", "is_decoder": True}, "causal"),
        ({"model_type": "deberta-v2", "architectures": ["DebertaV2ForMaskedLM"]}, "encoder"),
    ],
)
def test_the_kind_of_a_model_is_read_from_its_configuration(config, kind):
    assert model_kind(config) == kind


@pytest.mark.parametrize(
    ("kind", "given", "chosen"),
    [
        ("causal", {}, ("linear", "shared_prefix", "last")),
        ("encoder", {}, ("linear", "per_option", choices.AUTO_POOLING["encoder"])),
        ("causal", {"head": "letter"}, ("letter", "joint", "none")),
        ("causal", {"head": "likelihood"}, ("likelihood", "shared_prefix", "none")),
        ("causal", {"head": "likelihood", "layout": "per_option"}, ("likelihood", "per_option", "none")),
        ("causal", {"layout": "joint"}, ("linear", "joint", "last")),
        ("causal", {"layout": "per_option", "pooling": "option"}, ("linear", "per_option", "option")),
    ],
)
def test_what_is_not_given_is_chosen(kind, given, chosen):
    actual = resolve(kind, given, MINILM)
    assert (actual.head, actual.layout, actual.pooling) == chosen


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        (
            "causal",
            {"head": "linaer"},
            "choose from: linear, option_mean, duma, cduma, letter, likelihood. Did you mean linear?",
        ),
        ("causal", {"layout": "packed"}, "choose from: shared_prefix, per_option, joint"),
        ("causal", {"pooling": "max"}, "choose from: auto, last"),
        ("causal", {"loss": "mse"}, "choose from: cross_entropy"),
        ("causal", {"head": "letter", "layout": "shared_prefix"}, "takes joint"),
        ("causal", {"head": "likelihood", "layout": "joint"}, "takes shared_prefix or per_option"),
        ("causal", {"head": "likelihood", "pooling": "mean"}, "pools nothing"),
        ("causal", {"head": "likelihood", "likelihood_norm": "chars"}, "choose from: sum, token, char, pmi"),
        ("causal", {"head": "letter", "likelihood_norm": "sum"}, "it is for the head likelihood"),
        ("encoder", {"head": "likelihood"}, "is an encoder"),
        ("causal", {"head": "duma", "layout": "joint"}, "takes shared_prefix or per_option"),
        ("causal", {"head": "option_mean", "layout": "joint"}, "takes shared_prefix or per_option"),
        ("causal", {"duma.width": 64}, "duma.width 64: it is for the heads duma or cduma, and the head is linear"),
        ("causal", {"head": "duma", "duma.preset": "papers"}, "choose from: bottleneck, paper. Did you mean paper?"),
        ("causal", {"head": "duma", "duma.passage": "ctx"}, "choose from: context_question, context"),
        ("causal", {"head": "cduma", "duma.heads": 5}, "5: it does not divide the width 384; 6 does"),
        ("causal", {"head": "cduma", "duma.width": 0}, "expected a whole number of at least 1"),
        ("causal", {"head": "cduma", "duma.layers": "many"}, "expected a whole number of at least 1"),
        ("causal", {"head": "cduma", "duma.share": "perhaps"}, "expected true or false"),
        ("causal", {"head": "duma", "duma.preset": "paper", "duma.width": 64}, "the preset paper fixes it"),
        ("causal", {"head": "letter", "pooling": "last"}, "pools nothing"),
        ("causal", {"layout": "joint", "pooling": "option"}, "it takes last, mean"),
        ("causal", {"pooling": "first"}, "whose first token has seen no option"),
        ("encoder", {"head": "letter"}, "is an encoder"),
        ("encoder", {"layout": "shared_prefix"}, "every token of the question sees the option"),
        ("encoder", {"layout": "joint"}, "encoders take per_option"),
    ],
)
def test_names_that_do_not_go_together_are_refused(kind, given, message):
    with pytest.raises(UserError, match=message):
        resolve(kind, given, MINILM)


@pytest.mark.parametrize(
    ("given", "config", "wanted"),
    [
        (
            {},
            LLAMA,
            {"width": 512, "heads": 8, "layers": 1, "share": True, "passage": "context_question", "dropout": 0},
        ),
        ({}, MINILM, {"width": 384, "heads": 6, "dropout": 0}),
        ({}, {"hidden_size": 32}, {"width": 32, "heads": 1}),
        ({}, {"text_config": LLAMA}, {"width": 512}),
        ({"width": 500}, LLAMA, {"width": 500, "heads": 5}),
        ({"share": False, "layers": 2}, LLAMA, {"share": False, "layers": 2}),
        ({"preset": "paper"}, LLAMA, {"width": 4096, "heads": 32, "passage": "context", "dropout": 0}),
        ({"preset": "paper"}, MINILM, {"width": 384, "heads": 12, "share": True, "dropout": 0.1}),
        ({"preset": "paper", "passage": "context_question"}, MINILM, {"passage": "context_question"}),
        ({"preset": "paper"}, {"n_embd": 768, "n_head": 12}, {"width": 768, "heads": 12}),
        ({"preset": "paper"}, {"emb_dim": 64, "n_heads": 4}, {"width": 64, "heads": 4}),
    ],
)
def test_the_measures_of_co_attention_follow_preset_and_model(given, config, wanted):
    measures = {f"duma.{name}": value for name, value in given.items()}
    duma = asdict(resolve("causal", {"head": "duma", **measures}, config).duma)
    assert duma == duma | wanted


def test_a_paper_head_names_a_number_of_attention_heads_that_divides_the_width():
    """The message blamed a flag that was not given."""
    config = {"hidden_size": 4096, "num_attention_heads": 80}
    with pytest.raises(UserError, match=r"80 attention heads, which do not divide its width 4096; pass 64"):
        resolve("causal", {"head": "duma", "duma.preset": "paper"}, config)


def test_another_preset_or_width_than_the_stored_one_is_refused_with_both_shapes():
    stored = resolve("causal", {"head": "duma"}, LLAMA).with_(base={"hidden_size": 4096})
    assert settle(stored, {"duma.width": 512, "duma.share": True}, "a") == stored
    for given, shape in (({"duma.width": 256}, "256 x 256"), ({"duma.preset": "paper"}, "4096 x 4096")):
        with pytest.raises(UserError, match=rf"contradicts a.mcq_config.json.*512 x 512, and this would be {shape}"):
            settle(stored, given, "a")
    assert settle(stored, {"duma.share": True, "duma.heads": 8}, "a") == stored
    with pytest.raises(UserError, match=r"choose from: bottleneck, paper\. Did you mean paper"):
        settle(stored, {"duma.preset": "papr"}, "a")
    small = resolve("causal", {"head": "duma"}, MINILM).with_(base={"hidden_size": 384})
    with pytest.raises(UserError, match=r"paper: contradicts .*which says bottleneck; leave"):
        settle(small, {"duma.preset": "paper"}, "a")
    with pytest.raises(UserError, match=r"duma.layers 2: contradicts .*which says 1; leave"):
        settle(stored, {"duma.layers": 2}, "a")
    with pytest.raises(UserError, match="it is for the heads duma or cduma, and the head is linear"):
        settle(McqSettings(), {"duma.layers": 2}, "a")


def test_a_model_with_encoder_and_decoder_is_refused():
    with pytest.raises(UserError, match="'t5' has encoder and decoder"):
        model_kind({"model_type": "t5", "is_encoder_decoder": True})


def test_settings_come_back_from_their_file(tmp_path):
    settings = McqSettings(pooling="option", prompt={"template": "llama2"}, merged_adapters=("a", "b"))
    write_settings(settings, tmp_path)
    assert read_settings(tmp_path) == settings
    assert read_settings(tmp_path / "nowhere") is None
    assert [path.name for path in tmp_path.iterdir()] == ["mcq_config.json"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:40], "damaged"),
        (lambda text: text.replace('"format": 1', '"format": 2'), "later version"),
        (lambda text: text.replace('"head"', '"haed"'), "damaged"),
        (lambda text: "[]", "damaged"),
        (lambda text: text.replace('"linear"', '"duma"'), "damaged"),
    ],
)
def test_a_damaged_file_is_reported_as_damaged(change, message, tmp_path):
    path = write_settings(McqSettings(), tmp_path)
    path.write_text(change(path.read_text()))
    with pytest.raises(UserError, match=message):
        read_settings(tmp_path)


@pytest.mark.parametrize(
    "change",
    [{"width": "64"}, {"heads": 3}, {"layers": 0}, {"passage": "x"}, {"preset": "foo"}, {"share": 1}, {"dropout": 1.0}],
)
def test_measures_that_no_head_can_have_are_damage(change, tmp_path):
    """They raised tracebacks while the model was built, or built a different head."""
    settings = resolve("causal", {"head": "duma"}, {"hidden_size": 64})
    write_settings(settings, tmp_path)
    assert read_settings(tmp_path) == settings
    path = tmp_path / "mcq_config.json"
    stored = json.loads(path.read_text())
    path.write_text(json.dumps({**stored, "duma": {**stored["duma"], **change}}))
    with pytest.raises(UserError, match=r"damaged: (duma\.|dropout)"):
        read_settings(tmp_path)


def test_a_flag_may_repeat_what_is_stored_and_choose_another_layout_of_rows():
    stored = McqSettings(head="linear", layout="shared_prefix", pooling="option")
    assert settle(stored, {"head": "linear", "pooling": "auto"}, "here") == stored
    assert settle(stored, {"layout": "per_option"}, "here") == stored.with_(layout="per_option")


@pytest.mark.parametrize(
    ("stored", "given"),
    [
        (McqSettings(), {"head": "letter"}),
        (LIKELIHOOD, {"likelihood_norm": "pmi"}),
        (LIKELIHOOD, {"head": "linear"}),
        (McqSettings(), {"pooling": "mean"}),
        (McqSettings(), {"layout": "joint"}),
        (McqSettings(layout="joint"), {"layout": "shared_prefix"}),
        (McqSettings(layout="per_option", kind="encoder"), {"layout": "shared_prefix"}),
    ],
)
def test_a_flag_that_contradicts_what_is_stored_is_refused(stored, given):
    with pytest.raises(UserError, match=r"contradicts|sees the option"):
        settle(stored, given, "here")


def model_folder(folder, **config):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", **config}))
    return str(folder)


def test_the_last_adapter_with_settings_decides(tmp_path):
    model = model_folder(tmp_path / "model")
    adapters = [str(tmp_path / "one"), str(tmp_path / "two")]
    for name, pooling, below in (("one", "mean", ()), ("two", "option", (adapters[0],))):
        (tmp_path / name).mkdir()
        write_settings(McqSettings(pooling=pooling, merged_adapters=below), tmp_path / name)
    run = resolve_run(model, adapters, {}, training=False)
    assert (run.settings.pooling, run.source, run.adapters) == ("option", adapters[1], tuple(adapters))


def test_settings_of_another_kind_of_model_are_refused(tmp_path):
    write_settings(McqSettings(kind="encoder", layout="per_option"), tmp_path)
    with pytest.raises(UserError, match="kind encoder"):
        resolve_run(model_folder(tmp_path / "model"), [str(tmp_path)], {}, training=False)


@pytest.fixture
def stacked(tmp_path):
    """A model, an adapter of stage sft, and one of stage mcq that was trained on top of it."""
    model = model_folder(tmp_path / "model")
    (tmp_path / "sft").mkdir()
    run = resolve_run(model, [str(tmp_path / "sft")], {}, training=True)
    assert run.merge_all
    (tmp_path / "mcq").mkdir()
    write_settings(run.settings, tmp_path / "mcq")
    return model, str(tmp_path / "sft"), str(tmp_path / "mcq")


def test_a_linear_head_becomes_co_attention_in_training_only(stacked):
    model, _, mcq = stacked
    (Path(model) / "config.json").write_text('{"model_type": "llama", "hidden_size": 64}')
    write_settings(McqSettings(pooling="mean"), mcq)
    duma = {"head": "duma", "duma.width": 16}
    run = resolve_run(model, [mcq], duma, training=True)
    assert (run.settings.head, run.settings.pooling, run.settings.duma.width) == ("duma", "mean", 16)
    assert any("becomes a duma head" in notice for notice in run.notices)
    with pytest.raises(UserError, match="duma: contradicts"):
        resolve_run(model, [mcq], duma, training=False)
    run = resolve_run(model, [mcq], {"head": "option_mean"}, training=True)
    assert (run.settings.head, run.settings.duma) == ("option_mean", None)
    with pytest.raises(UserError, match=r"unknown value.*Did you mean duma"):
        resolve_run(model, [mcq], {"head": "dumaa"}, training=True)
    write_settings(McqSettings(layout="joint", num_options=5), mcq)
    with pytest.raises(UserError, match=r"has a linear head over joint prompts, and only STEP2's linear head"):
        resolve_run(model, [mcq], duma, training=True)


def test_an_adapter_below_is_found_once_however_it_is_spelt(stacked, monkeypatch):
    """Given by another path, it was merged twice, and every score changed."""
    model, sft, mcq = stacked
    monkeypatch.chdir(Path(sft).parent)
    for given, wanted in (([mcq], (sft, mcq)), (["./sft", mcq], ("./sft", mcq)), (["sft", "mcq"], ("sft", "mcq"))):
        assert resolve_run(model, given, {}, training=False).adapters == wanted


def test_moved_folders_can_be_named_where_they_are(stacked):
    model, sft, mcq = stacked
    moved = Path(sft).rename(Path(sft).parent / "moved")
    with pytest.raises(UserError, match="wherever they are now"):
        resolve_run(model, [mcq], {}, training=False)
    assert resolve_run(model, [str(moved), mcq], {}, training=False).adapters == (str(moved), mcq)


def test_folders_that_moved_together_need_not_be_named(stacked, monkeypatch):
    model, sft, mcq = stacked
    moved = {(sft, mcq): str(Path(sft).rename(Path(sft).parent / "moved"))}
    monkeypatch.setattr("llmtuner.mcq.adapters.moved_with", lambda name, upper: moved[name, upper])
    assert resolve_run(model, [mcq], {}, training=False).adapters == (moved[sft, mcq], mcq)


@pytest.mark.parametrize("training", [True, False])
def test_adapters_that_do_not_belong_together_are_refused(stacked, training):
    """They were merged anyway and changed the scores; and a training on top of a head never saved that head."""
    model, sft, mcq = stacked
    alone = Path(mcq).parent / "alone"
    alone.mkdir()
    write_settings(McqSettings(), alone)
    for given, message in (
        ([mcq, sft], f"{sft} has no mcq_config.json"),
        ([sft, str(alone)], "was trained on the base model alone"),
        ([str(alone), mcq], f"was trained on top of {sft}"),
        ([sft, sft, mcq], f"was trained on top of {sft}"),
        ([mcq, mcq], f"was trained on top of {sft}"),
    ):
        with pytest.raises(UserError, match=message):
            resolve_run(model, given, {}, training=training)
    write_settings(McqSettings(), model)  # from full tuning
    with pytest.raises(UserError, match=f"not trained with the head of {model}"):
        resolve_run(model, [sft], {}, training=training)


@pytest.mark.parametrize(
    ("given", "new_adapter", "merged"),
    [(("mcq",), False, ("sft",)), (("mcq",), True, ("sft", "mcq")), (("sft", "mcq"), False, ("sft",))],
)
def test_what_is_merged_below_a_training_is_remembered(stacked, given, new_adapter, merged):
    """Prediction with only the new adapter silently ignored the others."""
    model, sft, mcq = stacked
    paths = {"sft": sft, "mcq": mcq}
    run = resolve_run(model, [paths[name] for name in given], {}, training=True, new_adapter=new_adapter)
    assert run.settings.merged_adapters == tuple(paths[name] for name in merged)
    assert run.merge_all == new_adapter


def test_letters_train_an_sft_adapter_further_unless_a_new_one_is_given(stacked):
    model, sft, _ = stacked
    letters = {"head": "letter"}
    assert resolve_run(model, [sft], letters, training=True).settings.merged_adapters == ()
    assert resolve_run(model, [sft], letters, training=True, new_adapter=True).settings.merged_adapters == (sft,)


@pytest.mark.parametrize("value", ["[" * 100_000 + "]" * 100_000, "9" * 5000], ids=["deep", "long"])
def test_a_file_that_python_cannot_hold_is_damaged(tmp_path, value):
    """Deep brackets were a traceback of 1,000 lines."""
    (tmp_path / "mcq_config.json").write_text(f'{{"format": 1, "prompt": {value}}}')
    with pytest.raises(UserError, match=r"mcq_config\.json: damaged: not JSON"):
        read_settings(tmp_path)
    (tmp_path / "config.json").write_text(f'{{"model_type": {value}}}')
    (tmp_path / "mcq_config.json").unlink()
    with pytest.raises(UserError, match=r"config\.json: not JSON"):
        resolve_run(str(tmp_path), training=True)


def test_the_norm_is_stored_for_its_head_alone(tmp_path):
    """A key that other heads do not have would be in every file."""
    write_settings(LIKELIHOOD, tmp_path)
    assert json.loads((tmp_path / "mcq_config.json").read_text())["likelihood_norm"] == "token"
    assert read_settings(tmp_path) == LIKELIHOOD
    assert "likelihood_norm" not in McqSettings().to_json()
    for wrong in ({"head": "likelihood", "pooling": "none"}, {"likelihood_norm": "sum"}):
        with pytest.raises(UserError, match="expected for likelihood only"):
            McqSettings(**wrong)
    with pytest.raises(UserError, match="for the head likelihood, and the head is linear"):
        settle(McqSettings(), {"likelihood_norm": "sum"}, "here")


def test_pmi_is_for_prediction_only(tmp_path):
    """Its second pass has no gradients, so a training would minimise something else."""
    model = model_folder(tmp_path / "model")
    given = {"head": "likelihood", "likelihood_norm": "pmi"}
    assert resolve_run(model, given=given, training=False).settings.likelihood_norm == "pmi"
    with pytest.raises(UserError, match="prediction only; train with one of sum, token, char"):
        resolve_run(model, given=given, training=True)


@pytest.mark.parametrize("head", ["linear", "option_mean", "duma"])
@pytest.mark.parametrize("stored", [LIKELIHOOD, McqSettings(head="letter", layout="joint", pooling="none")])
def test_a_head_with_weights_starts_afresh_on_a_model_whose_head_has_none(head, stored, stacked):
    """It was refused as a contradiction; nothing of the stored head would be lost."""
    model, sft, mcq = stacked
    (Path(model) / "config.json").write_text('{"model_type": "llama", "hidden_size": 64}')
    write_settings(stored.with_(merged_adapters=(sft,), prompt={"template": "qwen"}), mcq)
    run = resolve_run(model, [mcq], {"head": head}, training=True)
    assert (run.settings.head, run.new, run.merge_all) == (head, True, True)
    assert run.settings.merged_adapters == run.adapters == (sft, mcq)
    assert run.settings.likelihood_norm is None
    assert run.template == "qwen"
    assert run.notices == (f"{sft}, {mcq} merged into the base model; a fresh {head} head is trained on top",)
    with pytest.raises(UserError, match="contradicts"):
        resolve_run(model, [mcq], {"head": head}, training=False)
    write_settings(stored, model)
    run = resolve_run(model, [], {"head": head}, training=True)
    assert (run.new, run.adapters, run.merge_all, len(run.notices)) == (True, (), False, 1)
