"""Several recipes beside each other: leaderboard, verdicts, costs, trade-offs, curves, settings."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from rankwise.errors import RunError
from rankwise.recipe.differences import differences
from rankwise.report.blocks import Column, Figure, Notes, Paragraph, Section, Table
from rankwise.report.columns import EPOCH, PEAK_GB, RECIPE, SECONDS, SEED, TRAINED_PARAMETERS, columns_of
from rankwise.report.figures import charts
from rankwise.report.figures.composed import lines_figure, mean_curve, trade_off_figure
from rankwise.report.groups import Group
from rankwise.report.words import Value, in_words, listed, percent, with_capital
from rankwise.run.folder import Run
from rankwise.stats.intervals import Interval
from rankwise.stats.score_names import called
from rankwise.workflows.compare import Comparison, Pair, settings_of_run

P = Column("p", "p", "rate")
OfGroup = Callable[[Group], Interval]


def compared_sections(groups: Sequence[Group], comparison: Comparison | RunError) -> list[Section]:
    """Every section; trade-offs only where all were scored on the same rows: others are no race; curves where any moved."""
    same_rows = [] if isinstance(comparison, RunError) else [_trade_offs(groups)]
    first = [_leaderboard(groups), _verdicts(groups, comparison), _costs(groups)]
    moved = [_curves(groups)] if any(group.first.facts.steps for group in groups) else []
    return [*first, *same_rows, *moved, _settings(groups)]


def _leaderboard(groups: Sequence[Group]) -> Section:
    rows, of_scores = [], columns_of(groups[0].first.task)
    for group in sorted(groups, key=lambda group: -(group.score(of_scores[0].name).value or 0)):
        scores = [group.score(column.name) for column in of_scores]
        costs = (group.trained_parameters, group.seconds().value, group.peak_gb().value)
        rows.append((group.name, len(group.runs), group.first.scores.test.rows, *scores, *costs))
    counts = (Column("seeds", "seeds", "count"), Column("test_rows", "test rows", "count"))
    columns = (RECIPE, *counts, *of_scores, TRAINED_PARAMETERS, SECONDS, PEAK_GB)
    table = Table("leaderboard", f"By {plain(of_scores[0])} on the test rows", columns, rows)
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
    how = f"As rankwise compare finds it. p is of {called(comparison.scores[0])}; Holm's correction counts all pairs.{seeds}"
    return Section(name, title, [verdicts, *_pairs_in_tables(pairs, comparison)], note=how)


def _pairs_in_tables(pairs: Sequence[Pair], comparison: Comparison) -> list[Table]:
    scores = (Column(score, f"{called(score)}, points", "signed") for score in comparison.scores)
    columns = (Column("a", "recipe"), Column("b", "minus"), *scores, P, Column("p_holm", "p after Holm", "rate"))
    rows: list[tuple[Value, ...]] = []
    for pair in pairs:
        first, second = map(pair.named, comparison.scores)
        rows.append((pair.a, pair.b, first.interval, second.interval, first.p_value, first.p_holm))
    of_pairs = Table("differences", f"Differences on the same {comparison.test_rows:,} test rows", columns, rows)
    only_a = Column("only_a", "rows that A alone has right", "count")
    only_b = Column("only_b", "rows that B alone has right", "count")
    seed_columns = (Column("a", "recipe A"), Column("b", "recipe B"), SEED, only_a, only_b, P)
    tests = [(pair.a, pair.b, test.seed, test.only_a, test.only_b, test.p_value) for pair in pairs for test in pair.mcnemar]
    by_seed = Table("mcnemar", "McNemar's exact test, seed by seed", seed_columns, tests, folded=True)
    return [of_pairs, by_seed] if tests else [of_pairs]


def _costs(groups: Sequence[Group]) -> Section:
    """The four charts of report 004: training time, trained parameters, loss, accuracy."""

    def figure(title: str, name: str, column: Column, value: OfGroup, of_run: Callable[[Run], float | None]) -> Figure:
        rows = [charts.Row(group.name, value(group), index, group.of_runs(of_run)) for index, group in enumerate(groups)]
        summary = "; ".join(f"{row.name} {in_words(row.value, column.kind)}" for row in rows)
        picture = charts.estimates(rows, column, bars=column.kind in ("seconds", "count"))
        table = Table(f"compare-{name}", title, (RECIPE, column), [(row.name, row.value) for row in rows])
        return Figure(title, summary, picture, table)

    def of_score(title: str, name: str, column: Column) -> Figure:
        key = column.name
        return figure(title, name, column, lambda group: group.score(key), lambda run: run.scores.test.named(key).value)

    first, _, loss = columns_of(groups[0].first.task)
    figures = [
        figure("Training time", "time", SECONDS, Group.seconds, lambda run: run.facts.seconds.training),
        figure("Trained parameters", "parameters", TRAINED_PARAMETERS, _parameters, lambda _: None),
        of_score("Loss on the test rows", "loss", loss),
        of_score(f"{with_capital(plain(first))} on the test rows", first.name, first),
    ]
    note = "Ticks under a mark are the single runs." if any(len(group.runs) > 1 for group in groups) else ""
    return Section("costs-section", "Cost and quality", figures, note=note)


def _parameters(group: Group) -> Interval:
    return Interval(float(group.trained_parameters), None, None)


def _trade_offs(groups: Sequence[Group]) -> Section:
    figures, first = [], columns_of(groups[0].first.task)[0]
    for name, column, cost in (("time", SECONDS, Group.seconds), ("parameters", TRAINED_PARAMETERS, _parameters)):
        points = [(group.name, cost(group), group.score(first.name)) for group in groups]
        figures.append(trade_off_figure(f"{first.name}-against-{name}", (RECIPE, column, first), points, many=False))
    note = f"Dashed: the Pareto front, of recipes that no other beats in {plain(first)} at the same cost or less."
    return Section("trade-off-section", "What more buys", figures, note=note)


def _curves(groups: Sequence[Group]) -> Section:
    """Validation scores on the way of those that made updates; a style is a recipe's own through the whole page."""
    figures = []
    first, _, loss = columns_of(groups[0].first.task)
    for name, what, column in (("loss", "loss", loss), (first.name, plain(first), first)):
        curves = []
        for index, group in enumerate(groups):
            if not group.first.facts.steps:
                continue
            histories = ([(entry.epoch, getattr(entry, column.name)) for entry in run.scores.history] for run in group.runs)
            lines = [[(epoch, value) for epoch, value in line if value is not None] for line in histories]
            curves.append(mean_curve(group.name, lines, index))
        figures.append(lines_figure(f"Validation {what}", f"validation-{name}", curves, EPOCH, column))
    means = "Lines are means over seeds, bands reach from the lowest to the highest."
    note = means if any(len(group.runs) > 1 for group in groups) else ""
    return Section("curves-section", "On the way", figures, note=note)


def plain(column: Column) -> str:
    """A score's name without its unit: `accuracy`."""
    return column.label.partition(",")[0]


def _settings(groups: Sequence[Group]) -> Section:
    unlike = differences([settings_of_run(group.first) for group in groups])
    columns = (Column("key", "key"), *(Column(group.name, group.name) for group in groups))
    rows = [(key, *(values[key] for values in unlike)) for key in unlike[0]]
    table = Table("settings", "Keys in which the recipes are not alike", columns, rows)
    empty = Paragraph("The recipes are alike in every key; their data differ.")
    return Section("settings-section", "What differs", [table if rows else empty])
