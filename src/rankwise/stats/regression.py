"""Scores of estimated numbers, with percentile-bootstrap intervals over rows.

Estimates and truth are numbers (N,), NaN for a truth that is not known, whose row is left out. Pearson's and Spearman's
correlations ask whether the order and the distances are right, in whatever unit; the mean absolute error and the root of the
mean squared one are in the labels' own unit; R² is the share of the truth's variance that the estimates leave no more, 0 for
always telling the mean of these rows, and below it for worse. Shapes: N rows, R resamples.
"""

from collections.abc import Iterator

import numpy as np

from rankwise.stats.intervals import Floats, Interval, check_settings, percentile_interval
from rankwise.stats.score_names import OF_NUMBERS
from rankwise.stats.scores import UNDEFINED, Scores
from rankwise.stats.several import paired_mean

LEAST = 1e-12  # share of their mean square that numbers vary by, below which rounding alone may make them differ
_WEIGHTS_AT_ONCE = 2**21  # how often a resample holds a row: 16 MiB


def score_numbers(
    estimated: Floats, truth: Floats, *, resamples: int = 1000, confidence: float = 0.95, seed: int = 0
) -> Scores:
    """Pearson, Spearman, mean absolute error, root mean squared error and R², in `more`, by these names.

    A correlation is not defined where all estimates or all numbers are the same.
    """
    check_settings(resamples, confidence)
    known = ~np.isnan(truth)
    rows = int(known.sum())
    more = dict.fromkeys(OF_NUMBERS, UNDEFINED)
    if rows:
        parts = _Parts(estimated[known].astype(np.float64), truth[known].astype(np.float64))
        values = parts.scores(np.ones((1, rows)))[0]
        resampled = (parts.scores(weights) for weights in row_weights(rows, resamples, seed))
        draws = np.concatenate([np.empty((0, len(OF_NUMBERS))), *resampled])
        more = {
            name: percentile_interval(float(value), drawn, confidence)
            for name, value, drawn in zip(OF_NUMBERS, values, draws.T, strict=True)
        }
    return Scores(
        rows=len(truth),
        accuracy=UNDEFINED,
        macro_f1=UNDEFINED,
        mcc=UNDEFINED,
        log_loss=UNDEFINED,
        calibration_error=UNDEFINED,
        per_class=(),
        confusion=(),
        reliability=(),
        confidence_level=confidence,
        more=more,
    )


def quick_scores(estimated: Floats, truth: Floats) -> dict[str, float | None]:
    """The same without intervals; None for what is not defined."""
    scores = score_numbers(estimated, truth, resamples=0).more or {}
    return {name: None if score.value is None else round(score.value, 6) for name, score in scores.items()}


def credit(estimated: Floats, truth: Floats) -> Floats:
    """Of each row (N,) 1 minus its squared error over the truth's variance, whose mean is R²; 0 where it is not known."""
    known = ~np.isnan(truth)
    variance = float(truth[known].var()) if known.any() else 0.0
    return np.where(known, 1 - (estimated - np.where(known, truth, estimated)) ** 2 / (variance or 1.0), 0.0)


def resampled_numbers(
    estimated: Floats, truth: Floats, *, names: tuple[str, ...], resamples: int = 5_000, seed: int = 0
) -> tuple[Floats, Floats]:
    """Scores of these names of S runs, (S, names), and on resampled rows, (R, S, names); the same rows for every run.

    `estimated` is (S, N).
    """
    known = ~np.isnan(truth)
    columns = [OF_NUMBERS.index(name) for name in names]
    runs = [_Parts(one[known].astype(np.float64), truth[known].astype(np.float64)) for one in estimated]
    rows = int(known.sum())
    values = np.stack([parts.scores(np.ones((1, rows)))[0, columns] for parts in runs])
    draws = [
        np.stack([parts.scores(weights)[:, columns] for parts in runs], axis=1)
        for weights in row_weights(rows, resamples, seed)
    ]
    return values, np.concatenate(draws)


def paired_credit(
    one: Floats, other: Floats, truth: Floats, *, resamples: int = 2_000, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """How much higher one's R² is than the other's on the same rows: the difference of their squared errors, over the
    truth's variance.
    """
    known = ~np.isnan(truth)
    if not known.any():
        return UNDEFINED
    ours, theirs = (credit(estimated[known], truth[known]) for estimated in (one, other))
    return paired_mean(ours, theirs, resamples=resamples, confidence=confidence, seed=seed)


def row_weights(rows: int, resamples: int, seed: int) -> Iterator[Floats]:
    """How often each resample holds each row, (some, N) at a time."""
    rng = np.random.default_rng(seed)
    at_once = max(1, _WEIGHTS_AT_ONCE // rows)
    for start in range(0, resamples, at_once):
        count = min(at_once, resamples - start)
        drawn = rng.integers(rows, size=(count, rows)) + rows * np.arange(count)[:, None]
        yield np.bincount(drawn.ravel(), minlength=drawn.size).reshape(count, rows).astype(np.float64)


class _Parts:
    """What the scores of N rows are made of, under any weights of these."""

    def __init__(self, estimated: Floats, truth: Floats) -> None:
        self.estimated, self.truth = estimated - truth.mean(), truth - truth.mean()  # centred, lest sums lose digits
        self.error = estimated - truth
        self.ranks = (_Ranks(estimated), _Ranks(truth))

    def scores(self, weights: Floats) -> Floats:
        """(R, 5) in the order of OF_NUMBERS under row weights (R, N)."""
        rows = weights.sum(axis=1)
        absolute = weights @ np.abs(self.error) / rows
        squared = weights @ self.error**2 / rows
        mean = weights @ self.truth / rows
        variance = weights @ self.truth**2 / rows - mean**2
        with np.errstate(invalid="ignore", divide="ignore"):
            r2 = np.where(variance > LEAST * (self.truth**2).mean(), 1 - squared / variance, np.nan)
        linear = _correlation(weights, self.estimated[None], self.truth[None])
        by_rank = _correlation(weights, *(ranks.under(weights) for ranks in self.ranks))
        return np.stack([linear, by_rank, absolute, np.sqrt(squared), r2], axis=1)


class _Ranks:
    """The ranks of N numbers, equal ones sharing the mean of theirs, where rows come several times or not at all."""

    def __init__(self, numbers: Floats) -> None:
        self.order = np.argsort(numbers, kind="stable")
        distinct, self.inverse = np.unique(numbers, return_inverse=True)
        self.starts = np.searchsorted(numbers[self.order], distinct)

    def under(self, weights: Floats) -> Floats:
        """(R, N) the rank of each row, from 1, under row weights (R, N)."""
        groups = np.add.reduceat(weights[:, self.order], self.starts, axis=1)  # (R, distinct)
        middle = np.cumsum(groups, axis=1) - groups / 2 + 0.5
        ranks: Floats = middle[:, self.inverse]
        return ranks


def _correlation(weights: Floats, one: Floats, other: Floats) -> Floats:
    """Pearson's (R,) of numbers, (1, N) or (R, N), under row weights (R, N); NaN where either has no variance."""
    rows = weights.sum(axis=1, keepdims=True)
    apart = [numbers - (weights * numbers).sum(axis=1, keepdims=True) / rows for numbers in (one, other)]
    products = [(weights * a * b).sum(axis=1) for a, b in ((apart[0], apart[0]), (apart[1], apart[1]), (apart[0], apart[1]))]
    sizes = [(weights * numbers**2).sum(axis=1) for numbers in (one, other)]
    defined = (products[0] > LEAST * sizes[0]) & (products[1] > LEAST * sizes[1])
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(defined, np.clip(products[2] / np.sqrt(products[0] * products[1]), -1, 1), np.nan)
