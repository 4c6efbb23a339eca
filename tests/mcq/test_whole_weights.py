"""A model with random, missing or non-finite weights is never scored, and an adapter is loaded whole or not at all."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForCausalLM, BertConfig, BertModel, LlamaConfig, LlamaForCausalLM

from llmtuner.errors import UserError
from llmtuner.mcq.adapter_fit import check_fit
from llmtuner.mcq.bad_weights import blaming_bad_weights, refuse_bad_weights
from llmtuner.mcq.embeddings import grow_embeddings
from llmtuner.mcq.whole import load_whole

SIZES = {"hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2, "vocab_size": 64}


def llama(layers=2, **more):
    return LlamaForCausalLM(LlamaConfig(num_hidden_layers=layers, num_key_value_heads=2, **{**SIZES, **more}))


def saved(model, folder, drop=()):
    """A model's folder without some of its weights."""
    model.save_pretrained(folder)
    path = folder / "model.safetensors"
    tensors = {name: tensor for name, tensor in load_file(path).items() if name not in drop}
    save_file(tensors, path, metadata={"format": "pt"})
    return folder


def load(folder, *, scores_tokens=True, loader=AutoModelForCausalLM):
    return load_whole(loader.from_pretrained, str(folder), scores_tokens=scores_tokens)


def test_weights_that_the_files_lack_are_named(tmp_path):
    """They were drawn at random, and the model was scored."""
    lacking = ("model.layers.1.mlp.up_proj.weight", "model.norm.weight")
    folder = saved(llama(), tmp_path / "model", drop=lacking)
    with pytest.raises(UserError, match="lack 2 weights, which would be random") as caught:
        load(folder)
    assert all(name in str(caught.value) for name in lacking)


def test_weights_of_other_shapes_are_the_models_mistake(tmp_path):
    folder = saved(llama(), tmp_path / "model")
    LlamaConfig(num_hidden_layers=2, num_key_value_heads=2, **{**SIZES, "vocab_size": 65}).save_pretrained(folder)
    with pytest.raises(UserError, match=r"other shapes than its config\.json says"):
        load(folder)


def test_a_model_with_values_for_sampling_can_be_saved(tmp_path):
    """Llama-2's generation_config.json of 2023: merging an adapter into such a model ended in transformers' words."""
    folder = saved(llama(), tmp_path / "model")
    (folder / "generation_config.json").write_text('{"temperature": 0.9, "top_p": 0.6, "do_sample": false}')
    model = load(folder)
    model.save_pretrained(tmp_path / "again")
    assert model.generation_config.do_sample


def test_tied_embeddings_are_no_lack(tmp_path):
    folder = saved(llama(tie_word_embeddings=True), tmp_path / "model")
    assert "lm_head.weight" not in load_file(folder / "model.safetensors")
    assert load(folder).lm_head.weight is not None


def test_buffers_are_no_lack():
    """They are computed or constant, and files of earlier versions of a library have none."""
    model = llama()
    model.register_buffer("scale", torch.ones(1))
    load_whole(lambda *_, **__: (model, {"missing_keys": {"scale"}}), "a model", scores_tokens=True)
    with pytest.raises(UserError, match="lack 1 weights, which would be random: lm_head"):
        load_whole(lambda *_, **__: (model, {"missing_keys": {"scale", "lm_head.weight"}}), "m", scores_tokens=True)


def test_a_language_model_head_is_needed_where_tokens_are_scored_alone(tmp_path):
    """A backbone without it is good for a head over options."""
    folder = saved(llama(), tmp_path / "model", drop=("lm_head.weight",))
    load(folder, scores_tokens=False)
    with pytest.raises(UserError, match=r"lm_head\.weight"):
        load(folder)


def test_an_encoder_needs_no_pooler_but_every_layer(tmp_path):
    bert = BertModel(BertConfig(num_hidden_layers=2, **SIZES))
    pooler = ("pooler.dense.weight", "pooler.dense.bias")
    load(saved(bert, tmp_path / "a", drop=pooler), scores_tokens=False, loader=AutoModel)
    layer = "encoder.layer.1.output.dense.weight"
    with pytest.raises(UserError, match=layer):
        load(saved(bert, tmp_path / "b", drop=(layer,)), scores_tokens=False, loader=AutoModel)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapters") / "trained"
    get_peft_model(llama(), LoraConfig(r=4, target_modules=["q_proj", "v_proj"])).save_pretrained(folder)
    return folder


def changed(trained, folder, change):
    folder.mkdir()
    (folder / "adapter_config.json").write_text((trained / "adapter_config.json").read_text())
    tensors = load_file(trained / "adapter_model.safetensors")
    save_file(
        {new: tensor for name, tensor in tensors.items() if (new := change(name))}, folder / trained_file(trained)
    )
    return folder


def trained_file(trained):
    return next(trained.glob("*.safetensors")).name


def test_an_adapter_that_fits_passes(trained):
    check_fit(llama(), trained)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda name: name.replace("model.layers", "model.blocks"), r"LoRA weights for model\.blocks\.0\.self_attn"),
        (lambda name: name.replace("q_proj", "k_proj"), r"LoRA weights for model\.layers\.0\.self_attn\.k_proj"),
        (lambda name: "" if ".1." in name else name, r"lacks the LoRA weights of model\.layers\.1\.self_attn\.q_proj"),
    ],
    ids=["other names", "modules that the configuration does not name", "a layer less"],
)
def test_an_adapter_that_peft_would_load_in_part_is_refused(trained, tmp_path, change, said):
    with pytest.raises(UserError, match=said):
        check_fit(llama(), changed(trained, tmp_path / "changed", change))


def test_an_adapter_for_other_layers_or_widths_is_refused(trained):
    with pytest.raises(UserError, match=r"lacks the LoRA weights of model\.layers\.2"):
        check_fit(llama(layers=3), trained)
    with pytest.raises(UserError, match=r"model\.layers\.0\.self_attn\.q_proj is 16 wide in it, and 32 in the model"):
        check_fit(llama(hidden_size=32), trained)


@pytest.fixture
def grown(tmp_path):
    """An adapter that brings eight more rows of embeddings."""
    model = llama()
    model.resize_token_embeddings(72, mean_resizing=False)
    whole = ["embed_tokens", "lm_head"]
    get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj"], modules_to_save=whole)).save_pretrained(tmp_path)
    return tmp_path


def test_an_adapter_with_more_rows_names_the_flags(grown):
    with pytest.raises(UserError, match=r"\.weight has 72 rows .* 64: .*--resize_vocab, --add_tokens"):
        check_fit(llama(), grown)


def test_a_model_grows_to_the_rows_of_its_adapters(grown, trained):
    model = llama()
    grow_embeddings(model, [str(trained), str(grown)], tokens=70, scores_tokens=True)
    assert (model.get_input_embeddings().num_embeddings, model.lm_head.out_features) == (72, 72)
    check_fit(model, grown)


def test_rows_that_no_adapter_brings_are_not_made_up(grown, trained):
    """Their embeddings would be random."""
    with pytest.raises(UserError, match=r"no rows for them in model\.embed_tokens\.weight"):
        grow_embeddings(llama(), [str(trained)], tokens=70, scores_tokens=False)
    tensors = load_file(grown / "adapter_model.safetensors")
    save_file({k: v for k, v in tensors.items() if "lm_head" not in k}, grown / "adapter_model.safetensors")
    with pytest.raises(UserError, match=r"no rows for them in lm_head\.weight"):
        grow_embeddings(llama(), [str(grown)], tokens=70, scores_tokens=True)
    grow_embeddings(llama(), [str(grown)], tokens=70, scores_tokens=False)


def test_the_weights_of_a_grown_model_must_all_be_there(grown):
    tensors = load_file(grown / "adapter_model.safetensors")
    save_file({k: v for k, v in tensors.items() if "lm_head" not in k}, grown / "adapter_model.safetensors")
    model = llama()
    model.resize_token_embeddings(72, mean_resizing=False)
    with pytest.raises(UserError, match=r"lacks the weights of lm_head\.weight"):
        check_fit(model, grown)


def broken(model, name="model.layers.1.mlp.down_proj.weight"):
    with torch.no_grad():
        model.get_parameter(name)[0, 0] = torch.nan
    return model


def test_weights_with_nan_are_named_and_no_learning_rate_is_blamed():
    with pytest.raises(UserError, match=r"down_proj\.weight") as caught:
        refuse_bad_weights(broken(llama()))
    assert "learning" not in str(caught.value)
    refuse_bad_weights(llama())


def test_weights_that_the_training_itself_broke_are_not_blamed_on_the_file():
    model = broken(llama())
    refuse_bad_weights(model, trained=True)
    with pytest.raises(UserError, match="as they were loaded"):
        refuse_bad_weights(model.requires_grad_(False), trained=True)


def test_torchs_words_about_probabilities_name_the_weights_instead():
    message = "probability tensor contains either `inf`, `nan` or element < 0"
    with pytest.raises(UserError, match=r"down_proj\.weight"), blaming_bad_weights(broken(llama())):
        raise RuntimeError(message)
    with pytest.raises(RuntimeError, match="probability tensor"), blaming_bad_weights(llama()):
        raise RuntimeError(message)
