"""A study → a Report: what was tried, what came of it, which settings mattered.

Scores of trials are those of validation rows; only finalists were scored on test rows.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rankwise.recipe.differences import short_keys, typed
from rankwise.report.blocks import (
    Block,
    Code,
    Column,
    Figure,
    Kind,
    Paragraph,
    Report,
    Section,
    Stat,
    Table,
    Value,
    listed,
    percent,
    shown,
)
from rankwise.report.columns import ACCURACY, EPOCH, ON_FRONT, SCORES, SECONDS, SEED, TRAINED_PARAMETERS
from rankwise.report.figures import charts, maps
from rankwise.report.figures.lines import Series, lines_figure
from rankwise.report.groups import pareto_front, run_name
from rankwise.report.runs import footer
from rankwise.stats.intervals import Interval
from rankwise.sweep.domains import is_drawn_as
from rankwise.sweep.results import COSTS, OBJECTIVES, Final, State, Trial
from rankwise.sweep.study import Study

TRIAL = Column("trial", "trial", "count")
COLUMNS: Mapping[str, Column] = {
    column.name: column
    for column in (
        *(replace(score, interval=False) for score in SCORES.values()),  # of trials only means are kept
        Column("accuracy_sd", "its sd over seeds, points", "share"),
        Column("worst_shift", "accuracy under the worst shift, %", "share"),
        TRAINED_PARAMETERS,
        SECONDS,
    )
}
OF_TRIALS = ("accuracy", "macro_f1", "mcc", "worst_shift", "log_loss")  # scores in the leaderboard, where trials have them
STATES: tuple[State, ...] = ("finished", "pruned", "rejected", "failed", "running", "waiting")
SHOWN = 10  # trials that are seen at once
FEW = 7  # distinct values of a setting up to which they stand side by side on its rail
LONG = 6  # characters of a number: one with more was drawn from a range, and belongs on an axis
TOP = 3  # trials that stand out
UNSET = object()  # what a trial has for a key of another group than its own


def report_of_study(study: Study, folder: Path | None = None) -> Report:
    """The report of a study, finished or still running; `folder` is the sweep's, where it has one."""
    counts = [f"{study.count(state)} {state}" for state in STATES if study.count(state)]
    lead = f"A search over {listed(study.varied)}: {listed(counts) if counts else 'no trial yet'}."
    sections = [_leaderboard(study), *_what_mattered(study), *_trade_offs(study), *_progress(study), *_finals(study)]
    return Report(study.name, lead, _stats(study), (*sections, *_best(study, folder)), footer())


def _stats(study: Study) -> tuple[Stat, ...]:
    best, first = study.best, study.objectives[0]
    if best is None:
        return ()
    column = COLUMNS[first]
    value = shown(best.values[first], column.kind)
    unit = "\u00a0%" if column.kind == "share" else ""
    rows = f"on {best.validation_rows:,} validation rows" if best.validation_rows and first not in COSTS else ""
    return (
        Stat(f"{_plain(column)} of the best", value + unit, f"trial {best.number} {rows}".strip()),
        Stat("its trained parameters", shown(best.trained_parameters, "count")),
        Stat("its training time", shown(best.seconds, "seconds")),
        Stat("trials finished", f"{study.count('finished')} of {len(study.trials)}"),
    )


def _leaderboard(study: Study) -> Section:
    """The best few, and every trial on demand."""
    scores = [name for name in OF_TRIALS if any(name in trial.scores for trial in study.trials)]
    scores[1:1] = ["accuracy_sd"] if any(trial.spread("accuracy") is not None for trial in study.trials) else []
    columns = (
        TRIAL,
        *(COLUMNS[name] for name in scores),
        Column("seeds", "seeds", "count"),
        TRAINED_PARAMETERS,
        SECONDS,
        *_setting_columns(study),
        Column("state", "state"),
        Column("reason", "why"),
    )
    finished = study.finished
    rows = [_trial_row(trial, study, scores) for trial in (*finished, *(t for t in study.trials if t.state != "finished"))]
    best = study.best
    marked = frozenset(index for index, trial in enumerate(finished) if best and trial.number == best.number)
    label = _plain(COLUMNS[study.objectives[0]])
    every = Table("trials", f"Every trial, by {label}", columns, tuple(rows), marked, folded=len(rows) > SHOWN)
    chosen = " In bold: the best, by the finalists' fresh seeds." if study.finals else " In bold: the best."
    quiet = Paragraph(f"Scores are those of validation rows; several seeds as their mean.{chosen}", quiet=True)
    if not every.folded:
        return Section("trials-section", "Leaderboard", (every, quiet))
    top = Table(
        "best-trials",
        f"The best {SHOWN}, by {label}",
        columns[:-2],
        tuple(row[:-2] for row in rows[:SHOWN]),
        frozenset(index for index in marked if index < SHOWN),
    )
    return Section("trials-section", "Leaderboard", (top, every, quiet))


def _plain(column: Column) -> str:
    """`accuracy` of `accuracy, %`."""
    return column.label.removesuffix(", %")


def _trial_row(trial: Trial, study: Study, scores: Sequence[str]) -> tuple[Value, ...]:
    means = [trial.mean(name) if trial.scores.get(name) else None for name in scores]
    if "accuracy_sd" in scores:
        means[scores.index("accuracy_sd")] = trial.spread("accuracy")
    settings = _settings(trial, study)
    cost = (len(trial.seeds) or None, trial.trained_parameters, trial.seconds)
    return (trial.number, *means, *cost, *settings, trial.state, trial.reason)


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


def _what_mattered(study: Study) -> list[Section]:
    blocks: list[Block] = []
    importances = study.importances()
    if importances:
        rows = [charts.Row(key, Interval(share, None, None)) for key, share in importances.items()]
        columns = (Column("setting", "setting"), Column("importance", "% of the spread", "share"))
        blocks.append(
            Figure(
                "Which settings mattered",
                "; ".join(f"{key} {percent(share)}" for key, share in importances.items()),
                charts.bars(rows, Column("importance", "share of the spread that it explains, %", "share")),
                Table("importance", "Importance of each setting", columns, tuple(importances.items())),
                note="PED-ANOVA; of few trials a rough guide.",
            )
        )
    if len(study.finished) > 1 and study.varied:
        blocks.append(_parallel(study, importances))
    return [Section("settings-section", "What mattered", tuple(blocks))] if blocks else []


def _parallel(study: Study, importances: Mapping[str, float]) -> Figure:
    """The setting that mattered most next to the result."""
    trials, first = study.finished, study.objectives[0]
    result = COLUMNS[first]
    keys = sorted(study.varied, key=lambda key: sum(importances[name] for name in importances if is_drawn_as(name, key)))
    rails = [_setting_rail(key, [trial.params.get(key, UNSET) for trial in trials]) for key in keys]
    rails.append(maps.Rail(result, tuple(trial.values[first] for trial in trials)))
    columns = (TRIAL, *_setting_columns(study), result)
    rows = tuple((trial.number, *_settings(trial, study), trial.values[first]) for trial in trials)
    top = [str(trial.number) for trial in trials[:TOP]]
    return Figure(
        "Settings, and what came of them",
        f"A line for each of {len(trials)} finished trials; the best, {listed(top)}, stand out.",
        maps.parallel(rails, list(range(len(top)))),
        Table("parallel", "Settings of the finished trials", columns, rows),
        note=f"A line is a trial; the best {len(top)} stand out.",
    )


def _setting_rail(key: str, values: Sequence[Any]) -> maps.Rail:
    """Few values, or others than numbers, side by side in their order, numbers before words; numbers on an axis."""
    known = [value for value in values if value is not UNSET]
    numbers = sorted({value for value in known if _is_number(value)})
    names = [typed(value) for value in numbers] + sorted({typed(value) for value in known if not _is_number(value)})
    if len(names) == len(numbers) and (len(names) > FEW or max(map(len, names), default=0) > LONG):
        return maps.Rail(Column(key, key, _kind_of(known)), tuple(None if value is UNSET else value for value in values))
    indices = tuple(None if value is UNSET else names.index(typed(value)) for value in values)
    return maps.Rail(Column(key, key), indices, tuple(names))


def _trade_offs(study: Study) -> list[Section]:
    first = study.objectives[0]
    score = first if first not in COSTS else "accuracy"
    trials = [trial for trial in study.finished if trial.scores.get(score)]
    if not trials:
        return []
    figures = [_trade_off(trials, COLUMNS[score], cost) for cost in (SECONDS, TRAINED_PARAMETERS)]
    quiet = Paragraph("Dashed: the Pareto front, of trials that no other beats at the same cost or less.", quiet=True)
    return [Section("trade-off-section", "What more buys", (*figures, quiet))]


def _trade_off(trials: Sequence[Trial], score: Column, cost: Column) -> Figure:
    known = [trial for trial in trials if getattr(trial, cost.name) is not None]
    costs, scores = [float(getattr(trial, cost.name)) for trial in known], [trial.mean(score.name) for trial in known]
    sign = 1 if OBJECTIVES[score.name] == "maximize" else -1
    front = pareto_front([(x, sign * y) for x, y in zip(costs, scores, strict=True)])
    spots, rows = [], []
    for index, (trial, x, y) in enumerate(zip(known, costs, scores, strict=True)):
        on_front = index in front
        spots.append(charts.Spot(x, Interval(y, None, None), str(trial.number), 1 if on_front else 5, small=not on_front))
        rows.append((trial.number, x, y, "yes" if on_front else "no"))
    title = f"{score.label.partition(',')[0].capitalize()} against {cost.label}"
    summary = f"On the Pareto front: trials {listed([str(known[index].number) for index in front])}."
    table = Table(f"{score.name}-{cost.name}", title, (TRIAL, cost, score, ON_FRONT), tuple(rows))
    return Figure(title, summary, charts.scatter(spots, cost, score, front=front), table)


def _progress(study: Study) -> list[Section]:
    """The best so far, trial by trial, and how the best ones learned."""
    first = study.objectives[0]
    result = COLUMNS[first]
    better = max if OBJECTIVES[first] == "maximize" else min
    rows: list[tuple[int, float, float]] = []
    steps: list[charts.Point] = []
    for trial in sorted(study.finished, key=lambda trial: trial.number):
        value = trial.values[first]
        so_far = better(value, rows[-1][2]) if rows else value
        steps += [(trial.number, rows[-1][2] if rows else so_far), (trial.number, so_far)]
        rows.append((trial.number, value, so_far))
    if len(rows) < 2:
        return []
    columns = (TRIAL, result, Column("best", "best so far", result.kind))
    lines = (
        charts.Curve("best so far", tuple(steps), 0, quiet=True),
        charts.Curve("trial", tuple((number, value) for number, value, _ in rows), 5, loose=True),
    )
    start, end = (shown(row[2], result.kind) for row in (rows[0], rows[-1]))
    summary = f"From {start} at trial {rows[0][0]} to {end} at trial {rows[-1][0]}."
    figure = Figure(
        "The best so far",
        summary,
        charts.curves(lines, TRIAL, result),
        Table("progress", "Trial by trial", columns, tuple(rows)),
    )
    return [Section("progress-section", "Trial by trial", (figure, *_learning(study)))]


def _learning(study: Study) -> list[Figure]:
    """Validation accuracy of the best trials over epochs."""
    trials = [trial for trial in study.finished[:TOP] if any(trial.history)]
    if not trials:
        return []
    lines = [[[(entry["epoch"], entry["accuracy"]) for entry in seed] for seed in trial.history] for trial in trials]
    series = [Series(f"trial {trial.number}", lines[index], index) for index, trial in enumerate(trials)]
    accuracy = replace(ACCURACY, label="validation accuracy, %")
    return [lines_figure("How the best ones learned", "learning", series, EPOCH, accuracy)]


def _finals(study: Study) -> list[Section]:
    if not study.finals:
        return []
    columns = (
        TRIAL,
        SEED,
        Column("folder", "run"),
        Column("validation_accuracy", "validation accuracy, %", "share"),
        Column("test_accuracy", "test accuracy, %", "share"),
        Column("test_macro_f1", "test macro-F1, %", "share"),
        Column("test_log_loss", "test log-loss", "number"),
        Column("seconds", "time in all", "seconds"),
        *([Column("reason", "why it failed")] if any(final.reason for final in study.finals) else []),
    )

    def row(final: Final) -> tuple[Value, ...]:
        test = final.test
        scores = (final.validation.get("accuracy"), test.get("accuracy"), test.get("macro_f1"), test.get("log_loss"))
        row = (final.trial, final.seed, run_name(Path(final.folder)), *scores, final.seconds, final.reason)
        return row[: len(columns)]

    lead = "The best configurations, trained again on seeds that the search had not used, then scored on the test rows."
    table = Table("finalists", "Finalists", columns, tuple(map(row, study.finals)))
    blocks: list[Block] = [table]
    if folders := [run_name(Path(final.folder)) for final in study.finals if not final.reason]:
        blocks.append(Code(f"rankwise report {shlex.join(folders)}", "To see them at length"))
    return [Section("finalists-section", "Finalists", tuple(blocks), lead=lead)]


def _best(study: Study, folder: Path | None) -> list[Section]:
    best = study.best
    if best is None:
        return []
    recipe = Code(study.recipe(best).to_yaml(), "best.yaml", folded=True)
    if folder is not None and (folder / "best.yaml").is_file():
        what = Code("rankwise train " + shlex.quote(f"{run_name(folder)}/best.yaml"), f"Trial {best.number}, as a whole run")
    else:
        what = Code("rankwise train best.yaml", f"Trial {best.number}, as a whole run; best.yaml is below")
    return [Section("best-section", "The best configuration", (what, recipe))]
