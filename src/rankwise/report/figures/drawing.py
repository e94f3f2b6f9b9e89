"""A drawing is marks at places, in the roles of a palette; it is written as SVG (for a page or a file) or as PNG.

Units: one unit is a pixel at natural size, y runs downwards. A colour is a role such as `ink` or `series-1`, so that a page
can give each role one value in light and one in dark; a file gets the light ones. Every text role has a contrast of at
least 4.5 to what it stands on, every mark of at least 3 (WCAG 2.2, 1.4.3 and 1.4.11); tests hold the palette to that.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from html import escape
from typing import Any

from rankwise.errors import require

Point = tuple[float, float]

WIDTH = 380  # of every figure: a phone shows it at about natural size, a desktop column at 1.2 times
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
PNG_SCALE = 3  # pixels per unit
PNG_TEXT = 0.88  # of the size asked for: matplotlib's own font, which is everywhere the same, runs wide

# Series after Okabe and Ito's colour-blind-safe set, darkened or lightened until they stand out from the page.
LIGHT: Mapping[str, str] = {
    "paper": "#fcfcfb",
    "raised": "#f1f3f4",
    "ink": "#15191e",
    "muted": "#565e68",
    "edge": "#868e98",
    "grid": "#e2e5e8",
    "accent": "#0a5c96",
    "series-1": "#0072b2",
    "series-2": "#cc5500",
    "series-3": "#00835f",
    "series-4": "#ad4f88",
    "series-5": "#8a6800",
    "series-6": "#4d5661",
    "shade-1": "#e1edf6",
    "shade-2": "#b7d4ea",
    "shade-3": "#84b6da",
    "shade-4": "#23709f",
    "shade-5": "#0a456f",
    "on-shade-1": "#15191e",
    "on-shade-2": "#15191e",
    "on-shade-3": "#15191e",
    "on-shade-4": "#ffffff",
    "on-shade-5": "#ffffff",
}
DARK: Mapping[str, str] = {
    "paper": "#14171b",
    "raised": "#1e2329",
    "ink": "#e9ecef",
    "muted": "#a5adb7",
    "edge": "#78818c",
    "grid": "#2b3138",
    "accent": "#79bdec",
    "series-1": "#56b4e9",
    "series-2": "#f0914a",
    "series-3": "#36bd93",
    "series-4": "#dc93c0",
    "series-5": "#d8b34c",
    "series-6": "#b0b8c2",
    "shade-1": "#1d2b38",
    "shade-2": "#1f425e",
    "shade-3": "#286088",
    "shade-4": "#62aadd",
    "shade-5": "#b3d9f4",
    "on-shade-1": "#e9ecef",
    "on-shade-2": "#e9ecef",
    "on-shade-3": "#f7f9fa",
    "on-shade-4": "#10151a",
    "on-shade-5": "#10151a",
}
MARGIN, HEAD = 16, 30  # around a figure that is a file, and above it for its title
HALO = 4  # half of it on each side of a letter
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Fonts of the usual systems for letters that DejaVu Sans, which comes with matplotlib, lacks.
FALLBACKS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans CJK KR",
    "PingFang SC",
    "Hiragino Sans",
    "Apple SD Gothic Neo",
    "Microsoft YaHei",
    "Yu Gothic",
    "Malgun Gothic",
    "WenQuanYi Zen Hei",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
    "Noto Sans Hebrew",
    "Nirmala UI",
    "Arial Unicode MS",
    "Noto Sans Symbols",
    "Segoe UI Symbol",
)
SERIES = 6
SHADES = 5
SHAPES = ("circle", "square", "triangle", "diamond", "down", "cross")  # beside colours, never colour alone
DASHES: tuple[tuple[float, ...], ...] = ((), (6, 3), (2, 2.5), (8, 3, 2, 3), (4, 2), (1, 3))


@dataclass(frozen=True)
class Box:
    """A rectangle. `hint` appears when a pointer rests on it, here and below."""

    x: float
    y: float
    width: float
    height: float
    fill: str | None
    stroke: str | None = None
    hint: str = ""


@dataclass(frozen=True)
class Line:
    """Straight pieces through `points`; filled when `fill` is given."""

    points: tuple[Point, ...]
    stroke: str | None = "ink"
    width: float = 1.5
    dash: tuple[float, ...] = ()
    fill: str | None = None
    opacity: float = 1


@dataclass(frozen=True)
class Mark:
    """A point, as one of SHAPES; `radius` is half its height."""

    x: float
    y: float
    fill: str
    shape: str = "circle"
    radius: float = 4
    hint: str = ""


@dataclass(frozen=True)
class Label:
    """A line of text whose baseline starts, ends or is centred at (x, y).

    `turned` reads upwards, `halo` keeps what is under the text away from it.
    """

    x: float
    y: float
    text: str
    anchor: str = "start"
    fill: str = "muted"
    size: float = 12
    bold: bool = False
    turned: bool = False
    halo: bool = False


Item = Box | Line | Mark | Label


@dataclass(frozen=True)
class Drawing:
    """Items in painting order on a sheet as wide as WIDTH."""

    height: float
    items: tuple[Item, ...]


def text_width(text: str, size: float = 12) -> float:
    """How wide a line of text is about to be; fonts differ, so this is for leaving room, not for placing."""
    return size * sum(_EM.get(letter, 0.64 if letter.isupper() or ord(letter) > 0x2E80 else 0.55) for letter in text)


_EM = {**dict.fromkeys("iljtf.,:;'|![]() I1", 0.33), **dict.fromkeys("mwMW@%", 0.88), **dict.fromkeys("0123456789", 0.57)}


def fitted_text(text: str, room: float, size: float = 12) -> str:
    """The text, or its beginning and an ellipsis where it would be wider than `room`."""
    if text_width(text, size) <= room:
        return text
    while text and text_width(text + "…", size) > room:
        text = text[:-1]
    return f"{text.rstrip()}…"


def svg(drawing: Drawing, title: str, summary: str, *, name: str) -> str:
    """For inside a page whose style sheet holds the roles as CSS variables; `name` is unique on it."""
    body = "".join(_element(item, _variable) for item in drawing.items)
    return (
        f'<svg viewBox="0 0 {WIDTH} {drawing.height:g}" role="img" aria-labelledby="{name}-title {name}-summary">'
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-summary">{escape(summary)}</desc>{body}</svg>'
    )


def svg_file(drawing: Drawing, title: str, summary: str) -> str:
    """A file of its own, with its title, in light colours on paper, as any program shows it."""
    x, y, width, height = _sheet(drawing)
    size = f'width="{width:g}" height="{height:g}" viewBox="{x:g} {y:g} {width:g} {height:g}"'
    items = (Box(x, y, width, height, "paper"), _title(title), *drawing.items)
    body = "\n".join(_element(item, LIGHT.__getitem__) for item in items)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="{FONT}" role="img">\n'
        f"<title>{_escaped(title)}</title>\n<desc>{_escaped(summary)}</desc>\n{body}\n</svg>\n"
    )


def png(drawing: Drawing, title: str) -> bytes:
    """The same in pixels, PNG_SCALE to the unit. Raises MissingExtra without matplotlib."""
    require("matplotlib", extra="report")
    from matplotlib.figure import Figure

    x, y, width, height = _sheet(drawing)
    sheet = Figure(figsize=(width / 72, height / 72), dpi=72 * PNG_SCALE)
    axes = sheet.add_axes((0, 0, 1, 1))
    axes.set(xlim=(x, x + width), ylim=(y + height, y))
    axes.axis("off")
    for order, item in enumerate((_title(title), *drawing.items)):
        _paint(axes, item, order)
    written = io.BytesIO()
    sheet.savefig(written, format="png", facecolor=LIGHT["paper"])
    return written.getvalue()


@cache
def _fonts() -> list[str]:
    """What pixels are lettered in: our font, and for what it lacks those of the usual ones that are installed."""
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in FALLBACKS if name in installed)]


def _sheet(drawing: Drawing) -> tuple[float, float, float, float]:
    """(x, y, width, height) of a file's sheet: the drawing, a margin, a title."""
    return -MARGIN, -MARGIN - HEAD, WIDTH + 2 * MARGIN, drawing.height + 2 * MARGIN + HEAD


def _title(title: str) -> Label:
    return Label(0, -HEAD + 14, fitted_text(title, WIDTH, 14), fill="ink", size=14, bold=True)


# ----------------------------------------------------------------------------------------------------------------- SVG


def _variable(role: str) -> str:
    return f"var(--{role})"


def _element(item: Item, colour: Callable[[str], str]) -> str:
    if isinstance(item, Label):
        return _text_element(item, colour)
    fill = f'fill="{colour(item.fill)}"' if item.fill else 'fill="none"'
    if isinstance(item, Box):
        shape = f'rect x="{item.x:.5g}" y="{item.y:.5g}" width="{max(0, item.width):.5g}" height="{max(0, item.height):.5g}"'
        return _hinted(f"{shape} {fill}{_stroke(item.stroke, 1, (), colour)}", item.hint)
    if isinstance(item, Mark):
        return _hinted(_mark_shape(item) + f" {fill}{_stroke('paper', 1, (), colour)}", item.hint)
    path = "M" + "L".join(f"{x:.5g} {y:.5g}" for x, y in item.points)
    opacity = f' opacity="{item.opacity:g}"' if item.opacity < 1 else ""
    ends = ' stroke-linejoin="round"' if item.stroke else ""
    stroke = _stroke(item.stroke, item.width, item.dash, colour)
    return f'<path d="{path}{"Z" if item.fill else ""}" {fill}{stroke}{ends}{opacity}/>'


def _stroke(role: str | None, width: float, dash: tuple[float, ...], colour: Callable[[str], str]) -> str:
    if role is None:
        return ""
    dashes = f' stroke-dasharray="{" ".join(f"{part:g}" for part in dash)}"' if dash else ""
    return f' stroke="{colour(role)}" stroke-width="{width:g}"{dashes}'


def _mark_shape(mark: Mark) -> str:
    if mark.shape == "circle":
        return f'circle cx="{mark.x:.5g}" cy="{mark.y:.5g}" r="{mark.radius:.3g}"'
    corners = " ".join(f"{x:.5g},{y:.5g}" for x, y in _corners(mark))
    return f'polygon points="{corners}"'


def _corners(mark: Mark) -> list[Point]:
    """The outline of every shape but the circle, of about the same area."""
    x, y, r = mark.x, mark.y, mark.radius
    if mark.shape == "square":
        r *= 0.9
        return [(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)]
    if mark.shape == "diamond":
        r *= 1.25
        return [(x, y - r), (x + r, y), (x, y + r), (x - r, y)]
    if mark.shape == "cross":
        r, t = 1.2 * r, 0.45 * r
        steps = [(-t, -r), (t, -r), (t, -t), (r, -t), (r, t), (t, t), (t, r), (-t, r), (-t, t), (-r, t), (-r, -t), (-t, -t)]
        return [(x + dx, y + dy) for dx, dy in steps]
    up = 1 if mark.shape == "triangle" else -1
    return [(x, y - 1.2 * r * up), (x + 1.15 * r, y + 0.9 * r * up), (x - 1.15 * r, y + 0.9 * r * up)]


def _text_element(label: Label, colour: Callable[[str], str]) -> str:
    anchor = f' text-anchor="{label.anchor}"' if label.anchor != "start" else ""
    bold = ' font-weight="600"' if label.bold else ""
    turned = f' transform="rotate(-90 {label.x:.5g} {label.y:.5g})"' if label.turned else ""
    halo = f' stroke="{colour("paper")}" stroke-width="{HALO}" paint-order="stroke"' if label.halo else ""
    return (
        f'<text x="{label.x:.5g}" y="{label.y:.5g}" font-size="{label.size:g}" fill="{colour(label.fill)}"'
        f"{anchor}{bold}{turned}{halo}>{_escaped(label.text)}</text>"
    )


def _escaped(text: str) -> str:
    """For XML, which forbids most control characters whatever they are written as."""
    return escape(NOT_XML.sub("\ufffd", text), quote=False)


def _hinted(element: str, hint: str) -> str:
    if not hint:
        return f"<{element}/>"
    return f"<{element}><title>{_escaped(hint)}</title></{element.split(maxsplit=1)[0]}>"


# ----------------------------------------------------------------------------------------------------------------- PNG


def _paint(axes: Any, item: Item, order: int) -> None:
    from matplotlib import patches, patheffects

    if isinstance(item, Label):
        halo = [patheffects.withStroke(linewidth=HALO, foreground=LIGHT["paper"])] if item.halo else []
        align = {"start": "left", "middle": "center", "end": "right"}[item.anchor]
        axes.text(
            item.x,
            item.y,
            item.text.replace("$", r"\$"),
            fontsize=item.size * PNG_TEXT,
            color=LIGHT[item.fill],
            family=_fonts(),
            ha="left" if item.turned else align,
            va="bottom" if item.turned else "baseline",
            rotation=90 if item.turned else 0,
            rotation_mode="default",
            fontweight="bold" if item.bold else "normal",
            zorder=order,
            path_effects=halo,
        )
        return
    fill = LIGHT[item.fill] if item.fill else "none"
    if isinstance(item, Box):
        stroke = LIGHT[item.stroke] if item.stroke else "none"
        size = (max(0, item.width), max(0, item.height))
        axes.add_patch(patches.Rectangle((item.x, item.y), *size, fc=fill, ec=stroke, lw=1, zorder=order))
    elif isinstance(item, Mark):
        round_one = item.shape == "circle"
        shape: Any = patches.Circle((item.x, item.y), item.radius) if round_one else patches.Polygon(_corners(item))
        shape.set(facecolor=fill, edgecolor=LIGHT["paper"], lw=1, zorder=order)
        axes.add_patch(shape)
    elif item.fill:
        axes.add_patch(patches.Polygon(item.points, facecolor=fill, alpha=item.opacity, lw=0, zorder=order))
    else:
        style = (0, tuple(part / item.width for part in item.dash)) if item.dash else "-"
        axes.plot(
            *zip(*item.points, strict=True),
            color=LIGHT[item.stroke or "ink"],
            lw=item.width,
            ls=style,
            alpha=item.opacity,
            solid_capstyle="butt",
            dash_capstyle="butt",
            zorder=order,
        )
