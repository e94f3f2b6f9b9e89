"""What `rankwise data FILE --suspects` does and prints: the rows whose label is probably wrong, by falling margin."""

from pathlib import Path
from typing import Any

import numpy as np
from rich.markup import escape

from rankwise.cli import console
from rankwise.cli.arguments import print_json
from rankwise.cli.options import check_apart
from rankwise.data.files.output import check_output, write_rows
from rankwise.data.files.table import Table, stream
from rankwise.data.labelled import read_training
from rankwise.data.pairs import SHOWN_BETWEEN, sides
from rankwise.data.tasks import ONE_LABEL, REGRESSION, SingleLabel
from rankwise.errors import DataError, nearest
from rankwise.recipe import DataSpec, SourceSpec
from rankwise.system.visible import one_line
from rankwise.workflows.suspects import FOLDS, Features, ListScores, Suspects, compare, find_suspects

SHOWN = 15
LEAST_AGREEMENT = 0.5  # of labels with the judge, below which it knows too little to judge
LONGEST = 300  # characters of a text that are shown at most
LEAST, BESIDE = 16, 40  # characters of each text of a pair, and of what stands beside both


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
    if table.task not in ONE_LABEL:
        raise DataError(
            f"{table.layout.path}: a text may have several labels, and rows are judged by one; judge the rows of each "
            "label in a column of its own: --set data.label=COLUMN"
        )
    labels = SingleLabel(classes).parse(table, classes, spec)
    with console.working("looking at every row by what the others say"):
        suspects = find_suspects(table.texts, labels, len(classes), features=features, base=base)
    true_labels = None if truth is None else _true_labels(sources.train, spec, table, truth)
    measured = {} if true_labels is None else _measured(suspects, table, true_labels)
    rows = _rows(suspects, table, classes, labels, true_labels)
    if out is not None:
        write_rows(out, list(rows[0]) if rows else ["row"], rows)
    if as_json:
        print_json(
            {
                "data": table.layout.describe(),
                "features": features,
                "rows": len(suspects.judged),
                "judged": int(suspects.judged.sum()),
                "probably_wrong": int(suspects.named.sum()),
                "against_truth": measured,
                "suspects": rows,
            }
        )
        return
    console.dim(table.layout.describe())
    _show(suspects, measured, rows, int(suspects.judged.sum()), classes)
    if out is not None:
        console.dim(f"{len(rows):,} rows → {out}")
    elif rows:
        console.dim("type --out suspects.csv to have them all")


def _rows(
    suspects: Suspects, table: Table, classes: tuple[str, ...], labels: Any, true_labels: list[str] | None
) -> list[dict[str, Any]]:
    columns = (suspects.indices, suspects.likely, suspects.label_probability, suspects.likely_probability, suspects.named)
    return [
        {
            "row": int(table.rows[index]),
            "label": classes[labels[index]],
            "likely": classes[likely],
            "p_label": round(own, 4),
            "p_likely": round(sure, 4),
            "probably_wrong": named,
            **({} if true_labels is None else {"truth": true_labels[index]}),
            **_texts(table, index),
        }
        for index, likely, own, sure, named in zip(*(column.tolist() for column in columns), strict=True)
    ]


def _texts(table: Table, index: int) -> dict[str, str]:
    """A row's text, or both of its pair."""
    return dict(zip(("text", "text_pair"), sides(table.texts[index]), strict=False))


def _true_labels(source: SourceSpec, spec: DataSpec, table: Table, column: str) -> list[str]:
    """The true label of each of the table's rows, "" where there is none."""
    layout, records = stream(source, spec)
    if column not in layout.columns:
        known = ", ".join(layout.columns)
        raise DataError(f"{layout.path}: no column '{column}' among {known}{nearest(column, layout.columns)}")
    wanted = set(table.rows.tolist())
    cells = (record.columns[column] for record in records if record.number in wanted)
    labels = ["" if cell.isspace() else cell for cell in cells]
    strange = set(labels) - {""}
    if not strange & set(table.labels or ()):
        raise DataError(
            f"{layout.path}: column '{column}' holds {', '.join(sorted(strange)[:4]) or 'nothing'}, none of which is a label "
            f"of column '{layout.label}'; expected the same class names"
        )
    return labels


def _measured(suspects: Suspects, table: Table, true_labels: list[str]) -> dict[str, ListScores]:
    """How well the rows that confident learning names, and all that are listed, match the true labels."""
    wrong = np.array([truth != label for truth, label in zip(true_labels, table.labels or (), strict=True)])
    known = np.array([truth != "" for truth in true_labels])
    lists = {"probably wrong": suspects.indices[suspects.named], "all listed": suspects.indices}
    return {name: compare(indices, wrong, known) for name, indices in lists.items()}


def _show(
    suspects: Suspects, measured: dict[str, ListScores], rows: list[dict[str, Any]], labels: int, classes: tuple[str, ...]
) -> None:
    named = int(suspects.named.sum())
    console.out.print(
        f"[bold]{named:,}[/] of {labels:,} labels are probably wrong ({named / labels:.1%}), by confident learning;\n"
        f"{len(rows):,} are not the likeliest class of their text ({len(rows) / labels:.1%})"
    )
    if labels < len(suspects.judged):
        console.note(f"{len(suspects.judged) - labels:,} rows of classes with fewer than {FOLDS} rows were not judged")
    agreement, majority = 1 - len(rows) / labels, float(suspects.joint.sum(axis=1).max() / suspects.joint.sum())
    if agreement < max(LEAST_AGREEMENT, 1.1 * majority):
        console.note(
            f"the judge itself gives {agreement:.0%} of the rows their label, where always answering the commonest gives "
            f"{majority:.0%}; it hardly tells these classes apart, so take the list for chance"
        )
    pairs = sorted((count, *pair) for pair, count in np.ndenumerate(suspects.joint) if count and pair[0] != pair[1])
    if commonest := [f"{classes[label]} → {classes[true]} {count:.0f}" for count, label, true in pairs[:-4:-1]]:
        console.dim(f"label → truly, estimated rows: {', '.join(commonest)}")
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


def _show_rows(rows: list[dict[str, Any]]) -> None:
    table = console.plain_table("row", "label", "likely", "margin", "text", right=(3,))
    table.columns[4].no_wrap, table.columns[4].ratio, table.expand = True, 1, True  # a line a row, cut where it ends
    for row in rows[:SHOWN]:
        texts = [row[side] for side in ("text", "text_pair") if side in row]
        most = LONGEST if len(texts) == 1 else max(LEAST, (console.out.width - BESIDE) // 2)
        text = SHOWN_BETWEEN.join(one_line(side, most) for side in texts)
        margin = f"{100 * (row['p_likely'] - row['p_label']):.0f}"
        table.add_row(f"{row['row']:,}", escape(row["label"]), escape(row["likely"]), margin, escape(text))
    console.out.print()
    console.out.print(table)
    console.dim("margin: by how many points the likely class has more probability than the label, largest first")
