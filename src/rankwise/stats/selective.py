"""How often a classifier may answer so that few of its answers are wrong, with bounds that hold after choosing.

A threshold that has 2 % wrong on the rows that it was chosen on has more on others: of many thresholds the luckiest is taken.
So thresholds are tested in an order that is fixed beforehand, from the surest rows down, each as "more than 2 % of these are
wrong" by the exact binomial test, and the first that is not rejected ends it (fixed-sequence testing, as in Angelopoulos et
al., arXiv 2110.01052). The last one rejected is wrong more often than wanted with a probability of at most 5 %: the rows that
are surer than some value are draws from all that are, however many they be, and where the true share of mistakes first passes
the wanted one, it is that single test which would have to fail. This takes rows to be like those to come, and ties to be few.

Shapes: N rows; `confidence` (N,) is any score that is higher for surer rows, `wrong` (N,) whether the answer is.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, betaincinv

from rankwise.stats.intervals import Interval

RISK = 0.05  # of a promise that does not hold
TOLERATED = 1  # mistakes among the fewest rows with which testing begins: with none, a single wrong label would end it
LEAST_SHARE = 0.1  # of all rows, below which nothing is tested: who answers fewer decides little, and few rows fail by chance
MOST = 100  # times the rows, beyond which more of them are no advice

Floats = NDArray[np.float64]
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
    passes = bdtr(mistakes, ends, max_error) <= risk  # P(so few mistakes or fewer), were max_error the true share
    first = int(np.searchsorted(ends, _first_tested(len(confidence), max_error, risk)))
    failed = np.flatnonzero(~passes[first:])
    last = first + (int(failed[0]) if len(failed) else len(passes) - first) - 1
    if last < first:
        return None
    return _threshold(confidence, order, int(ends[last]), int(mistakes[last]))


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
    for share in np.arange(LEAST_SHARE, 1.01, LEAST_SHARE / 2):
        at = int(np.searchsorted(ends, max(1, round(share * rows))))
        rate = upper_bound(int(mistakes[at]), int(ends[at]), risk=0.5)  # a little above what was seen
        if rate < max_error:
            times = np.geomspace(1, MOST, 400)
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


def _first_tested(rows: int, max_error: float, risk: float) -> int:
    """The fewest rows that pass with TOLERATED mistakes, or with none where all are too few for that; LEAST_SHARE of all."""
    fewest = _fewest(TOLERATED, max_error, risk)
    if fewest > rows:
        fewest = _fewest(0, max_error, risk)
    return max(fewest, int(np.ceil(LEAST_SHARE * rows)))


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
