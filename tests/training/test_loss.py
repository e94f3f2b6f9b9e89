"""Class weights are scikit-learn's, or the recipe's by name; focal loss is its paper's; pairs gather classes, and a head is
fitted to what they leave.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.utils.class_weight import compute_class_weight
from torch.nn.functional import cross_entropy

from conftest import CLASSES
from rankwise.data.tasks import Regression
from rankwise.errors import TrainingError
from rankwise.inference.features import head_features
from rankwise.recipe import DataSpec, TrainSpec
from rankwise.training.head_start import REFIT_STRENGTH
from rankwise.training.loss import Contrast, RegressionLoss, class_weights, focal_loss

COUNTS = {"fruit": 5, "metal": 20, "river": 1}
LABELS = np.repeat(np.arange(len(COUNTS)), list(COUNTS.values()))


def test_balanced_weights_are_scikit_learns():
    labels = [name for name, count in COUNTS.items() for _ in range(count)]
    expected = compute_class_weight("balanced", classes=np.array(CLASSES), y=labels)
    assert class_weights(TrainSpec(class_weights="balanced"), LABELS, tuple(COUNTS)).tolist() == pytest.approx(
        expected.tolist()
    )


def test_given_weights_stand_in_the_order_of_the_classes_and_default_to_one():
    weights = class_weights(TrainSpec(class_weights={"river": 4, "fruit": 0.5}), LABELS, tuple(COUNTS))
    assert weights.tolist() == [0.5, 1.0, 4.0]


def test_a_weight_for_a_class_that_is_not_there_is_refused_with_the_nearest_name():
    with pytest.raises(TrainingError, match=r"'rivers', which is no class.*did you mean 'river'\?"):
        class_weights(TrainSpec(class_weights={"rivers": 4}), LABELS, tuple(COUNTS))


def test_no_class_weights_are_none():
    assert class_weights(TrainSpec(), LABELS, tuple(COUNTS)) is None


# --------------------------------------------------------------------------------------------------------------- focal

ROWS = st.integers(0, 2**32 - 1).map(np.random.default_rng)


@pytest.mark.parametrize(
    ("p", "gamma", "expected"),
    [
        (0.9, 2.0, 0.0010536051565782628),  # 0.1² · -ln 0.9: a hundredth of cross-entropy, as section 3.2 of the paper says
        (0.9, 0.5, 0.0333179204928565),  # √0.1 · -ln 0.9
        (0.5, 2.0, 0.17328679513998632),  # 0.25 · ln 2
        (0.25, 1.0, 1.0397207708399179),  # 0.75 · ln 4
    ],
)
def test_focal_loss_has_the_values_of_its_formula(p, gamma, expected):
    logits = torch.tensor([[p, 1 - p]], dtype=torch.float64).log()
    assert focal_loss(logits, torch.tensor([0]), gamma=gamma).item() == pytest.approx(expected, rel=1e-12)
    doubled = focal_loss(logits, torch.tensor([0]), gamma=gamma, weights=torch.tensor([2.0, 5.0]))
    assert doubled.item() == pytest.approx(2 * expected, rel=1e-12)


@given(ROWS, st.sampled_from([None, (3.0, 1.0, 0.25)]))
def test_focal_loss_of_gamma_nought_is_cross_entropy(generator, weights):
    logits, labels = torch.from_numpy(generator.normal(size=(5, 3))), torch.from_numpy(generator.integers(0, 3, 5))
    weights = None if weights is None else torch.tensor(weights, dtype=torch.float64)
    expected = cross_entropy(logits, labels, weight=weights, reduction="sum")
    torch.testing.assert_close(focal_loss(logits, labels, gamma=0.0, weights=weights), expected)


@given(ROWS, st.floats(0.1, 5))
def test_a_row_counts_less_in_focal_loss_the_surer_it_is(generator, gamma):
    sure = np.sort(generator.uniform(0.01, 0.99, 6))
    logits = torch.from_numpy(np.log(np.stack([sure, 1 - sure], axis=1)))
    share = [
        focal_loss(row[None], torch.tensor([0]), gamma=gamma) / cross_entropy(row[None], torch.tensor([0])) for row in logits
    ]
    assert share == sorted(share, reverse=True)
    assert share[0] < 1


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_focal_loss_has_finite_gradients_where_a_row_is_certain(gamma):
    logits = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    focal_loss(logits, torch.tensor([0, 0]), gamma=gamma).backward()
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[0].tolist() == [0, 0]
    assert logits.grad[1].tolist() == [-1, 1]  # of a row that is surely wrong: cross-entropy's


# ------------------------------------------------------------------------------------------------------------ in pairs


def test_pairs_are_drawn_to_cosines_of_one_and_nought(built_for):
    built = built_for("bert", "head.kind=pooled")
    contrast = Contrast(built.classifier, 0.5)
    read = torch.randn(5, built.plan.encoder.hidden, requires_grad=True)
    labels = torch.tensor([0, 0, 1, 2, 1])
    built.classifier.last_projection(read)
    found = contrast(labels)
    cosines = torch.nn.functional.cosine_similarity(read[:, None], read[None], dim=-1)
    one = [(cosines[a, b] - 1) ** 2 for a in range(5) for b in range(5) if a != b and labels[a] == labels[b]]
    other = [cosines[a, b] ** 2 for a in range(5) for b in range(5) if labels[a] != labels[b]]
    expected = 0.5 * 5 * (sum(one) / len(one) + sum(other) / len(other))
    torch.testing.assert_close(found, expected)
    found.backward()
    assert read.grad.abs().sum() > 0


def test_a_lone_row_makes_no_pair(built_for):
    built = built_for("bert", "head.kind=pooled")
    contrast = Contrast(built.classifier, 1.0)
    built.classifier.last_projection(torch.randn(1, built.plan.encoder.hidden, requires_grad=True))
    assert contrast(torch.tensor([0])).item() == 0


@pytest.mark.parametrize("head", ["stock", "slim", "pooled"])
def test_training_in_pairs_gathers_each_class(fit_for, head):
    def error(trained):
        """How far the cosines of what the head reads are from 1 within a class and from 0 between, squared."""
        job = trained.built
        rows = np.arange(len(job.data.train))
        read = head_features(job.classifier, job.data.train.tokens, rows, padding=job.padding, precision="fp32")
        unit = read / np.linalg.norm(read, axis=1, keepdims=True)
        same = job.data.train.labels[:, None] == job.data.train.labels[None]
        return ((unit @ unit.T - 1)[same] ** 2).mean() + ((unit @ unit.T)[~same] ** 2).mean()

    changes = (f"head.kind={head}", "train.epochs=20", "train.encoder_dropout=off", "train.evaluate_every=end")
    plain, pairs = (fit_for(*changes, f"train.contrast={weight}", folder=str(weight)) for weight in (0, 5))
    assert error(pairs) < 0.5 * error(plain)
    again = fit_for(*changes, "train.contrast=5", folder="again")
    for name, weight in pairs.weights().items():
        assert torch.equal(weight, again.weights()[name])


@pytest.mark.parametrize("average", ["null", "25%"])
def test_a_head_that_is_fitted_anew_is_the_regression_on_the_trained_features(fit_for, average):
    trained = fit_for("head.kind=pooled", "head.start=fitted", "train.refit_head=true", f"train.average={average}")
    job = trained.built
    labels, rows = job.data.train.labels, np.arange(len(job.data.train))
    read = head_features(job.classifier, job.data.train.tokens, rows, padding=job.padding, precision="fp32")
    lengths = np.linalg.norm(read, axis=1, keepdims=True)
    fitted = read / lengths * lengths.mean()  # as few rows are
    variance = ((fitted - fitted.mean(0)) ** 2).sum(1).mean()
    oracle = LogisticRegression(C=REFIT_STRENGTH / variance, max_iter=500).fit(fitted, labels).predict_proba(read)
    values = read @ job.classifier.last_projection.weight.detach().numpy().T
    values += job.classifier.last_projection.bias.detach().numpy()
    np.testing.assert_allclose(softmax(values, axis=1), oracle, atol=5e-3)


# ------------------------------------------------------------------------------------------------------------- numbers


def test_the_loss_of_numbers_is_the_squared_error_of_standardised_labels():
    labels = np.array([10.0, 20.0, 60.0])
    data = SimpleNamespace(task=Regression(("value",)).learnt(labels, DataSpec()), train=None, classes=("value",))
    loss = RegressionLoss(TrainSpec(), data, torch.device("cpu"))
    logits = torch.tensor([[0.0], [1.0], [-1.0]])
    wanted = (labels - labels.mean()) / labels.std()
    squares = (logits.numpy()[:, 0] - wanted) ** 2
    assert float(loss(logits, torch.from_numpy(labels))) == pytest.approx(squares.sum(), rel=1e-6)
    assert float(loss.right(logits, torch.from_numpy(labels))) == pytest.approx((1 - squares).sum(), rel=1e-6)
    assert loss.weight_of(np.arange(3)) == 3.0
