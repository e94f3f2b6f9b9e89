"""A head fitted to what the frozen encoder gives: a logistic regression, its strength chosen on rows it was not fitted to.

Linear probing before fine-tuning (Kumar et al., arXiv 2202.10054), and with no update after it an answer of its own. Where a
number is estimated it is a ridge regression. Shapes: N rows, H hidden, C classes.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit, softmax

from rankwise.data.batches import Padding, label_sets
from rankwise.data.prepare import Split
from rankwise.data.splitting import folds
from rankwise.data.store import Texts
from rankwise.data.tasks import Labels, Regression, SingleLabel, Task
from rankwise.inference.features import head_features
from rankwise.model.classifier import Classifier
from rankwise.model.hidden_cache import HiddenStates
from rankwise.system.events import Events
from rankwise.training.events import ValidationScores
from rankwise.training.validation import validation_scores

MOST_ROWS = 20_000  # whose features a head is fitted to, where no cache makes more of them cheap
FEW_ROWS = 2_000  # up to which every row is held out once to choose the strength; of more rows, one part is
STRENGTHS = (0.3, 1.0, 3.0, 10.0)  # of the fit against keeping weights small, for features of variance 1 in all
RIDGE_STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)  # which a ridge regression tries in no time
EQUAL_ROWS = 500  # up to which every row's features are fitted to at the same length, lest a long one weigh more
REFIT_STRENGTH = 1.0  # of a fit to features that were trained on the same rows, which tell nothing of it
MOST_PASSES = 300  # of L-BFGS
LEAST = 1e-12  # probability in a logarithm


@dataclass(frozen=True)
class Reading:
    """How texts are read for their features."""

    padding: Padding
    precision: str
    hidden: HiddenStates | None = None
    """The states that enter the lowest adapted layer, where they are known."""
    events: Events = field(default_factory=Events)
    """Hear how far it is."""


@dataclass(frozen=True)
class HeadStart:
    """A fitted head, which is in place."""

    rows: int
    """That it was fitted to; 0 where they are all of one class, and it stays as it was."""
    strength: float | None = None
    """The one chosen."""
    held_out: NDArray[np.float64] | None = None
    """Probabilities (N, C) or numbers (N, 1) of all training rows, each by a head that was not fitted to it; None where rows
    are many.
    """
    scores: ValidationScores | None = None
    """Of these."""


def fit_head(
    classifier: Classifier,
    split: Split,
    reading: Reading,
    *,
    seed: int,
    weights: torch.Tensor | None = None,
    strength: float | None = None,
    task: Task | None = None,
) -> HeadStart:
    """Start the head's last projection as a logistic regression on the frozen encoder's features.

    Features are those of the model as it is, in eval mode; classes that the rows lack keep their start. `weights` of classes
    (C,) are those of the loss, `task` is a label a text where nothing is given. Without a `strength` rows held out choose it.
    """
    task = task or SingleLabel(classifier.classes)
    rows = np.random.default_rng(seed).permutation(len(split))
    rows = np.sort(rows[: len(split) if reading.hidden is not None else MOST_ROWS])
    features = head_features(classifier, split.tokens, rows, **vars(reading))  # (N, H)
    labels = split.labels[rows]
    if isinstance(task, Regression):
        regression: _Fit = _Ridge(features, labels, task)
    else:
        regression = (_Regression if labels.ndim == 1 else _Regressions)(features, labels, weights)
    present = regression.present
    if not len(present):
        return HeadStart(rows=0)
    held_out = None
    if strength is None:
        strength, held_out = regression.choose(seed, Texts.of(split.texts).take(rows), reading.events)
    weight, bias = regression.fit(strength, np.arange(len(rows)))  # (C present, H), (C present,)
    last = classifier.last_projection
    with torch.no_grad():
        last.weight[present] = torch.as_tensor(weight, dtype=last.weight.dtype, device=last.weight.device)
        if last.bias is not None:
            last.bias[present] = torch.as_tensor(bias, dtype=last.bias.dtype, device=last.bias.device)
    if held_out is None or len(rows) < len(split):
        return HeadStart(len(rows), strength)
    probabilities = np.zeros((len(rows), len(classifier.classes)))
    probabilities[:, present] = held_out
    probabilities = task.normal(probabilities)
    return HeadStart(len(rows), strength, probabilities, validation_scores(probabilities, labels, task))


class _Fit(ABC):
    """A regression on the features (N, H) of rows with labels, (N,) or (N, C), and what weighs their classes (C,)."""

    strengths: tuple[float, ...] = STRENGTHS

    def __init__(self, features: NDArray[np.float32], labels: Labels, weights: torch.Tensor | None) -> None:
        self.features, self.labels = features, labels
        self.weights = None if weights is None else np.asarray(weights.tolist())
        self.fitted = _of_equal_length(features) if len(features) <= EQUAL_ROWS else features
        self.variance = float(((self.fitted - self.fitted.mean(0)) ** 2).sum(1).mean()) or 1.0

    def choose(self, seed: int, texts: Iterable[str], events: Events) -> tuple[float, NDArray[np.float64] | None]:
        """The strength with the lowest loss on rows held out, and their probabilities (N, C present) where all are."""
        parts = folds(label_sets(self.labels), seed, texts)
        parts = parts if len(self.labels) <= FEW_ROWS else parts[:1]
        held = np.concatenate([out for _, out in parts])
        best: tuple[float, float, NDArray[np.float64]] | None = None
        for strength in events.counting("fitting the head, strengths", self.strengths):
            told = np.concatenate([self._probabilities(strength, kept, out) for kept, out in parts])
            loss = self._loss(told, held)
            if best is None or loss < best[0]:
                best = loss, strength, told
        assert best is not None, "there are strengths to try"
        if len(held) < len(self.labels):
            return best[1], None
        probabilities = np.empty_like(best[2])
        probabilities[held] = best[2]
        return best[1], probabilities

    @property
    @abstractmethod
    def present(self) -> NDArray[np.int64]:
        """The classes that can be fitted; empty where none can."""

    @abstractmethod
    def fit(self, strength: float, rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weights (C, H) and biases (C,) of the classes that these rows have, fitted to them."""

    @abstractmethod
    def _probabilities(self, strength: float, kept: NDArray[np.int64], held: NDArray[np.int64]) -> NDArray[np.float64]:
        """Of the held rows (N held, C present), by a regression on the others."""

    @abstractmethod
    def _loss(self, told: NDArray[np.float64], held: NDArray[np.int64]) -> float:
        """The log-loss of what is told (N held, C present) of held rows, or the squared error."""


class _Regression(_Fit):
    """Multinomial logistic regression on rows with class numbers (N,)."""

    @property
    def present(self) -> NDArray[np.int64]:
        present = np.unique(self.labels)
        return present if len(present) > 1 else present[:0]

    def fit(self, strength: float, rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weights (C, H) and biases (C,) of the classes that these rows have, fitted to them."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        present = np.unique(self.labels[rows])
        weights = None if self.weights is None else {name: float(self.weights[name]) for name in present}
        model = LogisticRegression(C=strength / self.variance, max_iter=MOST_PASSES, class_weight=weights)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a head that is nearly there is a start as good
            model.fit(self.fitted[rows], self.labels[rows])
        weight, bias = model.coef_, model.intercept_  # one row for two classes
        if len(weight) == 1:
            weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
        return weight, bias

    def _probabilities(self, strength: float, kept: NDArray[np.int64], held: NDArray[np.int64]) -> NDArray[np.float64]:
        """Of the held rows (N held, C present), by a regression on the others; 0 for a class that these lack."""
        known = np.searchsorted(self.present, np.unique(self.labels[kept]))
        told = np.zeros((len(held), len(self.present)))
        if len(known) < 2:
            told[:, known] = 1.0
            return told
        weight, bias = self.fit(strength, kept)
        told[:, known] = softmax(self.features[held] @ weight.T + bias, axis=1)
        return told

    def _loss(self, told: NDArray[np.float64], held: NDArray[np.int64]) -> float:
        columns = np.searchsorted(self.present, self.labels[held])
        return float(-np.log(np.maximum(told[np.arange(len(held)), columns], LEAST)).mean())


class _Regressions(_Fit):
    """A logistic regression for each class of rows with several labels (N, C), all fitted at once by L-BFGS."""

    @property
    def present(self) -> NDArray[np.int64]:
        return np.flatnonzero((self.labels == 1).any(axis=0) & (self.labels == 0).any(axis=0))

    def fit(self, strength: float, rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        from scipy.optimize import minimize

        features, labels = self.fitted[rows].astype(np.float64), self.labels[np.ix_(rows, self.present)]
        wanted, weighs = (labels == 1).astype(np.float64), (labels >= 0).astype(np.float64)  # nothing where it is not known
        (_, width), classes, penalty = features.shape, len(self.present), self.variance / strength
        if self.weights is not None:
            weighs = weighs * np.where(wanted == 1, self.weights[self.present], 1.0)
        mean = features.mean(axis=0)  # about which weights are looked for: sooner found, and the same ones
        features = features - mean

        def objective(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            weight, bias = flat[:-classes].reshape(classes, width), flat[-classes:]
            logits = features @ weight.T + bias  # (N, C)
            losses = np.logaddexp(0, np.where(wanted == 1, -logits, logits)) * weighs
            error = (expit(logits) - wanted) * weighs
            value = float(losses.sum() + penalty / 2 * (weight**2).sum())
            return value, np.concatenate([(error.T @ features + penalty * weight).ravel(), error.sum(axis=0)])

        rates = np.clip(wanted.mean(axis=0), 1e-6, 1 - 1e-6)
        start = np.concatenate([np.zeros(classes * width), np.log(rates / (1 - rates))])
        found = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": MOST_PASSES}).x
        weight, bias = found[:-classes].reshape(classes, width), found[-classes:]
        return weight, bias - weight @ mean

    def _probabilities(self, strength: float, kept: NDArray[np.int64], held: NDArray[np.int64]) -> NDArray[np.float64]:
        weight, bias = self.fit(strength, kept)
        return np.asarray(expit(self.features[held] @ weight.T + bias))

    def _loss(self, told: NDArray[np.float64], held: NDArray[np.int64]) -> float:
        truth = self.labels[np.ix_(held, self.present)]
        of_truth = np.where(truth == 1, told, 1 - told)
        return float(-np.log(np.maximum(of_truth, LEAST))[truth >= 0].mean())


class _Ridge(_Fit):
    """Ridge regression on rows with numbers (N,): weights for a head that learns them standardised, answers as they are."""

    strengths = RIDGE_STRENGTHS

    def __init__(self, features: NDArray[np.float32], labels: Labels, task: Regression) -> None:
        super().__init__(features, labels, None)
        self.task = task

    @property
    def present(self) -> NDArray[np.int64]:
        return np.arange(1 if np.ptp(self.labels) else 0)

    def fit(self, strength: float, rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        features, wanted = self.fitted[rows].astype(np.float64), self.task.standardised(self.labels[rows])
        mean, level = features.mean(axis=0), wanted.mean()
        features = features - mean
        penalty = self.variance / strength
        weight = np.linalg.solve(features.T @ features + penalty * np.eye(features.shape[1]), features.T @ (wanted - level))
        return weight[None], np.array([level - mean @ weight])

    def _probabilities(self, strength: float, kept: NDArray[np.int64], held: NDArray[np.int64]) -> NDArray[np.float64]:
        weight, bias = self.fit(strength, kept)
        return self.task.probabilities((self.features[held] @ weight.T + bias).astype(np.float32))

    def _loss(self, told: NDArray[np.float64], held: NDArray[np.int64]) -> float:
        return float(((told[:, 0] - self.labels[held]) ** 2).mean())


def _of_equal_length(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """The features (N, H) in their directions, each as long as they are in the mean."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)  # (N, 1)
    scaled: NDArray[np.float32] = features * (lengths.mean() / np.maximum(lengths, 1e-12))
    return scaled
