"""Several recipes beside each other: leaderboard, verdicts, costs, trade-offs, curves, settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rankwise.errors import RunError
from rankwise.recipe.differences import differences
from rankwise.report.blocks import Column, Figure, Kind, Notes, Paragraph, Section, Table, Value, in_words, listed, percent
from rankwise.report.figures import charts
from rankwise.report.figures.lines import Series, lines_figure
from rankwise.report.groups import Group, pareto_front
from rankwise.stats.intervals import Interval
from rankwise.workflows.compare import Comparison, compare, settings_of_run


def leaderboard_section(groups: Sequence[Group]) -> Section:
    columns = (
        Column("recipe", "recipe"),
        Column("seeds", "seeds", "count"),
        Column("test_rows", "test rows", "count"),
        Column("accuracy", "accuracy, %", "share", interval=True),
        Column("macro_f1", "macro-F1, %", "share", interval=True),
        Column("log_loss", "log-loss", "number", interval=True),
        Column("trained_parameters", "trained parameters", "count"),
        Column("seconds", "training time", "seconds"),
        Column("peak_gb", "peak memory, GB", "number"),
    )
    ordered = sorted(groups, key=lambda found: -(found.score("accuracy").value or 0))
    rows: list[tuple[Value, ...]] = [
        (
            found.name,
            len(found.runs),
            found.first.scores.test.rows,
            found.score("accuracy"),
            found.score("macro_f1"),
            found.score("log_loss"),
            found.trained_parameters,
            found.seconds().value,
            found.peak_gb().value,
        )
        for found in ordered
    ]
    level = percent(groups[0].confidence, 0)
    what = "of one run over test rows, of several seeds over rows and seeds, of times over seeds alone"
    blocks = (
        Table("leaderboard", "By accuracy on the test rows", columns, tuple(rows)),
        Paragraph(f"Brackets are {level} intervals: {what}.", quiet=True),
    )
    return Section("leaderboard-section", "Leaderboard", blocks)


def compare_on_test_rows(groups: Sequence[Group]) -> Comparison | RunError:
    """All runs on the same test rows, or why they can't be compared."""
    try:
        return compare([run for one in groups for run in one.runs], confidence=groups[0].confidence)
    except RunError as problem:
        return problem


def verdicts_section(groups: Sequence[Group], found: Comparison | RunError) -> Section:
    """Each pair of recipes, on the same test rows; where the rows are not the same, why there are no pairs."""
    title, name = "Which is better", "verdicts-section"
    if isinstance(found, RunError):
        return Section(name, title, (Paragraph(f"These runs can't be set against each other row by row: {found}."),))
    names = {str(run.folder): one.name for one in groups for run in one.runs}
    ours = {system.name: names[system.runs[0]] for system in found.systems}
    pairs = [replace(pair, a=ours[pair.a], b=ours[pair.b]) for pair in found.pairs]
    columns = (
        Column("a", "recipe"),
        Column("b", "minus"),
        Column("accuracy", "accuracy, points", "signed", interval=True),
        Column("macro_f1", "macro-F1, points", "signed", interval=True),
        Column("p", "p", "rate"),
        Column("p_holm", "p after Holm", "rate"),
    )
    rows = tuple(
        (pair.a, pair.b, pair.accuracy.interval, pair.macro_f1.interval, pair.accuracy.p_value, pair.accuracy.p_holm)
        for pair in pairs
    )
    table = Table("differences", f"Differences on the same {found.test_rows:,} test rows", columns, rows)
    by_seed = [(pair.a, pair.b, test.seed, test.only_a, test.only_b, test.p_value) for pair in pairs for test in pair.mcnemar]
    columns = (
        Column("a", "recipe A"),
        Column("b", "recipe B"),
        Column("seed", "seed", "count"),
        Column("only_a", "rows that A alone has right", "count"),
        Column("only_b", "rows that B alone has right", "count"),
        Column("p", "p", "rate"),
    )
    mcnemar = (
        [Table("mcnemar", "McNemar's exact test, seed by seed", columns, tuple(by_seed), folded=True)] if by_seed else []
    )
    single = [one.name for one in groups if len(one.runs) == 1]
    seeds = f" Of {listed(single)} there is one seed, so nothing is known of others." if single else ""
    quiet = f"As rankwise compare finds it. p is of accuracy; Holm's correction counts all pairs.{seeds}"
    return Section(name, title, (Notes(tuple(map(found.verdict, pairs))), table, *mcnemar, Paragraph(quiet, quiet=True)))


def costs_section(groups: Sequence[Group]) -> Section:
    """The four charts of report 004: training time, trained parameters, loss, accuracy."""

    def figure(
        title: str, name: str, kind: Kind, label: str, values: list[Interval], dots: list[tuple[float, ...]]
    ) -> Figure:
        rows = [
            charts.Row(found.name, value, place, dots[place] if len(found.runs) > 1 else ())
            for place, (found, value) in enumerate(zip(groups, values, strict=True))
        ]
        draw = charts.bars if name in ("time", "parameters") else charts.dots
        words = "; ".join(f"{row.name} {in_words(row.value, kind)}" for row in rows)
        columns = (Column("recipe", "recipe"), Column(name, label, kind, interval=True))
        table = Table(f"compare-{name}", title, columns, tuple((row.name, row.value) for row in rows))
        return Figure(title, words, draw(rows, columns[1]), table)

    parameters = [Interval(float(found.trained_parameters), None, None) for found in groups]
    seconds = [tuple(run.facts.seconds.training for run in found.runs) for found in groups]
    figures = (
        figure("Training time", "time", "seconds", "training time", [found.seconds() for found in groups], seconds),
        figure("Trained parameters", "parameters", "count", "trained parameters", parameters, [()] * len(groups)),
        figure(
            "Loss on the test rows",
            "loss",
            "number",
            "log-loss, nats",
            [found.score("log_loss") for found in groups],
            [found.scores_of_runs("log_loss") for found in groups],
        ),
        figure(
            "Accuracy on the test rows",
            "accuracy",
            "share",
            "accuracy, %",
            [found.score("accuracy") for found in groups],
            [found.scores_of_runs("accuracy") for found in groups],
        ),
    )
    ticks = any(len(found.runs) > 1 for found in groups)
    note = (Paragraph("Ticks under a mark are the single runs.", quiet=True),) if ticks else ()
    return Section("costs-section", "Cost and quality", (*figures, *note))


def trade_offs_section(groups: Sequence[Group]) -> Section:
    accuracy = [found.score("accuracy") for found in groups]

    def figure(title: str, name: str, label: str, kind: Kind, costs: list[Interval]) -> Figure:
        points = [(cost.value or 0.0, score.value or 0.0) for cost, score in zip(costs, accuracy, strict=True)]
        best = pareto_front(points)
        spots = [
            charts.Spot(cost.value or 0.0, score, found.name, place)
            for place, (found, cost, score) in enumerate(zip(groups, costs, accuracy, strict=True))
        ]
        columns = (
            Column("recipe", "recipe"),
            Column(name, label, kind, interval=True),
            Column("accuracy", "accuracy, %", "share", interval=True),
            Column("on_front", "on the Pareto front"),
        )
        rows = [
            (found.name, cost, score, "yes" if place in best else "no")
            for place, (found, cost, score) in enumerate(zip(groups, costs, accuracy, strict=True))
        ]
        drawing = charts.scatter(spots, columns[1], columns[2], front=best, legend=True)
        table = Table(f"accuracy-{name}", title, columns, tuple(rows))
        return Figure(title, f"On the Pareto front: {listed([groups[place].name for place in best])}.", drawing, table)

    parameters = [Interval(float(found.trained_parameters), None, None) for found in groups]
    figures = (
        figure("Accuracy against training time", "against-time", "training time", "seconds", [g.seconds() for g in groups]),
        figure("Accuracy against trained parameters", "against-parameters", "trained parameters", "count", parameters),
    )
    note = "Dashed: the Pareto front, of recipes that no other beats in accuracy at the same cost or less."
    return Section("trade-off-section", "What more buys", (*figures, Paragraph(note, quiet=True)))


def curves_section(groups: Sequence[Group]) -> Section:
    def series(key: str) -> list[Series]:
        return [
            Series(
                group.name, [[(entry.epoch, getattr(entry, key)) for entry in history] for history in group.histories], index
            )
            for index, group in enumerate(groups)
        ]

    epoch = Column("epoch", "epoch", "number")
    loss, accuracy = Column("loss", "loss, nats", "number"), Column("accuracy", "accuracy, %", "share")
    figures = (
        lines_figure("Validation loss", "validation-loss", series("log_loss"), epoch, loss),
        lines_figure("Validation accuracy", "validation-accuracy", series("accuracy"), epoch, accuracy),
    )
    bands = any(len(found.runs) > 1 for found in groups)
    note = (
        (Paragraph("Lines are means over seeds, bands reach from the lowest to the highest.", quiet=True),) if bands else ()
    )
    return Section("curves-section", "On the way", (*figures, *note))


def settings_section(groups: Sequence[Group]) -> Section:
    unlike = differences([settings_of_run(found.first) for found in groups])
    columns = (Column("key", "key"), *(Column(found.name, found.name) for found in groups))
    rows = [(key, *(values[key] for values in unlike)) for key in unlike[0]]
    table = Table("settings", "Keys in which the recipes are not alike", columns, tuple(rows))
    empty = Paragraph("The recipes are alike in every key; their data differ.")
    return Section("settings-section", "What differs", (table if rows else empty,))
