"""Numbers → Drawing: the kinds of chart that a report has. All share one width, one font size and one way to draw an axis.

Every series has a colour, a shape and a dash of its own, so that none is told by colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rankwise.report.blocks import Kind, in_words, shown, shown_bounds
from rankwise.report.figures.drawing import (
    DASHES,
    SERIES,
    SHAPES,
    WIDTH,
    Box,
    Drawing,
    Item,
    Label,
    Line,
    Mark,
    Point,
    fitted_text,
    text_width,
)
from rankwise.report.figures.scales import Axis, axis_of, whole_axis
from rankwise.stats.intervals import Interval

LINE = 16  # from one line of text to the next
MARKED = 24  # points of a line up to which each has a mark
RIGHT = WIDTH - 8


def colour(style: int) -> str:
    return f"series-{style % SERIES + 1}"


def shape(style: int) -> str:
    return SHAPES[style % len(SHAPES)]


# -------------------------------------------------------------------------------------------------------------- curves


@dataclass(frozen=True)
class Curve:
    """A line through (x, y); `band` holds (x, low, high). Quiet ones are thin without marks, loose ones marks alone.

    The point at `ringed` stands out.
    """

    name: str
    points: tuple[Point, ...]
    style: int = 0
    quiet: bool = False
    loose: bool = False
    band: tuple[tuple[float, float, float], ...] = ()
    ringed: float | None = None


def curves(lines: Sequence[Curve], *, x_label: str, y_label: str, kind: Kind, per_epoch: float | None = None) -> Drawing:
    """Lines over a shared x axis from 0; with `per_epoch` of x to an epoch, the ends of epochs are marked."""
    legend, top = _legend(lines) if _needs_legend(lines) else ([], 0.0)
    heights = [y for line in lines for _, y in line.points] + [y for line in lines for _, *ends in line.band for y in ends]
    up = axis_of(heights, kind)
    left, right = _room_for(up), RIGHT if legend else RIGHT - 8 - max(text_width(line.name) for line in lines)
    top += 40.0
    bottom = top + 170
    across = whole_axis(max(x for line in lines for x, _ in line.points))
    items: list[Item] = [*legend, Label(0, top - 28, y_label)]
    items += _ladder(up, left, right, bottom, top)
    items += _epoch_lines(per_epoch, across, left, right, top, bottom) if per_epoch else ()
    items += _x_ticks(across, left, right, bottom, x_label)

    def at(point: Point) -> Point:
        return across.place(point[0], left, right), up.place(point[1], bottom, top)

    for line in lines:
        if line.band:
            upper, lower = ([at((x, y)) for x, y in pairs] for pairs in _sides(line.band))
            items.append(Line((*upper, *reversed(lower)), None, fill=colour(line.style), opacity=0.18))
    for line in lines:
        if not line.loose:
            width = 1.25 if line.quiet else 2
            items.append(Line(tuple(map(at, line.points)), colour(line.style), width, DASHES[line.style % SERIES]))
        for point in line.points:
            if line.loose or not line.quiet or point[0] == line.ringed:
                if point[0] == line.ringed:
                    items += [Mark(*at(point), "ink", radius=7.5), Mark(*at(point), "paper", radius=6)]
                hint = f"{line.name}: {shown(point[1], kind)} at {x_label.rstrip('s')} {point[0]:,g}"
                items.append(Mark(*at(point), colour(line.style), shape(line.style), 3.5, hint))
    if not legend:
        ends = [(at(line.points[-1])[1], line.name) for line in lines]
        items += [Label(right + 12, y + 4, name, fill="ink") for y, name in _apart(ends, top, bottom - 6)]
    return Drawing(bottom + 38, tuple(items))


def _needs_legend(lines: Sequence[Curve]) -> bool:
    return len(lines) > 3 or max(text_width(line.name) for line in lines) > 76


def _legend(lines: Sequence[Curve]) -> tuple[list[Item], float]:
    """A key to the lines, in as many rows as it needs, and its height."""
    items: list[Item] = []
    x, y = 0.0, 12.0
    for line in lines:
        name = fitted_text(line.name, WIDTH - 34)
        width = (18 if line.loose else 32) + text_width(name) + 16
        if x and x + width > WIDTH + 14:
            x, y = 0.0, y + LINE + 2
        if line.loose:
            items.append(Mark(x + 6, y - 4, colour(line.style), shape(line.style), 5))
        else:
            items.append(Line(((x, y - 4), (x + 26, y - 4)), colour(line.style), 2, DASHES[line.style % SERIES]))
            items.append(Mark(x + 13, y - 4, colour(line.style), shape(line.style), 3.5))
        items.append(Label(x + (18 if line.loose else 32), y, name, fill="ink"))
        x += width
    return items, y + 6


def _epoch_lines(per_epoch: float, across: Axis, left: float, right: float, top: float, bottom: float) -> Iterable[Item]:
    """A hairline where an epoch ends, labelled; of many epochs, as many as there is room for."""
    last = int(across.high / per_epoch + 1e-6)
    if last == 0:
        return
    room = text_width(f"epoch {last}") + 10
    labelled = whole_axis(last, most=(right - left) / room).ticks[1:]
    for epoch in sorted({*whole_axis(last, most=MARKED).ticks[1:], *labelled}):
        x = across.place(epoch * per_epoch, left, right)
        yield Line(((x, top), (x, bottom)), "grid", 1)
        if epoch in labelled:
            yield Label(x, top - 10, f"epoch {epoch:.0f}", "end" if x + room / 2 > WIDTH else "middle")


def _sides(band: Sequence[tuple[float, float, float]]) -> tuple[list[Point], list[Point]]:
    return [(x, high) for x, _, high in band], [(x, low) for x, low, _ in band]


# ----------------------------------------------------------------------------------------------- values and intervals


@dataclass(frozen=True)
class Row:
    """A name and a value with its bounds; `dots` are what it was pooled from."""

    name: str
    value: Interval
    style: int = 0
    dots: tuple[float, ...] = ()


def dots(rows: Sequence[Row], *, label: str, kind: Kind, zero: bool = False) -> Drawing:
    """A row each: the estimate as a mark, its interval as a line, what it was pooled from as ticks."""
    ends = [*_ends(row.value for row in rows), *(dot for row in rows for dot in row.dots)]
    return _rows(rows, label, kind, axis_of(ends, kind, zero=zero), _dot)


def bars(rows: Sequence[Row], *, label: str, kind: Kind) -> Drawing:
    """A row each: a bar from 0 with its interval, or a mark on a logarithmic axis where costs differ too much for bars.

    An interval that reaches past twice the longest bar, as those of two seeds do, runs off the sheet.
    """
    values = [value for row in rows for value in (row.value.value, *row.dots) if value is not None] or [0.0]
    highs = [min(row.value.high, 2 * max(values)) for row in rows if row.value.high is not None]
    axis = axis_of(values, kind, zero=True, may_log=kind in ("count", "seconds"))
    if axis.log:
        return _rows(rows, f"{label}, logarithmic", kind, axis, _dot)
    return _rows(rows, label, kind, axis_of([*values, *highs], kind, zero=True), _bar)


Draw = Callable[[Row, float, Callable[[float], float], str], Iterable[Item]]


def _rows(rows: Sequence[Row], label: str, kind: Kind, axis: Axis, draw: Draw) -> Drawing:
    left, right, pitch = 7.0, WIDTH - 7.0, 42.0  # a mark at an end of the axis is whole
    bottom = pitch * len(rows) + 6
    items: list[Item] = []
    items += _x_ticks(axis, left, right, bottom, label, baseline=False)
    for place, row in enumerate(rows):
        y = pitch * place
        value = " ".join(filter(None, (shown(row.value, kind), shown_bounds(row.value, kind))))
        items.append(Label(0, y + 15, fitted_text(row.name, WIDTH - text_width(value) - 20), fill="ink"))
        items.append(Label(WIDTH, y + 15, value, "end", "ink"))
        for tick in axis.ticks:
            x = axis.place(tick, left, right)
            items.append(Line(((x, y + 20), (x, y + 38)), "edge" if tick == 0 else "grid", 1))
        if row.value.value is not None:
            items += draw(row, y + 28, lambda v: axis.place(v, left, right), f"{row.name}: {in_words(row.value, kind)}")
    return Drawing(bottom + 38, tuple(items))


def _dot(row: Row, y: float, at: Callable[[float], float], hint: str) -> Iterable[Item]:
    if row.value.low is not None and row.value.high is not None:
        yield Line(((at(row.value.low), y), (at(row.value.high), y)), colour(row.style), 2.5)
    for value in row.dots:
        yield Line(((at(value), y + 5), (at(value), y + 10)), "muted", 1)
    assert row.value.value is not None
    yield Mark(at(row.value.value), y, colour(row.style), shape(row.style), 5, hint)


def _bar(row: Row, y: float, at: Callable[[float], float], hint: str) -> Iterable[Item]:
    assert row.value.value is not None
    yield Box(at(0), y - 5, at(row.value.value) - at(0), 10, colour(row.style), hint=hint)
    if row.value.low is not None and row.value.high is not None:
        low, high = at(row.value.low), at(row.value.high)
        yield Line(((low, y), (high, y)), "ink", 1.5)
        for x in (low, high):
            if x < at(math.inf):
                yield Line(((x, y - 4), (x, y + 4)), "ink", 1.5)


# ------------------------------------------------------------------------------------------------------------- scatter


@dataclass(frozen=True)
class Spot:
    """A cost and what it brought, with its interval; a small spot is one of many and goes unnamed."""

    x: float
    y: Interval
    name: str
    style: int = 0
    small: bool = False


def scatter(
    spots: Sequence[Spot],
    *,
    x_label: str,
    y_label: str,
    x_kind: Kind,
    y_kind: Kind,
    front: Sequence[int] = (),
    key: bool = False,
) -> Drawing:
    """Points over two axes; `front` are the places of those on the Pareto front, joined by a line.

    Names stand beside their points, so they should be short, or in a key above.
    """
    legend, head = _legend([Curve(spot.name, (), spot.style, loose=True) for spot in spots]) if key else ([], 0.0)
    across = axis_of([spot.x for spot in spots], x_kind, zero=x_kind == "seconds", may_log=True, most=4)
    up = axis_of(_ends(spot.y for spot in spots), y_kind)
    left, right, top, bottom = _room_for(up), RIGHT, 28.0 + head, 228.0 + head

    def at(x: float, y: float | None) -> Point:
        return across.place(x, left, right), up.place(y or 0.0, bottom, top)

    items: list[Item] = [*legend, Label(0, head + 12, y_label), *_ladder(up, left, right, bottom, top)]
    items += _x_ticks(across, left, right, bottom, x_label + (", logarithmic" if across.log else ""))
    edge = sorted(at(spots[place].x, spots[place].y.value) for place in front)
    if len(edge) > 1:
        corners = [edge[0]]
        for x, y in edge[1:]:
            corners += [(x, corners[-1][1]), (x, y)]
        items.append(Line(tuple(corners), "edge", 1.5, (4, 3)))
    for spot in spots:
        if spot.y.low is not None and spot.y.high is not None:
            items.append(Line((at(spot.x, spot.y.low), at(spot.x, spot.y.high)), colour(spot.style), 1.25))
    on_front = set(front)
    for place, spot in sorted(enumerate(spots), key=lambda pair: not pair[1].small):
        x, y = at(spot.x, spot.y.value)
        hint = f"{spot.name}: {y_label} {in_words(spot.y, y_kind)}, {x_label} {shown(spot.x, x_kind)}"
        radius = 3.0 if spot.small else 5.5 if place in on_front else 5.0
        items.append(Mark(x, y, colour(spot.style), shape(spot.style), radius, hint))
    if not key:
        items += _spot_names([(*at(spot.x, spot.y.value), spot.name) for spot in spots if not spot.small])
    return Drawing(bottom + 38, tuple(items))


def _spot_names(spots: Sequence[tuple[float, float, str]]) -> Iterable[Item]:
    """Names above their points, as far as none is on another; the highest points go first."""
    taken: list[tuple[float, float]] = []
    for x, y, name in sorted(spots, key=lambda spot: spot[1]):
        room = text_width(name) + 4
        if all(abs(x - other_x) > room or abs(y - other_y) > LINE for other_x, other_y in taken):
            taken.append((x, y))
            yield Label(x, y - 10, name, "end" if x + room > WIDTH else "middle", "ink", halo=True)


def _ends(values: Iterable[Interval]) -> list[float]:
    return [end for value in values for end in (value.value, value.low, value.high) if end is not None] or [0.0]


# ------------------------------------------------------------------------------------------------------- distributions


def histogram(
    rows: Sequence[tuple[float, float, int]], *, x_label: str, y_label: str, mark: float, mark_label: str
) -> Drawing:
    """Bars (from, up to, rows), those beyond `mark` in another colour. A wider last bar is drawn as wide as the others."""
    step = rows[0][1] - rows[0][0]
    across = whole_axis(max(rows[-1][0] + step, mark * 1.02), most=6)
    up = axis_of([0, max(count for *_, count in rows)], "count", zero=True, most=4)
    left, right, top, bottom = _room_for(up), RIGHT, 44.0, 214.0
    items: list[Item] = [Label(0, 12, y_label), *_ladder(up, left, right, bottom, top)]
    items += _x_ticks(across, left, right, bottom, x_label)
    for low, high, count in rows:
        x, end = across.place(low, left, right), across.place(low + step, left, right)
        y = up.place(count, bottom, top)
        more = " or more" if high - low > step else ""
        hint = f"{low:,g}{more or f' to {high - 1:,g}'}: {count:,}"
        items.append(Box(x + 0.5, y, end - x - 1, bottom - y, colour(1 if low >= mark else 0), hint=hint))
    x = across.place(mark, left, right)
    items.append(Line(((x, top - 8), (x, bottom)), "ink", 1.5))
    side = "end" if x > (left + right) / 2 else "start"
    items.append(Label(x + (-5 if side == "end" else 5), top - 8, mark_label, side, "ink", halo=True))
    return Drawing(bottom + 38, tuple(items))


@dataclass(frozen=True)
class Bin:
    """Rows of about one confidence: their mean confidence and their accuracy with its bounds."""

    confidence: float
    accuracy: Interval
    rows: int


def reliability(bins: Sequence[Bin]) -> Drawing:
    """Accuracy against confidence beside the diagonal on which they are equal; below it the rows of each bin."""
    left, right, top, bottom = 36.0, RIGHT, 26.0, 236.0
    unit = Axis(0, 1, (0, 0.2, 0.4, 0.6, 0.8, 1), "share")
    most = max(found.rows for found in bins)
    base = bottom + 46  # of the bars of rows

    def at(x: float, y: float) -> Point:
        return unit.place(x, left, right), unit.place(y, bottom, top)

    items: list[Item] = [Label(0, 12, "accuracy, %"), *_ladder(unit, left, right, bottom, top)]
    items.append(Line((at(0, 0), at(1, 1)), "edge", 1.25, (4, 3)))
    for found in bins:
        value = found.accuracy.value or 0.0
        x, y = at(found.confidence, value)
        if found.accuracy.low is not None and found.accuracy.high is not None:
            items.append(
                Line((at(found.confidence, found.accuracy.low), at(found.confidence, found.accuracy.high)), "series-1")
            )
        said = f"sure {found.confidence:.1%}, right {value:.1%}, {found.rows:,} rows"
        items.append(Mark(x, y, "series-1", radius=4.5, hint=said))
        tall = 34 * found.rows / most
        items.append(Box(x - 5, base - tall, 10, tall, "series-6", hint=said))
    items.append(Line(((left, base), (right, base)), "edge", 1))
    low, high = (max((b.rows for b in bins if (b.confidence > 0.5) is side), default=0) for side in (False, True))
    at_the_right = low > high  # away from the tallest bars
    place, anchor = (right, "end") if at_the_right else (left, "start")
    items.append(Label(place, base - 26, f"rows, at most {most:,}", anchor, halo=True))
    items += _x_ticks(unit, left, right, base, "confidence, %", baseline=False)
    return Drawing(base + 38, tuple(items))


# ---------------------------------------------------------------------------------------------------------------- axes


def _room_for(axis: Axis) -> float:
    """Where a plot begins: beside the labels of its upright axis."""
    return max(36.0, 7 + max(text_width(axis.label(tick)) for tick in axis.ticks))


def _ladder(axis: Axis, left: float, right: float, bottom: float, top: float) -> Iterable[Item]:
    """Horizontal grid lines with their labels at the left."""
    for tick in axis.ticks:
        y = axis.place(tick, bottom, top)
        yield Line(((left, y), (right, y)), "grid", 1)
        yield Label(left - 6, y + 4, axis.label(tick), "end")


def _x_ticks(axis: Axis, left: float, right: float, bottom: float, label: str, *, baseline: bool = True) -> Iterable[Item]:
    """Tick labels under the plot, and what they count below them."""
    if baseline:
        yield Line(((left, bottom), (right, bottom)), "edge", 1)
    for tick in axis.ticks:
        x, text = axis.place(tick, left, right), axis.label(tick)
        half = text_width(text) / 2
        anchor = "end" if x + half > WIDTH else "start" if x - half < 0 else "middle"
        yield Line(((x, bottom), (x, bottom + 4)), "edge", 1)
        yield Label({"end": WIDTH, "start": 0.0, "middle": x}[anchor], bottom + 17, text, anchor)
    yield Label((left + right) / 2, bottom + 34, label, "middle")


def _apart(labels: Sequence[tuple[float, str]], top: float, bottom: float) -> list[tuple[float, str]]:
    """Labels (y, name) moved so that none is on another, as little as it takes, inside the plot where they fit."""
    placed: list[tuple[float, str]] = []
    for y, name in sorted(labels):
        placed.append((max(y, placed[-1][0] + LINE - 1) if placed else max(y, top), name))
    over = placed[-1][0] - bottom if placed else 0
    if over > 0:
        limit = bottom
        for place in reversed(range(len(placed))):
            y, name = placed[place]
            placed[place] = (min(y, limit), name)
            limit = placed[place][0] - (LINE - 1)
    return placed
