"""A drawing is the same picture on a page, in a file and in pixels; its palette can be read by everyone."""

from __future__ import annotations

import io
import re
from xml.etree import ElementTree

import pytest
from PIL import Image

from rankwise.report.figures.drawing import (
    DARK,
    LIGHT,
    MARGIN,
    PNG_SCALE,
    SERIES,
    SHADES,
    SHAPES,
    Box,
    Drawing,
    Label,
    Line,
    Mark,
    fitted_text,
    png,
    svg,
    svg_file,
    text_width,
)

SVG = "{http://www.w3.org/2000/svg}"
EVERYTHING = Drawing(
    100,
    (
        Box(0, 0, 40, 20, "series-1", "edge", "a <box>"),
        Line(((0, 0), (50, 50), (90, 10)), "series-2", 2, (4, 2)),
        Line(((0, 90), (50, 60), (90, 90)), None, fill="series-3", opacity=0.2),
        *(Mark(20.0 * place, 70, "series-4", shape) for place, shape in enumerate(SHAPES)),
        Label(5, 95, "1 < 2 & $3$", "start", "ink", bold=True),
        Label(370, 95, "upwards", "end", turned=True),
    ),
)


def contrast(one: str, other: str) -> float:
    """WCAG 2.2's contrast ratio of two colours."""

    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_text_stands_out_by_4_5_and_marks_by_3(palette):
    text = [(ink, ground) for ink in ("ink", "muted", "accent") for ground in ("paper", "raised")]
    text += [(f"on-shade-{shade}", f"shade-{shade}") for shade in range(1, SHADES + 1)]
    marks = [(f"series-{number}", "paper") for number in range(1, SERIES + 1)] + [("edge", "paper")]
    assert {
        pair: contrast(*(palette[role] for role in pair)) for pair in text if contrast(*map(palette.get, pair)) < 4.5
    } == {}
    assert {
        pair: contrast(*(palette[role] for role in pair)) for pair in marks if contrast(*map(palette.get, pair)) < 3
    } == {}


def test_both_themes_have_the_same_roles():
    assert LIGHT.keys() == DARK.keys()


def test_shades_get_further_from_the_paper_one_by_one():
    for palette in (LIGHT, DARK):
        steps = [contrast(palette[f"shade-{shade}"], palette["paper"]) for shade in range(1, SHADES + 1)]
        assert steps == sorted(steps)


def test_svg_on_a_page_has_a_title_a_description_and_no_colour_of_its_own():
    found = svg(EVERYTHING, "Loss & more", "It falls.", name="loss")
    root = ElementTree.fromstring(found)
    assert root.get("role") == "img"
    said = {element.get("id"): element.text for element in root if element.tag in ("title", "desc")}
    assert said == {"loss-title": "Loss & more", "loss-summary": "It falls."}
    assert root.get("aria-labelledby") == "loss-title loss-summary"
    assert re.findall(r'(?:fill|stroke)="(?!none|var\(--)[^"]*"', found) == []
    assert set(re.findall(r"var\(--([\w-]+)\)", found)) <= set(LIGHT)


def test_what_the_data_says_is_text_and_no_markup():
    found = svg(
        Drawing(10, (Label(0, 0, "<script>x</script>"), Box(0, 0, 1, 1, "ink", hint="</title><b>"))), '"<i>"', "", name="a"
    )
    root = ElementTree.fromstring(found)
    assert {element.tag for element in root.iter()} == {"svg", "title", "desc", "text", "rect"}


def test_an_svg_file_stands_alone_in_light_colours():
    found = svg_file(EVERYTHING, "Loss", "It falls.")
    root = ElementTree.fromstring(found)
    assert root.tag == f"{SVG}svg"
    assert "var(" not in found
    assert set(re.findall(r'(?:fill|stroke)="(#\w+)"', found)) <= set(LIGHT.values())
    assert "Loss" in {element.text for element in root.iter(f"{SVG}text")}


def test_an_svg_file_is_xml_whatever_the_data_holds():
    told = "a\x08b \ufffe <c> \U0001f600"
    root = ElementTree.fromstring(svg_file(Drawing(30, (Label(0, 10, told),)), told, told))
    assert next(root.iter(f"{SVG}title")).text == "a\ufffdb \ufffd <c> \U0001f600"


def test_png_has_the_same_sheet_in_pixels():
    image = Image.open(io.BytesIO(png(EVERYTHING, "Loss")))
    width, height = float(root_of(EVERYTHING).get("width")), float(root_of(EVERYTHING).get("height"))
    assert image.size == (round(width * PNG_SCALE), round(height * PNG_SCALE))
    at = round((MARGIN + 20) * PNG_SCALE), image.size[1] - round((MARGIN + 100 - 10) * PNG_SCALE)
    assert image.convert("RGB").getpixel(at) == tuple(bytes.fromhex(LIGHT["series-1"][1:]))  # the middle of the box


def root_of(drawing: Drawing) -> ElementTree.Element:
    return ElementTree.fromstring(svg_file(drawing, "", ""))


def test_later_items_cover_earlier_ones_in_pixels_too():
    drawing = Drawing(40, (Line(((0, 20), (40, 20)), "ink", 6), Box(0, 0, 40, 40, "series-3")))
    image = Image.open(io.BytesIO(png(drawing, ""))).convert("RGB")
    middle = image.getpixel((round((MARGIN + 20) * PNG_SCALE), image.size[1] - round((MARGIN + 20) * PNG_SCALE)))
    assert middle == tuple(bytes.fromhex(LIGHT["series-3"][1:]))


def test_text_is_cut_to_the_room_there_is():
    assert fitted_text("short", 100) == "short"
    cut = fitted_text("a rather long name of a recipe", 60)
    assert cut.endswith("…")
    assert text_width(cut) <= 60
    assert fitted_text("anything", 0) == "…"
