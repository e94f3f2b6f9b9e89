"""An architecture without a family of its own is described as transformers' class has it: every tensor, layer and head."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import fields, replace
from functools import cache

import pytest
import torch
from live import empty_encoder
from tiny_architectures import ARCHITECTURES, LONGEST, tiny_config
from torch import nn
from transformers.pytorch_utils import Conv1D

from rankwise.encoders import architecture
from rankwise.encoders.describe import describe
from rankwise.encoders.families import FAMILIES
from rankwise.encoders.family import Traits
from rankwise.encoders.finding import find
from rankwise.errors import MissingExtra, ModelError
from rankwise.model.reading import read
from rankwise.planning.plan import plan
from rankwise.recipe import Recipe
from rankwise.recipe.adapter import Kind

NEEDS_MORE = {"layoutlmv2"}  # detectron2, which is no package of an index
READ = [name for name in ARCHITECTURES if name not in NEEDS_MORE | FAMILIES.keys()]
CLASSES = 5
READ_APART = architecture._read_apart  # before a fixture lets this process read


@cache
def described(model_type, **changes):
    return describe(tiny_config(model_type, **changes), name=f"tiny-{model_type}", classes=CLASSES)


@pytest.mark.parametrize("model_type", READ)
def test_an_architecture_has_the_live_models_tensors_and_its_linear_layers(model_type):
    encoder = described(model_type)
    live = empty_encoder(encoder, CLASSES)
    assert encoder.tensors() == {name: tuple(weight.shape) for name, weight in live.named_parameters()}
    assert encoder.total_parameters == live.num_parameters()
    assert encoder.classes == CLASSES
    assert {site.kind for site in encoder.sites} <= set(Kind.__args__)
    for site in encoder.sites:
        module = live.get_submodule(site.name)
        assert isinstance(module, (nn.Linear, Conv1D))
        assert tuple(module.weight.shape) == ((site.d_in, site.d_out) if site.transposed else (site.d_out, site.d_in))
        assert (module.bias is not None) == site.bias
        assert encoder.layer_of(f"base_model.model.{site.name}.lora_A.default.weight") == site.layer


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_read_of_a_family_is_what_its_own_file_says(family):
    config = {**tiny_config(family)}
    by_hand, facts = describe(config, name="tiny", classes=3), read(config)
    own = architecture.Architecture.of(facts)
    assert {name: shape for part in (*own.body, *own.head) for name, shape in part.tensors} == by_hand.tensors()
    assert [part.path for part in own.head] == [part.path for part in by_hand.head]
    assert (own.traits.root, own.hidden, own.reads, own.drops) == (
        by_hand.root,
        by_hand.hidden,
        by_hand.reads,
        by_hand.has_dropout,
    )
    assert len(own.layers) == by_hand.layers
    assert all(path.startswith(layer) for layer, path in zip(own.layers, by_hand.layer_paths, strict=True))
    if family != "xlnet":  # whose forward pass needs numbers
        kinds = {part.path: part.linear.kind for part in own.body if part.linear}
        assert {site.name: site.kind for site in by_hand.sites}.items() <= kinds.items()


@pytest.mark.parametrize("changes", [{}, {"attention_bias": True, "mlp_bias": True, "attention_dropout": 0.1}])
@pytest.mark.parametrize("model_type", sorted(name for name, family in FAMILIES.items() if family.causal))
def test_a_decoder_of_a_family_is_planned_to_the_number_as_it_is_read(model_type, changes):
    config = {**tiny_config(model_type), **changes}
    by_hand = describe(config, name="tiny", classes=CLASSES)
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(FAMILIES, model_type)
        as_read = describe(config, name="tiny", classes=CLASSES)
    assert replace(by_hand, traits=as_read.traits) == as_read
    assert {field.name: getattr(by_hand.traits, field.name) for field in fields(Traits)} == vars(as_read.traits)
    for overrides in (["head.kind=slim"], ["adapter.targets=all", "adapter.rank=3"], ["adapter.method=ln-tuning"]):
        recipe = Recipe(name="tiny").with_overrides([*overrides, "budget.parameters=null", "data.max_length=24"])
        by_lines, by_class = (plan(recipe, classes=CLASSES, encoder=encoder) for encoder in (by_hand, as_read))
        assert by_lines.ledger == by_class.ledger
        assert by_lines.ranks == by_class.ranks


# ------------------------------------------------------------------------------------------------- what stands apart


@pytest.mark.parametrize(
    ("model_type", "tower"),
    [
        ("gemma3", "vision_tower"),
        ("ultravbert", "vision_model"),
        ("t5gemma2", "vision_tower"),
        ("qwen3_5", "visual"),
        ("modernvbert", "vision_model"),
    ],
)
def test_a_vision_tower_takes_no_adapter_and_a_note_says_so(model_type, tower):
    encoder = described(model_type)
    assert any(f".{tower}." in part.path for part in encoder.body)
    assert not any(f".{tower}." in site.name for site in encoder.sites)
    assert any("no text reaches them" in note and tower in note for note in encoder.notes)


def test_attention_that_is_zeros_on_a_cpu_takes_no_adapter():
    encoder = described("mra")
    assert not {"query", "key", "value"} & set(encoder.kinds)
    assert any("6 linear layers take no adapter, for no text reaches them" in note for note in encoder.notes)


@pytest.mark.parametrize("model_type", ["qwen2_moe", "jetmoe", "qwen3_next"])
def test_what_chooses_experts_takes_no_adapter(model_type):
    encoder = described(model_type)
    assert not any("router" in site.name or site.name.endswith("gate") for site in encoder.sites)
    assert any("they choose experts" in note for note in encoder.notes)


def test_layers_that_share_weights_take_no_adapter():
    encoder = described("zamba")
    assert encoder.sites
    assert not any("shared_transf" in site.name for site in encoder.sites)
    assert any("they share their weights" in note for note in encoder.notes)


def test_quantized_layers_are_told():
    encoder = described("ibert")
    assert encoder.sites == ()
    assert any("QuantLinear" in note for note in encoder.notes)


def test_names_that_peft_takes_for_experts_are_left_alone():
    encoder = described("deepseek_v3")
    assert not any(site.name.endswith(("gate_proj", "up_proj", "down_proj")) for site in encoder.sites)
    assert any("peft takes their names for those of experts" in note for note in encoder.notes)


# -------------------------------------------------------------------------------------------------- heads and lengths


@pytest.mark.parametrize(
    ("model_type", "head", "reads", "causal", "pools"),
    [
        ("qwen3", ["score"], "last", True, True),
        ("gemma3", ["score"], "last", True, True),
        ("qwen3_5", ["score"], "last", True, True),
        ("gpt2", ["score"], "last", True, True),
        ("bart", ["classification_head.dense", "classification_head.out_proj"], "last", False, False),
        ("t5", ["classification_head.dense", "classification_head.out_proj"], "last", False, False),
        ("nomic_bert", ["classifier"], "first", False, True),
        ("modernbert-decoder", ["head.dense", "head.norm", "classifier"], "last", True, True),
        ("funnel", ["classifier.linear_hidden", "classifier.linear_out"], "first", False, False),
        ("xlm", ["sequence_summary.summary"], "first", False, True),
    ],
)
def test_what_a_head_is_and_reads(model_type, head, reads, causal, pools):
    encoder = described(model_type)
    assert [part.path for part in encoder.head] == head
    assert (encoder.reads, encoder.traits.causal, encoder.traits.pools) == (reads, causal, pools)


def test_a_head_within_the_encoder_is_found_by_the_classes_that_it_gives():
    encoder = described("perceiver")
    assert encoder.head_modules == ("perceiver.decoder",)
    assert encoder.head[-1].path == "perceiver.decoder.decoder.final_layer"


@pytest.mark.parametrize(
    ("model_type", "longest"),
    [
        ("gpt2", LONGEST),
        ("data2vec-text", LONGEST - 2),
        ("opt", LONGEST),
        ("yoso", LONGEST),
        ("bart", LONGEST),
        ("bloom", None),
    ],
)
def test_the_longest_text_leaves_out_the_positions_that_no_token_gets(model_type, longest):
    assert described(model_type).longest == longest


def test_queries_of_a_decoder_are_wider_than_the_keys_that_they_share():
    widths = {site.kind: site.d_out for site in described("qwen3").sites}
    assert (widths["query"], widths["key"], widths["value"]) == (32, 16, 16)
    assert {"ffn_gate", "ffn_in", "ffn_out"} <= widths.keys()


def test_gpt2_stores_its_weights_the_other_way_round():
    encoder = described("gpt2")
    assert all(site.transposed for site in encoder.sites)
    assert encoder.kinds == ("query_key_value", "attention_output", "ffn_in", "ffn_out")


# ---------------------------------------------------------------------------------------------------- reading and cache


def test_a_process_of_its_own_reads_what_this_one_reads_within_seconds(tmp_path):
    config = {**tiny_config("olmo")}
    environment = {**os.environ, "RANKWISE_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    (tmp_path / "base").mkdir()
    (tmp_path / "base/config.json").write_text(json.dumps(config), "utf-8")
    program = (
        "import sys; from rankwise.encoders.finding import find\n"
        "print(find(sys.argv[1], classes=5).total_parameters, 'torch' in sys.modules)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "base")]
    first, second = (
        subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout for _ in range(2)
    )
    assert first == second == f"{described('olmo').total_parameters} False\n"
    assert len(list((tmp_path / "architectures").glob("*/entry.json"))) == 1


APART = """
import json, sys
from rankwise.model.reading_apart import leave_out
leave_out()
from rankwise.model.reading import read
facts = {name: read(config) for name, config in json.load(sys.stdin).items()}
left_out = {"torch._dynamo.convert_frame", "scipy.optimize", "torch.distributed.tensor"}
print(json.dumps([facts, sorted(left_out & set(sys.modules))]))
"""


@pytest.mark.parametrize(
    "names", [("olmo", "bart", "qwen2_moe"), pytest.param(READ, marks=pytest.mark.slow)], ids=["some", "all"]
)
def test_what_is_left_out_of_the_process_that_reads_changes_no_fact(names):
    configs = {name: {**tiny_config(name)} for name in names}
    command = [sys.executable, "-c", APART]
    text = subprocess.run(command, input=json.dumps(configs), capture_output=True, text=True, check=True).stdout
    facts, imported = json.loads(text.splitlines()[-1])
    assert facts == {name: json.loads(json.dumps(read(config))) for name, config in configs.items()}
    assert imported == []


def test_what_the_quicker_process_refuses_is_asked_of_the_other(monkeypatch, tmp_path):
    for name, facts in (("quick", {"refused": "no scipy"}), ("whole", {"root": "model"})):
        (tmp_path / f"{name}.py").write_text(f"print({json.dumps(facts)!r})", "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for readers, answer in ((("quick", "whole"), {"root": "model"}), (("absent", "quick"), {"refused": "no scipy"})):
        monkeypatch.setattr(architecture, "READERS", readers)
        assert READ_APART("{}") == answer
    monkeypatch.setattr(architecture, "READERS", ("quick", "absent"))
    with pytest.raises(ModelError, match=r"model type 'odd': its class can't be read: .*No module named absent"):
        READ_APART('{"model_type": "odd"}')


def test_a_config_that_makes_no_model_is_refused_with_transformers_reason():
    with pytest.raises(ModelError, match=r"tiny: transformers makes no model of its config\.json: .*; take a base"):
        describe({**tiny_config("olmo"), "num_hidden_layers": "many"}, name="tiny", classes=2)


def test_without_transformers_the_answer_says_what_to_install(monkeypatch):
    monkeypatch.setattr(architecture, "version", lambda name: _raise(architecture.PackageNotFoundError(name)))
    with pytest.raises(MissingExtra, match=r"model type 'olmo' is read from transformers' own class.*\[train\]"):
        describe({**tiny_config("olmo"), "vocab_size": 61}, name="tiny", classes=2)


def _raise(error):
    raise error


def test_a_quantized_checkpoint_is_refused_whatever_its_architecture():
    with pytest.raises(ModelError, match=r"config\.json has quantization_config"):
        describe({**tiny_config("olmo"), "quantization_config": {"bits": 4}}, name="tiny", classes=2)


def test_a_folder_of_any_architecture_is_found(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({**tiny_config("starcoder2")}), "utf-8")
    encoder = find(str(tmp_path), classes=4)
    assert (encoder.family, encoder.classes, encoder.name) == ("starcoder2", 4, tmp_path.name)
    assert encoder.total_parameters == sum(math.prod(shape) for shape in encoder.tensors().values())


def test_reading_leaves_torchs_generator_and_settings_alone():
    state, kind = torch.random.get_rng_state(), torch.get_default_dtype()
    read(tiny_config("gemma2"))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.get_default_dtype() == kind
