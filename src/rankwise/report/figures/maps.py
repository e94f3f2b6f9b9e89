"""Numbers → Drawing, where places stand for things: heat maps, a bar cut into parts, parallel coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rankwise.report.blocks import percent
from rankwise.report.figures.charts import LINE, colour
from rankwise.report.figures.drawing import SHADES, WIDTH, Box, Drawing, Item, Label, Line, fitted_text, text_width


@dataclass(frozen=True)
class Cell:
    """A square of a heat map; `shade` from 0 (none) to SHADES."""

    text: str
    shade: int
    hint: str = ""


def heat(
    cells: Sequence[Sequence[Cell]],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    row_title: str,
    column_title: str = "",
    beside: Sequence[str] = (),
    beside_title: str = "",
    square: bool = False,
) -> Drawing:
    """Rows by columns, shaded; `beside` stands right of each row."""
    margin = max((text_width(text) for text in (*beside, beside_title)), default=0) + (10 if beside else 0)
    left = min(120.0, max(text_width(name) for name in (*rows, row_title)) + 10)
    width = (WIDTH - left - margin) / len(columns)
    height = min(46.0, max(width, 4)) if square else 26.0
    turned = any(text_width(name) > width - 4 for name in columns) and width >= 12
    head = min(96.0, max(text_width(name) for name in columns) + 10) if turned else 22.0
    top = head + (LINE + 2 if column_title else 0)
    items: list[Item] = [Label(0, top - 8, fitted_text(row_title, left))]
    if column_title:
        items.append(Label(left, 12, column_title))
    if beside:
        items.append(Label(WIDTH, top - 8, beside_title, "end"))
    for place, name in enumerate(columns):
        x = left + width * (place + 0.5)
        if turned:
            items.append(Label(x + 4, top - 6, fitted_text(name, head - 8), turned=True))
        elif width >= 12:
            items.append(Label(x, top - 8, name, "middle"))
    size = 12 if width >= 26 else 9
    for place, (name, row) in enumerate(zip(rows, cells, strict=True)):
        y = top + height * place
        if height >= 12:
            items.append(Label(left - 8, y + height / 2 + 4, fitted_text(name, left - 8), "end", "muted"))
        if beside:
            items.append(Label(WIDTH, y + height / 2 + 4, beside[place], "end", "muted"))
        for across, cell in enumerate(row):
            x, gap = left + width * across, 1 if width >= 8 else 0
            fill = f"shade-{cell.shade}" if cell.shade else "raised"
            items.append(Box(x, y, width - gap, height - gap, fill, hint=cell.hint))
            if width >= 18 and text_width(cell.text, size) < width:
                ink = f"on-shade-{cell.shade}" if cell.shade else "muted"
                items.append(Label(x + (width - gap) / 2, y + height / 2 + 4, cell.text, "middle", ink, size))
    return Drawing(top + height * len(rows) + 4, tuple(items))


def shade_of(value: float, largest: float) -> int:
    """1 to SHADES in equal steps; 0 for nothing."""
    return 0 if value <= 0 else min(SHADES, max(1, math.ceil(SHADES * value / largest)))


def stacked(parts: Sequence[tuple[str, int]], whole: int, rest: str) -> Drawing:
    """One bar of `whole`, cut into parts, with a line of text for each; `rest` names what is left over."""
    items: list[Item] = [Box(0, 0, WIDTH, 22, "raised")]
    x = 0.0
    named = [*parts, (rest, whole - sum(size for _, size in parts))] if rest else list(parts)
    for place, (name, size) in enumerate(named):
        filled = place < len(parts)
        width = WIDTH * size / whole
        if filled:
            items.append(Box(x, 0, max(width - 1, 0.75), 22, colour(place), hint=f"{name}: {size:,}"))
        x += width
        y = 46.0 + 20 * place
        items.append(Box(0, y - 10, 12, 12, colour(place) if filled else "raised", None if filled else "edge"))
        items.append(Label(20, y, name, fill="ink" if filled else "muted"))
        items.append(Label(WIDTH - 54, y, f"{size:,}", "end", "ink" if filled else "muted"))
        items.append(Label(WIDTH, y, percent(size / whole), "end", "ink" if filled else "muted"))
    return Drawing(52 + 20 * (len(named) - 1), tuple(items))


@dataclass(frozen=True)
class Rail:
    """One axis of parallel coordinates: where each configuration lies between 0 and 1, None where it has no value."""

    name: str
    places: tuple[float | None, ...]
    ticks: tuple[tuple[float, str], ...]


def parallel(rails: Sequence[Rail], best: Sequence[int]) -> Drawing:
    """A rail below the other, a line through all of them for each configuration; those in `best` stand out."""
    left, right, pitch = 10.0, WIDTH - 10.0, 62.0
    items: list[Item] = []
    bright = set(best)
    count = len(rails[0].places)
    for place in [*(n for n in range(count) if n not in bright), *best]:
        points = [
            (left + share * (right - left), 28 + pitch * row)
            for row, rail in enumerate(rails)
            if (share := rail.places[place]) is not None
        ]
        if len(points) > 1:
            strong = place in bright
            items.append(
                Line(tuple(points), "series-2" if strong else "muted", 2 if strong else 1, opacity=1 if strong else 0.4)
            )
    for row, rail in enumerate(rails):
        y = 28 + pitch * row
        items.append(Line(((left, y), (right, y)), "edge", 1.25))
        items.append(Label(left - 6, y - 8, rail.name, fill="ink", bold=True, halo=True))
        for share, text in rail.ticks:
            x = left + share * (right - left)
            anchor = "start" if share < 0.03 else "end" if share > 0.97 else "middle"
            items.append(Line(((x, y - 3), (x, y + 3)), "edge", 1.25))
            items.append(Label(x + {"start": -6, "end": 6, "middle": 0}[anchor], y + 16, text, anchor, halo=True))
    return Drawing(28 + pitch * (len(rails) - 1) + 24, tuple(items))
