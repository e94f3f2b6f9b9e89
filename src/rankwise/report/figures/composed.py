"""Numbers → a figure of a report: its picture, its words and its table, all of the same numbers."""

from collections.abc import Sequence

import numpy as np

from rankwise.report.blocks import Column, Figure, Table
from rankwise.report.columns import EPOCH
from rankwise.report.figures import charts
from rankwise.report.words import listed, shown, with_capital
from rankwise.stats.intervals import Interval

Line = Sequence[tuple[float, float]]
Point = tuple[str | int, float | Interval, float | Interval]  # a name, a cost, a score
ON_FRONT = Column("on_front", "on the Pareto front")


def mean_curve(name: str, lines: Sequence[Line], style: int, ringed: float | None = None) -> charts.Curve:
    """The mean of several runs' lines (x, y), with a band from their lowest to their highest, over the x that all span.

    Between its own points a line is straight. Where no x is spanned by all, as of runs that were evaluated once and not after
    the same update, the mean lies between where the first one ends and the last one begins, and a line goes on level.
    """
    lines = [line for line in lines if line]
    points, band = (lines[0] if lines else []), []
    if len(lines) > 1:
        start, end = sorted((max(line[0][0] for line in lines), min(line[-1][0] for line in lines)))
        xs = sorted({x for line in lines for x, _ in line if start <= x <= end})
        heights = np.stack([np.interp(xs, [x for x, _ in line], [y for _, y in line]) for line in lines])  # (lines, xs)
        points = list(zip(xs, heights.mean(0).tolist(), strict=True))
        band = list(zip(xs, heights.min(0).tolist(), heights.max(0).tolist(), strict=True))
    return charts.Curve(name, points, style, quiet=len(points) > charts.MARKED, band=band, ringed=ringed)


def lines_figure(
    title: str, table: str, curves: Sequence[charts.Curve], x: Column, y: Column, per_epoch: float | None = None
) -> Figure:
    """Curves that have points, and a table of their values; with `per_epoch` updates to an epoch, epochs stand in both."""
    curves = [curve for curve in curves if curve.points]
    columns, values, words = [x, EPOCH] if per_epoch else [x], [], []
    for curve in curves:
        columns.append(Column(curve.name, f"{curve.name}: {y.label}", y.kind))
        ends = {at: bounds for at, *bounds in curve.band}
        values.append({at: Interval(mean, *ends[at]) if ends else mean for at, mean in curve.points})
        start, end = (f"{shown(value, y.kind)} at {x.label} {at:,g}" for at, value in (curve.points[0], curve.points[-1]))
        words.append(f"{curve.name} from {start} to {end}")
    rows = [
        (at, *((at / per_epoch,) if per_epoch else ()), *(column.get(at) for column in values))
        for at in sorted({at for column in values for at in column})
    ]
    summary = f"{with_capital(y.label)}: {'; '.join(words)}."
    picture = charts.curves(curves, x, y, per_epoch=per_epoch)
    return Figure(title, summary, picture, Table(table, title, columns, rows))


def trade_off_figure(
    table: str, columns: tuple[Column, Column, Column], points: Sequence[Point], *, many: bool, sign: int = 1
) -> Figure:
    """What more of a cost buys of a score, and which points are on the Pareto front; `sign` -1: less of it is better.

    A few points have a look and a line of the legend each. Of many those on the front are named and the others small.
    """
    of, x, y = columns
    title = f"{with_capital(y.label.partition(',')[0])} against {x.label}"
    front = pareto_front([(_number(cost), sign * _number(score)) for _, cost, score in points])
    spots: list[charts.Spot] = []
    for index, (name, cost, score) in enumerate(points):
        interval = score if isinstance(score, Interval) else Interval(score, None, None)
        small, style = (index not in front, 1 if index in front else 5) if many else (False, index)
        spots.append(charts.Spot(_number(cost), interval, str(name), style, small))
    rows = [(*point, "yes" if index in front else "no") for index, point in enumerate(points)]
    summary = f"On the Pareto front: {f'{of.label}s ' if many else ''}{listed([points[index][0] for index in front])}."
    picture = charts.scatter(spots, x, y, front=front, legend=not many)
    return Figure(title, summary, picture, Table(table, title, (*columns, ON_FRONT), rows))


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices, cheapest first, of the points (cost, gain) that no other equals or beats in both while beating it in one."""
    beaten = {(cost, gain) for cost, gain in points for c, g in points if c <= cost and g >= gain and (c, g) != (cost, gain)}
    return sorted((index for index, point in enumerate(points) if point not in beaten), key=points.__getitem__)


def _number(value: float | Interval) -> float:
    return float((value.value or 0.0) if isinstance(value, Interval) else value)
