"""What a recipe scored: beside its baselines, seed by seed, and on texts that were changed, such as with typos."""

from collections.abc import Sequence
from dataclasses import replace

from rankwise.errors import as_typed
from rankwise.report.blocks import Block, Code, Column, Figure, Section, Table
from rankwise.report.columns import ACCURACY, BEST_UPDATE, RUN, SECONDS, SEED, TEXT, column_of, columns_of
from rankwise.report.figures import charts
from rankwise.report.groups import Group
from rankwise.report.words import Value, in_words, listed, percent, run_name, shown, with_capital
from rankwise.run.format import SHIFT, KindScores, ShiftReport
from rankwise.stats.intervals import Interval
from rankwise.stats.score_names import MINIMISED, called
from rankwise.system.sealed import read_sealed

NONE = Interval(None, None, None)
SYSTEM = Column("system", "on the test rows")
Scored = dict[str, dict[str, Interval]]  # of each system, its scores by name


def scores_section(group: Group) -> Section:
    own = "this recipe" if len(group.runs) > 1 else "this run"
    columns = {key: column_of(key) for key in group.first.scores.test.names}
    systems: Scored = {own: {key: group.score(key) for key in columns}}
    for name in baselines(group):
        scores = [run.scores.baselines[name] for run in group.runs]
        systems[name] = {key: group.pooled(scores, key) for key in (*columns, "difference")}
    rows: list[tuple[Value, ...]] = [(name, *(of_name[key] for key in columns)) for name, of_name in systems.items()]
    unseen = [run.scores.test_not_in_training for run in group.runs if run.scores.test_not_in_training]
    if len(unseen) == len(group.runs):
        known = columns if unseen[0].more else ("accuracy", "macro_f1")
        pooled = [group.pooled(unseen, key) if key in known else NONE for key in columns]
        rows.insert(1, (f"{own}, on texts that are not in training", *pooled))
    level = percent(group.confidence, 0)
    task = group.first.task
    first, loss = column_of(task.headline[0]), columns_of(task)[2]
    of_loss = with_capital(loss.label.removesuffix(", nats"))
    blocks: list[Block] = [
        _beside_baselines(group, systems, first, f"{with_capital(first.label.removesuffix(', %'))} on the test rows"),
        _beside_baselines(group, systems, loss, f"{of_loss} on the test rows; less is better"),
        Table("scores", f"Scores, with {level} intervals", (SYSTEM, *columns.values()), rows, marked={0}),
    ]
    if len(group.runs) == 1:
        what = f"Brackets are {level} bootstrap intervals over test rows; they say nothing of other seeds or other data."
    else:
        blocks.append(_each_run(group, (ACCURACY if task.has_classes else first, loss)))
        seeds = f"Means over {len(group.runs)} seeds ({listed(group.seeds)})"
        what = f"{seeds}; brackets are {level} intervals that count seeds and test rows."
    return Section("scores-section", "Scores", blocks, note=what)


def baselines(group: Group) -> list[str]:
    """The baselines that every run of the group was scored beside."""
    return [name for name in group.first.scores.baselines if all(name in run.scores.baselines for run in group.runs)]


def _beside_baselines(group: Group, systems: Scored, column: Column, title: str) -> Figure:
    """A score beside the baselines'; of one answer to everything in words alone: it would squeeze the others together."""
    values = {name: scores[column.name] for name, scores in systems.items()}
    words = {name: in_words(value, column.kind) for name, value in values.items()}
    own = group.of_runs(lambda run: run.scores.test.named(column.name).value)
    floor, points = group.first.task.floor, group.first.task.points
    drawn = [
        charts.Row(name, value, 5 if index else 0, () if index else own)
        for index, (name, value) in enumerate(values.items())
        if name != floor
    ]
    columns: list[Column] = [SYSTEM, column]
    rows: list[tuple[Value, ...]] = list(values.items())
    if column.name not in MINIMISED:
        columns.append(Column("ahead", f"ahead by, {points}", "signed"))
        rows = [(*row, systems[name].get("difference", NONE)) for row, name in zip(rows, systems, strict=True)]
    summary = "; ".join(f"{name} {score}" for name, score in words.items())
    note = f"Always answering the {floor}: {words[floor]}." if floor in words else ""
    return Figure(title, summary, charts.estimates(drawn, column), Table(column.name, title, columns, rows), note)


def _each_run(group: Group, scores: Sequence[Column]) -> Table:
    rows: list[tuple[Value, ...]] = []
    for run in group.runs:
        test, facts = run.scores.test, run.facts
        costs = (facts.seconds.training, facts.best.step)
        rows.append((run_name(run.folder), run.recipe.train.seed, *(test.named(one.name) for one in scores), *costs))
    return Table("runs", "Each run", (RUN, SEED, *scores, SECONDS, BEST_UPDATE), rows)


def shift_section(group: Group) -> Section:
    """What `rankwise evaluate --shift` left in the runs' folders, pooled over those that were measured on the same rows."""
    title, name = "Under shift", "shift-section"
    reports = [read_sealed(path, ShiftReport) for run in group.runs if (path := run.folder / SHIFT).is_file()]
    if not reports:
        commands = (f"rankwise evaluate {as_typed(run_name(run.folder))} DATA --shift" for run in group.runs)
        lead = "Not measured. What typos, letter case, missing words and more make of the scores, this finds:"
        return Section(name, title, [Code("\n".join(commands))], lead=lead)
    first = reports[0]
    alike = [report for report in reports if _measured(report) == _measured(first)]
    keys = ("r2", "pearson") if first.of_numbers else ("accuracy", "macro_f1")
    rows = [_pooled_row(group, same, keys) for same in zip(*(report.kinds for report in alike), strict=True)]
    kind, drop = Column("kind", "what is changed"), Column("drop", "drop, points", "share")
    changed, example = Column("changed", "inputs changed, %", "share"), Column("example", TEXT)
    table = Table("shift", "Scores under shift", (kind, changed, *map(column_of, keys), drop, example), rows)
    drops = [(str(row[0]), row[4]) for row in rows if isinstance(row[4], Interval)]
    runs = f" by {len(alike)} of {len(group.runs)} runs" if len(alike) < len(group.runs) else ""
    lead = f"{first.rows:,} rows of {first.source}, scored{runs} as they are and changed in {len(drops)} ways."
    if not drops:
        return Section(name, title, [table], lead=lead)
    worst, most = max(drops, key=lambda named: named[1].value or 0)
    lead += f" Of these, {worst} costs most: {shown(most, 'share')} points of {called(keys[0])}."
    summary = "; ".join(f"{what} {in_words(points, 'signed')}" for what, points in drops)
    axis = replace(drop, label=f"drop in {called(keys[0])}, points")
    picture = charts.estimates([charts.Row(*named) for named in drops], axis, zero=True)
    alone = Table("shift-drop", f"Drop in {called(keys[0])}", (kind, drop), drops)
    return Section(name, title, [Figure("What each shift costs", summary, picture, alone), table], lead=lead)


def _measured(report: ShiftReport) -> tuple[str, int, list[str]]:
    """What two reports have alike that may be pooled: the rows, and what was changed in them."""
    return report.source, report.rows, [scores.kind for scores in report.kinds]


def _pooled_row(group: Group, of_runs: Sequence[KindScores], keys: tuple[str, str]) -> tuple[Value, ...]:
    """A row of the table: name, share of rows changed, two scores, drop, example."""
    first = of_runs[0]
    one, other, drop = (group.pooled(of_runs, key) for key in (*keys, "drop"))
    if first.kind == "original":
        return "nothing", None, one, other, None, first.example
    return first.kind.replace("_", " "), first.changed / first.rows, one, other, drop, first.example
