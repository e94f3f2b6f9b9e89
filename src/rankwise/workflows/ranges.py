"""Ranges around estimated numbers that hold the true one with a wanted probability, chosen on rows held out.

Split conformal prediction by the absolute error (Papadopoulos et al. 2002; Lei et al., arXiv 1604.04173): ranges are
of one width, but for those that the bounds of the numbers cut; no range holds one beyond these. Shapes: N rows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rankwise.inference.decision import Bounds, ranges, within
from rankwise.run.decision import Answers
from rankwise.run.format import ScoredRows
from rankwise.stats.conformal import fewest_rows, set_threshold
from rankwise.stats.selective import exact_interval, upper_bound

SHARES = (0.5, 0.8, 0.9, 0.95, 0.99)  # of the texts, for which it is told how wide ranges are


@dataclass(frozen=True)
class Reach:
    """How far ranges reach that hold the true number of so many texts."""

    sets: float
    """That share."""
    reach: float | None
    """To each side of the estimate, in the unit of the labels; None where these rows can't tell."""
    more_rows: int
    """How many more rows would do, where there are too few; 0 where too many numbers are beyond the bounds."""


def reach_for(scored: ScoredRows, bounds: Bounds, wanted: float) -> Reach:
    """How far ranges reach to hold the true number of so many texts, by rows held out whose number is known."""
    errors = _errors(scored, bounds)
    if len(errors) < fewest_rows(wanted):
        return Reach(wanted, None, fewest_rows(wanted) - len(errors))
    reach = -set_threshold(-errors, wanted)
    return Reach(wanted, reach if np.isfinite(reach) else None, 0)


def answers_within(reach: float, scored: ScoredRows, bounds: Bounds) -> Answers:
    """What ranges come to on rows whose number is known: one that does not hold it is wrong."""
    errors = _errors(scored, bounds)
    rows, wrong = len(errors), int((errors > reach).sum())
    ends = ranges(scored.probabilities[:, 0].astype(np.float64), reach, bounds)
    return Answers(
        rows=rows,
        answered=rows,
        wrong=wrong,
        coverage=exact_interval(rows, rows),
        error=exact_interval(wrong, rows),
        error_bound=upper_bound(wrong, rows),
        holds=exact_interval(rows - wrong, rows),
        set_size=float(np.diff(ends, axis=1).mean()),
    )


def _errors(scored: ScoredRows, bounds: Bounds) -> NDArray[np.float64]:
    """By how much estimates miss the numbers that are known, either way; infinite for one that is beyond the bounds."""
    truth, estimates = scored.truth, within(bounds, scored.probabilities[:, 0].astype(np.float64))
    beyond = within(bounds, truth) != truth  # NaN too
    return np.asarray(np.where(beyond, np.inf, np.abs(estimates - truth))[~np.isnan(truth)])
