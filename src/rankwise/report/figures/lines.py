"""Lines of several runs → a figure of their means, with every number in its table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rankwise.report.blocks import Column, Figure, Kind, Table, Value, shown
from rankwise.report.figures import charts
from rankwise.report.groups import Line, mean_line
from rankwise.stats.intervals import Interval


def lines_figure(
    title: str,
    name: str,
    lines: Mapping[str, Sequence[Line]],
    *,
    over: str,
    label: str,
    kind: Kind,
    styles: Sequence[int] | None = None,
    per_epoch: float | None = None,
    ringed: Mapping[str, float] | None = None,
) -> Figure:
    """A line for each name: the mean over its runs, and a band from the lowest to the highest where there are several.

    `over` is what x counts, `update` or `epoch`. With `per_epoch` updates to an epoch, epochs are marked and told too.
    `ringed` says at which x a line's point stands out.
    """
    drawn: list[charts.Curve] = []
    values: list[dict[float, Value]] = []
    columns = [Column(over, over, "count" if over == "update" else "number")]
    columns += [Column("epoch", "epoch", "number")] if per_epoch else []
    for (which, of_runs), style in zip(lines.items(), styles or range(len(lines)), strict=True):
        line, band = mean_line(of_runs)
        if not line:
            continue
        dense = len(line) > charts.MARKED
        drawn.append(charts.Curve(which, tuple(line), style, dense, band=tuple(band), ringed=(ringed or {}).get(which)))
        columns.append(Column(which, f"{which}: {label}", kind, interval=bool(band)))
        ends = {x: (low, high) for x, low, high in band}
        values.append({x: Interval(y, *ends[x]) if band else y for x, y in line})
    rows = [
        (x, *((x / per_epoch,) if per_epoch else ()), *(column.get(x) for column in values))
        for x in sorted({x for column in values for x in column})
    ]
    said = "; ".join(
        f"{curve.name} from {shown(curve.points[0][1], kind)} at {over} {curve.points[0][0]:,g} to "
        f"{shown(curve.points[-1][1], kind)} at {over} {curve.points[-1][0]:,g}"
        for curve in drawn
    )
    drawing = charts.curves(drawn, x_label=f"{over}s", y_label=label, kind=kind, per_epoch=per_epoch)
    return Figure(title, f"{label[0].upper()}{label[1:]}: {said}.", drawing, Table(name, title, tuple(columns), tuple(rows)))
