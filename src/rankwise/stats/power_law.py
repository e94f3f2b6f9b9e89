"""Error against training rows as a power law, error = a + b·n^-c, and what more rows would take off it.

The law is fitted by weighted least squares (Hestness et al., arXiv 1712.00409). A gain's interval is that of laws fitted
to resampled validation rows, with seeds added as a multivariate t distribution has them: two or three seeds are too few to
draw from. Shapes: S numbers of rows, K seeds, V validation rows, R resamples.
"""

from dataclasses import dataclass

import numpy as np

from rankwise.stats.intervals import Floats, Interval, percentile_interval

EXPONENTS = np.geomspace(0.05, 2.0, 75)  # c is searched among them; a and b follow for each


@dataclass(frozen=True)
class PowerLaw:
    """error = a + b·n^-c: `a` is what no number of rows takes away."""

    a: float
    b: float
    c: float

    def error(self, rows: float) -> float:
        """The error, a share of rows, after training on so many rows."""
        return float(self.a + self.b * rows**-self.c)


@dataclass(frozen=True)
class MeasuredErrors:
    """Shares of wrong validation rows, or of a number's variance, at growing numbers of training rows."""

    rows: Floats
    """(S,) numbers of training rows, rising."""
    by_seed: Floats
    """(S, K)."""
    resampled: Floats
    """(R, S, K): the same, on validation rows drawn with replacement; a resample is the same draw for all S and K."""
    validation_rows: int
    are_shares: bool = True
    """Of rows that are wrong; else of a number's variance, which may be more than all of it."""

    @property
    def mean(self) -> Floats:
        """The mean over seeds, (S,)."""
        means: Floats = self.by_seed.mean(axis=1)
        return means

    @property
    def weights(self) -> Floats:
        """The weights of a least-squares fit, (S,): a share e of rows varies as e·(1 - e), a mean of squares e as e²."""
        return 1 / np.maximum(self.mean * (1 - self.mean if self.are_shares else self.mean), 1e-4)


@dataclass(frozen=True)
class PowerLawFit:
    """The law of measured errors, and those of errors that other validation rows and seeds might have given."""

    law: PowerLaw
    resampled: tuple[Floats, Floats, Floats]
    """a, b and c of each resample, (R,)."""

    def gain(self, rows: int, times: int, confidence: float) -> Interval:
        """How much lower the error is after `times` as many rows as `rows`."""
        _, b, c = self.resampled
        draws = b * float(rows) ** -c * (1 - float(times) ** -c)
        return percentile_interval(self.law.error(rows) - self.law.error(times * rows), draws, confidence)


def measured_errors(
    rows: Floats, right: Floats, *, resamples: int, rng: np.random.Generator, are_shares: bool = True
) -> MeasuredErrors:
    """The errors of S·K trainings that got the validation rows right that `right` (S, K, V) says, 1 or 0.

    Where numbers are estimated, a row is as right as 1 minus its squared error over the variance, and errors are no shares.
    """
    sizes, seeds, answers = right.shape
    flat = right.reshape(sizes * seeds, answers)
    resampled = np.empty((resamples, sizes * seeds))
    for draw in range(resamples):
        resampled[draw] = 1 - flat @ rng.multinomial(answers, np.full(answers, 1 / answers)) / answers
    return MeasuredErrors(rows, 1 - right.mean(axis=2), resampled.reshape(resamples, sizes, seeds), answers, are_shares)


def fit_power_law(errors: MeasuredErrors, rng: np.random.Generator) -> PowerLawFit:
    """The law of the mean errors, and one for each resample."""
    law = PowerLaw(*(float(value[0]) for value in least_squares(errors.rows, errors.mean[None], errors.weights)))
    moved = _moved_by_seeds(errors.resampled.mean(axis=2), errors.by_seed, rng).clip(0.0, 1.0 if errors.are_shares else None)
    return PowerLawFit(law, least_squares(errors.rows, moved, errors.weights))


def deviations(law: PowerLaw, errors: MeasuredErrors) -> Floats:
    """How many standard errors, of rows and seeds, each mean error lies from the law, (S,)."""
    seeds = errors.by_seed.shape[1]
    of_seeds = errors.by_seed.var(axis=1, ddof=1) / seeds if seeds > 1 else 0.0
    spread = np.sqrt(errors.resampled.mean(axis=2).var(axis=0) + of_seeds)  # (S,), 0 where no row was ever wrong
    at_least = (errors.mean * errors.validation_rows + 0.5) / (errors.validation_rows + 1)
    spread = np.where(spread > 0, spread, np.sqrt(np.abs(at_least * (1 - at_least)) / errors.validation_rows))
    distances: Floats = np.abs(errors.mean - [law.error(rows) for rows in errors.rows]) / spread
    return distances


def least_squares(rows: Floats, errors: Floats, weights: Floats) -> tuple[Floats, Floats, Floats]:
    """a, b and c of error = a + b·n^-c, each (R,), to errors (R, S) at rows (S,), least squares under weights (S,).

    a and b are at least 0, c is one of EXPONENTS; for each c the best a and b are known in closed form.
    """
    best = np.full(len(errors), np.inf)
    law = np.zeros((3, len(errors)))
    total, mean = weights.sum(), errors @ weights / weights.sum()  # mean (R,)
    for c in EXPONENTS:
        x = (rows / rows[-1]) ** -c  # (S,), 1 at the most rows
        centre = x @ weights / total
        b = ((errors - mean[:, None]) * weights) @ (x - centre) / (weights @ (x - centre) ** 2)  # (R,)
        a = mean - b * centre
        through_zero = (errors * weights) @ x / (weights @ x**2)
        a, b = np.where(a < 0, 0.0, a), np.where(a < 0, through_zero, b)
        a, b = np.where(b < 0, mean, a), np.maximum(b, 0.0)
        loss = ((errors - a[:, None] - b[:, None] * x) ** 2) @ weights  # (R,)
        better = loss < best
        best = np.where(better, loss, best)
        law = np.where(better, np.stack([a, b * rows[-1] ** c, np.full(len(errors), c)]), law)
    return law[0], law[1], law[2]


def _moved_by_seeds(resampled: Floats, by_seed: Floats, rng: np.random.Generator) -> Floats:
    """Mean errors (R, S) moved as other seeds would move them, by the errors (S, K) of K seeds.

    A seed's distance from the mean at all sizes at once, times a draw of a t distribution with K - 1 degrees of freedom that
    the seeds of a resample share: over the resamples any weighted sum of sizes has the t interval of its mean over seeds.
    """
    seeds = by_seed.shape[1]
    if seeds == 1:
        return resampled
    apart = by_seed - by_seed.mean(axis=1, keepdims=True)  # (S, K)
    t_draws = rng.normal(size=(len(resampled), seeds)) / np.sqrt(
        rng.chisquare(seeds - 1, size=(len(resampled), 1)) / (seeds - 1)
    )
    moved: Floats = resampled + t_draws @ apart.T / np.sqrt(seeds * (seeds - 1))
    return moved
