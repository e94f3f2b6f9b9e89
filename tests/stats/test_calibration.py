"""A temperature is scikit-learn's, biases set classes' shares right, and neither is taken where it does not help."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime, minimize
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from rankwise.stats import calibration
from rankwise.stats.calibration import PRIOR, calibrate, cross_fitted, fit_scaling, log_losses
from rankwise.stats.scaling import Scaling


def drawn(rows, classes, *, temperature=1.0, shift=None, seed=0):
    """Logits (N, C), and labels drawn from the probabilities that these logits have at a temperature and with a shift."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=3.0, size=(rows, classes))
    probabilities = Scaling(temperature, tuple(shift or ())).probabilities(logits)
    return logits, np.array([rng.choice(classes, p=row) for row in probabilities])


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_the_temperature_is_the_one_that_scikit_learn_fits(classes):
    features, labels = drawn(3000, classes, temperature=2.0)
    model = LogisticRegression().fit(features[:500], labels[:500])
    held, truth = features[500:], labels[500:]
    scores = model.decision_function(held)
    logits = np.stack([np.zeros(len(scores)), scores], axis=1) if classes == 2 else scores
    theirs = CalibratedClassifierCV(FrozenEstimator(model), method="temperature").fit(held, truth).predict_proba(held)
    ours = fit_scaling(logits, truth).probabilities(logits)
    assert np.abs(ours - theirs).max() < 2e-3  # of which the prior, which keeps a temperature finite, is most


def test_the_temperature_that_labels_were_drawn_at_is_found_again():
    logits, truth = drawn(20_000, 4, temperature=2.5)
    assert fit_scaling(logits, truth).temperature == pytest.approx(2.5, rel=0.03)


def test_biases_that_labels_were_drawn_with_are_found_again():
    logits, truth = drawn(20_000, 3, temperature=1.5, shift=(1.0, 0.0, -1.0))
    found = fit_scaling(logits, truth, bias=True)
    assert found.temperature == pytest.approx(1.5, rel=0.05)
    assert found.bias == pytest.approx((1.0, 0.0, -1.0), abs=0.1)


def test_no_other_temperature_and_biases_have_a_lower_loss():
    logits, truth = drawn(300, 3, temperature=2.0, shift=(0.5, 0.0, -0.5))

    def loss(values):
        scaled = Scaling(float(np.exp(values[0])), tuple(values[1:]))
        return log_losses(scaled.probabilities(logits), truth).sum() + (values**2).sum() / (2 * PRIOR**2)

    found = fit_scaling(logits, truth, bias=True)
    ours = np.array([np.log(found.temperature), *found.bias])
    assert loss(ours) == pytest.approx(
        minimize(loss, np.zeros(4), method="Nelder-Mead", options={"maxiter": 4000}).fun, rel=1e-6
    )
    assert np.abs(approx_fprime(ours, loss, 1e-6)).max() < 0.05


@pytest.mark.parametrize("rows", [30, 300])
def test_few_rows_cost_fresh_ones_hardly_any_log_loss_and_gain_where_they_may(rows):
    honest, overconfident = [], []
    for seed in range(12):
        for temperature, gains in ((1.0, honest), (2.0, overconfident)):
            logits, truth = drawn(rows, 4, temperature=temperature, seed=seed)
            fresh, labels = drawn(1000, 4, temperature=temperature, seed=1000 + seed)
            scaled = calibrate(logits, truth).scaling.probabilities(fresh)
            before = log_losses(Scaling().probabilities(fresh), labels).mean()
            gains.append(log_losses(scaled, labels).mean() / before)
    assert np.mean(honest) < 1.01
    assert max(honest) < 1.05
    assert np.mean(overconfident) < 0.92


def test_a_hundred_rows_that_are_all_right_by_chance_do_not_make_it_far_too_sure():
    logits, truth = drawn(5000, 4, temperature=1.0)
    right = np.flatnonzero(logits.argmax(axis=1) == truth)[:100]
    assert 0.5 < calibrate(logits[right], truth[right]).scaling.temperature < 1.0


def test_rows_that_are_all_right_leave_the_temperature_finite():
    logits = np.eye(4)[np.arange(20) % 4] * 2.0
    found = fit_scaling(logits, np.arange(20) % 4)
    assert 0.05 < found.temperature < 1.0
    assert fit_scaling(np.zeros((0, 4)), np.zeros(0, dtype=np.int64)) == Scaling()


def test_what_is_honest_already_is_hardly_changed_and_gets_no_bias():
    for seed in range(5):
        logits, truth = drawn(400, 4, seed=seed)
        found = calibrate(logits, truth).scaling
        assert found.bias == ()
        assert 0.8 < found.temperature < 1.25


def test_a_bias_is_taken_where_classes_have_other_shares_than_the_classifier_gives_them():
    logits, truth = drawn(1000, 3, shift=(2.0, 0.0, -2.0))
    assert len(calibrate(logits, truth).scaling.bias) == 3


def test_cross_fitted_probabilities_do_not_flatter_themselves_as_those_of_the_fitted_rows_do(monkeypatch):
    monkeypatch.setattr(calibration, "PRIOR", 1.0)  # so weak a one that six biases follow 40 rows
    flattered, honest, true = [], [], []
    for seed in range(20):
        logits, truth = drawn(40, 6, seed=seed)
        fresh, labels = drawn(2000, 6, seed=1000 + seed)
        scaling = fit_scaling(logits, truth, bias=True)
        flattered.append(log_losses(scaling.probabilities(logits), truth).mean())
        honest.append(log_losses(cross_fitted(logits, truth, bias=True), truth).mean())
        true.append(log_losses(scaling.probabilities(fresh), labels).mean())
    assert np.mean(flattered) < np.mean(true) - 0.05
    assert np.mean(honest) == pytest.approx(np.mean(true), abs=0.05)


def test_rows_of_an_unknown_class_have_no_say():
    logits, truth = drawn(200, 3, temperature=2.0)
    strange = np.append(truth, [-1] * 50)
    with_strange = calibrate(np.concatenate([logits, logits[:50]]), strange)
    assert with_strange.scaling.temperature == pytest.approx(fit_scaling(logits, truth).temperature)
    assert with_strange.probabilities.shape == (250, 3)


def test_logarithms_of_probabilities_do_as_logits():
    logits, _ = drawn(50, 4)
    probabilities = Scaling().probabilities(logits)
    scaling = Scaling(1.7, (0.3, -0.1, 0.0, -0.2))
    assert np.allclose(scaling.probabilities(np.log(probabilities)), scaling.probabilities(logits))
