"""Where an estimated number is right and wrong: beside the true one, by how large that is, and the rows farthest off."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from rankwise.data.labels import in_figures
from rankwise.report.blocks import Block, Column, Figure, Section, Table
from rankwise.report.columns import TEXT, column_of
from rankwise.report.figures import maps
from rankwise.report.groups import Group
from rankwise.report.words import Value, in_words, percent
from rankwise.stats.intervals import Interval, percentile_interval
from rankwise.stats.regression import row_weights

MISTAKES = 10
PARTS = 10  # of the range of numbers
SHADE_SHARES = (0.02, 0.1, 0.3, 0.6)  # of a part's rows, between the shades
RESAMPLES = 1_000
FROM, TO = Column("from", "truth from", "number"), Column("to", "to", "number")
ROWS, TRUTH, ESTIMATED = Column("rows", "rows", "count"), Column("truth", "truth"), Column("estimated", "estimated")


def numbers_section(group: Group) -> Section:
    truth, estimated = _told(group)
    edges = np.linspace(truth.min(), truth.max(), PARTS + 1) if len(truth) and np.ptp(truth) else np.array([0.0, 1.0])
    blocks: list[Block] = [_beside(group, truth, estimated, edges), _by_size(group, truth, estimated, edges)]
    shown = {one.row: one for run in group.runs for one in run.scores.test.mistakes}
    worst = sorted(shown.values(), key=lambda one: -abs(float(one.truth) - float(one.predicted)))[:MISTAKES]
    if worst:
        columns = (Column("row", "row", "count"), TRUTH, ESTIMATED, Column("text", TEXT))
        rows = [(one.row, one.truth, one.predicted, one.text) for one in worst]
        blocks.append(Table("mistakes", "Farthest off", columns, rows))
    return Section("mistakes-section", "Where it is right and wrong", blocks)


def _told(group: Group) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The numbers of all runs' test rows that are known, (N,), and what was told in their place."""
    rows = [(run.task, run.scored_rows()) for run in group.runs]
    truth = np.concatenate([scored.truth for _, scored in rows])
    told = np.concatenate([task.decide(scored.probabilities.astype(np.float64)) for task, scored in rows])
    known = ~np.isnan(truth)
    return truth[known], told[known]


def _beside(group: Group, truth: NDArray[np.float64], estimated: NDArray[np.float64], edges: NDArray[np.float64]) -> Figure:
    """How many rows with a number in each part got one in which, (PARTS, PARTS), truth down."""
    inside = np.clip(estimated, edges[0], edges[-1])
    counts = np.histogram2d(truth, inside, bins=(edges, edges))[0].astype(np.int64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = [f"{in_figures(low)} to {in_figures(high)}" for low, high in pairwise(edges)]

    def cell(true: int, told: int) -> maps.Cell:
        count, share = int(counts[true, told]), float(shares[true, told])
        shade = 0 if count == 0 else 1 + sum(share >= edge for edge in SHADE_SHARES)
        hint = f"{names[true]} estimated as {names[told]}: {count:,}, {percent(share)} of them"
        return maps.Cell(f"{count:,}", shade, hint)

    parts = range(len(names))
    picture = maps.heat(
        [[cell(true, told) for told in parts] for true in parts],
        rows=maps.Side("truth", names),
        columns=maps.Side("estimated", names),
    )
    score = f"Pearson {in_words(group.score('pearson'), 'number')}"
    summary = (
        f"{score}; {int(np.trace(counts)):,} of {len(truth):,} rows are estimated in the part of the range that they are in."
    )
    columns = (Column("truth", "truth ↓ estimated →"), *(Column(name, name, "count") for name in names))
    rows: list[tuple[Value, ...]] = [(name, *row) for name, row in zip(names, counts.tolist(), strict=True)]
    note = "On the diagonal is what is about right. Shade: share of the rows with such a number."
    note += f" Summed over {len(group.runs)} seeds." * (len(group.runs) > 1)
    return Figure(
        "Estimated beside true", summary, picture, Table("numbers", "Rows by true and estimated number", columns, rows), note
    )


def _by_size(group: Group, truth: NDArray[np.float64], estimated: NDArray[np.float64], edges: NDArray[np.float64]) -> Table:
    """The error of the rows in each part of the range, and which way it goes."""
    part = np.clip(np.searchsorted(edges, truth, side="right") - 1, 0, len(edges) - 2)
    rows: list[tuple[Value, ...]] = []
    for number, (low, high) in enumerate(pairwise(edges.tolist())):
        error = (estimated - truth)[part == number]
        if len(error):
            means = (_mean(values, group.confidence) for values in (np.abs(error), error))
            rows.append((low, high, len(error), *means))
    columns = (
        FROM,
        TO,
        ROWS,
        column_of("mean_absolute_error"),
        Column("mean_error", "estimated minus truth, mean", "number"),
    )
    return Table("errors", "How far off, by the true number", columns, rows)


def _mean(values: NDArray[np.float64], confidence: float) -> Interval:
    """The mean of values (N,), rows resampled."""
    draws = np.concatenate([weights @ values / len(values) for weights in row_weights(len(values), RESAMPLES, 0)])
    return percentile_interval(float(values.mean()), draws, confidence)
