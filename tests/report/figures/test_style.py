"""The palette can be read by everyone in both themes; text is cut to the room there is."""

from __future__ import annotations

import pytest

from rankwise.report.figures.style import DARK, DASHES, LIGHT, MARKERS, SERIES, SHADES, fit_text, text_width


def contrast(one: str, other: str) -> float:
    """WCAG 2.2's contrast ratio of two colours."""

    def luminance(colour: str) -> float:
        parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_text_stands_out_by_4_5_and_marks_by_3(palette):
    text = [(ink, ground) for ink in ("ink", "muted", "accent") for ground in ("paper", "raised")]
    text += [("on-shade" if shade > 3 else "ink", f"shade-{shade}") for shade in range(1, SHADES + 1)]
    marks = [(f"series-{number}", "paper") for number in range(1, SERIES + 1)] + [("edge", "paper")]
    required = {**dict.fromkeys(text, 4.5), **dict.fromkeys(marks, 3.0)}
    ratios = {pair: contrast(palette[pair[0]], palette[pair[1]]) for pair in required}
    assert {pair: ratio for pair, ratio in ratios.items() if ratio < required[pair]} == {}


def test_both_themes_have_the_same_roles_and_each_its_own_colour_in_a_file():
    assert LIGHT.keys() == DARK.keys()
    assert len(set(LIGHT.values())) == len(LIGHT)  # by which a page finds the role


def test_a_series_differs_from_every_other_in_more_than_colour():
    assert len(set(MARKERS)) == len(set(map(str, DASHES))) == SERIES


def test_shades_get_further_from_the_paper_one_by_one():
    for palette in (LIGHT, DARK):
        steps = [contrast(palette[f"shade-{shade}"], palette["paper"]) for shade in range(1, SHADES + 1)]
        assert steps == sorted(steps)


def test_text_is_cut_to_the_room_there_is_and_stays_on_one_line():
    assert fit_text("short\nname", 100) == "short name"
    cut = fit_text("a rather long name of a recipe", 60)
    assert cut.endswith("…")
    assert text_width(cut) <= 60
    assert fit_text("anything", 0) == "…"
