"""Whether two models that answered the same rows differ: McNemar's exact test, and a paired bootstrap of their accuracies."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr

from rankwise.stats.intervals import Interval, check_settings, percentile_interval

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class McNemar:
    """Rows that only A and only B got right, and the probability of a split at least this uneven by chance."""

    only_a: int
    only_b: int
    p_value: float


def mcnemar(correct_a: Bools, correct_b: Bools) -> McNemar:
    """Whether two models scored on the same rows differ: the exact two-sided McNemar test.

    Rows that only one of them got right are coin flips if they are equally good (McNemar 1947), so the p-value is that
    of a binomial test at 1/2; 1.0 when they never disagree.
    """
    _, only_a, only_b, _ = _outcomes(correct_a, correct_b).tolist()
    at_most = float(bdtr(min(only_a, only_b), only_a + only_b, 0.5))  # P(X <= the smaller count) of so many fair coins
    return McNemar(only_a, only_b, min(1.0, 2 * at_most))


def paired_bootstrap(
    correct_a: Bools, correct_b: Bools, *, resamples: int = 10_000, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """Accuracy of A minus accuracy of B on the same rows, -1 to 1."""
    check_settings(resamples, confidence)
    cells = _outcomes(correct_a, correct_b)
    rows = cells.sum()
    # The four counts are all that the difference depends on.
    draws = np.random.default_rng(seed).multinomial(rows, cells / rows, size=resamples)  # (resamples, 4)
    return percentile_interval((cells[1] - cells[2]) / rows, (draws[:, 1] - draws[:, 2]) / rows, confidence)


def _outcomes(correct_a: Bools, correct_b: Bools) -> NDArray[np.int64]:
    """Rows that both, only A, only B and neither got right, (4,)."""
    a, b = np.asarray(correct_a), np.asarray(correct_b)
    if a.ndim != 1 or a.shape != b.shape or a.dtype != np.bool_ or b.dtype != np.bool_:
        raise ValueError(
            f"A has shape {a.shape} of {a.dtype}, B {b.shape} of {b.dtype}; expected one bool per row, for the same "
            "rows in the same order: give predicted == truth of each"
        )
    if not a.size:
        raise ValueError("there are 0 rows to compare; give a split that has at least one")
    return np.array([np.sum(a & b), np.sum(a & ~b), np.sum(~a & b), np.sum(~a & ~b)], dtype=np.int64)
