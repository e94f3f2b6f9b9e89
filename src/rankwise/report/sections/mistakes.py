"""Where a classifier is right and wrong: confusion, reliability, classes, the surest mistakes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rankwise.report.blocks import Block, Column, Figure, Quotes, Section, Table, Value, in_words, percent
from rankwise.report.columns import ACCURACY
from rankwise.report.figures import charts, maps
from rankwise.report.groups import Group
from rankwise.stats.intervals import wilson
from rankwise.stats.scores import Mistake

MISTAKES = 10
MOST_CLASSES = 60  # whose confusion matrix is drawn
PAIRS = 50  # of classes that are listed where there are more
SHADE_SHARES = (0.02, 0.1, 0.3, 0.6)  # of a class's rows, between the shades of the confusion matrix


def mistakes_section(group: Group, prefix: str) -> Section:
    classes = group.first.scores.classes
    confusion = _confusion if len(classes) <= MOST_CLASSES else _confusions
    blocks: list[Block] = [confusion(group, classes, prefix), _reliability(group, prefix), _per_class(group, prefix)]
    if quotes := _quotes(group):
        columns = (
            Column("row", "row", "count"),
            Column("truth", "truth"),
            Column("predicted", "predicted"),
            Column("confidence", "confidence, %", "share"),
            Column("text", "text"),
        )
        rows: tuple[tuple[Value, ...], ...] = tuple(
            (quote.row, quote.truth, quote.predicted, quote.confidence, quote.text) for quote in quotes
        )
        blocks.append(Quotes(quotes, Table(f"{prefix}mistakes", "The most confident mistakes", columns, rows)))
    return Section(f"{prefix}mistakes-section", "Where it is right and wrong", tuple(blocks))


def _matrix(group: Group) -> NDArray[np.int64]:
    """Rows per pair of true and predicted class, summed over the runs, (C, C)."""
    return np.asarray(np.sum([run.scores.test.confusion for run in group.runs], axis=0), dtype=np.int64)


def _confusions(group: Group, classes: Sequence[str], prefix: str) -> Table:
    """The commonest pairs, where there are too many classes for a matrix to be looked at."""
    matrix = _matrix(group)
    support = np.maximum(matrix.sum(axis=1), 1)
    wrong = matrix - np.diag(np.diag(matrix))
    commonest = np.argsort(-wrong, axis=None, kind="stable")[:PAIRS]
    pairs = [divmod(int(index), len(classes)) for index in commonest]
    columns = (
        Column("truth", "truth"),
        Column("predicted", "taken for"),
        Column("rows", "rows", "count"),
        Column("share", "% of the class", "share"),
    )
    rows = tuple(
        (classes[truth], classes[predicted], int(wrong[truth, predicted]), float(wrong[truth, predicted] / support[truth]))
        for truth, predicted in pairs
        if wrong[truth, predicted]
    )
    return Table(f"{prefix}confusions", f"The commonest mistakes among {len(classes)} classes", columns, rows)


def _confusion(group: Group, classes: Sequence[str], prefix: str) -> Figure:
    matrix = _matrix(group)
    support = matrix.sum(axis=1, keepdims=True)
    shares = matrix / np.maximum(support, 1)

    def cell(truth: int, predicted: int) -> maps.Cell:
        count, share = int(matrix[truth, predicted]), float(shares[truth, predicted])
        shade = 0 if count == 0 else 1 + sum(share >= edge for edge in SHADE_SHARES)
        hint = f"{classes[truth]} taken for {classes[predicted]}: {count:,}, {percent(share)} of the class"
        return maps.Cell(f"{count:,}", shade, hint)

    wrong = matrix - np.diag(np.diag(matrix))
    truth, predicted = divmod(int(wrong.argmax()), len(classes))
    most = (
        f"The commonest mistake: {classes[truth]} taken for {classes[predicted]}, {wrong.max():,} times."
        if wrong.any()
        else ""
    )
    over = f"Summed over {len(group.runs)} seeds." if len(group.runs) > 1 else ""
    words = " ".join(filter(None, (most, over)))
    cells = [[cell(row, column) for column in range(len(classes))] for row in range(len(classes))]
    picture = maps.heat(cells, rows=maps.Side("truth", classes), columns=maps.Side("predicted", classes))
    columns = (Column("truth", "truth ↓ predicted →"), *(Column(name, name, "count") for name in classes))
    rows: list[tuple[Value, ...]] = [(name, *row) for name, row in zip(classes, matrix.tolist(), strict=True)]
    table = Table(f"{prefix}confusion", "Confusion matrix", columns, tuple(rows))
    summary = f"{int(np.trace(matrix)):,} of {int(matrix.sum()):,} rows on the diagonal. {words}".rstrip()
    return Figure("Confusion matrix", summary, picture, table, note=f"{words} Shade: share of the true class.".lstrip())


def _reliability(group: Group, prefix: str) -> Figure:
    by_bin = zip(*(run.scores.test.reliability for run in group.runs), strict=True)
    bins, rows = [], []
    for same in by_bin:
        count = sum(one.rows for one in same)
        if not count:
            continue
        confidence = sum(one.rows * (one.confidence or 0.0) for one in same) / count
        right = sum(one.rows * (one.accuracy or 0.0) for one in same) / count
        accuracy = wilson(right, count / len(group.runs), group.confidence)
        bins.append(charts.Bin(confidence, accuracy, count))
        rows.append((same[0].low, same[0].high, count, confidence, accuracy))
    columns = (
        Column("above", "confidence above, %", "share"),
        Column("up_to", "up to, %", "share"),
        Column("rows", "rows", "count"),
        Column("confidence", "mean confidence, %", "share"),
        ACCURACY,
    )
    words = f"calibration error {in_words(group.score('calibration_error'), 'number')}"
    return Figure(
        "Reliability: is it as right as it is sure?",
        f"Accuracy against confidence in {len(bins)} bins; {words}.",
        charts.reliability(bins),
        Table(f"{prefix}reliability", "Reliability", columns, tuple(rows)),
        note=f"On the dashed line confidence and accuracy are equal; below it the model is too sure. {words.capitalize()}.",
    )


def _per_class(group: Group, prefix: str) -> Table:
    labels = {"precision": "precision, %", "recall": "recall, %", "f1": "F1, %"}
    scores = (Column(key, label, "share", interval=True) for key, label in labels.items())
    rows: list[tuple[Value, ...]] = []
    for index, name in enumerate(group.first.scores.classes):
        of_runs = [run.scores.test.per_class[index] for run in group.runs]
        rows.append((name, of_runs[0].support, *(group.pooled(getattr(run, key) for run in of_runs) for key in labels)))
    columns = (Column("class", "class"), Column("rows", "test rows", "count"), *scores)
    return Table(f"{prefix}classes", "By class", columns, tuple(rows))


def _quotes(group: Group) -> tuple[Mistake, ...]:
    """The most confident mistakes of all runs, each text once."""
    mistakes = [mistake for run in group.runs for mistake in run.scores.test.mistakes]
    surest: dict[int, Mistake] = {}
    for mistake in sorted(mistakes, key=lambda mistake: -mistake.confidence):
        surest.setdefault(mistake.row, mistake)
    return tuple(surest.values())[:MISTAKES]
