"""A matplotlib figure as SVG within a page, as an SVG file, and as PNG; the same figure gives the same bytes."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from rankwise.report.figures.style import LIGHT, POINTS, TOOLTIP, fit_text, styled, without_glyph_warnings
from rankwise.system.visible import visible

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
PNG_SCALE = 3  # pixels per point
MARGIN, HEAD = 16, 30  # around a figure that is a file, and above it for its title, in points
SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))  # a date would be other bytes every time
ROLES = {value: f"var(--{role})" for role, value in LIGHT.items()}
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
NUMBER = re.compile(r"-?\d+\.\d+")
COLOUR = re.compile(r"#[0-9a-f]{6}")


def page_svg(figure: Figure, title: str, summary: str, *, name: str) -> str:
    """For inside a page whose style sheet holds the roles as CSS variables; `name` is unique on it."""
    root = _drawn(figure, name)
    for element in root.iter():
        if "style" in element.attrib:
            element.set("style", COLOUR.sub(lambda value: ROLES[value[0]], element.attrib["style"]))
    del root.attrib["width"], root.attrib["height"]
    return _with_name(root, title, summary, name)


def file_svg(figure: Figure, title: str, summary: str) -> str:
    """A file of its own, with its title, in light colours on paper, as any program shows it."""
    with _titled(figure, title) as area:
        root = _drawn(figure, "figure", bbox_inches=area, facecolor=LIGHT["paper"])
    root.set("font-family", FONT)
    return f"{_with_name(root, title, summary, 'figure')}\n"


def file_png(figure: Figure, title: str) -> bytes:
    """The same in pixels, PNG_SCALE to the point."""
    written = io.BytesIO()
    with _titled(figure, title) as area:
        figure.savefig(written, format="png", dpi=POINTS * PNG_SCALE, bbox_inches=area, facecolor=LIGHT["paper"])
    return written.getvalue()


@contextmanager
def _titled(figure: Figure, title: str) -> Iterator[Bbox]:
    """The area of a file, in inches: the figure, a margin, and its title above, which is there within the context."""
    width, height = (float(inches) for inches in figure.get_size_inches())
    margin, head = MARGIN / POINTS, HEAD / POINTS
    fitted = fit_text(title, width * POINTS, 14)
    with styled():
        text = figure.text(0, 1 + (head - 14 / POINTS) / height, fitted, size=14, weight="bold", in_layout=False)
        yield Bbox.from_extents(-margin, -margin, width + margin, height + margin + head)
    text.remove()


def _drawn(figure: Figure, salt: str, **how: Any) -> ElementTree.Element:
    """matplotlib's SVG, smaller; the ids in it are made from `salt`, so that two figures on a page have none in common."""
    written = io.StringIO()
    with styled(), mpl.rc_context({"svg.hashsalt": salt}), without_glyph_warnings():
        figure.savefig(written, format="svg", metadata=NO_METADATA, **how)
    root = ElementTree.fromstring(NOT_XML.sub("\ufffd", visible(written.getvalue())))
    size = {name: root.attrib[name].removesuffix("pt") for name in ("width", "height", "viewBox")}
    style = "stroke-linejoin: round; stroke-linecap: butt"  # in place of matplotlib's style for the whole document
    root.attrib = {"xmlns": SVG, "xmlns:xlink": XLINK, **size, "style": style}
    root.tag = "svg"
    root[:] = [small for child in root if child.find(f"{{{SVG}}}style") is None for small in _smaller(child)]
    return root


def _smaller(element: ElementTree.Element) -> list[ElementTree.Element]:
    """The same picture: nothing invisible, no group that groups nothing, two digits after the point, the reader's fonts."""
    element.tag = element.tag.removeprefix(f"{{{SVG}}}")
    element.tail = None
    element.attrib = {name.replace(f"{{{XLINK}}}", "xlink:"): value for name, value in element.attrib.items()}
    for name in element.attrib.keys() & {"d", "x", "y", "width", "height", "transform"}:
        short = NUMBER.sub(lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), element.attrib[name])
        element.set(name, " ".join(short.split()))
    if element.tag == "text":  # sizes as attributes, which a style sheet can override; no family
        style = dict(part.split(": ", 1) for part in element.attrib["style"].split("; "))
        style.pop("font-family")
        element.set("font-size", style.pop("font-size").removesuffix("px"))
        element.set("style", "; ".join(f"{name}: {value}" for name, value in style.items()))
        if element.attrib.get("transform", "").startswith("rotate(-0 "):
            del element.attrib["transform"]
        return [element]
    element.text = None
    element[:] = [small for child in element for small in _smaller(child)]
    if element.tag != "g":
        return [element] if element.attrib.get("style") != "fill: none" else []
    name = element.attrib.pop("id", "")
    if name.startswith(TOOLTIP):
        _insert(element, "title", name.removeprefix(TOOLTIP))
        return [element]
    return [element] if element.attrib else list(element)


def _insert(parent: ElementTree.Element, tag: str, text: str, **attributes: str) -> None:
    element = ElementTree.Element(tag, attributes)
    element.text = text
    parent.insert(0, element)


def _with_name(root: ElementTree.Element, title: str, summary: str, name: str) -> str:
    """As text, with what a screen reader says."""
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}-title {name}-desc")
    for tag, text in (("desc", summary), ("title", title)):  # the title is first in the end
        _insert(root, tag, NOT_XML.sub("\ufffd", visible(text)), id=f"{name}-{tag}")
    return ElementTree.tostring(root, encoding="unicode")
