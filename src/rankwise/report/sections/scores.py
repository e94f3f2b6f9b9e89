"""What a recipe scored: beside its baselines, and seed by seed."""

from __future__ import annotations

from collections.abc import Sequence

from rankwise.report.blocks import Block, Column, Figure, Paragraph, Section, Table, Value, in_words, listed, percent
from rankwise.report.columns import ACCURACY, BEST_UPDATE, LOG_LOSS, RUN, SCORES, SECONDS, SEED
from rankwise.report.figures import charts
from rankwise.report.groups import LIMITS, SHARE, Group, run_name
from rankwise.stats.intervals import Interval

NONE = Interval(None, None, None)
SYSTEM = Column("system", "on the test rows")
MAJORITY = "majority class"
Scored = tuple[str, dict[str, Interval], Interval]  # a system's name, its scores, how far this recipe's accuracy is above


def scores_section(group: Group, prefix: str) -> Section:
    own = "this recipe" if len(group.runs) > 1 else "this run"
    systems: list[Scored] = [(own, {key: group.score(key) for key in SCORES}, NONE)]
    for name, gain in gains(group).items():
        runs = [run.scores.baselines[name] for run in group.runs]
        pooled = {key: group.pooled((getattr(run, key) for run in runs), within=LIMITS.get(key, SHARE)) for key in SCORES}
        systems.append((name, pooled, gain))
    rows: list[tuple[Value, ...]] = [(name, *scores.values()) for name, scores, _ in systems]
    unseen = [scores for run in group.runs if (scores := run.scores.test_not_in_training)]
    if len(unseen) == len(group.runs):
        pooled = {key: group.pooled(getattr(scores, key) for scores in unseen) for key in ("accuracy", "macro_f1")}
        rows.insert(1, (f"{own}, on texts that are not in training", *(pooled.get(key, NONE) for key in SCORES)))
    title, columns = f"Scores, with {percent(group.confidence, 0)} intervals", (SYSTEM, *SCORES.values())
    blocks: list[Block] = [
        _beside_baselines(group, systems, prefix, ACCURACY, "Accuracy on the test rows"),
        _beside_baselines(group, systems, prefix, LOG_LOSS, "Log-loss on the test rows; less is better"),
        Table(f"{prefix}scores", title, columns, tuple(rows), marked=frozenset({0})),
    ]
    if len(group.runs) > 1:
        blocks.append(_each_run(group, prefix))
    blocks.append(Paragraph(_what_intervals_say(group), quiet=True))
    return Section(f"{prefix}scores-section", "Scores", tuple(blocks))


def _beside_baselines(group: Group, systems: Sequence[Scored], prefix: str, column: Column, title: str) -> Figure:
    """A score beside the baselines'; that of the majority class in words alone, for it would squeeze the others together."""
    key = column.name
    drawn = [(name, scores[key]) for name, scores, _ in systems if name != MAJORITY]
    own = group.scores_of_runs(key) if len(group.runs) > 1 else ()
    rows = [charts.Row(name, value, 5 if index else 0, () if index else own) for index, (name, value) in enumerate(drawn)]
    words = {name: in_words(scores[key], column.kind) for name, scores, _ in systems}
    columns = [SYSTEM, column]
    values: list[tuple[Value, ...]] = [(name, scores[key]) for name, scores, _ in systems]
    if column is ACCURACY:
        columns.append(Column("ahead", "ahead by, points", "signed", interval=True))
        values = [(*row, gain) for row, (*_, gain) in zip(values, systems, strict=True)]
    summary = "; ".join(f"{name} {score}" for name, score in words.items())
    note = f"Always answering the {MAJORITY}: {words[MAJORITY]}." if MAJORITY in words else ""
    table = Table(f"{prefix}{key}", title, tuple(columns), tuple(values))
    return Figure(title, summary, charts.dots(rows, column), table, note)


def gains(group: Group) -> dict[str, Interval]:
    """How far accuracy is above each baseline that every run of the group was scored beside."""
    names = [name for name in group.first.scores.baselines if all(name in run.scores.baselines for run in group.runs)]
    return {
        name: group.pooled((run.scores.baselines[name].difference for run in group.runs), within=(-1.0, 1.0))
        for name in names
    }


def _each_run(group: Group, prefix: str) -> Table:
    rows: list[tuple[Value, ...]] = []
    for run in group.runs:
        test, facts = run.scores.test, run.facts
        scores = (test.accuracy, test.log_loss)
        rows.append((run_name(run.folder), run.recipe.train.seed, *scores, facts.seconds.training, facts.best.step))
    return Table(f"{prefix}runs", "Each run", (RUN, SEED, ACCURACY, LOG_LOSS, SECONDS, BEST_UPDATE), tuple(rows))


def _what_intervals_say(group: Group) -> str:
    level = percent(group.confidence, 0)
    if len(group.runs) == 1:
        return f"Brackets are {level} bootstrap intervals over test rows; they say nothing of other seeds or other data."
    return (
        f"Means over {len(group.runs)} seeds ({listed([str(seed) for seed in group.seeds])}); brackets are {level} intervals "
        "that count seeds and test rows."
    )
