"""Several recipes beside each other: leaderboard, verdicts, costs, trade-offs, curves, settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rankwise.errors import RunError
from rankwise.recipe.differences import differences
from rankwise.report.blocks import Block, Column, Figure, Notes, Paragraph, Section, Table, Value, in_words, listed, percent
from rankwise.report.columns import (
    ACCURACY,
    EPOCH,
    LOG_LOSS,
    MACRO_F1,
    ON_FRONT,
    PEAK_GB,
    RECIPE,
    SECONDS,
    SEED,
    TRAINED_PARAMETERS,
)
from rankwise.report.figures import charts
from rankwise.report.figures.lines import Series, lines_figure
from rankwise.report.groups import Group, pareto_front
from rankwise.stats.intervals import Interval
from rankwise.workflows.compare import Comparison, Pair, compare, settings_of_run

TIME, PARAMETERS = replace(SECONDS, interval=True), replace(TRAINED_PARAMETERS, interval=True)


def leaderboard_section(groups: Sequence[Group]) -> Section:
    counts = (Column("seeds", "seeds", "count"), Column("test_rows", "test rows", "count"))
    columns = (RECIPE, *counts, ACCURACY, MACRO_F1, LOG_LOSS, TRAINED_PARAMETERS, SECONDS, PEAK_GB)
    rows: list[tuple[Value, ...]] = []
    for group in sorted(groups, key=lambda group: -(group.score("accuracy").value or 0)):
        scores = (group.score("accuracy"), group.score("macro_f1"), group.score("log_loss"))
        costs = (group.trained_parameters, group.seconds().value, group.peak_gb().value)
        rows.append((group.name, len(group.runs), group.first.scores.test.rows, *scores, *costs))
    level = percent(groups[0].confidence, 0)
    what = "of one run over test rows, of several seeds over rows and seeds, of times over seeds alone"
    table = Table("leaderboard", "By accuracy on the test rows", columns, tuple(rows))
    brackets = Paragraph(f"Brackets are {level} intervals: {what}.", quiet=True)
    return Section("leaderboard-section", "Leaderboard", (table, brackets))


def compare_on_test_rows(groups: Sequence[Group]) -> Comparison | RunError:
    """All runs on the same test rows, or why they can't be compared."""
    try:
        return compare([run for group in groups for run in group.runs], confidence=groups[0].confidence)
    except RunError as problem:
        return problem


def verdicts_section(groups: Sequence[Group], comparison: Comparison | RunError) -> Section:
    """Each pair of recipes, on the same test rows; where the rows are not the same, why there are no pairs."""
    title, name = "Which is better", "verdicts-section"
    if isinstance(comparison, RunError):
        return Section(name, title, (Paragraph(f"These runs can't be set against each other row by row: {comparison}."),))
    recipe_of = {str(run.folder): group.name for group in groups for run in group.runs}
    names = {system.name: recipe_of[system.runs[0]] for system in comparison.systems}
    pairs = [replace(pair, a=names[pair.a], b=names[pair.b]) for pair in comparison.pairs]
    blocks: list[Block] = [Notes(tuple(map(comparison.verdict, pairs))), _differences(pairs, comparison.test_rows)]
    if any(pair.mcnemar for pair in pairs):
        blocks.append(_mcnemar(pairs))
    single = [group.name for group in groups if len(group.runs) == 1]
    seeds = f" Of {listed(single)} there is one seed, so nothing is known of others." if single else ""
    how = f"As rankwise compare finds it. p is of accuracy; Holm's correction counts all pairs.{seeds}"
    return Section(name, title, (*blocks, Paragraph(how, quiet=True)))


def _differences(pairs: Sequence[Pair], test_rows: int) -> Table:
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
    return Table("differences", f"Differences on the same {test_rows:,} test rows", columns, rows)


def _mcnemar(pairs: Sequence[Pair]) -> Table:
    columns = (
        Column("a", "recipe A"),
        Column("b", "recipe B"),
        SEED,
        Column("only_a", "rows that A alone has right", "count"),
        Column("only_b", "rows that B alone has right", "count"),
        Column("p", "p", "rate"),
    )
    tests = [(pair.a, pair.b, test) for pair in pairs for test in pair.mcnemar]
    rows = tuple((a, b, test.seed, test.only_a, test.only_b, test.p_value) for a, b, test in tests)
    return Table("mcnemar", "McNemar's exact test, seed by seed", columns, rows, folded=True)


def costs_section(groups: Sequence[Group]) -> Section:
    """The four charts of report 004: training time, trained parameters, loss, accuracy."""

    def figure(title: str, name: str, column: Column, values: list[Interval], of_runs: list[tuple[float, ...]]) -> Figure:
        rows = [
            charts.Row(group.name, value, index, of_runs[index] if len(group.runs) > 1 else ())
            for index, (group, value) in enumerate(zip(groups, values, strict=True))
        ]
        draw = charts.bars if column.kind in ("seconds", "count") else charts.dots
        summary = "; ".join(f"{row.name} {in_words(row.value, column.kind)}" for row in rows)
        table = Table(f"compare-{name}", title, (RECIPE, column), tuple((row.name, row.value) for row in rows))
        return Figure(title, summary, draw(rows, column), table)

    def of_score(title: str, name: str, column: Column) -> Figure:
        values = [group.score(column.name) for group in groups]
        return figure(title, name, column, values, [group.scores_of_runs(column.name) for group in groups])

    seconds = [tuple(run.facts.seconds.training for run in group.runs) for group in groups]
    blocks: list[Block] = [
        figure("Training time", "time", TIME, [group.seconds() for group in groups], seconds),
        figure("Trained parameters", "parameters", PARAMETERS, _parameters(groups), [()] * len(groups)),
        of_score("Loss on the test rows", "loss", LOG_LOSS),
        of_score("Accuracy on the test rows", "accuracy", ACCURACY),
    ]
    if any(len(group.runs) > 1 for group in groups):
        blocks.append(Paragraph("Ticks under a mark are the single runs.", quiet=True))
    return Section("costs-section", "Cost and quality", tuple(blocks))


def _parameters(groups: Sequence[Group]) -> list[Interval]:
    return [Interval(float(group.trained_parameters), None, None) for group in groups]


def trade_offs_section(groups: Sequence[Group]) -> Section:
    accuracies = [group.score("accuracy") for group in groups]

    def figure(title: str, name: str, column: Column, costs: list[Interval]) -> Figure:
        front = pareto_front([(cost.value or 0.0, score.value or 0.0) for cost, score in zip(costs, accuracies, strict=True)])
        recipes = list(enumerate(zip(groups, costs, accuracies, strict=True)))
        spots = [charts.Spot(cost.value or 0.0, score, group.name, index) for index, (group, cost, score) in recipes]
        rows = [(group.name, cost, score, "yes" if index in front else "no") for index, (group, cost, score) in recipes]
        table = Table(f"accuracy-against-{name}", title, (RECIPE, column, ACCURACY, ON_FRONT), tuple(rows))
        summary = f"On the Pareto front: {listed([groups[index].name for index in front])}."
        return Figure(title, summary, charts.scatter(spots, column, ACCURACY, front=front, legend=True), table)

    figures = (
        figure("Accuracy against training time", "time", TIME, [group.seconds() for group in groups]),
        figure("Accuracy against trained parameters", "parameters", PARAMETERS, _parameters(groups)),
    )
    note = "Dashed: the Pareto front, of recipes that no other beats in accuracy at the same cost or less."
    return Section("trade-off-section", "What more buys", (*figures, Paragraph(note, quiet=True)))


def curves_section(groups: Sequence[Group]) -> Section:
    def series(key: str) -> list[Series]:
        of_groups = [[[(entry.epoch, getattr(entry, key)) for entry in run] for run in group.histories] for group in groups]
        return [Series(group.name, lines, index) for index, (group, lines) in enumerate(zip(groups, of_groups, strict=True))]

    blocks: list[Block] = [
        lines_figure("Validation loss", "validation-loss", series("log_loss"), EPOCH, LOG_LOSS),
        lines_figure("Validation accuracy", "validation-accuracy", series("accuracy"), EPOCH, ACCURACY),
    ]
    if any(len(group.runs) > 1 for group in groups):
        blocks.append(Paragraph("Lines are means over seeds, bands reach from the lowest to the highest.", quiet=True))
    return Section("curves-section", "On the way", tuple(blocks))


def settings_section(groups: Sequence[Group]) -> Section:
    unlike = differences([settings_of_run(group.first) for group in groups])
    columns = (Column("key", "key"), *(Column(group.name, group.name) for group in groups))
    rows = [(key, *(values[key] for values in unlike)) for key in unlike[0]]
    table = Table("settings", "Keys in which the recipes are not alike", columns, tuple(rows))
    empty = Paragraph("The recipes are alike in every key; their data differ.")
    return Section("settings-section", "What differs", (table if rows else empty,))
