"""How figures look: colours by role, markers and dashes, matplotlib's settings, and how much text fits.

Units: a figure is WIDTH points wide, and a point is a pixel at natural size. A colour is drawn in its light value; on a
page `writing.py` puts its role there, which the style sheet gives one value in light and one in dark. Text stands out from
what it is on by a contrast of at least 4.5, marks by at least 3 (WCAG 2.2, 1.4.3 and 1.4.11).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, wraps
from typing import Any, ParamSpec
from unicodedata import east_asian_width

import matplotlib as mpl
import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, fontManager
from matplotlib.textpath import text_to_path

WIDTH = 380  # of every figure: a phone shows it at about natural size, a desktop column at 1.2 times
POINTS = 72  # to the inch
P = ParamSpec("P")

# Series after Okabe and Ito's colour-blind-safe set, darkened or lightened until they stand out from the page.
_PALETTE = {  # role: its colour in light, in dark
    "paper": ("#fcfcfb", "#14171b"),
    "raised": ("#f1f3f4", "#1e2329"),
    "ink": ("#15191e", "#e9ecef"),
    "muted": ("#565e68", "#a5adb7"),
    "edge": ("#868e98", "#78818c"),
    "grid": ("#e2e5e8", "#2b3138"),
    "accent": ("#0a5c96", "#79bdec"),
    "series-1": ("#0072b2", "#56b4e9"),
    "series-2": ("#cc5500", "#f0914a"),
    "series-3": ("#00835f", "#36bd93"),
    "series-4": ("#ad4f88", "#dc93c0"),
    "series-5": ("#8a6800", "#d8b34c"),
    "series-6": ("#4d5661", "#b0b8c2"),
    "shade-1": ("#e1edf6", "#1d2b38"),
    "shade-2": ("#b7d4ea", "#1f425e"),
    "shade-3": ("#84b6da", "#286088"),
    "shade-4": ("#23709f", "#62aadd"),
    "shade-5": ("#0a456f", "#b3d9f4"),
    "on-shade": ("#ffffff", "#10151a"),
}
LIGHT: Mapping[str, str] = {role: light for role, (light, _) in _PALETTE.items()}
DARK: Mapping[str, str] = {role: dark for role, (_, dark) in _PALETTE.items()}
SERIES = 6
SHADES = 5
MARKERS = ("o", "s", "^", "D", "v", "P")  # beside colours, never colour alone
DASHES: tuple[Any, ...] = ("-", (0, (6, 3)), (0, (2, 2.5)), (0, (8, 3, 2, 3)), (0, (4, 2)), (0, (1, 3)))
TOOLTIP = "tooltip:"
DASHED = (0, (4, 3))
HALO = {"facecolor": LIGHT["paper"], "edgecolor": "none", "pad": 1}  # of a text, keeps lines away from it

# Fonts of the usual systems for letters that DejaVu Sans, which comes with matplotlib, lacks.
FALLBACKS = [
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
]
_INSTALLED = {font.name for font in fontManager.ttflist}
_FONTS = ["DejaVu Sans", *(name for name in FALLBACKS if name in _INSTALLED)]
_SETTINGS: Mapping[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": LIGHT["edge"],
    "axes.facecolor": "none",
    "axes.labelcolor": LIGHT["muted"],
    "axes.labelsize": 12,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": LIGHT["muted"],
    "axes.titlelocation": "left",
    "axes.titlepad": 9,
    "axes.titlesize": 12,
    "figure.constrained_layout.h_pad": 4 / POINTS,
    "figure.constrained_layout.w_pad": 1 / POINTS,
    "figure.dpi": POINTS,
    "figure.facecolor": "none",
    "font.family": _FONTS,
    "font.size": 12,
    "grid.color": LIGHT["grid"],
    "grid.linewidth": 1,
    "legend.borderaxespad": 0,
    "legend.borderpad": 0.2,
    "legend.columnspacing": 1.5,
    "legend.fontsize": 12,
    "legend.frameon": False,
    "legend.handlelength": 2,
    "legend.labelcolor": LIGHT["ink"],
    "lines.dash_capstyle": "butt",
    "lines.linewidth": 2,
    "lines.markeredgecolor": LIGHT["paper"],
    "lines.markeredgewidth": 1,
    "lines.scale_dashes": False,
    "lines.solid_capstyle": "butt",
    "svg.fonttype": "none",
    "text.color": LIGHT["ink"],
    "text.parse_math": False,
    "xtick.color": LIGHT["edge"],
    "xtick.labelcolor": LIGHT["muted"],
    "xtick.labelsize": 12,
    "ytick.color": LIGHT["edge"],
    "ytick.labelcolor": LIGHT["muted"],
    "ytick.labelsize": 12,
    "ytick.major.size": 0,
}


@contextmanager
def styled() -> Iterator[None]:
    """A context in which matplotlib draws as above, whatever the user's own matplotlibrc says."""
    with mpl.style.context(["default", dict(_SETTINGS)]):
        yield


@contextmanager
def without_glyph_warnings() -> Iterator[None]:
    """A reader's fonts have letters that matplotlib's lack; only where these are drawn, in a PNG, is it worth a warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph ")
        yield


def chart(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Let a function draw in this style, and lay its figure out once, so that every way to write it shows the same."""

    @wraps(draw)
    def laid_out(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with styled(), without_glyph_warnings():
            figure = draw(*args, **kwargs)
            figure.draw_without_rendering()
        figure.set_layout_engine("none")
        for legend in figure.legends:  # one outside the axes would move with the area that is written
            legend.set_bbox_to_anchor((0, 0, 1, 1), figure.transFigure)
        return figure

    return laid_out


def new_figure(height: float) -> Figure:
    """An empty figure whose parts find room beside each other by themselves; `height` is in points."""
    return Figure(figsize=(WIDTH / POINTS, height / POINTS), layout="constrained")


def sheet(height: float) -> tuple[Figure, Axes]:
    """A figure to draw on in points, x from the left, y from the top."""
    figure = Figure(figsize=(WIDTH / POINTS, height / POINTS))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(height, 0))
    axes.set_axis_off()
    return figure, axes


def colour(style: int) -> str:
    """The colour of a series, from 0; they come again after SERIES."""
    return LIGHT[f"series-{style % SERIES + 1}"]


def marker(style: int) -> str:
    """The marker of a series, from 0."""
    return MARKERS[style % len(MARKERS)]


def dashes(style: int) -> Any:
    """The dash pattern of a series, from 0."""
    return DASHES[style % len(DASHES)]


def tooltip(text: str) -> str:
    """A gid by which an artist has `text` as its tooltip in an SVG (`writing.py`)."""
    return TOOLTIP + text


@cache
def text_width(text: str, size: float = 12) -> float:
    """How wide a line of text is in matplotlib's font, which runs wide; wide letters that it lacks get their room."""
    with without_glyph_warnings():
        width, _, _ = text_to_path.get_text_width_height_descent(text, FontProperties(family=_FONTS, size=size), ismath=False)
    return float(width) + 0.4 * size * sum(east_asian_width(letter) in "WF" for letter in text)


def fitted_text(text: str, room: float, size: float = 12) -> str:
    """The text on one line, or its beginning and an ellipsis where it would be wider than `room`."""
    text = " ".join(text.split())
    if text_width(text, size) <= room:
        return text
    while text and text_width(text + "…", size) > room:
        text = text[:-1]
    return f"{text.rstrip()}…"
