"""A study → a Report: what was tried, what came of it, which settings mattered.

Scores of trials are those of validation rows; only finalists were scored on test rows.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, get_args

from rankwise.errors import as_typed
from rankwise.recipe.differences import short_keys, typed
from rankwise.report.blocks import Block, Code, Column, Figure, Report, Section, Stat, Table
from rankwise.report.columns import EPOCH, SCORES, SECONDS, SEED, TRAINED_PARAMETERS, column_of
from rankwise.report.figures import charts, maps
from rankwise.report.figures.composed import lines_figure, mean_curve, trade_off_figure
from rankwise.report.words import Kind, Value, in_words, listed, percent, run_name, shown
from rankwise.stats.intervals import Interval
from rankwise.stats.score_names import OF_NUMBERS
from rankwise.sweep.domains import is_drawn_as
from rankwise.sweep.results import COSTS, OBJECTIVES, State, Trial
from rankwise.sweep.study import Study

TRIAL = Column("trial", "trial", "count")
SPREAD = Column("accuracy_sd", "its sd over seeds, points", "share")
WORST_SHIFT = Column("worst_shift", "accuracy under the worst shift, %", "share")
COLUMNS = {
    **SCORES,
    **{name: column_of(name) for name in OF_NUMBERS},
    **{column.name: column for column in (SPREAD, WORST_SHIFT, TRAINED_PARAMETERS, SECONDS)},
}
LISTED = ("accuracy", "accuracy_sd", "macro_f1", "mcc", "worst_shift", "log_loss", *OF_NUMBERS)  # where trials have them
FINAL = ("accuracy", "macro_f1", "log_loss", "pearson", "mean_absolute_error", "root_mean_squared_error")  # on test rows
SHOWN = 10  # trials that are seen at once
FEW = 7  # distinct values of a setting up to which they stand side by side on its rail
LONG = 6  # characters of a number: one with more was drawn from a range, and belongs on an axis
TOP = 3  # trials that stand out
UNSET = object()  # what a trial has for a key of another group than its own


def report_of_study(study: Study, folder: Path | None = None) -> Report:
    """The report of a study, finished or still running; `folder` is the sweep's, where it has one."""
    counts = [f"{study.count(state)} {state}" for state in get_args(State) if study.count(state)]
    lead = f"A search over {listed(study.varied)}: {listed(counts) if counts else 'no trial yet'}."
    sections = [section(study) for section in (_leaderboard, _what_mattered, _trade_offs, _progress, _finals)]
    with_blocks = [section for section in (*sections, _best(study, folder)) if section.blocks]
    return Report(study.name, lead, _stats(study), with_blocks)


def _stats(study: Study) -> Sequence[Stat]:
    best, first = study.best, study.objectives[0]
    if best is None:
        return ()
    column = COLUMNS[first]
    value = in_words(best.values[first], column.kind)
    rows = f"on {best.validation_rows:,} validation rows" if best.validation_rows and first not in COSTS else ""
    return (
        Stat(f"{column.label.removesuffix(', %')} of the best", value, f"trial {best.number} {rows}".strip()),
        Stat("its trained parameters", shown(best.trained_parameters, "count")),
        Stat("its training time", shown(best.seconds, "seconds")),
        Stat("trials finished", f"{study.count('finished')} of {len(study.trials)}"),
    )


def _leaderboard(study: Study) -> Section:
    """The best few, and every trial on demand."""
    scores = [name for name in LISTED if any(_score(trial, name) is not None for trial in study.trials)]
    finished, best = study.finished, study.best
    rows: list[tuple[Value, ...]] = []
    for trial in (*finished, *(trial for trial in study.trials if trial.state != "finished")):
        costs = (len(trial.seeds) or None, trial.trained_parameters, trial.seconds)
        of_trial = (*(_score(trial, name) for name in scores), *costs, *_settings(trial, study))
        rows.append((trial.number, *of_trial, trial.state, trial.reason))
    costs_columns = (Column("seeds", "seeds", "count"), TRAINED_PARAMETERS, SECONDS)
    seen = (TRIAL, *(COLUMNS[name] for name in scores), *costs_columns, *_setting_columns(study))
    label = COLUMNS[study.objectives[0]].label.removesuffix(", %")
    columns = (*seen, Column("state", "state"), Column("reason", "why"))
    marked = {index for index, trial in enumerate(finished) if best and trial.number == best.number}
    tables = [Table("trials", f"Every trial, by {label}", columns, rows, marked, folded=len(rows) > SHOWN)]
    if len(rows) > SHOWN:
        few = [row[: len(seen)] for row in rows[:SHOWN]]
        tables.insert(0, Table("best-trials", f"The best {SHOWN}, by {label}", seen, few, marked))
    chosen = "In bold: the best, by the finalists' fresh seeds." if study.finals else "In bold: the best."
    note = f"Scores are those of validation rows; several seeds as their mean. {chosen}"
    return Section("trials-section", "Leaderboard", tables, note=note)


def _score(trial: Trial, name: str) -> float | None:
    """A score's mean over the seeds, or the standard deviation of accuracy; None where the trial has none."""
    if name == "accuracy_sd":
        return trial.spread("accuracy")
    return trial.mean(name) if trial.scores.get(name) else None


def _settings(trial: Trial, study: Study) -> tuple[Value, ...]:
    """A trial's values in the order of `_setting_columns`, numbers as numbers."""
    values = [trial.params.get(key, UNSET) for key in study.varied]
    return tuple(value if _is_number(value) else "" if value is UNSET else typed(value) for value in values)


def _setting_columns(study: Study) -> list[Column]:
    kinds = [_kind_of([trial.params.get(key) for trial in study.trials]) for key in study.varied]
    short = short_keys(study.varied)
    return [Column(key, short[key], kind) for key, kind in zip(study.varied, kinds, strict=True)]


def _kind_of(values: Sequence[Any]) -> Kind:
    if not all(map(_is_number, values)):
        return "text"
    return "count" if all(isinstance(value, int) for value in values) else "rate"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _what_mattered(study: Study) -> Section:
    blocks: list[Block] = []
    importances = study.importances()
    if importances:
        rows = [charts.Row(key, Interval(share, None, None)) for key, share in importances.items()]
        explained = Column("importance", "share of the spread that it explains, %", "share")
        columns = (Column("setting", "setting"), Column("importance", "% of the spread", "share"))
        table = Table("importance", "Importance of each setting", columns, [*importances.items()])
        summary = "; ".join(f"{key} {percent(share)}" for key, share in importances.items())
        picture, note = charts.estimates(rows, explained, bars=True), "PED-ANOVA; of few trials a rough guide."
        blocks.append(Figure("Which settings mattered", summary, picture, table, note))
    if len(study.finished) > 1 and study.varied:
        blocks.append(_parallel(study, importances))
    return Section("settings-section", "What mattered", blocks)


def _parallel(study: Study, importances: Mapping[str, float]) -> Figure:
    """The setting that mattered most next to the result."""
    trials, result = study.finished, COLUMNS[study.objectives[0]]
    results = [trial.values[result.name] for trial in trials]
    keys = sorted(study.varied, key=lambda key: sum(importances[name] for name in importances if is_drawn_as(name, key)))
    rails = [_setting_rail(key, [trial.params.get(key, UNSET) for trial in trials]) for key in keys]
    columns = (TRIAL, *_setting_columns(study), result)
    rows = [(trial.number, *_settings(trial, study), value) for trial, value in zip(trials, results, strict=True)]
    table = Table("parallel", "Settings of the finished trials", columns, rows)
    top = [trial.number for trial in trials[:TOP]]
    summary = f"A line for each of {len(trials)} finished trials; the best, {listed(top)}, stand out."
    picture = maps.parallel([*rails, maps.Rail(result, results)], best=range(len(top)))
    note = f"A line is a trial; the best {len(top)} stand out."
    return Figure("Settings, and what came of them", summary, picture, table, note)


def _setting_rail(key: str, values: Sequence[Any]) -> maps.Rail:
    """Few values, or others than numbers, side by side in their order, numbers before words; numbers on an axis."""
    known = [value for value in values if value is not UNSET]
    numbers = sorted({value for value in known if _is_number(value)})
    names = [typed(value) for value in numbers] + sorted({typed(value) for value in known if not _is_number(value)})
    if len(names) == len(numbers) and (len(names) > FEW or max(map(len, names), default=0) > LONG):
        return maps.Rail(Column(key, key, _kind_of(known)), [None if value is UNSET else value for value in values])
    return maps.Rail(Column(key, key), [None if value is UNSET else names.index(typed(value)) for value in values], names)


def _trade_offs(study: Study) -> Section:
    first = study.objectives[0]
    score = COLUMNS[first if first not in COSTS else study.headline]
    sign = 1 if OBJECTIVES[score.name] == "maximize" else -1
    trials = [trial for trial in study.finished if trial.scores.get(score.name)]
    figures = []
    for cost in (SECONDS, TRAINED_PARAMETERS) if trials else ():
        costs = [(trial, getattr(trial, cost.name)) for trial in trials]
        points = [(trial.number, float(spent), trial.mean(score.name)) for trial, spent in costs if spent is not None]
        figures.append(trade_off_figure(f"{score.name}-{cost.name}", (TRIAL, cost, score), points, many=True, sign=sign))
    note = "Dashed: the Pareto front, of trials that no other beats at the same cost or less."
    return Section("trade-off-section", "What more buys", figures, note=note)


def _progress(study: Study) -> Section:
    """The best so far, trial by trial, and how the best ones learned."""
    first, trials = study.objectives[0], sorted(study.finished, key=lambda trial: trial.number)
    if len(trials) < 2:
        return Section("progress-section", "Trial by trial")
    result = COLUMNS[first]
    numbers, values = [trial.number for trial in trials], [trial.values[first] for trial in trials]
    best = list(accumulate(values, max if OBJECTIVES[first] == "maximize" else min))
    steps = [(number, y) for number, ends in zip(numbers, pairwise([best[0], *best]), strict=True) for y in ends]
    trials_seen = charts.Curve("trial", [*zip(numbers, values, strict=True)], 5, loose=True)
    lines = (charts.Curve("best so far", steps, 0, quiet=True), trials_seen)
    start, end = (shown(value, result.kind) for value in (best[0], best[-1]))
    summary = f"From {start} at trial {numbers[0]} to {end} at trial {numbers[-1]}."
    rows = list(zip(numbers, values, best, strict=True))
    table = Table("progress", "Trial by trial", (TRIAL, result, Column("best", "best so far", result.kind)), rows)
    figure = Figure("The best so far", summary, charts.curves(lines, TRIAL, result), table)
    return Section("progress-section", "Trial by trial", [figure, *_learning(study)])


def _learning(study: Study) -> list[Figure]:
    """The best trials' validation accuracy, or R², over epochs."""
    curves = []
    for index, trial in enumerate(trial for trial in study.finished[:TOP] if any(trial.history)):
        lines = [[(entry["epoch"], entry[study.headline]) for entry in seed] for seed in trial.history]
        curves.append(mean_curve(f"trial {trial.number}", lines, index))
    told = COLUMNS[study.headline]
    told = replace(told, label=f"validation {told.label}")
    return [lines_figure("How the best ones learned", "learning", curves, EPOCH, told)] if curves else []


def _finals(study: Study) -> Section:
    tested = [COLUMNS[name] for name in FINAL if any(name in final.test for final in study.finals)]
    headline = COLUMNS[study.headline]
    columns = (
        TRIAL,
        SEED,
        Column("folder", "run"),
        replace(headline, name=f"validation_{headline.name}", label=f"validation {headline.label}"),
        *(replace(column, name=f"test_{column.name}", label=f"test {column.label}") for column in tested),
        Column("seconds", "time in all", "seconds"),
        *([Column("reason", "why it failed")] if any(final.reason for final in study.finals) else []),
    )
    rows, folders = [], []
    for final in study.finals:
        folder = run_name(Path(final.folder))
        test = [final.test.get(column.name) for column in tested]
        row = (final.trial, final.seed, folder, final.validation.get(headline.name), *test, final.seconds, final.reason)
        rows.append(row[: len(columns)])
        folders += [] if final.reason else [folder]
    blocks: list[Block] = [Table("finalists", "Finalists", columns, rows)] if rows else []
    if folders:
        blocks.append(Code(f"rankwise report {shlex.join(folders)}", "To see them at length"))
    lead = "The best configurations, trained again on seeds that the search had not used, then scored on the test rows."
    return Section("finalists-section", "Finalists", blocks, lead=lead)


def _best(study: Study, folder: Path | None) -> Section:
    blocks: list[Block] = []
    if best := study.best:
        path, where = "best.yaml", "; best.yaml is below"
        if folder is not None and (folder / path).is_file():
            path, where = f"{run_name(folder)}/{path}", ""
        command = Code(f"rankwise train {as_typed(path)}", f"Trial {best.number}, as a whole run{where}")
        blocks = [command, Code(study.recipe(best).to_yaml(), "best.yaml", folded=True)]
    return Section("best-section", "The best configuration", blocks)
