"""Lines of several runs → a figure of their means, with every number in its table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rankwise.report.blocks import Column, Figure, Table, Value, shown
from rankwise.report.figures import charts
from rankwise.report.groups import Line, mean_line
from rankwise.stats.intervals import Interval


@dataclass(frozen=True)
class Series:
    """What several runs have of one name: a line (x, y) each. The point at `ringed` stands out."""

    name: str
    lines: Sequence[Line]
    style: int
    ringed: float | None = None


def lines_figure(
    title: str, table: str, series: Sequence[Series], x: Column, y: Column, per_epoch: float | None = None
) -> Figure:
    """For each series the mean over its runs, and a band from the lowest to the highest where there are several.

    `table` names the table of the numbers. With `per_epoch` updates to an epoch, epochs are marked and listed too.
    """
    curves: list[charts.Curve] = []
    values: list[dict[float, Value]] = []
    columns = [x, *([Column("epoch", "epoch", "number")] if per_epoch else [])]
    for one in series:
        line, band = mean_line(one.lines)
        if not line:
            continue
        dense = len(line) > charts.MARKED
        curves.append(charts.Curve(one.name, tuple(line), one.style, dense, band=tuple(band), ringed=one.ringed))
        columns.append(Column(one.name, f"{one.name}: {y.label}", y.kind, interval=bool(band)))
        ends = {x: (low, high) for x, low, high in band}
        values.append({x: Interval(y, *ends[x]) if band else y for x, y in line})
    rows = [
        (at, *((at / per_epoch,) if per_epoch else ()), *(column.get(at) for column in values))
        for at in sorted({at for column in values for at in column})
    ]
    summary = "; ".join(_in_words(curve, x, y) for curve in curves)
    picture = charts.curves(curves, x, y, per_epoch=per_epoch)
    label = f"{y.label[0].upper()}{y.label[1:]}"
    return Figure(title, f"{label}: {summary}.", picture, Table(table, title, tuple(columns), tuple(rows)))


def _in_words(curve: charts.Curve, x: Column, y: Column) -> str:
    (start, first), (end, last) = curve.points[0], curve.points[-1]
    return f"{curve.name} from {shown(first, y.kind)} at {x.label} {start:,g} to {shown(last, y.kind)} at {x.label} {end:,g}"
