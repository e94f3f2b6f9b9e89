"""Several recipes beside each other: leaderboard, verdicts, costs, trade-offs, curves, settings."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from rankwise.errors import RunError
from rankwise.recipe.differences import differences
from rankwise.report.blocks import Column, Figure, Notes, Paragraph, Section, Table
from rankwise.report.columns import (
    ACCURACY,
    EPOCH,
    LOG_LOSS,
    MACRO_F1,
    PEAK_GB,
    RECIPE,
    SECONDS,
    SEED,
    TRAINED_PARAMETERS,
    column_of,
)
from rankwise.report.figures import charts
from rankwise.report.figures.composed import lines_figure, mean_curve, trade_off_figure
from rankwise.report.groups import Group
from rankwise.report.words import in_words, listed, percent, with_capital
from rankwise.run.folder import Run
from rankwise.stats.intervals import Interval
from rankwise.stats.score_names import called
from rankwise.workflows.compare import Comparison, Difference, Pair, settings_of_run

P = Column("p", "p", "rate")
OfGroup = Callable[[Group], Interval]


def compared_sections(groups: Sequence[Group], comparison: Comparison | RunError) -> list[Section]:
    """Every section; trade-offs only where all were scored on the same rows: others are no race; curves where any moved."""
    headline = column_of(groups[0].first.task.headline[0])
    same_rows = [] if isinstance(comparison, RunError) else [_trade_offs(groups, headline)]
    first = [_leaderboard(groups, headline), _verdicts(groups, comparison), _costs(groups, headline)]
    moved = [_curves(groups, headline)] if any(group.first.facts.steps for group in groups) else []
    return [*first, *same_rows, *moved, _settings(groups)]


def _leaderboard(groups: Sequence[Group], headline: Column) -> Section:
    rows = []
    for group in sorted(groups, key=lambda group: -(group.score(headline.name).value or 0)):
        scores = [group.score(column.name) for column in (ACCURACY, MACRO_F1, LOG_LOSS)]
        costs = (group.trained_parameters, group.seconds().value, group.peak_gb().value)
        rows.append((group.name, len(group.runs), group.first.scores.test.rows, *scores, *costs))
    counts = (Column("seeds", "seeds", "count"), Column("test_rows", "test rows", "count"))
    columns = (RECIPE, *counts, ACCURACY, MACRO_F1, LOG_LOSS, TRAINED_PARAMETERS, SECONDS, PEAK_GB)
    table = Table("leaderboard", f"By {called(headline.name)} on the test rows", columns, rows)
    what = "of one run over test rows, of several seeds over rows and seeds, of times over seeds alone"
    brackets = f"Brackets are {percent(groups[0].confidence, 0)} intervals: {what}."
    return Section("leaderboard-section", "Leaderboard", [table], note=brackets)


def _verdicts(groups: Sequence[Group], comparison: Comparison | RunError) -> Section:
    """Each pair of recipes, on the same test rows; where the rows are not the same, why there are no pairs."""
    title, name = "Which is better", "verdicts-section"
    if isinstance(comparison, RunError):
        return Section(name, title, [Paragraph(f"These runs can't be set against each other row by row: {comparison}.")])
    recipe_of = {str(run.folder): group.name for group in groups for run in group.runs}
    names = {system.name: recipe_of[system.runs[0]] for system in comparison.systems}
    pairs = [replace(pair, a=names[pair.a], b=names[pair.b]) for pair in comparison.pairs]
    verdicts = Notes([comparison.verdict(pair) for pair in pairs])
    single = [group.name for group in groups if len(group.runs) == 1]
    seeds = f" Of {listed(single)} there is one seed, so nothing is known of others." if single else ""
    how = (
        f"As rankwise compare finds it, by {called(comparison.headline)}, of which p is too; Holm's correction counts all "
        f"pairs.{seeds}"
    )
    return Section(name, title, [verdicts, *_pairs_in_tables(pairs, comparison)], note=how)


def _pairs_in_tables(pairs: Sequence[Pair], comparison: Comparison) -> list[Table]:
    accuracy = Column("accuracy", "accuracy, points", "signed")
    macro_f1 = Column("macro_f1", "macro-F1, points", "signed")
    columns = (Column("a", "recipe"), Column("b", "minus"), accuracy, macro_f1, P, Column("p_holm", "p after Holm", "rate"))
    tested: list[Difference] = [getattr(pair, comparison.headline) for pair in pairs]
    rows = [
        (pair.a, pair.b, pair.accuracy.interval, pair.macro_f1.interval, test.p_value, test.p_holm)
        for pair, test in zip(pairs, tested, strict=True)
    ]
    of_pairs = Table("differences", f"Differences on the same {comparison.test_rows:,} test rows", columns, rows)
    only_a = Column("only_a", "rows that A alone has right", "count")
    only_b = Column("only_b", "rows that B alone has right", "count")
    seed_columns = (Column("a", "recipe A"), Column("b", "recipe B"), SEED, only_a, only_b, P)
    tests = [(pair.a, pair.b, test.seed, test.only_a, test.only_b, test.p_value) for pair in pairs for test in pair.mcnemar]
    by_seed = Table("mcnemar", "McNemar's exact test, seed by seed", seed_columns, tests, folded=True)
    return [of_pairs, by_seed] if tests else [of_pairs]


def _costs(groups: Sequence[Group], headline: Column) -> Section:
    """The four charts of report 004: training time, trained parameters, loss, accuracy or what says most of the task."""

    def figure(title: str, name: str, column: Column, value: OfGroup, of_run: Callable[[Run], float | None]) -> Figure:
        rows = [charts.Row(group.name, value(group), index, group.of_runs(of_run)) for index, group in enumerate(groups)]
        summary = "; ".join(f"{row.name} {in_words(row.value, column.kind)}" for row in rows)
        picture = charts.estimates(rows, column, bars=column.kind in ("seconds", "count"))
        table = Table(f"compare-{name}", title, (RECIPE, column), [(row.name, row.value) for row in rows])
        return Figure(title, summary, picture, table)

    def of_score(title: str, name: str, column: Column) -> Figure:
        key = column.name
        return figure(title, name, column, lambda group: group.score(key), lambda run: getattr(run.scores.test, key).value)

    figures = [
        figure("Training time", "time", SECONDS, Group.seconds, lambda run: run.facts.seconds.training),
        figure("Trained parameters", "parameters", TRAINED_PARAMETERS, _parameters, lambda _: None),
        of_score("Loss on the test rows", "loss", LOG_LOSS),
        of_score(f"{with_capital(called(headline.name))} on the test rows", headline.name, headline),
    ]
    note = "Ticks under a mark are the single runs." if any(len(group.runs) > 1 for group in groups) else ""
    return Section("costs-section", "Cost and quality", figures, note=note)


def _parameters(group: Group) -> Interval:
    return Interval(float(group.trained_parameters), None, None)


def _trade_offs(groups: Sequence[Group], headline: Column) -> Section:
    figures = []
    for name, column, cost in (("time", SECONDS, Group.seconds), ("parameters", TRAINED_PARAMETERS, _parameters)):
        points = [(group.name, cost(group), group.score(headline.name)) for group in groups]
        figures.append(trade_off_figure(f"{headline.name}-against-{name}", (RECIPE, column, headline), points, many=False))
    note = f"Dashed: the Pareto front, of recipes that no other beats in {called(headline.name)} at the same cost or less."
    return Section("trade-off-section", "What more buys", figures, note=note)


def _curves(groups: Sequence[Group], headline: Column) -> Section:
    """Validation scores on the way of those that made updates; a style is a recipe's own through the whole page."""
    figures = []
    for what, column in (("loss", LOG_LOSS), (headline.name, headline)):
        curves = []
        for index, group in enumerate(groups):
            if not group.first.facts.steps:
                continue
            lines = [[(entry.epoch, getattr(entry, column.name)) for entry in run.scores.history] for run in group.runs]
            curves.append(mean_curve(group.name, lines, index))
        figures.append(lines_figure(f"Validation {called(what)}", f"validation-{what}", curves, EPOCH, column))
    means = "Lines are means over seeds, bands reach from the lowest to the highest."
    note = means if any(len(group.runs) > 1 for group in groups) else ""
    return Section("curves-section", "On the way", figures, note=note)


def _settings(groups: Sequence[Group]) -> Section:
    unlike = differences([settings_of_run(group.first) for group in groups])
    columns = (Column("key", "key"), *(Column(group.name, group.name) for group in groups))
    rows = [(key, *(values[key] for values in unlike)) for key in unlike[0]]
    table = Table("settings", "Keys in which the recipes are not alike", columns, rows)
    empty = Paragraph("The recipes are alike in every key; their data differ.")
    return Section("settings-section", "What differs", [table if rows else empty])
