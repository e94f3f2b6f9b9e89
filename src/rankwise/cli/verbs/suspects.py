"""What `rankwise data FILE --suspects` does and prints: the labels that are probably wrong, the surest first."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.markup import escape

from rankwise.cli import console
from rankwise.cli.arguments import print_json
from rankwise.cli.options import check_apart
from rankwise.data.files.output import check_output, write_rows
from rankwise.data.files.table import Table, stream
from rankwise.data.labelled import read_training
from rankwise.data.pairs import SHOWN_BETWEEN, sides
from rankwise.data.several import as_list
from rankwise.data.tasks import (
    LABEL_COLUMNS,
    MULTI_LABEL,
    REGRESSION,
    SINGLE_LABEL,
    Labels,
    Question,
    Task,
    by_number,
    column_sizes,
    read_as,
    tags_of,
    task_called,
)
from rankwise.errors import DataError, nearest
from rankwise.recipe import DataSpec, SourceSpec
from rankwise.system.visible import one_line
from rankwise.workflows.suspects import FOLDS, Features, ListScores, Suspects, compare, find_in_each

SHOWN = 15
LEAST_AGREEMENT = 0.5  # of labels with the judge, below which it knows too little to judge
LEAST_TOLD_APART = 0.6  # where a half is chance
LONGEST = 300  # characters of a text that are shown at most
LEAST, BESIDE = 16, 40  # characters of each text of a pair, and of what stands beside both


@dataclass(frozen=True)
class Found:
    """The suspects among the labels that rows have."""

    table: Table
    task: Task
    judged: tuple[tuple[Question, Suspects], ...]
    """What was judged: one label a text, each label column, or for each label whether texts have it."""
    left_out: tuple[str, ...]
    """The names of what has too few rows to be judged."""

    @property
    def labels(self) -> int:
        """How many were judged."""
        return sum(int(suspects.judged.sum()) for _, suspects in self.judged)

    @property
    def named(self) -> int:
        """How many are probably wrong."""
        return sum(int(suspects.named.sum()) for _, suspects in self.judged)

    def in_order(self) -> Iterator[tuple[Question, Suspects, int]]:
        """Each suspect as a place among those of its question, the surest first.

        One label a text by the margin of what is likely. Whether a text has one of several labels by how little of the
        label's usual probability it has, those that are probably wrong before the others: a margin would put all that
        the judge hardly knows first, which are the rare labels (benchmarks/suspects_several.py).
        """
        every = [(*one, place) for one in self.judged for place in range(len(one[1].indices))]
        told = [suspects for _, suspects in self.judged]
        named, own, usual, likely = (
            np.concatenate([getattr(suspects, name) for suspects in told])
            for name in ("named", "label_probability", "usual_probability", "likely_probability")
        )
        several = self.task.name == MULTI_LABEL
        order = np.lexsort((-usual, own / usual, ~named)) if several else np.argsort(own - likely, kind="stable")
        for number in order.tolist():
            yield every[number]


@dataclass(frozen=True)
class Truth:
    """The true labels of the rows."""

    cells: tuple[str, ...]
    """In words, as a table has labels; empty where it is not known."""
    known: NDArray[np.bool_] = field(repr=False)
    """(N,)"""
    labels: Labels = field(repr=False)
    """As the task has labels; of no meaning where they are not known."""


def name_suspects(
    spec: DataSpec, *, features: Features, base: str, truth: str | None, out: Path | None, as_json: bool
) -> None:
    """Find, print and perhaps write the suspects among the training rows. Raises DataError."""
    if out is not None:
        check_output(out)
    with console.working("reading the data"):
        sources, table, classes = read_training(spec)
    if out is not None:
        check_apart(out, sources.train.path)
    if table.task == REGRESSION:
        raise DataError(
            f"{table.layout.path}: its labels are numbers, and suspects are found among classes; the rows of a run that are "
            "farthest off are in rankwise evaluate and its report"
        )
    task = task_called(table.task, classes, columns=column_sizes(table))
    labels = task.parse(table, classes, spec)
    true = None if truth is None else _truth(sources.train, spec, table, task, truth)
    with console.working("looking at every row by what the others say"):
        found = _found(table, task, labels, features=features, base=base)
    measured = {} if true is None else _measured(found, true)
    rows = _rows(found, true)
    if out is not None:
        write_rows(out, list(rows[0]) if rows else ["row"], rows)
    if as_json:
        print_json(
            {
                "data": table.layout.describe(),
                "task": task.name,
                "features": features,
                "rows": len(table.texts),
                "judged": found.labels,
                "probably_wrong": found.named,
                "not_judged": found.left_out,
                "against_truth": measured,
                "suspects": rows,
            }
        )
        return
    console.dim(table.layout.describe())
    _show(found, measured, rows)
    if out is not None:
        console.dim(f"{len(rows):,} rows → {out}")
    elif rows:
        console.dim("type --out suspects.csv to have them all")


def _found(table: Table, task: Task, labels: Labels, *, features: Features, base: str) -> Found:
    questions = task.questions(labels)
    answers = [(question.labels, len(question.classes)) for question in questions]
    told = list(zip(questions, find_in_each(table.texts, answers, features=features, base=base), strict=True))
    judged = tuple((question, suspects) for question, suspects in told if suspects is not None)
    return Found(table, task, judged, tuple(question.name for question, suspects in told if suspects is None))


def _rows(found: Found, truth: Truth | None) -> list[dict[str, Any]]:
    """A row for each suspect, the surest first."""
    table, several = found.table, found.task.name == MULTI_LABEL
    tags = tags_of(table) if several else []
    turned = _turned(found) if several else {}
    rows = []
    for question, suspects, place in found.in_order():
        index, likely = int(suspects.indices[place]), int(suspects.likely[place])
        row: dict[str, Any] = {"row": int(table.rows[index])}
        if found.task.name == LABEL_COLUMNS:
            row["column"] = question.name
        row |= {
            "label": question.classes[question.labels[index]],
            "likely": question.classes[likely],
            "p_label": round(float(suspects.label_probability[place]), 4),
            "p_likely": round(float(suspects.likely_probability[place]), 4),
            "probably_wrong": bool(suspects.named[place]),
        }
        if several:
            proposed = set(tags[index]) ^ (turned.get(index, set()) | {question.name})
            row["p_usual"] = round(float(suspects.usual_probability[place]), 4)
            row |= {"labels": as_list(tags[index]), "proposed": as_list(sorted(proposed))}
        if truth is not None:
            row["truth"] = truth.cells[index]
        rows.append(row | _texts(table, index))
    return rows


def _turned(found: Found) -> dict[int, set[str]]:
    """Of several labels those that a row has and probably should not have, and the other way round; by its index."""
    turned: dict[int, set[str]] = {}
    for question, suspects in found.judged:
        for index in suspects.indices[suspects.named].tolist():
            turned.setdefault(index, set()).add(question.name)
    return turned


def _texts(table: Table, index: int) -> dict[str, str]:
    """A row's text, or both of its pair."""
    return dict(zip(("text", "text_pair"), sides(table.texts[index]), strict=False))


def _truth(source: SourceSpec, spec: DataSpec, table: Table, task: Task, column: str) -> Truth:
    """The true labels in a column. Raises DataError for one that has none, or rows with labels in several columns."""
    if table.layout.labels:
        raise DataError(
            f"--truth {column} is one column, and labels are in several ({', '.join(table.layout.labels[:4])}); judge one: "
            f"--label-column {table.layout.labels[0]}"
        )
    layout, records = stream(source, spec)
    if column not in layout.columns:
        known = ", ".join(layout.columns)
        raise DataError(f"{layout.path}: no column '{column}' among {known}{nearest(column, layout.columns)}")
    wanted = set(table.rows.tolist())
    cells = [record.columns[column] for record in records if record.number in wanted]
    known_rows = np.array([bool(cell) and not cell.isspace() for cell in cells])
    filled = replace(table.take(np.flatnonzero(known_rows)), labels=tuple(cell for cell in cells if cell.strip()))
    if task.name == MULTI_LABEL:
        filled = read_as(replace(filled, task=SINGLE_LABEL), MULTI_LABEL, task.classes)
    strange = {tag for row in tags_of(filled) for tag in row}
    if not (strange & set(task.classes) or by_number(strange, task.classes)):
        raise DataError(
            f"{layout.path}: column '{column}' holds {', '.join(sorted(strange)[:4]) or 'nothing'}, none of which is a label "
            f"of column '{layout.label}'; expected the same class names"
        )
    parsed = task.parse(filled, task.classes, spec.model_copy(update={"unseen_labels": "wrong"}))
    labels = np.zeros((len(cells), *parsed.shape[1:]), dtype=np.int64)
    labels[known_rows] = parsed
    words = np.full(len(cells), "", dtype=object)
    words[known_rows] = [as_list(task.names(row)) for row in parsed] if task.name == MULTI_LABEL else filled.labels
    return Truth(tuple(words.tolist()), known_rows, labels)


def _measured(found: Found, truth: Truth) -> dict[str, ListScores]:
    """How well the labels that confident learning names, and all that are listed, match the true ones."""
    true = {question.name: question.labels for question in found.task.questions(truth.labels)}
    rows = len(truth.known)
    wrong = np.concatenate([question.labels != true[question.name] for question, _ in found.judged])
    lists = {
        "probably wrong": [suspects.indices[suspects.named] for _, suspects in found.judged],
        "all listed": [suspects.indices for _, suspects in found.judged],
    }
    known = np.tile(truth.known, len(found.judged))
    return {
        name: compare(np.concatenate([indices + which * rows for which, indices in enumerate(several)]), wrong, known)
        for name, several in lists.items()
    }


def _show(found: Found, measured: dict[str, ListScores], rows: list[dict[str, Any]]) -> None:
    """Counts, what there is to know of the judge, what is commonly wrong, and the suspects of widest margin."""
    labels, several = found.labels, found.task.name == MULTI_LABEL
    rest = "are not what the other rows say" if several else "are not the likeliest class of their text"
    console.out.print(
        f"[bold]{found.named:,}[/] of {labels:,} {'answers' if several else 'labels'} are probably wrong "
        f"({found.named / labels:.1%}), by confident learning;\n{len(rows):,} {rest} ({len(rows) / labels:.1%})"
    )
    if several:
        console.dim("an answer: whether a text has a label")
    if found.left_out:
        console.note(f"fewer than {FOLDS} rows have, or lack, {', '.join(found.left_out)}: not judged")
    _show_by_label(found) if several else _show_by_column(found)
    if measured:
        headings = (f"{next(iter(measured.values())).wrong:,} wrong labels", "rows", "truly wrong", "precision %", "recall %")
        lists = [
            (name, f"{scores.listed:,}", f"{scores.right:,}", *map(console.percent, (scores.precision, scores.recall)))
            for name, scores in measured.items()
        ]
        console.out.print()
        console.out.print(console.plain_table(*headings, rows=lists))
    if rows:
        _show_rows(rows)


def _show_by_column(found: Found) -> None:
    """For each label column, or the one label, how much the judge knows and what is taken for what."""
    for question, suspects in found.judged:
        of = f"{question.name}: " if question.name else ""
        judged, known = int(suspects.judged.sum()), int((question.labels >= 0).sum())
        if judged < known:
            console.note(f"{of}{known - judged:,} rows of classes with fewer than {FOLDS} rows were not judged")
        agreement, majority = (
            1 - len(suspects.indices) / judged,
            float(suspects.joint.sum(axis=1).max() / suspects.joint.sum()),
        )
        if agreement < max(LEAST_AGREEMENT, 1.1 * majority):
            console.note(
                f"{of}the judge itself gives {agreement:.0%} of the rows their label, where always answering the commonest "
                f"gives {majority:.0%}; it hardly tells these classes apart, so take the list for chance"
            )
        pairs = sorted((count, *pair) for pair, count in np.ndenumerate(suspects.joint) if count and pair[0] != pair[1])
        names = question.classes
        if commonest := [f"{names[label]} → {names[true]} {count:.0f}" for count, label, true in pairs[:-4:-1]]:
            console.dim(f"{of}label → truly, estimated rows: {', '.join(commonest)}")


def _show_by_label(found: Found) -> None:
    """For each label how many rows probably should not have it, and how many lack it."""
    lines = []
    for question, suspects in found.judged:
        has = question.labels[suspects.indices[suspects.named]] == 1
        lines.append((question.name, int((question.labels == 1).sum()), int(has.sum()), int((~has).sum())))
    worst = sorted(lines, key=lambda line: -(line[2] + line[3]))[:SHOWN]
    table = [(escape(name), f"{own:,}", f"{too_much:,}", f"{lacking:,}") for name, own, too_much, lacking in worst]
    console.out.print()
    console.out.print(console.plain_table("label", "rows", "probably not", "probably missing", rows=table, right=(1, 2, 3)))
    if len(lines) > SHOWN:
        console.dim(f"and {len(lines) - SHOWN:,} labels more, with fewer that are probably wrong")
    if blind := [question.name for question, suspects in found.judged if suspects.told_apart < LEAST_TOLD_APART]:
        console.note(f"the judge hardly tells who has {', '.join(blind)}; take what it says of that for chance")


def _show_rows(rows: list[dict[str, Any]]) -> None:
    names = [name for name in ("row", "column", "label", "likely") if name in rows[0]]
    numbers = ("has %", "usual %") if "p_usual" in rows[0] else ("margin",)
    right = tuple(range(len(names), len(names) + len(numbers)))
    table = console.plain_table(*names, *numbers, "text", right=(0, *right))
    table.columns[-1].no_wrap, table.columns[-1].ratio, table.expand = True, 1, True  # a line a row, cut where it ends
    for row in rows[:SHOWN]:
        texts = [row[side] for side in ("text", "text_pair") if side in row]
        most = LONGEST if len(texts) == 1 else max(LEAST, (console.out.width - BESIDE) // 2)
        text = SHOWN_BETWEEN.join(one_line(side, most) for side in texts)
        told = [row["p_label"], row["p_usual"]] if "p_usual" in row else [row["p_likely"] - row["p_label"]]
        shown = (f"{100 * value:.0f}" for value in told)
        table.add_row(f"{row['row']:,}", *(escape(row[name]) for name in names[1:]), *shown, escape(text))
    console.out.print()
    console.out.print(table)
    if "p_usual" in rows[0]:
        console.dim("has: the label's probability by the other rows; usual: what rows with that label have in the mean")
    else:
        console.dim("margin: by how many points what is likely has more probability than the label, largest first")
