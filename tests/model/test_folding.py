"""Where no fast path runs, adapters in one step with their linear layers give what peft's own layers give."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn.functional import cross_entropy

from rankwise.data.batches import collate
from rankwise.model.adapters import merged
from rankwise.model.classifier import to_tensors
from rankwise.model.folding import adapt_in_one_step
from rankwise.model.methods import METHODS, LowRank
from rankwise.training.loop import ready

LOW_RANK = [name for name, method in METHODS.items() if isinstance(method, LowRank)]


def batch_for(built, rows=6):
    inputs = to_tensors(collate(built.data.train.tokens, range(rows), built.padding))
    assert not inputs["attention_mask"].all(), "some of these texts are padded"
    return inputs, torch.from_numpy(built.data.train.labels[:rows])


def stirred(built):
    """The classifier in train mode, what trains moved away from its start, where B is zero."""
    torch.manual_seed(3)
    with torch.no_grad():
        for weight in built.classifier.trainable().values():
            weight.add_(torch.randn_like(weight), alpha=0.1)
    built.classifier.model.train()
    return built.classifier


def pass_of(classifier, inputs, labels, precision="fp32"):
    """Logits and gradients, dropout drawn from the same seed each time."""
    torch.manual_seed(5)
    classifier.model.zero_grad()
    logits = classifier.logits(inputs, precision=precision)
    cross_entropy(logits, labels).backward()
    return logits.detach(), {name: weight.grad.clone() for name, weight in classifier.trainable().items()}


def assert_as_pefts(classifier, inputs, labels):
    logits, gradients = pass_of(classifier, inputs, labels)
    assert adapt_in_one_step(classifier.model, classifier.method) == len(classifier.plan.sites)
    found, found_gradients = pass_of(classifier, inputs, labels)
    torch.testing.assert_close(found, logits, rtol=1e-4, atol=1e-5)
    for name, gradient in gradients.items():
        torch.testing.assert_close(found_gradients[name], gradient, rtol=2e-3, atol=2e-5, msg=lambda t, n=name: n + t)


@pytest.mark.parametrize("family", ["modernbert", "eurobert", "deberta-v2", "qwen3"])
@pytest.mark.parametrize("changes", [(), ("adapter.dropout=0.3", "adapter.bias=lora_only")], ids=["plain", "dropout"])
def test_logits_and_gradients_are_those_of_peft(built_for, family, changes):
    built = built_for(family, *changes)
    assert built.classifier.forward is None
    assert_as_pefts(stirred(built), *batch_for(built))


@pytest.mark.parametrize("method", LOW_RANK)
def test_every_low_rank_method_gives_what_peft_gives(built_for, method):
    built = built_for("modernbert", f"adapter.method={method}")
    assert_as_pefts(stirred(built), *batch_for(built))


def test_bf16_stays_within_its_own_rounding_of_peft(built_for):
    built = built_for("modernbert")
    classifier, batch = stirred(built), batch_for(built)
    exact, _ = pass_of(classifier, *batch)
    expected, _ = pass_of(classifier, *batch, precision="bf16")
    adapt_in_one_step(classifier.model, classifier.method)
    found, gradients = pass_of(classifier, *batch, precision="bf16")
    assert (found - exact).abs().max() <= 2 * (expected - exact).abs().max() + 1e-3
    assert all(gradient.dtype == torch.float32 and gradient.isfinite().all() for gradient in gradients.values())


def test_a_recipe_that_folds_trains_so_and_one_that_does_not_leaves_pefts_layers(built_for):
    for fold in ("true", "false"):
        built = built_for("modernbert", f"train.speed.fold={fold}")
        ready(built)
        taken = [name for name, module in built.classifier.model.named_modules() if "forward" in vars(module)]
        assert len(taken) == (len(built.plan.sites) if fold == "true" else 0)


def test_copies_and_merged_weights_read_their_own_adapters(built_for):
    built = built_for("modernbert")
    classifier, (inputs, _) = stirred(built), batch_for(built)
    classifier.model.eval()
    adapt_in_one_step(classifier.model, classifier.method)
    expected = classifier.logits(inputs).detach()
    torch.testing.assert_close(merged(classifier)(**inputs).logits, expected, rtol=1e-4, atol=1e-5)
    other = copy.deepcopy(classifier.model)
    with torch.no_grad():
        for name, weight in classifier.trainable().items():
            if "lora_B" in name:
                weight.zero_()
    torch.testing.assert_close(other(**inputs).logits.detach(), expected, rtol=1e-6, atol=1e-6)
