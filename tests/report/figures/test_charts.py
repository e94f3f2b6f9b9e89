"""Charts put every number where its axis has it, inside the sheet, told by more than colour."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankwise.report.figures import charts, maps
from rankwise.report.figures.drawing import WIDTH, Box, Drawing, Label, Line, Mark, text_width
from rankwise.stats.intervals import Interval


def inside(drawing: Drawing) -> bool:
    """Whether every item lies on the sheet, labels as wide as they are about to be."""
    for item in drawing.items:
        if isinstance(item, Line):
            points = list(item.points)
        elif isinstance(item, Box):
            points = [(item.x, item.y), (item.x + item.width, item.y + item.height)]
        elif isinstance(item, Mark):
            points = [(item.x, item.y)]
        else:
            wide = 0 if item.turned else text_width(item.text, item.size)
            start = item.x - {"start": 0, "middle": wide / 2, "end": wide}[item.anchor]
            points = [(start, item.y), (start + wide, item.y)]
        if any(not (-4 <= x <= WIDTH + 4 and -4 <= y <= drawing.height + 4) for x, y in points):
            return False
    return True


def marks(drawing: Drawing) -> list[Mark]:
    return [item for item in drawing.items if isinstance(item, Mark) and item.hint]


def texts(drawing: Drawing) -> list[str]:
    return [item.text for item in drawing.items if isinstance(item, Label)]


def overlapping(drawing: Drawing) -> list[tuple[str, str]]:
    """Pairs of labels that lie on each other."""
    spans = []
    for item in drawing.items:
        if isinstance(item, Label) and not item.turned:
            wide = text_width(item.text, item.size)
            start = item.x - {"start": 0, "middle": wide / 2, "end": wide}[item.anchor]
            spans.append((start, start + wide, item.y - 9, item.y, item.text))
    return [
        (a[4], b[4])
        for place, a in enumerate(spans)
        for b in spans[place + 1 :]
        if min(a[1], b[1]) - max(a[0], b[0]) > 2 and min(a[3], b[3]) - max(a[2], b[2]) > 1
    ]


# -------------------------------------------------------------------------------------------------------------- curves

LOSS = (
    charts.Curve("training", ((10, 1.4), (60, 0.4), (120, 0.2)), 1),
    charts.Curve("validation", ((60, 0.42), (120, 0.22)), 0),
)


def test_curves_share_their_axes():
    drawing = charts.curves(LOSS, x_label="updates", y_label="loss, nats", kind="number", per_epoch=60)
    training, validation = (
        [mark for mark in marks(drawing) if mark.hint.startswith(name)] for name in ("training", "validation")
    )
    assert [mark.hint for mark in validation] == ["validation: 0.420 at update 60", "validation: 0.220 at update 120"]
    assert training[1].x == validation[0].x
    assert training[0].y < training[1].y < training[2].y  # it falls, and y runs downwards
    assert {"epoch 1", "epoch 2", "training", "validation", "updates", "loss, nats"} <= set(texts(drawing))
    assert inside(drawing)
    assert overlapping(drawing) == []


def test_lines_differ_in_colour_shape_and_dash():
    drawing = charts.curves(LOSS, x_label="updates", y_label="loss", kind="number")
    drawn = [item for item in drawing.items if isinstance(item, Line) and item.width == 2]
    assert len({item.stroke for item in drawn}) == len({item.dash for item in drawn}) == 2
    assert len({mark.shape for mark in marks(drawing)}) == 2


def test_names_of_lines_that_end_together_do_not_cover_each_other():
    lines = tuple(charts.Curve(name, ((0, 1), (10, 0.5 + place / 1000)), place) for place, name in enumerate("abc"))
    drawing = charts.curves(lines, x_label="updates", y_label="loss", kind="number")
    assert overlapping(drawing) == []


def test_long_names_and_many_lines_get_a_key_above():
    lines = tuple(charts.Curve(f"quickstart, rank {rank}", ((1, 0.9), (3, 0.95)), rank) for rank in range(6))
    drawing = charts.curves(lines, x_label="epochs", y_label="accuracy, %", kind="share")
    assert {line.name for line in lines} <= set(texts(drawing))
    assert inside(drawing)
    assert overlapping(drawing) == []


@pytest.mark.parametrize("epochs", [1, 25, 7_000, 123_456])
def test_of_many_epochs_as_many_are_marked_as_there_is_room_for(epochs):
    line = charts.Curve("validation", ((1, 0.9), (2 * epochs, 0.3)))
    drawing = charts.curves((line,), x_label="updates", y_label="loss", kind="number", per_epoch=2)
    named = [int(text.removeprefix("epoch ")) for text in texts(drawing) if text.startswith("epoch ")]
    assert 1 <= len(named) <= 10
    assert 0 < min(named) <= max(named) <= epochs
    assert len(drawing.items) < 100
    assert inside(drawing)
    assert overlapping(drawing) == []


def test_a_single_evaluation_is_a_point():
    drawing = charts.curves((charts.Curve("validation", ((343, 0.9),)),), x_label="updates", y_label="accuracy", kind="share")
    assert len(marks(drawing)) == 1
    assert inside(drawing)


# ----------------------------------------------------------------------------------------------- values and intervals


def row(name: str, value: float, low: float | None = None, high: float | None = None, **more) -> charts.Row:
    return charts.Row(name, Interval(value, low, high), **more)


def test_a_row_shows_estimate_and_bounds_on_the_axis_of_all():
    drawing = charts.dots([row("ours", 0.9, 0.88, 0.92), row("TF-IDF", 0.85, 0.82, 0.88)], label="accuracy, %", kind="share")
    ours, theirs = marks(drawing)
    spans = [item for item in drawing.items if isinstance(item, Line) and item.width == 2.5]
    assert theirs.x < ours.x
    assert spans[0].points[0][0] < ours.x < spans[0].points[1][0]
    assert spans[0].points[0][0] == pytest.approx(spans[1].points[1][0])  # 88 is 88 in both rows
    assert "90.0 [88.0, 92.0]" in texts(drawing)
    assert inside(drawing)


def test_a_mark_at_an_end_of_the_axis_is_whole():
    rows = [row(name, value, style=place) for place, (name, value) in enumerate([("a", 0.0), ("b", 1.0)] * 3)]
    for mark in marks(charts.dots(rows, label="accuracy, %", kind="share")):
        reach = 1.25 * mark.radius  # of a diamond, the widest
        assert mark.x - reach >= 0
        assert mark.x + reach <= WIDTH


def test_bars_begin_at_0_and_are_as_long_as_their_values():
    drawing = charts.bars([row("a", 100), row("b", 300)], label="parameters", kind="count")
    lengths = [item.width for item in drawing.items if isinstance(item, Box) and item.hint]
    assert lengths[1] == pytest.approx(3 * lengths[0])


def test_very_unlike_costs_go_on_a_logarithmic_axis_that_says_so():
    drawing = charts.bars([row("full", 66_956_548), row("lora", 741_124)], label="trained parameters", kind="count")
    assert "trained parameters, logarithmic" in texts(drawing)
    assert [item for item in drawing.items if isinstance(item, Box) and item.hint] == []


def test_a_boundless_interval_does_not_shrink_the_bars_to_nothing():
    drawing = charts.bars([row("two seeds", 100, 0, 900), row("one", 80)], label="time", kind="seconds")
    lengths = [item.width for item in drawing.items if isinstance(item, Box) and item.hint]
    assert lengths[0] >= 0.4 * WIDTH
    assert inside(drawing)


def test_a_value_that_is_not_defined_is_told_and_not_drawn():
    drawing = charts.dots([charts.Row("a", Interval(None, None, None)), row("b", 0.5)], label="drop", kind="share")
    assert "n/a" in texts(drawing)
    assert len(marks(drawing)) == 1


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.text("abcdefgh mW", min_size=1, max_size=60))
def test_rows_stay_on_the_sheet_whatever_their_names_and_values(values, name):
    drawing = charts.dots(
        [row(name, value, max(0, value - 0.1), min(1, value + 0.1)) for value in values], label="x", kind="share"
    )
    assert inside(drawing)
    assert overlapping(drawing) == []


# ------------------------------------------------------------------------------------------------------------- scatter


def test_the_front_is_a_staircase_from_the_cheapest_up():
    spots = [charts.Spot(x, Interval(y, None, None), name) for x, y, name in [(10, 0.8, "a"), (20, 0.7, "b"), (40, 0.9, "c")]]
    drawing = charts.scatter(
        spots, x_label="time", y_label="accuracy, %", x_kind="seconds", y_kind="share", front=[0, 2], key=True
    )
    (front,) = [item for item in drawing.items if isinstance(item, Line) and item.dash]
    a, _, c = marks(drawing)
    assert front.points == ((a.x, a.y), (c.x, a.y), (c.x, c.y))
    assert inside(drawing)
    assert overlapping(drawing) == []


def test_one_of_many_goes_unnamed():
    spots = [charts.Spot(1, Interval(0.8, None, None), "7", small=True), charts.Spot(2, Interval(0.9, None, None), "9")]
    drawing = charts.scatter(spots, x_label="time", y_label="accuracy", x_kind="seconds", y_kind="share", front=[1])
    assert "9" in texts(drawing)
    assert "7" not in texts(drawing)


# ------------------------------------------------------------------------------------------------------- distributions


def test_bars_of_a_histogram_are_as_high_as_their_rows_and_those_beyond_the_mark_differ():
    bars = [(0, 8, 10), (8, 16, 40), (16, 24, 20), (24, 96, 5)]
    drawing = charts.histogram(bars, x_label="tokens", y_label="texts", mark=16, mark_label="max length 16")
    boxes = [item for item in drawing.items if isinstance(item, Box) and item.hint]
    assert [box.height for box in boxes] == pytest.approx([boxes[0].height * count / 10 for count in (10, 40, 20, 5)])
    assert [box.fill for box in boxes] == ["series-1", "series-1", "series-2", "series-2"]
    assert [box.hint for box in boxes] == ["0 to 7: 10", "8 to 15: 40", "16 to 23: 20", "24 or more: 5"]
    assert boxes[-1].width == pytest.approx(boxes[0].width)  # as wide as the others, not nine times
    assert "max length 16" in texts(drawing)
    assert inside(drawing)


def test_a_mark_beyond_every_bar_is_still_on_the_sheet():
    drawing = charts.histogram(
        [(0, 1, 5), (1, 2, 3)], x_label="tokens", y_label="texts", mark=128, mark_label="max length 128"
    )
    assert inside(drawing)


def test_a_sure_and_right_bin_lies_on_the_diagonal():
    bins = [charts.Bin(0.5, Interval(0.5, 0.4, 0.6), 10), charts.Bin(0.9, Interval(0.7, 0.6, 0.8), 30)]
    drawing = charts.reliability(bins)
    (diagonal,) = [item for item in drawing.items if isinstance(item, Line) and item.dash]
    (x0, y0), (x1, y1) = diagonal.points
    even, too_sure = marks(drawing)
    assert (even.y - y0) / (y1 - y0) == pytest.approx((even.x - x0) / (x1 - x0))
    assert (too_sure.y - y0) / (y1 - y0) < (too_sure.x - x0) / (x1 - x0)
    assert inside(drawing)


# ---------------------------------------------------------------------------------------------------------------- maps


def cells(rows: int, columns: int) -> list[list[maps.Cell]]:
    return [[maps.Cell(str(row * column), (row + column) % 6, "hint") for column in range(columns)] for row in range(rows)]


@pytest.mark.parametrize("classes", [2, 4, 9, 20, 77])
def test_a_confusion_matrix_of_any_size_stays_on_the_sheet(classes):
    names = [f"a class of number {number}" for number in range(classes)]
    drawing = maps.heat(cells(classes, classes), names, names, row_title="truth", column_title="predicted", square=True)
    boxes = [item for item in drawing.items if isinstance(item, Box)]
    assert len(boxes) == classes**2
    assert inside(drawing)
    assert overlapping(drawing) == []


def test_a_cells_text_has_the_ink_of_its_shade():
    drawing = maps.heat([[maps.Cell("8", 4), maps.Cell("·", 0)]], ["0"], ["query", "key"], row_title="layer", beside=["5"])
    inks = {item.text: item.fill for item in drawing.items if isinstance(item, Label)}
    assert (inks["8"], inks["·"]) == ("on-shade-4", "muted")


def test_shades_divide_what_there_is_in_equal_steps():
    assert [maps.shade_of(value, 10) for value in (0, 1, 2, 3, 6, 10)] == [0, 1, 1, 2, 3, 5]


def test_a_cap_is_filled_in_proportion():
    drawing = maps.stacked([("adapters", 600), ("head", 200)], 1000, "left")
    widths = [item.width for item in drawing.items if isinstance(item, Box) and item.hint]
    assert widths == pytest.approx([0.6 * WIDTH - 1, 0.2 * WIDTH - 1])
    assert {"adapters", "600", "60.0\u00a0%", "left", "20.0\u00a0%"} <= set(texts(drawing))
    assert inside(drawing)


def test_parallel_coordinates_draw_a_line_for_each_configuration_and_the_best_last():
    rails = [
        maps.Rail("rank", (0.0, 0.5, 1.0), ((0.0, "2"), (0.5, "4"), (1.0, "8"))),
        maps.Rail("rate", (0.1, None, 0.7), ((0.0, "1e-4"), (1.0, "1e-3"))),
        maps.Rail("accuracy", (0.2, 0.9, 0.4), ((0.0, "80"), (1.0, "90"))),
    ]
    drawing = maps.parallel(rails, best=[1])
    lines = [
        item
        for item in drawing.items
        if isinstance(item, Line) and len(item.points) > 1 and item.stroke in ("series-2", "muted")
    ]
    assert [len(line.points) for line in lines] == [3, 3, 2]  # no value on a rail: the line goes past it
    assert lines[-1].stroke == "series-2"
    assert inside(drawing)
    assert all(math.isfinite(x) for line in lines for x, _ in line.points)


def test_long_labels_of_an_upright_axis_have_the_room_they_need():
    curve = charts.Curve("validation", ((0, 1.3804), (4, 1.3814)), 0)
    drawing = charts.curves([curve], x_label="updates", y_label="loss", kind="number")
    labels = [item for item in drawing.items if isinstance(item, Label) and item.text.startswith("1.38")]
    assert len(labels) >= 4
    assert min(label.x - text_width(label.text) for label in labels) >= 0
