"""What a recipe scored: beside its baselines, by seed, and under shift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rankwise.report.blocks import Block, Column, Figure, Kind, Paragraph, Section, Table, Value, in_words, listed, percent
from rankwise.report.figures import charts
from rankwise.report.groups import LIMITS, SHARE, Group, run_name
from rankwise.stats.intervals import Interval

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
        of = [run.scores.baselines[name] for run in group.runs]
        found = {key: group.pooled((getattr(scores, key) for scores in of), within=LIMITS.get(key, SHARE)) for key in SCORES}
        systems.append((name, found, gain))
    columns = (
        Column("system", "on the test rows"),
        *(Column(key, label, kind, interval=True) for key, (label, kind) in SCORES.items()),
    )
    rows: list[tuple[Value, ...]] = [(name, *found.values()) for name, found, _ in systems]
    clean = [run.scores.test_not_in_training for run in group.runs]
    if all(clean):
        without = {key: group.pooled(getattr(scores, key) for scores in clean if scores) for key in ("accuracy", "macro_f1")}
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
    own = group.scores_of_runs(key) if len(group.runs) > 1 else ()
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
    return Figure(title, said, charts.dots(rows, columns[1]), table, note)


def gains(group: Group) -> dict[str, Interval]:
    """How far accuracy is above each baseline that every run of the group was scored beside."""
    names = [name for name in group.first.scores.baselines if all(name in run.scores.baselines for run in group.runs)]
    return {
        name: group.pooled((run.scores.baselines[name].difference for run in group.runs), within=(-1.0, 1.0))
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
        scores = (run.scores.test.accuracy, run.scores.test.log_loss)
        facts = run.facts
        rows.append((run_name(run.folder), run.recipe.train.seed, *scores, facts.seconds.training, facts.best.step))
    return Table(f"{prefix}runs", "Each run", columns, tuple(rows))


def _what_intervals_say(group: Group) -> str:
    level = percent(group.confidence, 0)
    if len(group.runs) == 1:
        return f"Brackets are {level} bootstrap intervals over test rows; they say nothing of other seeds or other data."
    return (
        f"Means over {len(group.runs)} seeds ({listed([str(seed) for seed in group.seeds])}); brackets are {level} intervals "
        "that count seeds and test rows."
    )
