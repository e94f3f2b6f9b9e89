"""Numbers → matplotlib figures where positions stand for things: heat maps, a bar cut into parts, parallel coordinates."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from rankwise.report.blocks import Column
from rankwise.report.figures.style import HALO, LIGHT, SHADES, TOOLTIP, WIDTH, chart, colour, fit_text, sheet, text_width
from rankwise.report.figures.ticks import is_logarithmic, set_scale
from rankwise.report.words import percent


@dataclass(frozen=True)
class Cell:
    """A rectangle of a heat map; `shade` from 0 (none) to SHADES."""

    text: str
    shade: int
    hint: str = ""


@dataclass(frozen=True)
class Side:
    """A side of a heat map: its title, and a name for each row or column."""

    title: str
    names: Sequence[str]

    @property
    def width(self) -> float:
        return max(text_width(text) for text in (self.title, *self.names)) + 10


@chart
def heat(cells: Sequence[Sequence[Cell]], rows: Side, columns: Side, totals: Side | None = None) -> Figure:
    """Rows by columns, shaded; `totals` stand right of the rows, and without them cells are square where there is room."""
    left, right = min(120.0, rows.width), totals.width if totals else 0.0
    width = (WIDTH - left - right) / len(columns.names)
    height = 26.0 if totals else min(46.0, max(width, 4.0))
    names = columns.names if width >= 12 else ()
    upright = max(map(fmean, pairwise(map(text_width, names))), default=0) + 2 > width  # else names would touch
    head = min(96.0, columns.width) if upright else 22.0
    top = head + (18 if columns.title else 0)
    figure, axes = sheet(top + height * len(rows.names) + 4)
    muted = partial(axes.text, color=LIGHT["muted"])
    muted(0, top - 8, fit_text(rows.title, left))
    muted(left, 12, columns.title)
    for index, name in enumerate(names):
        x = left + width * (index + 0.5)
        if upright:
            muted(x + 4, top - 6, fit_text(name, head - 8), rotation=90, rotation_mode="anchor")
        else:
            muted(x, top - 8, name, ha="center")
    for down, row in enumerate(cells):
        y = top + height * down
        if height >= 12:
            muted(left - 8, y + height / 2 + 4, fit_text(rows.names[down], left - 8), ha="right")
        if totals:
            muted(WIDTH, y + height / 2 + 4, totals.names[down], ha="right")
        for across, cell in enumerate(row):
            _draw_cell(axes, cell, (left + width * across, y), (width, height))
    if totals:
        muted(WIDTH, top - 8, totals.title, ha="right")
    return figure


def _draw_cell(axes: Axes, cell: Cell, corner: tuple[float, float], size: tuple[float, float]) -> None:
    (x, y), (width, height) = corner, size
    gap = 1 if width >= 8 else 0
    fill = LIGHT[f"shade-{cell.shade}" if cell.shade else "raised"]
    axes.add_patch(Rectangle(corner, width - gap, height - gap, color=fill, linewidth=0, gid=TOOLTIP + cell.hint))
    letters = 12 if width >= 26 else 9
    if width >= 18 and text_width(cell.text, letters) < width:
        ink = LIGHT["on-shade" if cell.shade > 3 else "ink" if cell.shade else "muted"]
        axes.text(x + (width - gap) / 2, y + height / 2 + 4, cell.text, ha="center", color=ink, size=letters)


def shade_of(value: float, largest: float) -> int:
    """1 to SHADES in equal steps; 0 for nothing."""
    return 0 if value <= 0 else min(SHADES, max(1, math.ceil(SHADES * value / largest)))


@chart
def stacked(parts: Sequence[tuple[str, int]], whole: int, rest: str) -> Figure:
    """One bar of `whole`, cut into parts, with a line of text for each; `rest` names what is left over."""
    named = [*parts, (rest, whole - sum(size for _, size in parts))] if rest else list(parts)
    figure, axes = sheet(52 + 20 * (len(named) - 1))
    axes.add_patch(Rectangle((0, 0), WIDTH, 22, color=LIGHT["raised"], linewidth=0))
    x = 0.0
    for index, (name, size) in enumerate(named):
        filled, width, y = index < len(parts), WIDTH * size / whole, 46 + 20 * index
        fill, ink = (colour(index), LIGHT["ink"]) if filled else (LIGHT["raised"], LIGHT["muted"])
        if filled:
            hint = f"{TOOLTIP}{name}: {size:,}"
            axes.add_patch(Rectangle((x, 0), max(width - 1, 0.75), 22, color=fill, linewidth=0, gid=hint))
        x += width
        axes.add_patch(Rectangle((0.5, y - 10.5), 11, 11, facecolor=fill, edgecolor=fill if filled else LIGHT["edge"]))
        axes.text(20, y, name, color=ink)
        axes.text(WIDTH - 60, y, f"{size:,}", ha="right", color=ink)
        axes.text(WIDTH, y, percent(size / whole), ha="right", color=ink)
    return figure


@dataclass(frozen=True)
class Rail:
    """One axis of parallel coordinates."""

    column: Column
    values: Sequence[float | None]  # of each configuration, None where it has none
    names: Sequence[str] = ()  # side by side, in place of an axis of numbers; values are indices of them


PITCH = 62  # points from one rail to the next
ASIDE = 22  # points that a rail leaves at either side, for half of the label under its end


@chart
def parallel(rails: Sequence[Rail], best: Sequence[int]) -> Figure:
    """One rail below the other, a line through all of them for each configuration; those in `best` stand out."""
    height = 28 + PITCH * (len(rails) - 1) + 24
    figure, background = sheet(height)
    to_sheet = background.transData.inverted()
    points: list[list[tuple[float, float]]] = [[] for _ in rails[0].values]
    for index, rail in enumerate(rails):
        axes = _rail_axes(figure, rail, 1 - (28 + PITCH * index) / height)
        background.text(4, 20 + PITCH * index, rail.column.label, weight="bold", bbox=HALO, zorder=3)
        for value, line in zip(rail.values, points, strict=True):
            if value is not None:
                line.append(tuple(to_sheet.transform(axes.transData.transform((value, 0)))))
    for index in [*(set(range(len(points))) - set(best)), *best]:
        drawn = Line2D(*zip(*points[index], strict=True), color=LIGHT["muted"], linewidth=1, alpha=0.4)
        if index in best:
            drawn.set(color=colour(1), linewidth=2, alpha=1, zorder=drawn.get_zorder() + 0.5)
        background.add_line(drawn)
    return figure


def _rail_axes(figure: Figure, rail: Rail, y: float) -> Axes:
    """An axis nearly as wide as the sheet, without a height of its own."""
    axes = figure.add_axes((ASIDE / WIDTH, y, 1 - 2 * ASIDE / WIDTH, 1e-6), ylim=(-1, 1), yticks=[])
    if rail.names:
        axes.set_xlim(-0.5, len(rail.names) - 0.5)
        room = (WIDTH - 2 * ASIDE) / len(rail.names) - 4
        axes.set_xticks(range(len(rail.names)), [fit_text(name, room) for name in rail.names])
    else:
        values = [value for value in rail.values if value is not None]
        set_scale(axes.xaxis, values, rail.column.kind, log=rail.column.kind in ("count", "rate") and is_logarithmic(values))
    axes.spines["bottom"].set_linewidth(1.25)
    axes.tick_params(direction="inout", length=6)
    for label in axes.get_xticklabels():
        label.set(bbox=HALO)
    return axes
