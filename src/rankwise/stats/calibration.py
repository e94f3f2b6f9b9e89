"""Which scaling makes a classifier's probabilities honest: fitted by log-loss, chosen by cross-validation.

scikit-learn 1.8 and later fit a temperature too (`CalibratedClassifierCV(method="temperature")`), for its own estimators and
without a bias; a test holds the two against each other. Here a prior lets few rows change little: where these are all right
by chance, the likeliest temperature is far too sure. What is decided from the rows that a scaling was fitted to would be too
sure of itself, so their own probabilities come from scalings that were fitted to the other folds. Shapes: N rows, C classes.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from rankwise.stats.scaling import Floats, Scaling

FOLDS = 10
PRIOR = 0.2  # standard deviation of log T and of each bias about 0: at 30 to 1,000 rows best (benchmarks/results/priors.csv)
FURTHEST = 4.0  # of log T and of a bias, beyond which no classifier is
SHOWN = 1.0  # standard errors by which a bias must lower the log-loss

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Calibrated:
    """The scaling that is to be used, and what it makes of the rows that it was fitted to."""

    scaling: Scaling
    probabilities: Floats = field(repr=False)
    """(N, C), each row's by a scaling of the same kind that was fitted to the other folds."""


def calibrate(logits: Floats, truth: Labels, *, seed: int = 0) -> Calibrated:
    """The scaling with the lowest cross-validated log-loss: none, a temperature, or a bias too where that clearly helps.

    `truth` (N,) is -1 for a class that the classifier does not know; such rows have no say.
    """
    logits = np.asarray(logits, dtype=np.float64)
    known = np.flatnonzero(truth >= 0)
    as_it_is = Scaling().probabilities(logits)
    best, losses = Calibrated(Scaling(), as_it_is), log_losses(as_it_is[known], truth[known])
    for bias in (False, True):
        scaled = cross_fitted(logits, truth, bias=bias, seed=seed)
        lower = losses - log_losses(scaled[known], truth[known])
        chance = SHOWN * lower.std() / np.sqrt(len(lower)) if bias and len(lower) else 0.0
        if len(lower) and lower.mean() > chance:
            best, losses = Calibrated(fit_scaling(logits[known], truth[known], bias=bias), scaled), losses - lower
    return best


def cross_fitted(logits: Floats, truth: Labels, *, bias: bool, folds: int = FOLDS, seed: int = 0) -> Floats:
    """Probabilities (N, C) of each row by a scaling that the other folds fitted; each class in its share in every fold."""
    shuffled = np.random.default_rng(seed).permutation(len(truth))
    by_class = shuffled[np.argsort(truth[shuffled], kind="stable")]
    fold = np.empty(len(truth), dtype=np.int64)
    fold[by_class] = np.arange(len(truth)) % folds
    probabilities = np.zeros(logits.shape)
    for number in range(min(folds, len(truth))):
        others, held = (fold != number) & (truth >= 0), fold == number
        probabilities[held] = fit_scaling(logits[others], truth[others], bias=bias).probabilities(logits[held])
    return probabilities


def fit_scaling(logits: Floats, truth: Labels, *, bias: bool = False) -> Scaling:
    """The temperature, and with `bias` the classes' biases too, under which the rows' log-loss is lowest."""
    rows, classes = logits.shape
    if not rows:
        return Scaling()
    logits = logits - logits.max(axis=1, keepdims=True)
    right = np.eye(classes)[truth]  # (N, C)

    def loss(values: Floats) -> tuple[float, Floats]:
        """Of log T and the biases, and its gradient."""
        temperature, biases = np.exp(values[0]), values[1:] if bias else 0.0
        scaled = logits / temperature + biases
        scaled -= scaled.max(axis=1, keepdims=True)
        exponents = np.exp(scaled)
        totals = exponents.sum(axis=1)
        by_scaled = exponents / totals[:, None] - right  # (N, C)
        value = np.log(totals).sum() - (scaled * right).sum() + (values**2).sum() / (2 * PRIOR**2)
        by_temperature = -(by_scaled * logits).sum() / temperature
        by_bias = by_scaled.sum(axis=0) if bias else np.empty(0)
        return float(value), np.append(by_temperature, by_bias) + values / PRIOR**2

    start = np.zeros(1 + bias * classes)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(-FURTHEST, FURTHEST)] * len(start)).x
    biases = found[1:] - found[1:].mean() if bias else found[1:]  # adding the same to all changes nothing
    return Scaling(float(np.exp(found[0])), tuple(biases.tolist()))


def log_losses(probabilities: Floats, truth: Labels) -> Floats:
    """-log p of the true class of each row, (N,)."""
    of_truth = probabilities[np.arange(len(truth)), truth]
    return np.asarray(-np.log(np.maximum(of_truth, np.finfo(np.float64).tiny)))
