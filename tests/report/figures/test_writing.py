"""A figure is the same picture on a page, in a file and in pixels."""

from __future__ import annotations

import io
import re
from xml.etree import ElementTree

import pytest
from PIL import Image

from rankwise.report.blocks import Column
from rankwise.report.figures import charts, maps
from rankwise.report.figures.style import LIGHT, WIDTH
from rankwise.report.figures.writing import HEAD, MARGIN, PNG_SCALE, file_png, file_svg, page_svg

SVG = "{http://www.w3.org/2000/svg}"
UPDATE, LOSS = Column("update", "update", "count"), Column("loss", "loss, nats", "number")


@pytest.fixture(scope="module")
def figure():
    lines = (
        charts.Curve("training", ((10, 1.4), (60, 0.4), (120, 0.2)), 1, band=((10, 1.2, 1.6), (120, 0.1, 0.3))),
        charts.Curve("validation", ((60, 0.42), (120, 0.22)), 0, ringed=120),
    )
    return charts.curves(lines, UPDATE, LOSS, per_epoch=60)


def texts(root: ElementTree.Element) -> list[str | None]:
    return [element.text for element in root.iter(f"{SVG}text")]


def test_svg_on_a_page_has_a_name_tooltips_and_no_colour_or_font_of_its_own(figure):
    svg = page_svg(figure, "Loss & more", "It falls.", name="loss")
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    named = {element.get("id"): element.text for element in root if element.tag in (f"{SVG}title", f"{SVG}desc")}
    assert named == {"loss-title": "Loss & more", "loss-desc": "It falls."}
    assert root.get("aria-labelledby") == "loss-title loss-desc"
    assert {"training", "validation", "loss, nats", "updates", "epoch 1", "epoch 2"} <= set(texts(root))
    hints = [element.text for element in root.iter(f"{SVG}title")][1:]
    assert hints[-1] == "validation: 0.220 at update 120"
    assert len(hints) == 5
    assert re.findall(r"#[0-9a-f]{6}|font-family", svg) == []
    assert set(re.findall(r"var\(--([\w-]+)\)", svg)) <= set(LIGHT)
    assert root.get("viewBox").split()[2] == str(WIDTH)


def test_ids_of_two_figures_on_a_page_differ(figure):
    ids = [set(re.findall(r' id="([^"]+)"', page_svg(figure, "t", "s", name=name))) for name in ("one", "two")]
    assert ids[0]
    assert ids[0] & ids[1] == set()


def test_a_figure_is_the_same_bytes_every_time(figure):
    for write in (
        lambda: page_svg(figure, "t", "s", name="n"),
        lambda: file_svg(figure, "t", "s"),
        lambda: file_png(figure, "t"),
    ):
        assert write() == write()


HOSTILE = "</title><script>x</script> $3$ \x08 \ufffe \U0001f600"


def test_what_the_data_says_is_text_in_valid_xml():
    figure = maps.stacked([(HOSTILE, 1)], 2, "rest")
    for svg in (page_svg(figure, HOSTILE, HOSTILE, name="a"), file_svg(figure, HOSTILE, HOSTILE)):
        root = ElementTree.fromstring(svg)
        expected = "</title><script>x</script> $3$ \\x08 \ufffd \U0001f600"
        assert expected in texts(root)
        assert [element.text for element in root.iter(f"{SVG}title")] == [expected, f"{expected}: 1"]
        tags = {element.tag.removeprefix(SVG) for element in root.iter()}
        assert tags <= {"svg", "title", "desc", "g", "path", "text", "defs", "use", "clipPath", "rect"}


def test_an_svg_file_stands_alone_with_its_title_in_light_colours(figure):
    svg = file_svg(figure, "Loss", "It falls.")
    root = ElementTree.fromstring(svg)
    assert "var(" not in svg
    assert set(re.findall(r"#[0-9a-f]{6}", svg)) <= set(LIGHT.values())
    assert "Loss" in texts(root)
    _, _, width, height = map(float, ElementTree.fromstring(page_svg(figure, "", "", name="n")).get("viewBox").split())
    assert float(root.get("width")) == pytest.approx(width + 2 * MARGIN)
    assert float(root.get("height")) == pytest.approx(height + 2 * MARGIN + HEAD)


def test_png_has_the_same_sheet_in_pixels():
    figure = maps.stacked([("adapters", 600)], 1000, "left")
    image = Image.open(io.BytesIO(file_png(figure, "Cap")))
    size = (float(ElementTree.fromstring(file_svg(figure, "Cap", "")).get(name)) for name in ("width", "height"))
    assert image.size == tuple(round(points * PNG_SCALE) for points in size)
    inside = ((MARGIN + 20) * PNG_SCALE, (MARGIN + HEAD + 10) * PNG_SCALE)  # of the bar
    assert image.convert("RGB").getpixel(inside) == tuple(bytes.fromhex(LIGHT["series-1"][1:]))
