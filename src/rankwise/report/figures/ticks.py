"""The range of an axis and its ticks, by the kind of what it shows: shares in %, seconds as on a clock, counts in k and M."""

import math
from collections.abc import Sequence

from matplotlib.axis import XAxis, YAxis
from matplotlib.ticker import EngFormatter, Locator, LogLocator, MaxNLocator, ScalarFormatter

from rankwise.report.words import Kind

LOG_FROM = 25  # largest over smallest from which small values would lie on top of each other on a linear axis
CLOCK_UNITS = ((3600, "h"), (60, "min"), (1, "s"))
ROUND, CLOCK = [1, 2, 2.5, 5, 10], [1, 2, 3, 6, 10]  # steps between ticks, times a power of ten


def is_logarithmic(values: Sequence[float]) -> bool:
    """Whether costs differ too much for a linear axis."""
    return min(values) > 0 and max(values) / min(values) >= LOG_FROM


def set_scale(axis: XAxis | YAxis, values: Sequence[float], kind: Kind, *, zero: bool = False, log: bool = False) -> None:
    """Let an axis hold all values, from a round tick to a round tick; from 0 with `zero`, logarithmic with `log`."""
    low, high = min(values), max(values)
    factor, unit = 100.0 if kind in ("share", "signed") else 1.0, ""
    if kind == "seconds":
        largest = max(abs(low), abs(high))
        factor, unit = next((1 / size, f" {unit}") for size, unit in CLOCK_UNITS if largest >= 4 * size or size == 1)
    if log:
        locator: Locator = LogLocator(subs=(1, 2, 5) if high / low < 100 else (1,))
    else:
        low, high = _with_room(min(low, 0) if zero else low, max(high, 0) if zero else high, kind)
        locator = MaxNLocator(5, steps=CLOCK if kind == "seconds" else ROUND, integer=kind == "count")
    ticks = [float(tick) / factor for tick in locator.tick_values(low * factor, high * factor)]
    ends = (low / 1.25, high * 1.25) if log else (ticks[0], ticks[-1])
    shown = [tick for tick in ticks if ends[0] <= tick <= ends[1]]
    name = axis.axis_name
    axis.axes.set(**{f"{name}scale": "log" if log else "linear", f"{name}lim": ends})
    axis.set_ticks(shown, [label + unit if label != "0" else label for label in _labels([t * factor for t in shown], kind)])
    axis.set_ticks([], minor=True)


def set_counted(axis: XAxis | YAxis, high: float, most: int = 5) -> None:
    """Let an axis run from 0 to `high` exactly, with round whole numbers as ticks; for updates, epochs and tokens."""
    high = high or 1
    ticks = [float(tick) for tick in MaxNLocator(most, steps=ROUND, integer=True).tick_values(0, high) if tick <= high]
    axis.axes.set(**{f"{axis.axis_name}lim": (0, high)})
    axis.set_ticks(ticks, _labels(ticks, "count"))


def _with_room(low: float, high: float, kind: Kind) -> tuple[float, float]:
    """The same ends, or some room around a single value; it stays above 0 where it was, and a share below 1."""
    if high - low >= 1e-12:
        return low, high
    room = max(1.0, 0.1 * abs(high)) if kind == "count" else 0.1 * abs(high) or 0.1
    least, most = (0.0 if low >= 0 else -math.inf), (1.0 if kind == "share" and high <= 1 else math.inf)
    return max(least, low - room), min(most, high + room)


def _labels(ticks: list[float], kind: Kind) -> list[str]:
    """As many digits after the point as tell the ticks apart; of numbers over decades, as many as each needs."""
    if kind == "count" and all(tick.is_integer() for tick in ticks):  # an epoch of which a part was made has others
        return [EngFormatter(sep="")(tick) for tick in ticks]
    if is_logarithmic(ticks):
        return [f"{tick:g}" for tick in ticks]
    formatter = ScalarFormatter(useOffset=False)
    formatter.set_scientific(False)
    formatter.create_dummy_axis()
    return [label if float(label.replace("−", "-")) else "0" for label in formatter.format_ticks(ticks)]
