"""Scores of classes in an order, with percentile-bootstrap intervals.

Decisions and truth are class numbers (N,), -1 for a truth that is not known.
"""

import numpy as np
from numpy.typing import NDArray

from rankwise.stats.intervals import Floats, Interval, check_settings, percentile_interval
from rankwise.stats.scores import Counts, confusion_matrix

Labels = NDArray[np.int64]


def mean_absolute_error(
    decided: Labels, truth: Labels, *, resamples: int = 1000, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """How many classes a decision is off in the mean, over rows whose truth is known."""
    check_settings(resamples, confidence)
    known = truth >= 0
    off = np.abs(decided[known] - truth[known])
    if not len(off):
        return Interval(None, None, None)
    counts = np.bincount(off)  # all that the mean depends on
    drawn = np.random.default_rng(seed).multinomial(len(off), counts / len(off), size=resamples)
    return percentile_interval(float(off.mean()), drawn @ np.arange(len(counts)) / len(off), confidence)


def quadratic_kappa(
    decided: Labels, truth: Labels, classes: int, *, resamples: int = 1000, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """Cohen's kappa with squared distances for weights (Cohen 1968), -1 to 1; not defined where all are one class."""
    check_settings(resamples, confidence)
    matrix = confusion_matrix(truth, decided, classes)
    rows = int(matrix.sum())
    if not rows:
        return Interval(None, None, None)
    drawn = np.random.default_rng(seed).multinomial(rows, matrix.ravel() / rows, size=resamples)
    return percentile_interval(float(kappas(matrix[None])[0]), kappas(drawn.reshape(resamples, classes, classes)), confidence)


def kappas(matrices: Counts) -> Floats:
    """The quadratic weighted kappa of each confusion matrix, (R,) of (R, C, C)."""
    classes = matrices.shape[-1]
    numbers = np.arange(classes)
    weights = (numbers[:, None] - numbers[None]) ** 2.0
    rows, columns, total = matrices.sum(axis=2), matrices.sum(axis=1), matrices.sum(axis=(1, 2))
    seen = (matrices * weights).sum(axis=(1, 2))
    expected = np.einsum("ri,ij,rj->r", rows.astype(float), weights, columns.astype(float)) / np.maximum(total, 1)
    kappa: Floats = np.full(len(matrices), np.nan)
    np.divide(seen, expected, out=kappa, where=expected > 0)
    return 1 - kappa
