"""How figures look.

Units: a figure is WIDTH points wide, and a point is a pixel at natural size. A colour is drawn in its light value; on a
page `writing.py` puts its role there, which the style sheet gives one value in light and one in dark. Text stands out from
what it is on by a contrast of at least 4.5, marks by at least 3 (WCAG 2.2, 1.4.3 and 1.4.11).
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import cache, wraps
from importlib import resources
from typing import Any, ParamSpec
from unicodedata import east_asian_width

import matplotlib as mpl
import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, fontManager
from matplotlib.textpath import text_to_path

from rankwise.recipe.yaml import parse

WIDTH = 380  # of every figure: a phone shows it at about natural size, a desktop column at 1.2 times
POINTS = 72  # to the inch
P = ParamSpec("P")

_STYLE: Mapping[str, Any] = parse("style.yaml", (resources.files(__package__) / "style.yaml").read_text("utf-8"))[0]
LIGHT: Mapping[str, str] = {role: light for role, (light, _) in _STYLE["palette"].items()}
DARK: Mapping[str, str] = {role: dark for role, (_, dark) in _STYLE["palette"].items()}
SERIES = 6
SHADES = 5
MARKERS = ("o", "s", "^", "D", "v", "P")  # beside colours, never colour alone
DASHES: tuple[Any, ...] = ("-", (0, (6, 3)), (0, (2, 2.5)), (0, (8, 3, 2, 3)), (0, (4, 2)), (0, (1, 3)))
TOOLTIP = "tooltip:"  # begins the gid of an artist, and the text after it is its tooltip in an SVG
HALO = {"facecolor": LIGHT["paper"], "edgecolor": "none", "pad": 1}  # of a text, keeps lines away from it

_FONTS = ["DejaVu Sans", *(name for name in _STYLE["fonts"] if name in fontManager.get_font_names())]
_SETTINGS = {key: LIGHT.get(value, value) for key, value in _STYLE["matplotlib"].items()} | {"font.family": _FONTS}


def styled() -> AbstractContextManager[None]:
    """A context in which matplotlib draws in this style, whatever the user's own matplotlibrc says."""
    return mpl.style.context(["default", _SETTINGS])


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


def look(style: int) -> dict[str, Any]:
    """A line's colour, marker and dash pattern, by which it differs from those of other series."""
    return {"color": colour(style), "marker": MARKERS[style % SERIES], "linestyle": DASHES[style % SERIES]}


@cache
def text_width(text: str, size: float = 12) -> float:
    """How wide a line of text is in matplotlib's font, which runs wide; wide letters that it lacks get their room."""
    with without_glyph_warnings():
        width, _, _ = text_to_path.get_text_width_height_descent(text, FontProperties(family=_FONTS, size=size), ismath=False)
    return float(width) + 0.4 * size * sum(east_asian_width(letter) in "WF" for letter in text)


def fit_text(text: str, room: float, size: float = 12) -> str:
    """The text on one line, or its beginning and an ellipsis where it would be wider than `room`."""
    text = " ".join(text.split())
    if text_width(text, size) <= room:
        return text
    while text and text_width(text + "…", size) > room:
        text = text[:-1]
    return f"{text.rstrip()}…"
