"""What changes to the texts, such as typos, make of a recipe's scores."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace

from rankwise.report.blocks import Code, Column, Figure, Section, Table, Value, in_words, shown
from rankwise.report.columns import ACCURACY, MACRO_F1
from rankwise.report.figures import charts
from rankwise.report.groups import SHARE, Group, run_name
from rankwise.run.format import SHIFT, KindScores, ShiftReport
from rankwise.stats.intervals import Interval
from rankwise.system.files import read_json


def shift_section(group: Group, prefix: str) -> Section:
    """What `rankwise evaluate --shift` left in the runs' folders, pooled over those that were measured on the same rows."""
    title, name = "Under shift", f"{prefix}shift-section"
    reports = [read_json(path, ShiftReport) for run in group.runs if (path := run.folder / SHIFT).is_file()]
    if not reports:
        commands = Code(
            "\n".join(f"rankwise evaluate {shlex.quote(run_name(run.folder))} DATA --shift" for run in group.runs)
        )
        lead = "Not measured. What typos, letter case, missing words and more make of the scores, this finds:"
        return Section(name, title, (commands,), lead=lead)
    first = reports[0]
    alike = [report for report in reports if _measured(report) == _measured(first)]
    rows = [_pooled_row(group, same) for same in zip(*(report.kinds for report in alike), strict=True)]
    kind, drop = Column("kind", "what is changed"), Column("drop", "drop, points", "share", interval=True)
    changed, example = Column("changed", "inputs changed, %", "share"), Column("example", "a text")
    columns = (kind, changed, ACCURACY, MACRO_F1, drop, example)
    table = Table(f"{prefix}shift", "Scores under shift", columns, tuple(rows))
    drops = [(str(row[0]), row[4]) for row in rows if isinstance(row[4], Interval)]
    runs = f" by {len(alike)} of {len(group.runs)} runs" if len(alike) < len(group.runs) else ""
    lead = f"{first.rows:,} rows of {first.source}, scored{runs} as they are and changed in {len(drops)} ways."
    if not drops:
        return Section(name, title, (table,), lead=lead)
    worst, most = max(drops, key=lambda named: named[1].value or 0)
    lead += f" Of these, {worst} costs most: {shown(most, 'share')} points of accuracy."
    summary = "; ".join(f"{what} {in_words(points, 'signed')}" for what, points in drops)
    axis = replace(drop, label="drop in accuracy, points")
    picture = charts.dots([charts.Row(*named) for named in drops], axis, zero=True)
    alone = Table(f"{prefix}shift-drop", "Drop in accuracy", (kind, drop), tuple(drops))
    return Section(name, title, (Figure("What each shift costs", summary, picture, alone), table), lead=lead)


def _measured(report: ShiftReport) -> tuple[str, int, list[str]]:
    """What two reports have alike that may be pooled: the rows, and what was changed in them."""
    return report.source, report.rows, [scores.kind for scores in report.kinds]


def _pooled_row(group: Group, of_runs: Sequence[KindScores]) -> tuple[Value, ...]:
    """A row of the table: name, share of rows changed, accuracy, macro-F1, drop, example."""
    first = of_runs[0]
    accuracy, macro_f1, drop = (
        group.pooled((getattr(scores, key) for scores in of_runs), within=within)
        for key, within in (("accuracy", SHARE), ("macro_f1", SHARE), ("drop", (-1.0, 1.0)))
    )
    if first.kind == "original":
        return "nothing", None, accuracy, macro_f1, None, first.example
    return first.kind.replace("_", " "), first.changed / first.rows, accuracy, macro_f1, drop, first.example
