"""How training went: loss and accuracy over updates, and what each run took."""

from __future__ import annotations

from rankwise.recipe.steps import steps_per_epoch
from rankwise.report.blocks import Column, Paragraph, Section, Table, Value
from rankwise.report.columns import ACCURACY, BEST_UPDATE, LOG_LOSS, PEAK_GB, RUN, SECONDS, SEED, UPDATE
from rankwise.report.figures.lines import Series, lines_figure
from rankwise.report.groups import SPLITS, Group, Line, run_name


def training_section(group: Group, prefix: str) -> Section:
    """Loss and accuracy over updates and epochs."""
    recipe = group.first.recipe
    per_epoch = steps_per_epoch(group.first.facts.rows.train, recipe.train)
    best = group.first.facts.best.step if len(group.runs) == 1 else None
    logged: list[Line] = [[(update.step, update.loss) for update in updates] for updates in group.logged_updates]
    of_loss = (
        Series("training", logged if all(logged) else _histories(group, "train_loss"), 1),
        Series("validation", _histories(group, "log_loss"), 0, ringed=best),
    )
    of_accuracy = (
        Series("training", _histories(group, "train_accuracy"), 1),
        Series("validation", _histories(group, "accuracy"), 0, ringed=best),
        Series("worst shift", _histories(group, "worst_shift"), 2),
    )
    figures = (
        lines_figure("Loss", f"{prefix}loss", of_loss, UPDATE, LOG_LOSS, per_epoch),
        lines_figure("Accuracy", f"{prefix}accuracy-curve", of_accuracy, UPDATE, ACCURACY, per_epoch),
    )
    lead = _updates(group)
    if best is None:
        lead += f". Lines are means over {len(group.runs)} seeds, bands reach from the lowest to the highest."
    else:
        chosen = recipe.train.select_by.replace("log_loss", "log-loss").replace("_", " ")
        lead += f"; the weights kept are those of update {best:,} (ringed), the best by {chosen}."
    how_counted = "Training accuracy is counted while the weights change, with dropout where there is any."
    if recipe.train.average:
        how_counted += " Validation scores are those of a running mean of the weights, and the mean is what was kept."
    blocks = (*figures, Paragraph(how_counted, quiet=True), _costs(group, prefix))
    return Section(f"{prefix}training-section", "Training", blocks, lead=lead)


def _histories(group: Group, key: str) -> list[Line]:
    values = [[(entry.step, getattr(entry, key)) for entry in history] for history in group.histories]
    return [[(step, value) for step, value in line if value is not None] for line in values]


def _updates(group: Group) -> str:
    """`300 to 343 updates of 32 rows, 2 of 3 stopped early`."""
    steps = sorted({run.facts.steps for run in group.runs})
    span = f"{steps[0]:,}" if len(steps) == 1 else f"{steps[0]:,} to {steps[-1]:,}"
    updates = f"{span} updates of {group.first.recipe.train.batch_size} rows"
    early = sum(run.facts.stopped_early for run in group.runs)
    who = "" if len(group.runs) == 1 else f"{early} of {len(group.runs)} "
    return f"{updates}, {who}stopped early" if early else updates


def _costs(group: Group, prefix: str) -> Table:
    """What each run took, and the mean of several."""
    updates, in_all = Column("updates", "updates", "count"), Column("seconds_in_all", "time in all", "seconds")
    of_rows = [Column(f"{split}_rows", f"{name} rows", "count") for split, name in SPLITS.items()]
    columns = (RUN, SEED, updates, BEST_UPDATE, SECONDS, in_all, PEAK_GB, *of_rows)
    rows: list[tuple[Value, ...]] = []
    for run in group.runs:
        facts, peak = run.facts, run.facts.actual.peak_bytes
        costs = (facts.seconds.training, facts.seconds.all, None if peak is None else peak / 1e9)
        counts = (getattr(facts.rows, split) for split in SPLITS)
        rows.append((run_name(run.folder), run.recipe.train.seed, facts.steps, facts.best.step, *costs, *counts))
    if len(rows) > 1:
        means = (group.seconds().value, group.seconds("all").value, group.peak_gb().value)
        rows.append(("mean", None, None, None, *means, None, None, None))
    return Table(f"{prefix}costs", "What training took", columns, tuple(rows), folded=True)
