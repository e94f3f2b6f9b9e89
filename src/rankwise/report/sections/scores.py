"""What a recipe scored: beside its baselines, by seed, and under shift."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from rankwise.report.blocks import (
    Block,
    Code,
    Column,
    Figure,
    Kind,
    Paragraph,
    Section,
    Table,
    Value,
    in_words,
    listed,
    percent,
    shown,
)
from rankwise.report.figures import charts
from rankwise.report.sections.groups import LIMITS, SHARE, Group, run_name
from rankwise.stats.intervals import Interval
from rankwise.workflows.under_shift import FILE

NONE = Interval(None, None, None)
SCORES: Mapping[str, tuple[str, Kind]] = {
    "accuracy": ("accuracy, %", "share"),
    "macro_f1": ("macro-F1, %", "share"),
    "mcc": ("MCC", "number"),
    "log_loss": ("log-loss, nats", "number"),
    "calibration_error": ("calibration error", "number"),
}
MAJORITY = "majority class"
Scored = tuple[str, dict[str, Interval], Interval]  # a system's name, its scores, how far this recipe's accuracy is above


def scores_section(group: Group, prefix: str) -> Section:
    own = "this recipe" if len(group.runs) > 1 else "this run"
    systems: list[Scored] = [(own, {key: group.score(key) for key in SCORES}, NONE)]
    for name, gain in gains(group).items():
        of = [run.scores["baselines"][name] for run in group.runs]
        found = {key: group.pooled((scores[key] for scores in of), within=LIMITS.get(key, SHARE)) for key in SCORES}
        systems.append((name, found, gain))
    columns = (
        Column("system", "on the test rows"),
        *(Column(key, label, kind, interval=True) for key, (label, kind) in SCORES.items()),
    )
    rows: list[tuple[Value, ...]] = [(name, *found.values()) for name, found, _ in systems]
    clean = [run.scores.get("test_not_in_training") for run in group.runs]
    if all(clean):
        without = {key: group.pooled(scores[key] for scores in clean if scores) for key in ("accuracy", "macro_f1")}
        rows.insert(1, (f"{own}, on texts that are not in training", *(without.get(key, NONE) for key in SCORES)))
    everything = Table(
        f"{prefix}scores",
        f"Scores, with {percent(group.confidence, 0)} intervals",
        columns,
        tuple(rows),
        marked=frozenset({0}),
    )
    blocks: list[Block] = [
        _beside(group, systems, prefix, "accuracy", "Accuracy on the test rows"),
        _beside(group, systems, prefix, "log_loss", "Log-loss on the test rows; less is better"),
        everything,
    ]
    if len(group.runs) > 1:
        blocks.append(_each_run(group, prefix))
    blocks.append(Paragraph(_what_intervals_say(group), quiet=True))
    return Section(f"{prefix}scores-section", "Scores", tuple(blocks))


def _beside(group: Group, systems: Sequence[Scored], prefix: str, key: str, title: str) -> Figure:
    """A score beside the baselines'; that of the majority class in words alone, for it would squeeze the others together."""
    label, kind = SCORES[key]
    drawn = [(name, found[key]) for name, found, _ in systems if name != MAJORITY]
    own = group.scores(key) if len(group.runs) > 1 else ()
    rows = [charts.Row(name, value, 5 if place else 0, () if place else own) for place, (name, value) in enumerate(drawn)]
    words = {name: in_words(found[key], kind) for name, found, _ in systems}
    columns = [Column("system", "on the test rows"), Column(key, label, kind, interval=True)]
    values: list[tuple[Value, ...]] = [(name, found[key]) for name, found, _ in systems]
    if key == "accuracy":
        columns.append(Column("ahead", "ahead by, points", "signed", interval=True))
        values = [(name, found[key], gain) for name, found, gain in systems]
    said = "; ".join(f"{name} {score}" for name, score in words.items())
    note = f"Always answering the {MAJORITY}: {words[MAJORITY]}." if MAJORITY in words else ""
    table = Table(f"{prefix}{key}", title, tuple(columns), tuple(values))
    return Figure(title, said, charts.dots(rows, label=label, kind=kind), table, note)


def gains(group: Group) -> dict[str, Interval]:
    """How far accuracy is above each baseline that every run of the group was scored beside."""
    names = [name for name in group.first.scores["baselines"] if all(name in run.scores["baselines"] for run in group.runs)]
    return {
        name: group.pooled((run.scores["baselines"][name]["difference"] for run in group.runs), within=(-1.0, 1.0))
        for name in names
    }


def _each_run(group: Group, prefix: str) -> Table:
    columns = (
        Column("run", "run"),
        Column("seed", "seed", "count"),
        Column("accuracy", "accuracy, %", "share", interval=True),
        Column("log_loss", "log-loss", "number", interval=True),
        Column("seconds", "training time", "seconds"),
        Column("best_step", "best at update", "count"),
    )
    rows = []
    for run in group.runs:
        test = run.scores["test"]
        scores = (Interval(**test["accuracy"]), Interval(**test["log_loss"]))
        facts = run.facts
        rows.append(
            (run_name(run.folder), run.recipe.train.seed, *scores, facts["seconds"]["training"], facts["best"]["step"])
        )
    return Table(f"{prefix}runs", "Each run", columns, tuple(rows))


def _what_intervals_say(group: Group) -> str:
    level = percent(group.confidence, 0)
    if len(group.runs) == 1:
        return f"Brackets are {level} bootstrap intervals over test rows; they say nothing of other seeds or other data."
    return (
        f"Means over {len(group.runs)} seeds ({listed([str(seed) for seed in group.seeds])}); brackets are {level} intervals "
        "that count seeds and test rows."
    )


def shift_section(group: Group, prefix: str) -> Section:
    """What `rankwise evaluate --shift` left in the runs' folders, pooled over those that were measured on the same rows."""
    title, name = "Under shift", f"{prefix}shift-section"
    reports = [json.loads(path.read_text("utf-8")) for run in group.runs if (path := run.folder / FILE).is_file()]
    if not reports:
        commands = Code(
            "\n".join(f"rankwise evaluate {shlex.quote(run_name(run.folder))} DATA --shift" for run in group.runs)
        )
        lead = "Not measured. What typos, letter case, missing words and more make of the scores, this finds:"
        return Section(name, title, (commands,), lead=lead)
    first = reports[0]
    alike = [one for one in reports if _measured(one) == _measured(first)]
    kinds = [_pooled_kind(group, same) for same in zip(*(one["kinds"] for one in alike), strict=True)]
    columns = (
        Column("kind", "what is changed"),
        Column("changed", "inputs changed, %", "share"),
        Column("accuracy", "accuracy, %", "share", interval=True),
        Column("macro_f1", "macro-F1, %", "share", interval=True),
        Column("drop", "drop, points", "share", interval=True),
        Column("example", "a text"),
    )
    table = Table(f"{prefix}shift", "Scores under shift", columns, tuple(kinds))
    drops = [(str(kind[0]), kind[4]) for kind in kinds if isinstance(kind[4], Interval)]
    runs = f" by {len(alike)} of {len(group.runs)} runs" if len(alike) < len(group.runs) else ""
    lead = f"{first['rows']:,} rows of {first['source']}, scored{runs} as they are and changed in {len(drops)} ways."
    if not drops:
        return Section(name, title, (table,), lead=lead)
    worst, most = max(drops, key=lambda drop: drop[1].value or 0)
    lead += f" Of these, {worst} costs most: {shown(most, 'share')} points of accuracy."
    said = "; ".join(f"{kind} {in_words(drop, 'signed')}" for kind, drop in drops)
    drawing = charts.dots([charts.Row(*drop) for drop in drops], label="drop in accuracy, points", kind="share", zero=True)
    alone = Table(f"{prefix}shift-drop", "Drop in accuracy", (columns[0], columns[4]), tuple(drops))
    return Section(name, title, (Figure("What each shift costs", said, drawing, alone), table), lead=lead)


def _measured(report: Mapping[str, Any]) -> tuple[Any, ...]:
    """What two reports have alike that may be pooled: the rows, and what was changed in them."""
    return report["source"], report["rows"], [kind["kind"] for kind in report["kinds"]]


def _pooled_kind(group: Group, of_runs: Sequence[Mapping[str, Any]]) -> tuple[Value, ...]:
    """A row of the table: name, share of rows changed, accuracy, macro-F1, drop, example."""
    first = of_runs[0]
    accuracy, macro_f1, drop = (
        group.pooled((scores[key] for scores in of_runs), within=within)
        for key, within in (("accuracy", SHARE), ("macro_f1", SHARE), ("drop", (-1.0, 1.0)))
    )
    if first["kind"] == "original":
        return "nothing", None, accuracy, macro_f1, None, first["example"]
    changed = first["changed"] / first["rows"]
    return first["kind"].replace("_", " "), changed, accuracy, macro_f1, drop, first["example"]
