"""Where a classifier is right and wrong: confusion, reliability, classes, the surest mistakes."""

import numpy as np
from numpy.typing import NDArray

from rankwise.report.blocks import Block, Column, Figure, Quotes, Section, Table
from rankwise.report.columns import ACCURACY, TEXT
from rankwise.report.figures import charts, maps
from rankwise.report.groups import Group
from rankwise.report.words import Value, in_words, percent, with_capital
from rankwise.stats.intervals import wilson

MISTAKES = 10
MOST_CLASSES = 60  # whose confusion matrix is drawn
PAIRS = 50  # of classes that are listed where there are more
SHADE_SHARES = (0.02, 0.1, 0.3, 0.6)  # of a class's rows, between the shades of the confusion matrix
TRUTH, ROWS = Column("truth", "truth"), Column("rows", "rows", "count")


def mistakes_section(group: Group) -> Section:
    classes = group.first.scores.classes
    blocks: list[Block] = [_reliability(group), _per_class(group)]
    if group.first.scores.test.confusion:
        matrix = np.asarray(np.sum([run.scores.test.confusion for run in group.runs], axis=0), dtype=np.int64)  # (C, C)
        few = len(classes) <= MOST_CLASSES
        blocks.insert(0, _matrix(group, matrix, classes) if few else _commonest(matrix, classes))
    mistakes = [mistake for run in group.runs for mistake in run.scores.test.mistakes]
    surest: dict[int, tuple[Value, ...]] = {}  # of each row, once
    for one in sorted(mistakes, key=lambda mistake: -mistake.confidence):
        surest.setdefault(one.row, (one.row, one.truth, one.predicted, one.confidence, one.text))
    if surest:
        predicted, confidence = Column("predicted", "predicted"), Column("confidence", "confidence, %", "share")
        columns = (Column("row", "row", "count"), TRUTH, predicted, confidence, Column("text", TEXT))
        table = Table("mistakes", "The most confident mistakes", columns, list(surest.values())[:MISTAKES])
        blocks.append(Quotes(table))
    return Section("mistakes-section", "Where it is right and wrong", blocks)


def _matrix(group: Group, matrix: NDArray[np.int64], classes: tuple[str, ...]) -> Figure:
    """The confusion matrix of all runs, (C, C), truth down; shades are shares of the true class."""
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)

    def cell(truth: int, predicted: int) -> maps.Cell:
        count, share = int(matrix[truth, predicted]), float(shares[truth, predicted])
        shade = 0 if count == 0 else 1 + sum(share >= edge for edge in SHADE_SHARES)
        hint = f"{classes[truth]} taken for {classes[predicted]}: {count:,}, {percent(share)} of the class"
        return maps.Cell(f"{count:,}", shade, hint)

    notes = []
    if pairs := _commonest(matrix, classes).rows:
        truth, predicted, count, _ = pairs[0]
        notes.append(f"The commonest mistake: {truth} taken for {predicted}, {count:,} times.")
    if len(group.runs) > 1:
        notes.append(f"Summed over {len(group.runs)} seeds.")
    indices = range(len(classes))
    cells = [[cell(truth, predicted) for predicted in indices] for truth in indices]
    picture = maps.heat(cells, rows=maps.Side("truth", classes), columns=maps.Side("predicted", classes))
    columns = (Column("truth", "truth ↓ predicted →"), *(Column(name, name, "count") for name in classes))
    rows: list[tuple[Value, ...]] = [(name, *row) for name, row in zip(classes, matrix.tolist(), strict=True)]
    right = f"{int(np.trace(matrix)):,} of {int(matrix.sum()):,} rows on the diagonal."
    note = " ".join([*notes, "Shade: share of the true class."])
    table = Table("confusion", "Confusion matrix", columns, rows)
    return Figure("Confusion matrix", " ".join([right, *notes]), picture, table, note)


def _commonest(matrix: NDArray[np.int64], classes: tuple[str, ...]) -> Table:
    """The commonest mistakes, where there are too many classes for a matrix to be looked at."""
    wrong = matrix - np.diag(np.diag(matrix))
    commonest = np.argsort(-wrong, axis=None, kind="stable")[:PAIRS].tolist()
    rows = [
        (classes[truth], classes[predicted], int(count), float(count / matrix[truth].sum()))
        for truth, predicted in (divmod(at, len(classes)) for at in commonest)
        if (count := wrong[truth, predicted])
    ]
    columns = (TRUTH, Column("predicted", "taken for"), ROWS, Column("share", "% of the class", "share"))
    return Table("confusions", f"The commonest mistakes among {len(classes)} classes", columns, rows)


def _reliability(group: Group) -> Figure:
    bins, rows = [], []
    for same in zip(*(run.scores.test.reliability for run in group.runs), strict=True):
        if not (count := sum(one.rows for one in same)):
            continue
        confidence = sum(one.rows * (one.confidence or 0.0) for one in same) / count
        right = sum(one.rows * (one.accuracy or 0.0) for one in same) / count
        accuracy = wilson(right, count / len(group.runs), group.confidence)
        bins.append((count, confidence, accuracy))
        rows.append((same[0].low, same[0].high, count, confidence, accuracy))
    ends = (Column("above", "confidence above, %", "share"), Column("up_to", "up to, %", "share"))
    columns = (*ends, ROWS, Column("confidence", "mean confidence, %", "share"), ACCURACY)
    table = Table("reliability", "Reliability", columns, rows)
    words = f"calibration error {in_words(group.score('calibration_error'), 'number')}"
    summary = f"Accuracy against confidence in {len(bins)} bins; {words}."
    note = f"On the dashed line confidence and accuracy are equal; below it the model is too sure. {with_capital(words)}."
    return Figure("Reliability: is it as right as it is sure?", summary, charts.reliability(bins), table, note)


def _per_class(group: Group) -> Table:
    labels = {"precision": "precision, %", "recall": "recall, %", "f1": "F1, %"}
    scores = (Column(key, label, "share") for key, label in labels.items())
    rows: list[tuple[Value, ...]] = []
    for index, name in enumerate(group.first.scores.classes):
        of_runs = [run.scores.test.per_class[index] for run in group.runs]
        rows.append((name, of_runs[0].support, *(group.pooled(of_runs, key) for key in labels)))
    return Table("classes", "By class", (Column("class", "class"), Column("rows", "test rows", "count"), *scores), rows)
