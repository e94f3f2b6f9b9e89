"""Numbers → matplotlib figures: curves, estimates, scatter plots, distributions.

Every series has a colour, a marker and a dash pattern of its own, so that none is told by colour alone. A Column says of an
axis what it says of a table: its label, and the kind of its values.
"""

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import blended_transform_factory

from rankwise.report.blocks import Column
from rankwise.report.figures.style import HALO, LIGHT, TOOLTIP, WIDTH, chart, colour, fit_text, look, new_figure, text_width
from rankwise.report.figures.ticks import is_logarithmic, set_counted, set_scale
from rankwise.report.words import in_words, shown, shown_bounds
from rankwise.stats.intervals import Interval

Point = tuple[float, float]

LINE = 18  # from one line of text to the next
PITCH = 42  # from one row of values to the next
MARKED = 24  # points of a line up to which each has a marker, and epochs up to which each has a line
DASHED = (0, (4, 3))


@dataclass(frozen=True)
class Curve:
    """A line through (x, y)."""

    name: str
    points: Sequence[Point]
    style: int = 0
    quiet: bool = False  # thin, without markers
    loose: bool = False  # markers alone
    band: Sequence[tuple[float, float, float]] = ()  # x, low, high
    ringed: float | None = None  # x of the point that stands out


@chart
def curves(lines: Sequence[Curve], x: Column, y: Column, *, per_epoch: float | None = None) -> Figure:
    """Lines over a shared x axis from 0; with `per_epoch` of x to an epoch, the ends of epochs are marked."""
    figure = new_figure(250)
    axes = figure.add_subplot(xlabel=f"{x.label}s", title=y.label)
    _legend(figure, lines)
    set_counted(axes.xaxis, max(point[0] for line in lines for point in line.points))
    heights = [point[1] for line in lines for point in line.points]
    set_scale(axes.yaxis, [*heights, *(end for line in lines for _, *ends in line.band for end in ends)], y.kind)
    axes.grid(axis="y")
    if per_epoch:
        _mark_epochs(axes, per_epoch)
    for line in lines:
        _draw_curve(axes, line, x, y)
    return figure


@chart
def shares(lines: Sequence[Curve], x: Column, y: Column) -> Figure:
    """Lines over percents of a whole, from 0 to 100; both axes begin at 0."""
    figure = new_figure(250)
    axes = figure.add_subplot(xlabel=x.label, title=y.label)
    _legend(figure, lines)
    set_scale(axes.xaxis, (0, 100), x.kind, zero=True)
    ends = [end for line in lines for _, *own in (*line.points, *line.band) for end in own]
    set_scale(axes.yaxis, ends, y.kind, zero=True)
    axes.grid(axis="y")
    for line in lines:
        _draw_curve(axes, line, x, y)
    return figure


def _draw_curve(axes: Axes, line: Curve, x: Column, y: Column) -> None:
    if line.band:
        x_values, lows, highs = zip(*line.band, strict=True)
        axes.fill_between(x_values, lows, highs, facecolor=colour(line.style), alpha=0.18, edgecolor="none")
    if not line.loose:
        axes.plot(*zip(*line.points, strict=True), **look(line.style) | {"marker": ""}, linewidth=1.25 if line.quiet else 2)
    for point in line.points:
        ringed = point[0] == line.ringed
        if ringed:
            axes.plot(*point, "o", ms=14, mfc=LIGHT["paper"], mec=LIGHT["ink"], mew=1.5, clip_on=False, zorder=3)
        if line.loose or not line.quiet or ringed:
            _mark(axes, point, line.style, 7, f"{line.name}: {shown(point[1], y.kind)} at {x.label} {point[0]:,g}")


def _mark(axes: Axes, point: Point, style: int, size: float, hint: str) -> None:
    """One marker with its tooltip, whole at the end of an axis too."""
    axes.plot(*point, **look(style) | {"linestyle": ""}, ms=size, clip_on=False, zorder=3, gid=TOOLTIP + hint)


def _legend(figure: Figure, lines: Sequence[Curve]) -> None:
    """A key to the lines above the figure, in as many rows as it needs, for which the figure becomes higher."""
    names = [fit_text(line.name, WIDTH - 50) for line in lines]
    across = max(1, int((WIDTH + 18) / (max(map(text_width, names)) + 54)))
    handles = []
    for line in lines:
        absent = {"linestyle": ""} if line.loose else {"marker": ""} if line.quiet else {}
        handles.append(Line2D([], [], **look(line.style) | absent, markersize=9 if line.loose else 7))
    figure.legend(handles, names, loc="outside upper left", ncols=across)
    figure.set_figheight(figure.get_figheight() + (-(-len(lines) // across) - 1) * LINE / figure.dpi)


def _mark_epochs(axes: Axes, per_epoch: float) -> None:
    """A hairline where an epoch ends, labelled; of many epochs, as many as there is room for."""
    last = int(axes.get_xlim()[1] / per_epoch + 1e-6)
    room = WIDTH * 0.8 / (text_width(f"epoch {last:,}") + 12)
    labelled = [e for e in MaxNLocator(max(1, int(room)), integer=True).tick_values(0, last) if 0 < e <= last]
    for epoch in range(1, last + 1) if last <= MARKED else labelled:
        axes.axvline(epoch * per_epoch, color=LIGHT["grid"], linewidth=1, zorder=0)
    top = axes.secondary_xaxis("top")
    top.set_xticks([epoch * per_epoch for epoch in labelled], [f"epoch {epoch:,.0f}" for epoch in labelled])
    top.tick_params(length=0, pad=8)
    top.spines["top"].set_visible(False)


@dataclass(frozen=True)
class Row:
    """A name and a value with its bounds; `dots` are what it was pooled from."""

    name: str
    value: Interval
    style: int = 0
    dots: Sequence[float] = ()


@chart
def estimates(rows: Sequence[Row], x: Column, *, zero: bool = False, bars: bool = False) -> Figure:
    """A row each: the estimate as a marker, its interval as a line, what it was pooled from as ticks; or `bars` from 0.

    Costs that differ too much for bars get markers on a logarithmic axis. An interval that reaches past twice the longest
    bar, as those of two seeds do, runs off the figure.
    """
    values = [value for row in rows for value in (row.value.value, *row.dots) if value is not None] or [0.0]
    log = bars and x.kind in ("count", "seconds") and is_logarithmic(values)
    most = 2 * max(values) if bars else math.inf
    ends = [] if log else [min(end, most) for row in rows for end in (row.value.low, row.value.high) if end is not None]
    figure = new_figure(PITCH * len(rows) + 44)
    axes = figure.add_subplot(xlabel=x.label + (", logarithmic" if log else ""), ylim=(PITCH * len(rows), 0), yticks=[])
    axes.spines["bottom"].set_visible(False)
    set_scale(axes.xaxis, [*values, *ends], x.kind, zero=zero or (bars and not log), log=log)
    across = blended_transform_factory(figure.transFigure, axes.transData)
    for index, row in enumerate(rows):
        top = PITCH * index
        value = " ".join(filter(None, (shown(row.value, x.kind), shown_bounds(row.value, x.kind))))
        name = fit_text(row.name, WIDTH - 20 - text_width(value))
        axes.text(0, top + 15, name, transform=across, in_layout=False)
        axes.text(1, top + 15, value, transform=across, in_layout=False, ha="right")
        ticks = axes.get_xticks()
        axes.vlines(ticks, top + 20, top + 38, [LIGHT["grid" if tick else "edge"] for tick in ticks], linewidth=1, zorder=0)
        _draw_row(axes, row, top + 29, f"{row.name}: {in_words(row.value, x.kind)}", bar=bars and not log)
    return figure


def _draw_row(axes: Axes, row: Row, y: float, hint: str, *, bar: bool) -> None:
    if row.value.value is None:
        return
    if bar:
        axes.barh(y, row.value.value, height=10, color=colour(row.style), gid=TOOLTIP + hint)
        ink = LIGHT["ink"]
        _draw_interval(axes, row.value, y, color=ink, linewidth=1.5, marker="|", ms=8, mec=ink, mew=1.5)
    else:
        _draw_interval(axes, row.value, y, color=colour(row.style), linewidth=2.5)
        axes.vlines(row.dots, y + 5, y + 10, LIGHT["muted"], linewidth=1)
        _mark(axes, (row.value.value, y), row.style, 10, hint)


def _draw_interval(axes: Axes, interval: Interval, at: float, *, upright: bool = False, **look: Any) -> None:
    if interval.low is not None and interval.high is not None:
        ends, level = (interval.low, interval.high), (at, at)
        axes.plot(*((level, ends) if upright else (ends, level)), **look)


@dataclass(frozen=True)
class Spot:
    """A cost and what it brought, with its interval; a small spot is one of many and goes unnamed."""

    x: float
    y: Interval
    name: str
    style: int = 0
    small: bool = False


@chart
def scatter(spots: Sequence[Spot], x: Column, y: Column, *, front: Sequence[int] = (), legend: bool = False) -> Figure:
    """Points over two axes, those of indices `front` joined by a dashed line; names are beside them, or in a legend above."""
    figure = new_figure(270)
    costs = [spot.x for spot in spots]
    log = is_logarithmic(costs)
    axes = figure.add_subplot(xlabel=x.label + (", logarithmic" if log else ""), title=y.label)
    set_scale(axes.xaxis, costs, x.kind, zero=x.kind == "seconds" and not log, log=log)
    set_scale(axes.yaxis, [end for spot in spots for end in astuple(spot.y) if end is not None] or [0.0], y.kind)
    axes.grid(axis="y")
    edge = sorted((spots[index].x, spots[index].y.value or 0.0) for index in front)
    axes.step(*zip(*edge, strict=True), where="post", color=LIGHT["edge"], linewidth=1.5, linestyle=DASHED)
    for index, spot in sorted(enumerate(spots), key=lambda pair: not pair[1].small):
        _draw_interval(axes, spot.y, spot.x, upright=True, color=colour(spot.style), linewidth=1.25)
        hint = f"{spot.name}: {y.label} {in_words(spot.y, y.kind)}, {x.label} {shown(spot.x, x.kind)}"
        _mark(axes, (spot.x, spot.y.value or 0.0), spot.style, 6 if spot.small else 10 if index in front else 9, hint)
    if legend:
        _legend(figure, [Curve(spot.name, (), spot.style, loose=True) for spot in spots])
    else:
        _name_spots(axes, [spot for spot in spots if not spot.small])
    return figure


def _name_spots(axes: Axes, spots: Sequence[Spot]) -> None:
    """Names above their points, as far as none is on another; the highest points go first."""
    to_points = axes.transScale + axes.transLimits
    taken: list[Point] = []
    for spot in sorted(spots, key=lambda spot: -(spot.y.value or 0.0)):
        point = spot.x, spot.y.value or 0.0
        x, y = to_points.transform(point) * (WIDTH - 40, 200)
        if all(abs(x - other_x) > text_width(spot.name) + 4 or abs(y - other_y) > LINE for other_x, other_y in taken):
            taken.append((x, y))
            axes.annotate(spot.name, point, (0, 9), textcoords="offset points", ha="center", bbox=HALO, zorder=4)


@chart
def histogram(rows: Sequence[tuple[float, float, int]], x: Column, y: Column, *, limit: float, label: str) -> Figure:
    """Bars (from, up to, count), a wider last one drawn like the others; beyond the labelled limit in another colour."""
    figure = new_figure(240)
    axes = figure.add_subplot(xlabel=x.label)
    axes.set_title(y.label, pad=24)
    step = rows[0][1] - rows[0][0]
    set_counted(axes.xaxis, max(rows[-1][0] + step, limit * 1.02), most=6)
    set_scale(axes.yaxis, [count for *_, count in rows], "count", zero=True)
    axes.grid(axis="y")
    for low, high, count in rows:
        more = " or more" if high - low > step else f" to {high - 1:,g}"
        fill = colour(1 if low >= limit else 0)
        axes.bar(low + step / 2, count, width=0.88 * step, color=fill, gid=f"{TOOLTIP}{low:,g}{more}: {count:,}")
    axes.axvline(limit, ymax=1.04, color=LIGHT["ink"], linewidth=1.5, clip_on=False)
    right = limit > axes.get_xlim()[1] / 2
    across = axes.get_xaxis_transform()
    axes.annotate(label, (limit, 1.04), (-5 if right else 5, 0), across, "offset points", ha="right" if right else "left")
    return figure


@chart
def reliability(bins: Sequence[tuple[int, float, Interval]]) -> Figure:
    """Bins (rows, mean confidence, accuracy): accuracy against confidence beside their diagonal, and below it the rows."""
    figure = new_figure(320)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(6, 1))
    for axis in (above.xaxis, above.yaxis):
        set_scale(axis, (0, 1), "share")
    above.set_title("accuracy, %")
    above.grid(axis="y")
    above.tick_params(axis="x", length=0, labelbottom=False)
    above.spines["bottom"].set_visible(False)
    above.plot((0, 1), (0, 1), color=LIGHT["edge"], linewidth=1.25, linestyle=DASHED)
    below.set(title=f"rows, at most {max(rows for rows, *_ in bins):,}", xlabel="confidence, %", yticks=[])
    for rows, confidence, accuracy in bins:
        right = accuracy.value or 0.0
        hint = f"sure {confidence:.1%}, right {right:.1%}, {rows:,} rows"
        _draw_interval(above, accuracy, confidence, upright=True, color=colour(0), linewidth=1.5)
        _mark(above, (confidence, right), 0, 9, hint)
        below.bar(confidence, rows, width=0.03, color=colour(5), gid=TOOLTIP + hint)
    return figure
