"""A head fitted to frozen features: as scikit-learn fits it, as strongly as rows held out say, and an answer by itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge

from conftest import prepared
from rankwise.data.batches import Padding
from rankwise.data.splitting import folds
from rankwise.data.tasks import Regression
from rankwise.inference.features import head_features
from rankwise.inference.scorer import logits
from rankwise.inference.torch_scorer import TorchScorer
from rankwise.model.load import load_tokenizer
from rankwise.recipe import DataSpec
from rankwise.training import head_start
from rankwise.training.events import HeadFitted
from rankwise.training.head_start import RIDGE_STRENGTHS, STRENGTHS, Reading, fit_head


def parts(built):
    return prepared(built.recipe), Padding.of(load_tokenizer(built.base))


def told(classifier, data, padding):
    """Probabilities (N, C) of the training rows."""
    values = logits(TorchScorer(classifier), data.train.tokens, padding=padding, batch_size=8).astype(np.float64)
    return np.exp(values) / np.exp(values).sum(-1, keepdims=True)


def of_equal_length(features):
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return features / lengths * lengths.mean()


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "deberta-v2", "modernbert"])
def test_a_fitted_head_is_better_than_a_random_one_from_the_start(built_for, family):
    built = built_for(family)
    data, padding = parts(built)
    classifier, labels = built.classifier, data.train.labels

    def loss():
        return -np.log(told(classifier, data, padding)[np.arange(len(labels)), labels]).mean()

    before = loss()
    assert fit_head(classifier, data.train, Reading(padding, "fp32"), seed=0).rows == len(data.train)
    assert loss() < 0.9 * before


@pytest.mark.parametrize("kept", [2, 3], ids=["two classes", "three"])
@pytest.mark.parametrize("head", ["slim", "pooled"])
@pytest.mark.parametrize("few", [True, False], ids=["few rows", "many"])
def test_the_head_gives_the_regressions_probabilities(built_for, monkeypatch, kept, head, few):
    monkeypatch.setattr(head_start, "EQUAL_ROWS", 36 if few else 35)
    built = built_for("bert", f"head.kind={head}")
    data, padding = parts(built)
    labels = np.where(data.train.labels < kept, data.train.labels, 0)
    split = type(data.train)(data.train.texts, data.train.tokens, labels, data.train.rows)
    start = fit_head(built.classifier, split, Reading(padding, "fp32"), seed=0)
    features = head_features(built.classifier, split.tokens, np.arange(len(split)), padding=padding, precision="fp32")
    fitted = of_equal_length(features) if few else features
    variance = ((fitted - fitted.mean(0)) ** 2).sum(1).mean()
    oracle = LogisticRegression(C=start.strength / variance, max_iter=500).fit(fitted, labels).predict_proba(features)
    found = logits(TorchScorer(built.classifier), split.tokens, padding=padding, batch_size=8)[:, :kept].astype(np.float64)
    np.testing.assert_allclose(np.exp(found) / np.exp(found).sum(-1, keepdims=True), oracle, atol=2e-3)


def test_the_strength_is_the_one_with_the_lowest_log_loss_on_rows_held_out(built_for):
    built = built_for("bert", "head.kind=pooled")
    data, padding = parts(built)
    labels = data.train.labels
    features = head_features(built.classifier, data.train.tokens, np.arange(len(labels)), padding=padding, precision="fp32")
    fitted = of_equal_length(features)
    variance = ((fitted - fitted.mean(0)) ** 2).sum(1).mean()
    losses, of_strength = {}, {}
    for strength in STRENGTHS:
        held_out = np.zeros((len(labels), 3))
        for kept, held in folds(labels, 7):
            model = LogisticRegression(C=strength / variance, max_iter=500).fit(fitted[kept], labels[kept])
            held_out[held] = model.predict_proba(features[held])
        losses[strength], of_strength[strength] = -np.log(held_out[np.arange(len(labels)), labels]).mean(), held_out
    start = fit_head(built.classifier, data.train, Reading(padding, "fp32"), seed=7)
    assert start.strength == min(losses, key=losses.get)
    np.testing.assert_allclose(start.held_out, of_strength[start.strength], atol=2e-3)
    assert start.scores.log_loss == pytest.approx(losses[start.strength], abs=2e-3)


def test_of_many_rows_one_part_is_held_out_and_none_is_told(built_for, monkeypatch):
    monkeypatch.setattr(head_start, "FEW_ROWS", 10)
    built = built_for("bert")
    data, padding = parts(built)
    start = fit_head(built.classifier, data.train, Reading(padding, "fp32"), seed=0)
    assert start.strength in STRENGTHS
    assert start.held_out is None


def test_a_heavier_class_is_told_more_often(built_for):
    built = built_for("bert")
    data, padding = parts(built)
    plain = fit_head(built.classifier, data.train, Reading(padding, "fp32"), seed=0)
    before = told(built.classifier, data, padding)[:, 2].mean()
    weights = torch.tensor([1.0, 1.0, 20.0])
    heavy = fit_head(built.classifier, data.train, Reading(padding, "fp32"), seed=0, weights=weights)
    assert told(built.classifier, data, padding)[:, 2].mean() > before + 0.02
    assert plain.rows == heavy.rows


def test_rows_of_one_class_leave_the_head_as_it_was(built_for):
    built = built_for("bert")
    data, padding = parts(built)
    split = type(data.train)(data.train.texts, data.train.tokens, np.zeros_like(data.train.labels), data.train.rows)
    before = built.classifier.last_projection.weight.clone()
    assert fit_head(built.classifier, split, Reading(padding, "fp32"), seed=0).rows == 0
    assert torch.equal(before, built.classifier.last_projection.weight)


def test_a_fitted_start_is_told_and_trains_on(fit_for):
    trained = fit_for("head.start=fitted", "train.epochs=1")
    assert trained.heard("head") == [HeadFitted(rows=36)]


@pytest.mark.parametrize("head", ["slim", "pooled"])
def test_without_updates_the_fitted_head_is_the_answer(fit_for, head):
    trained = fit_for("head.start=fitted", "adapter.method=head", f"head.kind={head}", "train.max_steps=0")
    assert (trained.fitted.steps, trained.fitted.best.step, len(trained.fitted.history)) == (0, 0, 1)
    data, padding = parts(trained.built)
    assert (told(trained.built.classifier, data, padding).argmax(-1) == data.train.labels).mean() > 0.5
    again = fit_for("head.start=fitted", "adapter.method=head", f"head.kind={head}", "train.max_steps=0", resume=True)
    assert not again.heard("head")
    for name, weight in trained.weights().items():
        assert torch.equal(weight, again.weights()[name])


def measured(data, seed=0):
    """The training rows with a number in the place of each class, and the task that estimates it."""
    numbers = 20 + 5 * data.train.labels + np.random.default_rng(seed).normal(0, 0.1, len(data.train))
    task = Regression(("value",)).learnt(numbers, DataSpec())
    return type(data.train)(data.train.texts, data.train.tokens, numbers, data.train.rows), task


def test_a_number_starts_as_a_ridge_regression_whose_strength_has_the_lowest_squared_error(built_for):
    built = built_for("bert", "head.kind=pooled")
    data, padding = parts(built)
    split, task = measured(data)
    features = head_features(built.classifier, split.tokens, np.arange(len(split)), padding=padding, precision="fp32")
    fitted = of_equal_length(features).astype(np.float64)
    variance = ((fitted - fitted.mean(0)) ** 2).sum(1).mean()
    errors, of_strength = {}, {}
    for strength in RIDGE_STRENGTHS:
        held_out = np.zeros(len(split))
        for kept, held in folds(split.labels, 7):
            model = Ridge(alpha=variance / strength).fit(fitted[kept], split.labels[kept])
            held_out[held] = model.predict(features[held])
        errors[strength], of_strength[strength] = ((held_out - split.labels) ** 2).mean(), held_out
    start = fit_head(built.classifier, split, Reading(padding, "fp32"), seed=7, task=task)
    assert start.strength == min(errors, key=errors.get)
    np.testing.assert_allclose(start.held_out[:, 0], of_strength[start.strength], atol=1e-3)
    assert start.scores.root_mean_squared_error == pytest.approx(errors[start.strength] ** 0.5, abs=1e-3)
    values = logits(TorchScorer(built.classifier), split.tokens, padding=padding, batch_size=8)[:, :1]
    oracle = Ridge(alpha=variance / start.strength).fit(fitted, split.labels).predict(features)
    np.testing.assert_allclose(task.probabilities(values)[:, 0], oracle, atol=1e-3)


def test_one_number_for_all_rows_leaves_the_head_as_it_was(built_for):
    built = built_for("bert")
    data, padding = parts(built)
    split, task = measured(data)
    same = type(split)(split.texts, split.tokens, np.full_like(split.labels, 3.0), split.rows)
    assert fit_head(built.classifier, same, Reading(padding, "fp32"), seed=0, task=task).rows == 0
