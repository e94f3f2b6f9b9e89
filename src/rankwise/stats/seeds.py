"""Which of two systems is better, and how sure we can be: test rows and training seeds both vary, and both count.

A system is a recipe trained with S seeds; all runs are scored on the same N rows. A run's score moves with the rows that
happened to be in the test, in the same way for every run on hard rows, and with its seed. Rows and seeds are crossed, which
no bootstrap gets right on its own: drawing both with replacement counts their interplay three times (Owen 2007, 10.1214/
07-AOAS122; McCullagh 2000), and two or three seeds are too few to draw from. So

- rows are resampled, the same draw for every run, which is the paired bootstrap (Efron 1979; Koehn 2004 for systems);
- seeds are added: the variance of the S scores, less what rows alone make of it, over S;
- bounds reach as far as a t interval on the sum does (Satterthwaite 1946), in the shape that the bootstrap has. What rows
  make is taken off the variance, not off its uncertainty, so the degrees of freedom could fall below those of the seeds
  that they come from; they are kept at S - 1 or more, S the fewest seeds that add anything.

95 % intervals hold the true difference in 92 to 98 of 100 simulated comparisons, with 2 seeds as with 5, whichever of rows
and seeds varies more; a test holds that. With one seed there is nothing to see of seeds: the interval is the paired
bootstrap's, and speaks of the trained models, not of their recipes. Shapes: K runs, B resamples, N rows, C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from rankwise.stats.intervals import Floats, Interval

SCORES = ("accuracy", "macro_f1")
_WEIGHTS_AT_ONCE = 2**22  # row counts held at a time: 16 MiB


@dataclass(frozen=True)
class Sample:
    """The scores of a system with S seeds, (S,), and what they would have been on resampled rows, (B, S)."""

    scores: Floats
    draws: Floats


@dataclass(frozen=True)
class Estimate:
    """A difference, and the chance of one at least this far from 0 if there were none."""

    interval: Interval
    p_value: float | None
    """Two-sided, of a t test; None where the score is not defined."""
    freedom: float = np.inf
    """Degrees of freedom: few where the interval is wide for want of seeds."""


def resampled_scores(
    predicted: NDArray[np.int64], truth: NDArray[np.int64], classes: int, *, resamples: int = 5_000, seed: int = 0
) -> tuple[Floats, Floats]:
    """Accuracy and macro-F1 of K runs, (K, 2), and on resampled rows, (B, K, 2); a resample is the same rows for every run.

    `predicted` is (K, N), `truth` (N,) with -1 for an unknown class, as in `stats.scores`.
    """
    rng = np.random.default_rng(seed)
    rows = len(truth)
    at_once = max(1, _WEIGHTS_AT_ONCE // rows)
    draws = []
    for start in range(0, resamples, at_once):
        count = min(at_once, resamples - start)
        drawn = rng.integers(rows, size=(count, rows)) + rows * np.arange(count)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=drawn.size).astype(np.float32)  # how often a resample holds a row
        draws.append(_weighted_scores(weights.reshape(count, rows), predicted, truth, classes))
    return _weighted_scores(np.ones((1, rows), np.float32), predicted, truth, classes)[0], np.concatenate(draws)


def mean_score(sample: Sample, *, least: float = 0.0, confidence: float = 0.95) -> Interval:
    """A system's mean score over its seeds, with bounds for rows and seeds, from the `least` that it may be to 1."""
    return _estimate([(1, sample)], bounds=(least, 1.0), confidence=confidence).interval


def difference(a: Sample, b: Sample, *, least: float = 0.0, confidence: float = 0.95) -> Estimate:
    """A's mean score minus B's; both were resampled together. Seeds of A and B count as independent."""
    return _estimate([(1, a), (-1, b)], bounds=(least - 1.0, 1.0 - least), confidence=confidence)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for how many there are (Holm 1979), in their order.

    Rejecting those that stay below alpha makes a false rejection anywhere in the family less likely than alpha, whatever
    the tests have to do with each other.
    """
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for smaller, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        largest = max(largest, min(1.0, (len(p_values) - smaller) * p_values[index]))
        corrected[index] = largest
    return corrected


def _weighted_scores(
    weights: NDArray[np.float32], predicted: NDArray[np.int64], truth: NDArray[np.int64], classes: int
) -> Floats:
    """Accuracy and macro-F1 of every run, with rows counted as often as `weights` (W, N) says: (W, K, 2)."""
    known = truth >= 0
    numbers = np.arange(classes)
    true_class = ((truth[:, None] == numbers) & known[:, None]).astype(np.float32)  # (N, C)
    support = weights @ true_class  # (W, C), exact in float32 below 2**24 rows
    scores = np.empty((len(weights), len(predicted), 2))
    for run, answers in enumerate(predicted):
        answered = ((answers[:, None] == numbers) & known[:, None]).astype(np.float32)  # (N, C)
        hits = (weights @ (answered * true_class)).astype(np.float64)  # (W, C)
        f1 = 2 * hits / np.maximum(support + weights @ answered, 1)
        present = support > 0
        with np.errstate(invalid="ignore"):  # no row of a known class: not a number
            scores[:, run, 1] = (f1 * present).sum(axis=1) / present.sum(axis=1)
        scores[:, run, 0] = hits.sum(axis=1) / weights.sum(axis=1)
    return scores


def _estimate(terms: Sequence[tuple[int, Sample]], *, bounds: tuple[float, float], confidence: float) -> Estimate:
    value = sum(sign * float(sample.scores.mean()) for sign, sample in terms)
    draws = np.sum([sign * sample.draws.mean(axis=1) for sign, sample in terms], axis=0)  # (B,)
    draws = draws[~np.isnan(draws)]
    if np.isnan(value) or not draws.size:
        return Estimate(Interval(None, None, None), None)
    from_rows = float(draws.var())
    variance, freedom = _with_seeds(from_rows, [sample for _, sample in terms])
    error = float(np.sqrt(variance))
    tails = np.array([(1 - confidence) / 2, (1 + confidence) / 2])
    shape = np.array([-1.0, 1.0])
    if from_rows > 0:  # how skewed: the bootstrap's bounds, in units of a normal distribution's
        shape = (np.quantile(draws, tails) - value) / (stdtrit(np.inf, tails[1]) * np.sqrt(from_rows))
    low, high = np.clip(value + shape * stdtrit(freedom, tails[1]) * error, *bounds).tolist()
    if error == 0:
        return Estimate(Interval(value, low, high), 1.0 if value == 0 else 0.0)
    return Estimate(Interval(value, low, high), float(2 * stdtr(freedom, -abs(value) / error)), freedom)


def _with_seeds(from_rows: float, samples: Sequence[Sample]) -> tuple[float, float]:
    """Variance of the mean or difference over rows and seeds, and its degrees of freedom."""
    variance, spread, fewest = from_rows, 0.0, np.inf
    for sample in samples:
        seeds = len(sample.scores)
        if seeds < 2:
            continue
        observed = float(sample.scores.var(ddof=1))
        # What a run's score moves on other rows apart from the other seeds' scores: it is in `from_rows` already.
        apart = sample.draws - sample.draws.mean(axis=1, keepdims=True)  # (B, S)
        expected = float(np.nanvar(apart, axis=0).sum() / (seeds - 1))
        if observed > expected:  # else seeds add nothing that rows don't, and nothing uncertain
            variance += (observed - expected) / seeds
            spread += (observed / seeds) ** 2 / (seeds - 1)
            fewest = min(fewest, seeds - 1)
    return variance, max(variance**2 / spread, fewest) if spread else np.inf
