"""Where a classifier is right and wrong: confusion, reliability, classes, the surest mistakes."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rankwise.data.pairs import SHOWN_BETWEEN
from rankwise.report.blocks import Block, Column, Figure, Part, Quotes, Section, Table
from rankwise.report.columns import ACCURACY, TEXT
from rankwise.report.figures import charts, maps
from rankwise.report.groups import Group
from rankwise.report.words import Value, in_words, percent, with_capital
from rankwise.run.folder import Run
from rankwise.stats.intervals import wilson
from rankwise.stats.scores import Mistake

MISTAKES = 10
MARKED, STRONG = 0.15, 0.5  # of a text's largest score: from where a word is marked, and strongly
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
    mistakes = [(run, mistake) for run in group.runs for mistake in run.scores.test.mistakes]
    surest: dict[int, tuple[Run, Mistake]] = {}  # of each row, once
    for run, one in sorted(mistakes, key=lambda pair: -(pair[1].confidence or 0.0)):
        surest.setdefault(one.row, (run, one))
    if surest:
        shown = list(surest.values())[:MISTAKES]
        predicted, confidence = Column("predicted", "predicted"), Column("confidence", "confidence, %", "share")
        columns = (Column("row", "row", "count"), TRUTH, predicted, confidence, Column("text", TEXT))
        rows = [(one.row, one.truth, one.predicted, one.confidence, one.text) for _, one in shown]
        table = Table("mistakes", "The most confident mistakes", columns, rows)
        blocks.append(Quotes(table, [parts_of(run, one) for run, one in shown] if group.explain else ()))
    return Section("mistakes-section", "Where it is right and wrong", blocks)


def parts_of(run: Run, mistake: Mistake) -> list[Part]:
    """A mistake's text in parts: the words that pulled toward the class that was predicted, or toward the true one."""
    texts = (mistake.text or "").split(SHOWN_BETWEEN) if run.preprocessing.reads_pairs else [mistake.text]
    if not mistake.text or len(texts) != 1 + run.preprocessing.reads_pairs:  # a pair with such an arrow in a text of its own
        return []
    begins = (0, len(mistake.text) - len(texts[-1] or ""))
    labels = dict(zip(run.preprocessing.classes, run.preprocessing.labels, strict=True))
    text = texts[0] if len(texts) == 1 else tuple(texts)
    given, true = _parted(run, mistake)
    if given is None and true is None:
        return []
    if given is None:  # a label that is missed: what pulls toward it pulls away from what was predicted
        (found,) = run.explain([text], label=labels[str(true)])
        found = replace(found, words=tuple(replace(word, score=-word.score) for word in found.words))
    else:
        (found,) = run.explain([text], label=labels[given], against=None if true is None else labels.get(true))
    most = max((abs(word.score) for word in found.words), default=0.0)
    parts, end = [], 0
    for word in found.words:
        if most and abs(word.score) >= MARKED * most:
            begin = begins[word.side]
            parts.append(Part(mistake.text[end : begin + word.start]))
            parts.append(Part(word.word, word.score, abs(word.score) >= STRONG * most))
            end = begin + word.end
    return [part for part in (*parts, Part(mistake.text[end:])) if part.text]


def _parted(run: Run, mistake: Mistake) -> tuple[str | None, str | None]:
    """(a class that a text was given and has not, the one it has in its place, or alone where none was given wrongly)."""
    classes = run.preprocessing.classes
    if mistake.predicted in classes and run.preprocessing.task is None:
        return mistake.predicted, mistake.truth
    given, true = ([name for name in shown.split(" + ") if name in classes] for shown in (mistake.predicted, mistake.truth))
    wrong, missed = ([name for name in some if name not in other] for some, other in ((given, true), (true, given)))
    if not run.preprocessing.columns:
        return (wrong[0], None) if wrong else (None, next(iter(missed), None))
    owners = [column for column, size in run.preprocessing.columns.items() for _ in range(size)]
    column_of = dict(zip(classes, owners, strict=True))
    pairs = [(one, other) for one in wrong for other in missed if column_of[one] == column_of[other]]
    return next(iter(pairs), (None, None))


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
