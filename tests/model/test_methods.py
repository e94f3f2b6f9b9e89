"""What a method makes of saved tensors, without peft, is what peft merges; a fold on the fast path is the same change."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from conftest import CLASSES
from rankwise.model.adapters import load, merged, save
from rankwise.model.classifier import ADAPTER_FILE
from rankwise.model.folding import LinearLayers
from rankwise.model.methods import METHODS, SavedLowRank

MERGEABLE = [name for name, row in METHODS.items() if row.marker and not row.unmergeable]
LOW_RANK = [name for name, row in METHODS.items() if isinstance(row, SavedLowRank)]
EXACT = [name for name in LOW_RANK if METHODS[name].merges_exactly]


def stirred(built):
    """The classifier with every trained tensor moved from its start."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(3)
        for weight in built.classifier.trainable().values():
            weight.add_(torch.randn_like(weight), alpha=0.1)
    return built


@pytest.mark.parametrize("name", ["bert", "deberta-v2"])
@pytest.mark.parametrize("method", EXACT)
def test_saved_tensors_change_the_weights_as_peft_merges_them(built_for, tmp_path, name, method):
    built = stirred(built_for(name, f"adapter.method={method}"))
    save(built.classifier, tmp_path, base=built.base)
    saved, plan = load_file(tmp_path / ADAPTER_FILE), built.plan
    bare = built_for(name, "adapter.method=head").classifier.model
    whole, half = merged(load(tmp_path, built.base, plan, CLASSES)), METHODS[method]
    for site in plan.sites:
        base, expected = bare.get_submodule(site.name).weight, whole.get_submodule(site.name).weight
        update = half.saved(saved, plan, site)
        weight = torch.addmm(base, update.b, update.a, alpha=update.scale)
        torch.testing.assert_close(weight, expected, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(weight, base, atol=1e-3), "the adapter changes something"


@pytest.mark.parametrize("method", LOW_RANK)
def test_a_folded_weight_is_what_the_saved_tensors_give_to_the_bit(built_for, tmp_path, method):
    built = stirred(built_for("bert", f"adapter.method={method}"))
    save(built.classifier, tmp_path, base=built.base)
    saved, half = load_file(tmp_path / ADAPTER_FILE), METHODS[method]
    live = built.classifier.model.get_base_model()
    for site in built.plan.sites:
        module = live.get_submodule(site.name)
        folded = LinearLayers([module], half)
        with torch.no_grad():
            folded(torch.zeros(1, site.d_in), fold=True)
        base, update = module.base_layer, half.saved(saved, built.plan, site)
        _, weight = folded.weights[torch.float32]
        assert torch.equal(weight, torch.addmm(base.weight, update.b, update.a, alpha=update.scale))


@pytest.mark.parametrize("method", MERGEABLE)
def test_only_tensors_of_the_adapter_have_its_marker_in_their_names(built_for, method):
    built = built_for("bert", f"adapter.method={method}")
    paths = {path for path, module in built.classifier.encoder_modules() if isinstance(module, nn.Linear)}
    layers = {site.name for site in built.plan.encoder.sites}
    assert {path.removesuffix(".base_layer") for path in paths} == layers | {"bert.pooler.dense"}
