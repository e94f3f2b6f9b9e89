"""The fast path gives what transformers and peft give: logits and gradients, for every family and kind of adapter."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from conftest import CLASSES, FAMILIES, prepared
from rankwise.data.batches import Padding, collate
from rankwise.encoders import families
from rankwise.model.classifier import quiet_dropout, to_tensors
from rankwise.model.dropout import WordDropout, cut_dropout_from_words, dropout
from rankwise.model.forward import Entering
from rankwise.model.load import load_tokenizer
from rankwise.recipe import SpeedSpec

FAST = [family for family in FAMILIES if families.FAMILIES[family].fast_path]


def batch_for(built, rows=6):
    data = prepared(built.recipe)
    padding = Padding.of(load_tokenizer(built.base))
    inputs = to_tensors(collate(data.train.tokens, range(rows), padding))
    assert not inputs["attention_mask"].all(), "some of these texts are padded"
    return inputs, torch.from_numpy(data.train.labels[:rows])


def stirred(built, seed=3):
    """The classifier with adapters that are no longer at their start, where B is zero and scales are 1."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name, weight in built.classifier.trainable().items():
            if built.classifier.method.marker in name:
                nn.init.normal_(weight, std=0.3)
    return built.classifier


def gradients(classifier, logits, labels):
    classifier.model.zero_grad()
    cross_entropy(logits, labels).backward()
    return {name: weight.grad.clone() for name, weight in classifier.trainable().items() if weight.grad is not None}


@pytest.mark.parametrize(
    "changes",
    [
        (),
        ("adapter.targets=[query,value]", "adapter.bias=lora_only"),
        ("adapter.bias=all",),
        ("adapter.method=rslora",),
        ("adapter.method=dora",),
        ("adapter.method=pissa",),
        ("adapter.method=full",),
        ("adapter.method=bias",),
        ("adapter.method=head",),
        ("adapter.allocate.policy=last-k", "adapter.allocate.k=1"),
        ("head.kind=slim",),
        ("head.kind=pooled", "head.pooling=mean"),
        ("head.kind=pooled", "head.pooling=token"),
        ("adapter.method=adalora",),
        ("adapter.method=vera",),
        ("adapter.method=ia3",),
    ],
    ids=lambda changes: ",".join(changes) or "lora",
)
@pytest.mark.parametrize("family", FAST)
def test_logits_and_gradients_are_those_of_transformers_and_peft(built_for, family, changes):
    built = built_for(family, *changes)
    classifier = stirred(built)
    classifier.model.eval()
    inputs, labels = batch_for(built)
    expected = classifier.model(**inputs).logits
    expected_gradients = gradients(classifier, expected, labels)
    found = classifier.logits(inputs)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    found_gradients = gradients(classifier, found, labels)
    assert found_gradients.keys() == expected_gradients.keys()
    for name, gradient in expected_gradients.items():
        torch.testing.assert_close(
            found_gradients[name], gradient, rtol=2e-3, atol=2e-5, msg=lambda text, name=name: name + text
        )


@pytest.mark.parametrize("family", FAST)
@pytest.mark.parametrize("saving", ["fold", "first_token"])
def test_each_saving_changes_nothing(built_for, family, saving):
    built = built_for(family)
    classifier = stirred(built)
    classifier.model.eval()
    inputs, labels = batch_for(built)
    with_it = classifier.logits(inputs)
    without = classifier.logits(inputs, speed=SpeedSpec(**{saving: False}))
    torch.testing.assert_close(with_it, without, rtol=1e-4, atol=1e-5)
    first, second = gradients(classifier, with_it, labels), gradients(classifier, without, labels)
    for name, gradient in first.items():
        torch.testing.assert_close(gradient, second[name], rtol=2e-3, atol=2e-5)


def test_families_built_otherwise_go_the_long_way(built_for, family):
    built = built_for(family)
    assert (built.classifier.forward is not None) == (family in FAST)
    inputs, _ = batch_for(built)
    built.classifier.model.eval()
    torch.testing.assert_close(built.classifier.logits(inputs), built.classifier.model(**inputs).logits, rtol=1e-4, atol=1e-5)


def test_a_changed_adapter_is_folded_in_again(built_for):
    built = built_for("bert")
    classifier = stirred(built)
    classifier.model.eval()
    inputs, _ = batch_for(built)
    with torch.inference_mode():
        classifier.logits(inputs)
    stirred(built, seed=4)
    torch.testing.assert_close(classifier.logits(inputs), classifier.model(**inputs).logits, rtol=1e-4, atol=1e-5)


def test_an_unchanged_adapter_is_folded_once(built_for, monkeypatch):
    built = built_for("bert", "adapter.targets=[query]")
    built.classifier.model.eval()
    inputs, _ = batch_for(built)
    folded = []
    original = torch.addmm
    monkeypatch.setattr(torch, "addmm", lambda *given, **more: folded.append(1) or original(*given, **more))
    for _ in range(3):
        built.classifier.logits(inputs)
    assert len(folded) == built.plan.encoder.layers


@pytest.mark.parametrize("family", FAST)
def test_bf16_products_stay_near_fp32(built_for, family):
    built = built_for(family)
    classifier = stirred(built)
    classifier.model.eval()
    inputs, labels = batch_for(built)
    exact, near = classifier.logits(inputs), classifier.logits(inputs, precision="bf16")
    assert near.dtype == torch.float32
    assert float((near - exact).detach().norm() / exact.detach().norm()) < 0.05
    first, second = gradients(classifier, exact, labels), gradients(classifier, near, labels)
    flat = [torch.cat([gradient.flatten() for gradient in found.values()]) for found in (first, second)]
    assert float(torch.cosine_similarity(*flat, dim=0)) > 0.98


@pytest.mark.parametrize("family", FAST)
def test_layers_in_two_parts_give_the_same_as_in_one(built_for, family):
    built = built_for(family)
    classifier = built.classifier
    classifier.model.eval()
    inputs, _ = batch_for(built)
    below = classifier.forward.run(classifier.forward.embed(inputs), inputs, precision="fp32", stop=1)
    torch.testing.assert_close(classifier.logits(inputs, entering=Entering(below, 1)), classifier.logits(inputs))


@pytest.mark.parametrize("family", FAST)
def test_dropout_while_training_is_that_of_the_modules(built_for, family):
    """With a drop rate near 1 next to nothing passes; at 0 everything does; each module's own rate counts."""
    built = built_for(family, "adapter.dropout=0.5")
    classifier = stirred(built)
    inputs, _ = batch_for(built)
    assert cut_dropout_from_words(classifier.model) > 0
    classifier.model.train()
    torch.manual_seed(0)
    first = classifier.logits(inputs)
    assert not torch.equal(first, classifier.logits(inputs))
    torch.manual_seed(0)
    assert torch.equal(first, classifier.logits(inputs))
    quiet_dropout(classifier)
    for module in classifier.model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    quiet = classifier.logits(inputs)
    classifier.model.eval()
    torch.testing.assert_close(quiet, classifier.logits(inputs), rtol=1e-4, atol=1e-5)


def test_word_dropout_keeps_the_right_share_and_the_mean():
    torch.manual_seed(0)
    values = torch.ones(400, 1001)
    module = WordDropout(0.1)
    dropped = module(values)
    assert abs(float((dropped == 0).float().mean()) - 0.1) < 0.002
    assert abs(float(dropped.mean()) - 1) < 0.003
    assert dropped.unique().tolist() == pytest.approx([0.0, 1 / 0.9])
    assert abs(float((dropped[:, 1:] == 0).float().mul((dropped[:, :-1] == 0).float()).mean()) - 0.01) < 0.002, "independent"
    module.eval()
    assert torch.equal(module(values), values)


def test_word_dropout_passes_the_gradient_of_what_it_kept():
    values = torch.rand(40, 40, requires_grad=True)
    dropped = dropout(values, 0.3)
    dropped.sum().backward()
    torch.testing.assert_close(values.grad, dropped.detach() / values.detach(), rtol=1e-5, atol=1e-5)


def test_every_encoder_family_with_a_layout_has_its_parts(built_for):
    built = built_for("bert")
    assert len(built.classifier.forward.layers) == built.plan.encoder.layers
    assert len(CLASSES) == built.classifier.logits(batch_for(built)[0]).shape[-1]
    assert Path(built.base.location).is_dir()
