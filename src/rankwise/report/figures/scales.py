"""From values to places on an axis: round ticks that a person would choose, linear or logarithmic, and their labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rankwise.report.blocks import Kind

LOG_FROM = 25  # largest over smallest from which small values would lie on top of each other on a linear axis
_CLOCK = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 18000, 36000, 86400)


@dataclass(frozen=True)
class Axis:
    """A range with its ticks, rising."""

    low: float
    high: float
    ticks: tuple[float, ...]
    kind: Kind
    log: bool = False

    def place(self, value: float, start: float, end: float) -> float:
        """Where a value lies between two coordinates; outside the range, at its end."""
        low, high, value = (math.log(max(v, 1e-12)) if self.log else v for v in (self.low, self.high, value))
        share = (value - low) / (high - low)
        return start + min(1.0, max(0.0, share)) * (end - start)

    def label(self, tick: float) -> str:
        if self.kind == "share":
            return f"{100 * tick:g}"
        if self.kind == "signed":
            return f"{100 * tick:+g}" if tick else "0"
        if self.kind == "seconds":
            return _clock_label(tick, max(abs(self.high), abs(self.low)))
        if len({short(other) for other in self.ticks}) == len(self.ticks):
            return short(tick)
        step = self.ticks[1] - self.ticks[0]  # too small beside the values for three digits
        decimals = max(0, math.ceil(-math.log10(step) - 1e-9))
        return f"{tick:,.{decimals + (round(step * 10**decimals, 6) % 1 > 0)}f}"


def axis_of(values: Sequence[float], kind: Kind, *, zero: bool = False, may_log: bool = False, most: int = 5) -> Axis:
    """An axis with at most about `most` ticks that holds every value; from 0 with `zero`.

    With `may_log` it is logarithmic where the largest value is LOG_FROM times the smallest or more.
    """
    low, high = min(values), max(values)
    if may_log and low > 0 and high / low >= LOG_FROM:
        return _log_axis(low, high, kind, most)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if high - low < 1e-12:
        value, room = high, abs(high) * 0.1 or 0.1
        of_a_whole = kind == "share" and 0 <= value <= 1
        low = max(0.0, value - room) if zero or of_a_whole else value - room
        high = min(1.0, value + room) if of_a_whole else value + room
    step = _step((high - low) / most, kind)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(round(step * count, 12) for count in range(first, last + 1))
    return Axis(ticks[0], ticks[-1], ticks, kind)


def whole_axis(high: float, most: float = 5) -> Axis:
    """From 0 to `high` exactly, with round whole numbers as ticks between; for updates, epochs and tokens."""
    high = high or 1
    step = _step(high / most, "count")
    return Axis(0, high, tuple(step * count for count in range(math.floor(high / step + 1e-9) + 1)), "count")


def short(value: float) -> str:
    """20k, 1.5M, 0.25."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def _log_axis(low: float, high: float, kind: Kind, most: int) -> Axis:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    every = max(1, math.ceil((last - first) / most))
    ticks = tuple(10.0**power for power in range(first, last + 1, every))
    if last - first <= 1:
        ticks = tuple(sorted({*ticks, 2 * 10.0**first, 5 * 10.0**first}))
    bottom = max((tick for tick in ticks if tick <= low), default=ticks[0])
    top = min((tick for tick in ticks if tick >= high), default=high)
    return Axis(bottom, top, tuple(tick for tick in ticks if bottom <= tick <= top), kind, log=True)


def _step(rough: float, kind: Kind) -> float:
    """The next round number from `rough` upwards; of counts, the next whole one."""
    if kind == "seconds" and rough > 1:
        return next((float(step) for step in _CLOCK if step >= rough), rough)
    if kind == "count":
        rough = max(1.0, rough)
    size = 10.0 ** math.floor(math.log10(rough))
    steps = [size * factor for factor in (1, 2, 2.5, 5, 10)]
    return next(step for step in steps if step >= rough * (1 - 1e-9) and (kind != "count" or step.is_integer()))


def _clock_label(seconds: float, largest: float) -> str:
    for size, unit in ((3600, "h"), (60, "min")):
        if largest >= 4 * size:
            return f"{seconds / size:g} {unit}" if seconds else "0"
    return f"{seconds:g} s" if seconds else "0"
