"""Whether a new model is worse than an old one by more than a margin, how sure that is, and how many rows it takes.

The rule, for d = the new one's score minus the old one's on the same rows, and a margin m above 0:

- `not worse` where d > -m is shown: a one-sided test of d = -m at 5 % says so (non-inferiority);
- `worse` where d < -m is shown, by the test on the other side;
- `not enough rows` where neither is.

So two models that differ by the margin are called the one or the other in at most 5 % of samples of rows each, and two that
do not differ are called worse in fewer still. For accuracy the test is the score test for paired shares (Tango 1998,
Statistics in Medicine 17:891), with a whole row taken off for continuity, without which small samples go wrong in more
than the 5 %. It depends on counts alone, so its chances are sums of their probabilities, and nothing is simulated. For
macro-F1 the bounds come from a paired bootstrap, for the R² of numbers from Student's t of the rows' differences, and the
deviation gives the chances.

Differences, margins and shares are -1 to 1. `only_new` and `only_old` are the rows that one model alone has right; their
share of all rows is the discordance.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import binom
from scipy.stats import t as student_t

from rankwise.stats.intervals import Floats, Interval
from rankwise.stats.scores import confusion_matrix, macro_f1
from rankwise.stats.seeds import resampled_scores
from rankwise.stats.several import macro_f1_of, resampled_several

Outcome = Literal["not worse", "worse", "not enough rows"]

CONFIDENCE = 0.95  # of each bound alone
ENOUGH = 0.9  # rows are enough where such a share of samples is told
_NORMAL = NormalDist()
_Z = _NORMAL.inv_cdf(CONFIDENCE)
_IMPROBABLE = 1e-9  # counts that are rarer are left out of sums


@dataclass(frozen=True)
class Chances:
    """How often each outcome is to be expected."""

    not_worse: float
    worse: float
    not_enough: float


class PairedTest(Protocol):
    """What two models' answers to the same rows say of the difference of their scores."""

    @property
    def bounds(self) -> Interval:
        """The difference; each bound alone holds in 95 % of samples. Without bounds where it is not defined."""

    def chances(self, difference: float, margin: float) -> Chances:
        """The outcomes on so many rows, of other models that disagree as often and differ by this."""

    def rows_needed(self, difference: float, margin: float) -> int | None:
        """How many rows tell nine in ten such models; None where no number does."""


@dataclass(frozen=True)
class AccuracyTest:
    """The score test for the difference of two accuracies, of counts."""

    only_new: int
    only_old: int
    rows: int

    @cached_property
    def bounds(self) -> Interval:
        """The differences that the test at 5 % on each side does not exclude."""
        low, high = (
            _lower_bound(self.only_new, self.only_old, self.rows),
            -_lower_bound(self.only_old, self.only_new, self.rows),
        )
        return Interval((self.only_new - self.only_old) / self.rows, low, high)

    def chances(self, difference: float, margin: float) -> Chances:
        return accuracy_chances(self.rows, self._discordance(difference), difference, margin)

    def rows_needed(self, difference: float, margin: float) -> int | None:
        return accuracy_rows_needed(self._discordance(difference), difference, margin)

    def _discordance(self, difference: float) -> float:
        """As observed, a row at least: that none is seen is no sign that there are none."""
        return max(abs(difference), max(1, self.only_new + self.only_old) / self.rows)


@dataclass(frozen=True)
class EstimatedTest:
    """The difference of two scores as an estimate from so many rows, and its deviation."""

    bounds: Interval
    deviation: float
    rows: int

    def chances(self, difference: float, margin: float) -> Chances:
        if not self.deviation:
            return Chances(0.0, 0.0, 1.0)
        gap = (difference + margin) / self.deviation
        not_worse, worse = _NORMAL.cdf(gap - _Z), _NORMAL.cdf(-gap - _Z)
        return Chances(not_worse, worse, 1 - not_worse - worse)

    def rows_needed(self, difference: float, margin: float) -> int | None:
        of_a_row = self.deviation * math.sqrt(self.rows)
        return _rows_where(abs(difference + margin), (_Z + _NORMAL.inv_cdf(ENOUGH)) * of_a_row)


class MeanTest(EstimatedTest):
    """Student's t of what each row gives to the two scores, which are means over rows."""

    @classmethod
    def of(cls, new: Floats, old: Floats) -> "MeanTest":
        """From both models' credits (N,), 1 for a row that is exactly right.

        Two rows are lent, on each of which one model is right and the other as wrong as the worse of the two is on average,
        so that models that agree on a few rows are not taken for models that always agree.
        """
        rows = len(new)
        if not rows:
            return cls(Interval(None, None, None), 0.0, 0)
        off = 1 - min(float(new.mean()), float(old.mean()))
        differences = np.concatenate([new - old, [off, -off]])
        deviation = float(differences.std(ddof=1)) / math.sqrt(len(differences))
        reach = float(student_t.ppf(CONFIDENCE, len(differences) - 1)) * deviation
        value = float((new - old).mean())
        return cls(Interval(value, value - reach, value + reach), deviation, rows)


class MacroF1Test(EstimatedTest):
    """The paired bootstrap of the difference of two macro-F1."""

    @classmethod
    def of(
        cls,
        new: NDArray[np.int64],
        old: NDArray[np.int64],
        truth: NDArray[np.int64],
        classes: int,
        *,
        resamples: int = 5_000,
        seed: int = 0,
    ) -> "MacroF1Test":
        """From predicted and true classes, (N,) each, or where a row has several labels 0 or 1 for each of them, (N, C), with
        -1 for a truth that is not known.

        Each class lends the resamples two rows, of which each model alone has one right, so that models that agree on a
        few rows are not taken for models that always agree (as Agresti and Min 2005 lend to shares).
        """
        if truth.ndim > 1:
            return cls._of_several(new, old, truth, resamples=resamples, seed=seed)
        present = np.unique(truth[truth >= 0])
        if not present.size:
            return cls(Interval(None, None, None), 0.0, len(truth))
        wrong = (present + 1) % classes
        predicted = np.stack([np.concatenate([new, present, wrong]), np.concatenate([old, wrong, present])])
        lent = np.concatenate([truth, present, present])
        _, draws = resampled_scores(predicted, lent, classes, resamples=resamples, seed=seed)
        differences = draws[:, 0, 1] - draws[:, 1, 1]
        value = float(macro_f1(confusion_matrix(truth, new, classes)) - macro_f1(confusion_matrix(truth, old, classes)))
        return cls._from(value, differences, len(truth))

    @classmethod
    def _of_several(
        cls, new: NDArray[np.int64], old: NDArray[np.int64], truth: NDArray[np.int64], *, resamples: int, seed: int
    ) -> "MacroF1Test":
        """The same of several labels: each class that a row has lends four rows, of which nothing else is known: it has two,
        and of these as of the others each model alone has one right.
        """
        present = np.flatnonzero((truth == 1).any(axis=0))
        if not present.size:
            return cls(Interval(None, None, None), 0.0, len(truth))
        lent = np.full((len(present), 4, truth.shape[1]), -1)
        by_new, by_old = lent.copy(), lent.copy()
        for rows, column in ((lent, (1, 1, 0, 0)), (by_new, (1, 0, 0, 1)), (by_old, (0, 1, 1, 0))):
            rows[np.arange(len(present)), :, present] = column
        true, *answers = (
            np.concatenate([own, more.reshape(-1, truth.shape[1])])
            for own, more in ((truth, lent), (new, by_new), (old, by_old))
        )
        _, draws = resampled_several(np.stack(answers), true, resamples=resamples, seed=seed)
        return cls._from(macro_f1_of(new, truth) - macro_f1_of(old, truth), draws[:, 0, 1] - draws[:, 1, 1], len(truth))

    @classmethod
    def _from(cls, value: float, differences: Floats, rows: int) -> "MacroF1Test":
        low, high = np.quantile(differences, [1 - CONFIDENCE, CONFIDENCE]).tolist()
        return cls(Interval(value, min(low, value), max(high, value)), float(differences.std()), rows)


def outcome_of(bounds: Interval, margin: float) -> Outcome:
    """What the bounds of a difference show."""
    if bounds.low is None or bounds.high is None:
        return "not enough rows"
    return "not worse" if bounds.low > -margin else "worse" if bounds.high < -margin else "not enough rows"


def accuracy_chances(rows: int, discordance: float, difference: float, margin: float) -> Chances:
    """The outcomes on so many rows, of models that differ by so much and disagree on such a share of rows."""
    disagreeing = _probable(rows, discordance)
    favours_new = (discordance + difference) / (2 * discordance) if discordance else 0.5
    not_worse = worse = 0.0
    for count, weight in zip(disagreeing.tolist(), binom.pmf(disagreeing, rows, discordance).tolist(), strict=True):
        new = _probable(count, favours_new)
        weights = weight * binom.pmf(new, count, favours_new)
        not_worse += float(weights[_lead(new, count - new, rows, -margin) > 0].sum())
        worse += float(weights[_lead(count - new, new, rows, margin) > 0].sum())
    return Chances(not_worse, worse, max(0.0, 1 - not_worse - worse))


def accuracy_rows_needed(discordance: float, difference: float, margin: float) -> int | None:
    """How many rows tell nine in ten such models, by the normal distribution; None where no number of rows does."""
    gap = difference + margin
    if gap < 0:  # worse by more than the margin: the same question from the other side
        difference, margin = -difference, -margin
    limit = float(_variance((discordance + difference) / 2, (discordance - difference) / 2, 1, -margin))
    reach = _Z * math.sqrt(limit) + _NORMAL.inv_cdf(ENOUGH) * math.sqrt(max(0.0, discordance - difference**2))
    return _rows_where(abs(gap), reach, continuity=1)


def share_rows_needed(share: float, limit: float) -> int | None:
    """How many rows tell nine in ten times on which side of the limit such a share is; None where no number of rows does."""
    deviations = [math.sqrt(part * (1 - part)) for part in (limit, share)]
    return _rows_where(abs(share - limit), _Z * deviations[0] + _NORMAL.inv_cdf(ENOUGH) * deviations[1], continuity=1)


def _rows_where(gap: float, reach: float, *, continuity: float = 0.0) -> int | None:
    """The fewest rows n for which n · gap - continuity is at least √n · reach."""
    if gap < 1e-9:
        return None
    return math.ceil(((reach + math.sqrt(reach**2 + 4 * gap * continuity)) / (2 * gap)) ** 2)


def _lower_bound(only_a: int, only_b: int, rows: int) -> float:
    """The largest difference that A's accuracy minus B's is shown to be above; -1 where there is none."""
    if _lead(only_a, only_b, rows, -1.0) <= 0:
        return -1.0
    return float(brentq(lambda limit: float(_lead(only_a, only_b, rows, limit)), -1.0, (only_a - only_b) / rows, xtol=1e-12))


def _lead(only_a: int | NDArray[np.int64], only_b: int | NDArray[np.int64], rows: int, limit: float) -> Floats:
    """By how many rows A is further ahead than chance alone puts models that differ by the limit; falls as that rises."""
    lead: Floats = only_a - only_b - 1 - rows * limit - _Z * np.sqrt(_variance(only_a, only_b, rows, limit))
    return lead


def _variance(a: float | NDArray[np.int64], b: float | NDArray[np.int64], rows: int, limit: float) -> Floats:
    """Of A's lead in rows, among the models that differ by the limit and fit the counts best (Tango 1998)."""
    # The share that B alone has right is the larger root of 2n q² + linear q + constant.
    linear = (2 * rows - a + b) * limit - a - b
    constant = -b * limit * (1 - limit)
    share = (np.sqrt(np.maximum(linear**2 - 8 * rows * constant, 0.0)) - linear) / (4 * rows)
    variance: Floats = np.maximum(rows * (2 * share + limit * (1 - limit)), 0.0)
    return variance


def _probable(trials: int, probability: float) -> NDArray[np.int64]:
    """The counts of successes that are not all but impossible, one after another."""
    low, high = binom.ppf([_IMPROBABLE, 1 - _IMPROBABLE], trials, probability)
    return np.arange(max(0, int(low)), int(high) + 1)
