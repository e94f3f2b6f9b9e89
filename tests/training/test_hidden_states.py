"""What frozen layers give once: training from cached hidden states, and heads fitted on frozen features."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from conftest import prepared
from rankwise.data.batches import Padding
from rankwise.inference.features import head_features
from rankwise.inference.scorer import logits
from rankwise.inference.torch_scorer import TorchScorer
from rankwise.model.classifier import quiet_dropout
from rankwise.model.hidden_cache import HiddenStatesCache
from rankwise.model.load import load_tokenizer
from rankwise.system.events import HeadFitted
from rankwise.training.fitted_head import fit_head
from rankwise.training.hidden_states import cached_hidden_states, cached_layer, frozen_digest, pays
from rankwise.training.validation import Validation

TOP = ("adapter.allocate.policy=last-k", "adapter.allocate.k=1", "train.encoder_dropout=off")


def parts(built):
    return prepared(built.recipe), Padding.of(load_tokenizer(built.base))


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "electra"])
@pytest.mark.parametrize("changes", [TOP, (*TOP, "adapter.method=head")], ids=["top layer", "head"])
def test_logits_from_the_cache_are_those_without_to_half_precision(built_for, tmp_path, family, changes):
    built = built_for(family, *changes)
    data, padding = parts(built)
    classifier = built.classifier
    layer = cached_layer(classifier, built.recipe.train)
    assert layer == classifier.plan.lowest_layer > 0
    cache = HiddenStatesCache(tmp_path, limit_bytes=10**8)
    weights = frozen_digest(classifier, layer)
    how = {"layer": layer, "weights": weights, "padding": padding, "precision": "fp32"}
    made = cached_hidden_states(classifier, data.train.tokens, cache=cache, **how)
    hidden, reused = made
    assert not reused
    validation = Validation(classifier, padding, batch_size=8)
    with_it, without = validation.logits(data.train.tokens, hidden), validation.logits(data.train.tokens)
    np.testing.assert_allclose(with_it, without, rtol=1e-2, atol=5e-3)
    again = built_for(family, *changes, "train.seed=5").classifier  # another run: other adapters, the same frozen layers
    assert frozen_digest(again, layer) == weights
    _, reused = cached_hidden_states(again, data.train.tokens, cache=cache, **how)
    assert reused


def test_a_whole_training_from_the_cache_ends_where_one_without_does(fit_for, tmp_path):
    plain = fit_for(*TOP, "train.prefix_cache=off", folder="plain")
    cached = fit_for(*TOP, folder="cached", cache=HiddenStatesCache(tmp_path / "cache", limit_bytes=10**8))
    assert [event.split for event in cached.heard("prefix")] == ["train", "validation"]
    assert not plain.heard("prefix")
    for name, weight in plain.weights().items():
        torch.testing.assert_close(cached.weights()[name], weight, rtol=0.1, atol=0.02)
    assert cached.fitted.best.accuracy == pytest.approx(plain.fitted.best.accuracy, abs=0.1)


def test_nothing_is_cached_where_nothing_below_is_constant_or_known(built_for):
    top = TOP[:2]
    assert cached_layer(built_for("bert", *TOP).classifier, built_for("bert", *TOP).recipe.train) == 2
    for family, changes in (
        ("bert", ("train.encoder_dropout=off",)),  # adapters in every layer
        ("bert", top),  # dropout below
        ("bert", (*TOP, "train.prefix_cache=off")),
        ("bert", (*TOP, "adapter.bias=all")),
        ("modernbert", TOP),  # layers built otherwise
    ):
        built = built_for(family, *changes)
        assert cached_layer(built.classifier, built.recipe.train) is None, (family, changes)


def test_one_epoch_does_not_pay(recipe_for):
    assert not pays(recipe_for("bert", "train.epochs=1").train)
    assert pays(recipe_for("bert", "train.epochs=2").train)


def test_dropout_only_in_the_adapted_layers(built_for):
    built = built_for("bert", *TOP[:2], "train.encoder_dropout=adapted")
    assert quiet_dropout(built.classifier, below=2) > 0
    rates = {
        name: module.p for name, module in built.classifier.model.named_modules() if isinstance(module, torch.nn.Dropout)
    }
    assert rates["base_model.model.bert.encoder.layer.2.output.dropout"] == pytest.approx(0.1)
    assert rates["base_model.model.bert.encoder.layer.1.output.dropout"] == 0
    assert rates["base_model.model.bert.embeddings.dropout"] == 0


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "deberta-v2", "modernbert"])
def test_a_fitted_head_is_better_than_a_random_one_from_the_start(built_for, family):
    built = built_for(family)
    data, padding = parts(built)
    classifier = built.classifier

    def loss():
        values = torch.from_numpy(logits(TorchScorer(classifier), data.train.tokens, padding=padding, batch_size=8))
        return float(torch.nn.functional.cross_entropy(values, torch.from_numpy(data.train.labels)))

    before = loss()
    assert fit_head(classifier, data.train, padding=padding, precision="fp32", seed=0) == len(data.train)
    assert loss() < 0.9 * before


def test_a_head_fitted_on_two_classes_gives_the_regressions_probabilities(built_for):
    from sklearn.linear_model import LogisticRegression

    built = built_for("bert")
    data, padding = parts(built)
    split = type(data.train)(
        texts=[data.train.texts[int(place)] for place in range(len(data.train))],
        tokens=data.train.tokens,
        labels=np.where(data.train.labels < 2, data.train.labels, 0),
        rows=data.train.rows,
    )
    fit_head(built.classifier, split, padding=padding, precision="fp32", seed=0)
    rows = np.random.default_rng(0).permutation(len(split))
    features = head_features(built.classifier, split.tokens, rows, padding=padding, precision="fp32")
    oracle = LogisticRegression(max_iter=200).fit(features, split.labels[rows]).predict_proba(features)
    found = logits(TorchScorer(built.classifier), split.tokens, padding=padding, batch_size=8)[rows][:, :2].astype(np.float64)
    shares = np.exp(found) / np.exp(found).sum(-1, keepdims=True)
    np.testing.assert_allclose(shares, oracle, atol=2e-3)


def test_a_fitted_start_is_told_and_trains_on(fit_for):
    trained = fit_for("head.start=fitted", "train.epochs=1")
    assert trained.heard("head") == [HeadFitted(rows=36)]
