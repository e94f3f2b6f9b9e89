"""How often a classifier may answer so that few of its answers are wrong, with bounds that hold after choosing.

A threshold that has 2 % wrong on the rows that it was chosen on has more on others: of many thresholds the luckiest is taken.
So thresholds are tested in an order that is fixed beforehand, from the surest rows down, each as "more than 2 % of these are
wrong" by the exact binomial test, and the first that is not rejected ends it (fixed-sequence testing, as in Angelopoulos et
al., arXiv 2110.01052). The last one rejected is wrong more often than wanted with a probability of at most 5 %: the rows that
are surer than some value are draws from all that are, however many they be, and where the true share of mistakes first passes
the wanted one, it is that single test which would have to fail. This takes rows to be like those to come, and ties to be few.

A wrong label or two among the surest rows would end it there. So it begins at two places, whose tests share the risk; a
sequence that gets from the first to the second goes on with all of it (Bretz et al. 2009, 10.1002/sim.3495).

Shapes: N rows; `confidence` (N,) is any score that is higher for surer rows, `wrong` (N,) whether the answer is.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, betaincinv

from rankwise.stats.intervals import Floats, Interval

RISK = 0.05  # of a promise that does not hold
TOLERATED = 1  # mistakes among the fewest rows that testing begins with: with none, a single wrong label would end it
STARTS = ((0.1, 0.8), (0.3, 0.2))  # shares of the rows at which testing begins, at least, and of the risk
MOST = 100  # times the rows, beyond which more of them are no advice

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Threshold:
    """From which confidence on to answer, and what that came to on the rows that it was chosen on."""

    confidence: float
    """The lowest that is answered."""
    answered: int
    wrong: int
    rows: int


def upper_bound(wrong: int, rows: int, *, risk: float = RISK) -> float:
    """The share of mistakes that is passed with a probability of `risk` at most, of so many rows (Clopper & Pearson 1934)."""
    return 1.0 if wrong >= rows else float(betaincinv(wrong + 1, rows - wrong, 1 - risk))


def exact_interval(count: int, rows: int, confidence: float = 0.95) -> Interval:
    """A share of `rows` with its exact binomial bounds; not defined without rows."""
    if not rows:
        return Interval(None, None, None)
    tail = (1 - confidence) / 2
    low = 0.0 if count == 0 else float(betaincinv(count, rows - count + 1, tail))
    return Interval(count / rows, low, upper_bound(count, rows, risk=tail))


def threshold_for_error(confidence: Floats, wrong: Bools, max_error: float, *, risk: float = RISK) -> Threshold | None:
    """The lowest threshold whose answers are wrong in at most `max_error` of all such texts, but for a probability of `risk`.

    None where these rows can promise that of no threshold.
    """
    order, ends, mistakes = _ranked(confidence, wrong)
    chance = bdtr(mistakes, ends, max_error)  # of so few mistakes or fewer, were max_error the true share
    starts = [(int(np.searchsorted(ends, rank)), own) for rank, own in _starts(len(confidence), max_error, risk)]
    last, level = -1, 0.0
    for (first, own), until in zip(starts, [*(first for first, _ in starts[1:]), len(ends)], strict=True):
        level += own
        failed = np.flatnonzero(chance[first:until] > level)
        passed = int(failed[0]) if len(failed) else until - first
        last = first + passed - 1 if passed else last
        level = 0.0 if len(failed) else level
    return None if last < 0 else _threshold(confidence, order, int(ends[last]), int(mistakes[last]))


def threshold_for_coverage(confidence: Floats, wrong: Bools, coverage: float) -> Threshold:
    """The threshold above which a new text is with a probability of at least `coverage`.

    Its rank is known before any label is looked at, so the exact binomial bound of these rows' mistakes holds for it.
    """
    order, ends, mistakes = _ranked(confidence, wrong)
    rank = min(len(confidence), int(np.ceil(coverage * (len(confidence) + 1) - 1e-9)))
    at = int(np.searchsorted(ends, rank))
    return _threshold(confidence, order, int(ends[at]), int(mistakes[at]))


def more_rows(confidence: Floats, wrong: Bools, max_error: float, *, risk: float = RISK) -> int | None:
    """About how many more rows like these could promise `max_error` of the surest; None where no number of rows could.

    It takes the surest rows, in whichever share of all, to be wrong a little more often than they are here.
    """
    _, ends, mistakes = _ranked(confidence, wrong)
    rows, best = len(confidence), float("inf")
    for share in np.arange(1, 21) / 20:
        at = int(np.searchsorted(ends, max(1, round(share * rows))))
        rate = upper_bound(int(mistakes[at]), int(ends[at]), risk=0.5)  # a little above what was seen
        if rate < max_error:
            times = np.geomspace(1.2, MOST, 400)  # fewer would be within chance
            answered, expected = ends[at] * times, np.ceil(rate * ends[at] * times)
            passing = bdtr(expected, answered.astype(np.int64), max_error) <= risk
            best = min(best, times[passing.argmax()] if passing.any() else np.inf)
    return max(1, round(rows * (best - 1))) if np.isfinite(best) else None


def risk_curve(confidence: Floats, wrong: Bools, shares: Floats, level: float = 0.95) -> list[tuple[float, Interval]]:
    """The share of mistakes among the surest rows, for each share of all rows that is answered; exact binomial intervals."""
    _, ends, mistakes = _ranked(confidence, wrong)
    found = []
    for share in shares:
        at = int(np.searchsorted(ends, max(1, round(share * len(confidence)))))
        found.append((ends[at] / len(confidence), exact_interval(int(mistakes[at]), int(ends[at]), level)))
    return found


def _ranked(confidence: Floats, wrong: Bools) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Rows from the surest down, and where rows of one confidence end: how many rows there are by then, and mistakes."""
    order = np.argsort(-confidence, kind="stable")
    ranked = confidence[order]
    ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]) + 1, len(ranked)).astype(np.int64)
    return order, ends, np.cumsum(wrong[order], dtype=np.int64)[ends - 1]


def _starts(rows: int, max_error: float, risk: float) -> list[tuple[int, float]]:
    """Where testing begins, in rows from the surest down, and the risk of each place: known before any label is looked at.

    The first is the fewest rows that pass with TOLERATED mistakes, or with none where there are too few rows for that.
    """
    for starts in (STARTS, ((STARTS[0][0], 1.0),)):
        own = risk * starts[0][1]
        fewest = _fewest(TOLERATED, max_error, own)
        first = max(fewest if fewest <= rows else _fewest(0, max_error, own), int(np.ceil(starts[0][0] * rows)))
        others = [(int(np.ceil(least * rows)), risk * part) for least, part in starts[1:]]
        if all(rank > first for rank, _ in others):
            break
    return [(first, own), *others]


def _fewest(mistakes: int, max_error: float, risk: float) -> int:
    """The fewest rows with so many mistakes that show fewer than `max_error`."""
    low, high = mistakes + 1, int(np.ceil(10 * (mistakes + 1) / max_error))
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if bdtr(mistakes, middle, max_error) <= risk else (middle + 1, high)
    return low


def _threshold(confidence: Floats, order: NDArray[np.int64], answered: int, wrong: Any) -> Threshold:
    every = answered == len(confidence)
    return Threshold(0.0 if every else float(confidence[order[answered - 1]]), answered, int(wrong), len(confidence))
