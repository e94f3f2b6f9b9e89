"""An estimate between two bounds: percentiles of its resamples (Efron 1979), or Wilson's bounds of a single share."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """An estimate and its bounds. `value` None: not defined; bounds None: no resample in which it was defined."""

    value: float | None
    low: float | None
    high: float | None

    @property
    def width(self) -> float:
        """From one bound to the other; 0 where there are none."""
        return 0.0 if self.low is None or self.high is None else self.high - self.low

    def percent(self) -> str:
        """The interval in percent, as readers see it: `89.5 % [88.8, 90.2]`, or `n/a`."""
        return self.bracketed("z.1f", times=100, unit=" %")

    def bracketed(self, form: str, *, times: int = 1, unit: str = "") -> str:
        """The estimate and its unit, then the bounds, each as `form` writes it: `0.314 [0.290, 0.341]`, or `n/a`."""
        if self.value is None:
            return "n/a"
        estimate = f"{times * self.value:{form}}{unit}"
        if self.low is None or self.high is None:
            return estimate
        return f"{estimate} [{times * self.low:{form}}, {times * self.high:{form}}]"


def percentile_interval(value: float, draws: Floats, confidence: float) -> Interval:
    """An estimate between the percentiles of its resamples, (resamples,); those in which it is not defined are NaN."""
    if math.isnan(value):
        return Interval(None, None, None)
    defined = draws[~np.isnan(draws)]
    if not defined.size:
        return Interval(float(value), None, None)
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2]).tolist()
    return Interval(float(value), low, high)


def wilson(share: float, rows: float, confidence: float) -> Interval:
    """A share of `rows` with its bounds (Wilson 1927), which stay between 0 and 1 on few rows."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    middle = (share + z**2 / (2 * rows)) / (1 + z**2 / rows)
    reach = z / (1 + z**2 / rows) * math.sqrt(share * (1 - share) / rows + z**2 / (4 * rows**2))
    return Interval(share, max(0.0, min(share, middle - reach)), min(1.0, max(share, middle + reach)))


def check_settings(resamples: int, confidence: float) -> None:
    """Raise ValueError for resamples below 0, or a confidence that is no share between 0 and 1."""
    if resamples < 0:
        raise ValueError(f"resamples is {resamples}; give 0 for no intervals, or 1000")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; give a share between 0 and 1, such as 0.95")
