"""Charts put every number where its axis has it, inside the figure, with no text on another."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from rankwise.report.blocks import Column
from rankwise.report.figures import charts, maps
from rankwise.report.figures.style import LIGHT, TOOLTIP, WIDTH
from rankwise.stats.intervals import Interval

UPDATE, EPOCH = Column("update", "update", "count"), Column("epoch", "epoch", "number")
LOSS, ACCURACY = Column("loss", "loss, nats", "number"), Column("accuracy", "accuracy, %", "share")
SECONDS, PARAMETERS = Column("seconds", "training time", "seconds"), Column("parameters", "trained parameters", "count")
TOKENS, TEXTS = Column("tokens", "tokens", "count"), Column("texts", "texts", "count")


def letters(figure) -> dict[str, Text]:
    """Every text that is seen."""
    return {text.get_text(): text for text in figure.findobj(Text) if text.get_visible() and text.get_text()}


def legible(figure) -> bool:
    """Whether every text is inside the figure and on no other one, as wide as matplotlib's own font makes it."""
    boxes = [(t.get_text(), t.get_window_extent()) for t in figure.findobj(Text) if t.get_visible() and t.get_text()]
    area = figure.bbox.padded(5)
    outside = [text for text, box in boxes if not (area.contains(box.x0, box.y0) and area.contains(box.x1, box.y1))]
    covered = [
        (one, other)
        for (one, a), (other, b) in combinations(boxes, 2)
        if min(a.x1, b.x1) - max(a.x0, b.x0) > 2 and min(a.y1, b.y1) - max(a.y0, b.y0) > 4
    ]
    assert (outside, covered) == ([], [])
    return True


def hinted(figure) -> dict[str, object]:
    """Artists by their tooltip."""
    artists = figure.findobj(lambda artist: (artist.get_gid() or "").startswith(TOOLTIP))
    return {artist.get_gid().removeprefix(TOOLTIP): artist for artist in artists}


def positions(figure) -> dict[str, tuple[float, float]]:
    """Where the marker of each tooltip is, in points."""
    return {hint: tuple(mark.get_transform().transform(mark.get_xydata())[0]) for hint, mark in hinted(figure).items()}


# -------------------------------------------------------------------------------------------------------------- curves

CURVES = (
    charts.Curve("training", ((10, 1.4), (60, 0.4), (120, 0.2)), 1),
    charts.Curve("validation", ((60, 0.42), (120, 0.22)), 0),
)


def test_curves_share_their_axes():
    figure = charts.curves(CURVES, UPDATE, LOSS, per_epoch=60)
    at = positions(figure)
    assert at["training: 0.400 at update 60"][0] == at["validation: 0.420 at update 60"][0]
    assert at["training: 0.400 at update 60"][1] < at["validation: 0.420 at update 60"][1]
    assert {"epoch 1", "epoch 2", "training", "validation", "updates", "loss, nats"} <= letters(figure).keys()
    assert legible(figure)


def test_many_lines_of_long_names_have_a_legend_with_a_line_for_each():
    lines = tuple(charts.Curve(f"quickstart, rank {rank}", ((1, 0.9), (3, 0.95)), rank) for rank in range(6))
    figure = charts.curves(lines, EPOCH, ACCURACY)
    handles = figure.legends[0].get_lines()
    looks = [(handle.get_color(), handle.get_marker(), str(handle.get_linestyle())) for handle in handles]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [line.name for line in lines]
    assert len({colour for colour, *_ in looks}) == len({marker for _, marker, _ in looks}) == 6
    assert legible(figure)


@pytest.mark.parametrize("epochs", [1, 25, 7_000, 123_456])
def test_of_many_epochs_as_many_are_marked_as_there_is_room_for(epochs):
    figure = charts.curves((charts.Curve("validation", ((1, 0.9), (2 * epochs, 0.3))),), UPDATE, LOSS, per_epoch=2)
    named = [int(text.removeprefix("epoch ").replace(",", "")) for text in letters(figure) if text.startswith("epoch ")]
    assert 1 <= len(named) <= 10
    assert 0 < min(named) <= max(named) <= epochs
    assert legible(figure)


def test_a_single_evaluation_is_a_point():
    figure = charts.curves((charts.Curve("validation", ((343, 0.9),)),), UPDATE, ACCURACY)
    assert list(hinted(figure)) == ["validation: 90.0 at update 343"]
    assert legible(figure)


def test_long_labels_of_an_upright_axis_have_the_room_they_need():
    figure = charts.curves([charts.Curve("validation", ((0, 1.3804), (4, 1.3814)), 0)], UPDATE, LOSS)
    assert [text for text in letters(figure) if text.startswith("1.38")][:2] == ["1.3804", "1.3806"]
    assert legible(figure)


# ----------------------------------------------------------------------------------------------- values and intervals


def row(name: str, value: float, low: float | None = None, high: float | None = None, **more) -> charts.Row:
    return charts.Row(name, Interval(value, low, high), **more)


def test_a_row_shows_estimate_and_bounds_on_the_axis_of_all():
    figure = charts.estimates([row("ours", 0.9, 0.88, 0.92), row("TF-IDF", 0.85, 0.82, 0.88)], ACCURACY)
    at = positions(figure)
    assert at["TF-IDF: 85.0\u00a0% [82.0, 88.0]"][0] < at["ours: 90.0\u00a0% [88.0, 92.0]"][0]
    spans = [tuple(line.get_xdata()) for line in figure.axes[0].lines if line.get_linewidth() == 2.5]
    assert spans == [(0.88, 0.92), (0.82, 0.88)]
    assert {"ours", "90.0 [88.0, 92.0]", "TF-IDF", "85.0 [82.0, 88.0]", "accuracy, %"} <= letters(figure).keys()
    assert legible(figure)


def lengths(figure) -> dict[str, float]:
    return {hint: bar.get_width() for hint, bar in hinted(figure).items() if isinstance(bar, Rectangle)}


def test_bars_begin_at_0_and_are_as_long_as_their_values():
    figure = charts.estimates([row("a", 100), row("b", 300)], PARAMETERS, bars=True)
    assert lengths(figure) == {"a: 100": 100, "b: 300": 300}
    assert figure.axes[0].get_xlim()[0] == 0


def test_very_unlike_costs_go_on_a_logarithmic_axis_that_says_so():
    figure = charts.estimates([row("full", 66_956_548), row("lora", 741_124)], PARAMETERS, bars=True)
    assert "trained parameters, logarithmic" in letters(figure)
    assert lengths(figure) == {}
    assert legible(figure)


def test_a_boundless_interval_does_not_shrink_the_bars_to_nothing():
    figure = charts.estimates([row("two seeds", 100, 0, 900), row("one", 80)], SECONDS, bars=True)
    assert figure.axes[0].get_xlim()[1] <= 2.5 * 100
    assert legible(figure)


def test_a_value_that_is_not_defined_is_told_and_not_drawn():
    figure = charts.estimates([charts.Row("a", Interval(None, None, None)), row("b", 0.5)], ACCURACY)
    assert "n/a" in letters(figure)
    assert list(hinted(figure)) == ["b: 50.0\u00a0%"]


@pytest.mark.parametrize("name", ["W" * 60, "of 3 runs " * 6, "i" * 60])
@given(values=st.lists(st.floats(0, 1), min_size=1, max_size=3))
def test_rows_stay_on_the_figure_whatever_their_names_and_values(name, values):
    assert legible(
        charts.estimates([row(name, value, max(0, value - 0.1), min(1, value + 0.1)) for value in values], ACCURACY)
    )


# ------------------------------------------------------------------------------------------------------------- scatter


def test_the_front_is_a_staircase_from_the_cheapest_up():
    spots = [charts.Spot(x, Interval(y, None, None), name) for x, y, name in [(10, 0.8, "a"), (20, 0.7, "b"), (40, 0.9, "c")]]
    figure = charts.scatter(spots, SECONDS, ACCURACY, front=[0, 2], legend=True)
    (front,) = [line for line in figure.axes[0].lines if line.get_linestyle() == "--"]
    assert (front.get_drawstyle(), front.get_xydata().tolist()) == ("steps-post", [[10, 0.8], [40, 0.9]])
    assert {"a", "b", "c"} <= letters(figure).keys()
    assert legible(figure)


def test_names_beside_points_are_on_no_other_and_one_of_many_goes_unnamed():
    spots = [
        charts.Spot(x, Interval(y, None, None), name) for x, y, name in [(2, 0.9, "9"), (2.01, 0.9, "11"), (4, 0.95, "3")]
    ]
    small = charts.Spot(1, Interval(0.8, None, None), "7th", small=True)
    figure = charts.scatter([*spots, small], SECONDS, ACCURACY, front=[2])
    assert {"9", "3"} <= letters(figure).keys()
    assert {"7th", "11"} & letters(figure).keys() == set()
    assert legible(figure)


# ------------------------------------------------------------------------------------------------------- distributions


def test_bars_of_a_histogram_are_as_high_as_their_counts_and_those_beyond_the_limit_differ():
    bars = [(0, 8, 10), (8, 16, 40), (16, 24, 20), (24, 96, 5)]
    figure = charts.histogram(bars, TOKENS, TEXTS, limit=16, label="max length 16")
    drawn = hinted(figure)
    assert list(drawn) == ["0 to 7: 10", "8 to 15: 40", "16 to 23: 20", "24 or more: 5"]
    assert [bar.get_height() for bar in drawn.values()] == [10, 40, 20, 5]
    assert len({bar.get_width() for bar in drawn.values()}) == 1  # the last as wide as the others, not nine times
    fills = [to_hex(bar.get_facecolor()) for bar in drawn.values()]
    assert fills == [LIGHT["series-1"]] * 2 + [LIGHT["series-2"]] * 2
    assert "max length 16" in letters(figure)
    assert legible(figure)


def test_a_limit_beyond_every_bar_is_still_on_the_figure():
    figure = charts.histogram([(0, 1, 5), (1, 2, 3)], TOKENS, TEXTS, limit=128, label="max length 128")
    assert figure.axes[0].get_xlim()[1] > 128
    assert legible(figure)


def test_a_bin_stands_at_its_confidence_and_accuracy_above_its_rows():
    bins = [(10, 0.5, Interval(0.5, 0.4, 0.6)), (30, 0.9, Interval(0.7, 0.6, 0.8))]
    figure = charts.reliability(bins)
    above, below = figure.axes
    marks = [line.get_xydata().tolist() for line in above.lines if (line.get_gid() or "").startswith(TOOLTIP)]
    assert marks == [[[0.5, 0.5]], [[0.9, 0.7]]]
    assert [bar.get_height() for bar in below.patches] == [10, 30]
    assert above.get_xlim() == below.get_xlim() == above.get_ylim() == (0, 1)
    assert legible(figure)


# ---------------------------------------------------------------------------------------------------------------- maps


@pytest.mark.parametrize("classes", [2, 4, 9, 20, 60])
def test_a_confusion_matrix_of_any_size_stays_on_the_figure(classes):
    names = [f"a class of number {number}" for number in range(classes)]
    cells = [[maps.Cell(str(r * c), (r + c) % 6, f"{r} {c}") for c in range(classes)] for r in range(classes)]
    figure = maps.heat(cells, maps.Side("truth", names), maps.Side("predicted", names))
    drawn = hinted(figure)
    assert len(drawn) == classes**2
    last = drawn[f"{classes - 1} {classes - 1}"].get_window_extent()
    assert last.x1 <= WIDTH + 1
    assert last.y0 >= 0
    assert legible(figure)


def test_a_cells_text_has_an_ink_for_its_shade():
    cells = [[maps.Cell("8", 4), maps.Cell("2", 1), maps.Cell("·", 0)]]
    sides = maps.Side("layer", ["0"]), maps.Side("", ["query", "key", "value"]), maps.Side("parameters", ["5"])
    inks = {text: label.get_color() for text, label in letters(maps.heat(cells, *sides)).items()}
    assert [inks[text] for text in "82·"] == [LIGHT["on-shade"], LIGHT["ink"], LIGHT["muted"]]


def test_shades_divide_what_there_is_in_equal_steps():
    assert [maps.shade_of(value, 10) for value in (0, 1, 2, 3, 6, 10)] == [0, 1, 1, 2, 3, 5]


def test_a_cap_is_filled_in_proportion():
    figure = maps.stacked([("adapters", 600), ("head", 200)], 1000, "left")
    assert [bar.get_width() for bar in hinted(figure).values()] == pytest.approx([0.6 * WIDTH - 1, 0.2 * WIDTH - 1])
    assert {"adapters", "600", "60.0\u00a0%", "left", "20.0\u00a0%"} <= letters(figure).keys()
    assert legible(figure)


def test_the_labels_at_the_ends_of_a_rail_are_whole():
    rails = [maps.Rail(Column("rate", "rate", "rate"), (1e-3, 1.87e-3, 1e-2)), maps.Rail(ACCURACY, (0.5, 0.52, 0.56))]
    figure = maps.parallel(rails, best=[2])
    ends = letters(figure)["0.010"].get_window_extent()
    assert figure.bbox.x0 < ends.x0 < ends.x1 < figure.bbox.x1


def test_parallel_coordinates_draw_a_line_for_each_configuration_and_the_best_above():
    rails = [
        maps.Rail(Column("rank", "rank"), (0, 1, 2), ("2", "4", "8")),
        maps.Rail(Column("rate", "rate", "rate"), (1e-4, None, 5e-3)),
        maps.Rail(ACCURACY, (0.82, 0.9, 0.84)),
    ]
    figure = maps.parallel(rails, best=[1])
    lines = figure.axes[0].lines
    assert [len(line.get_xdata()) for line in lines] == [3, 3, 2]  # no value on a rail: the line goes past it
    assert [line.get_color() for line in lines] == [LIGHT["muted"]] * 2 + [LIGHT["series-2"]]
    assert lines[2].get_zorder() > lines[0].get_zorder()
    ticks = [[label.get_text() for label in axes.get_xticklabels()] for axes in figure.axes[1:]]
    assert ticks == [
        ["2", "4", "8"],
        ["0.0001", "0.0002", "0.0005", "0.001", "0.002", "0.005"],
        ["82", "84", "86", "88", "90"],
    ]
    assert legible(figure)
