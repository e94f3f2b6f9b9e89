"""How a recipe was trained: its curves, what each run took, on what rows, and the commands that make its runs again."""

from rankwise.errors import as_typed
from rankwise.recipe.train import Published
from rankwise.report.blocks import Block, Code, Column, Facts, Figure, Notes, Section, Table
from rankwise.report.columns import ACCURACY, BEST_UPDATE, LOG_LOSS, PEAK_GB, RUN, SECONDS, SEED, UPDATE, column_of
from rankwise.report.figures import charts
from rankwise.report.figures.composed import Line, lines_figure, mean_curve
from rankwise.report.groups import Group, peak_gb
from rankwise.report.words import Value, in_words, listed, run_name
from rankwise.run.folder import Run
from rankwise.run.manifest import EVENTS, RECIPE, VERSIONS
from rankwise.stats.score_names import called
from rankwise.system.events import read_events
from rankwise.system.files import read_json
from rankwise.training.events import TrainingStarted, UpdateLogged
from rankwise.workflows.events import RungStarted

SPLITS = {"train": "training", "validation": "validation", "test": "test"}  # and what a page calls them
WHAT = Column("what", "what")
SQUARES = Column("loss", "squared error over the labels' variance", "number")


def training_section(group: Group) -> Section:
    recipe, facts = group.first.recipe, group.first.facts
    per_epoch = recipe.train.steps_per_epoch(facts.rows.train)
    best = facts.best.step if len(group.runs) == 1 else None
    logged = [_losses(run) for run in group.runs]
    of_loss = (
        mean_curve("training", logged if all(logged) else _histories(group, "train_loss"), 1),
        mean_curve("validation", _histories(group, "log_loss"), 0, ringed=best),
    )
    has_classes = group.first.task.has_classes
    of_accuracy = (
        mean_curve("training", _histories(group, "train_accuracy"), 1),
        mean_curve("validation", _histories(group, "accuracy" if has_classes else "r2"), 0, ringed=best),
        mean_curve("worst shift", _histories(group, "worst_shift"), 2),
    )
    lead = _updates(group)
    if facts.steps == 0:
        head = "the head was fitted to what the frozen encoder gives"
        lead = f"No update was made: {'words and word pairs were counted' if group.first.counts_words else head}."
    elif facts.ladder is not None and facts.ladder.folds:
        lead += "; no checkpoint was chosen, the last weights are kept. Validation scores are of the folds' classifiers."
    elif best is None:
        lead += f". Lines are means over {len(group.runs)} seeds, bands reach from the lowest to the highest."
    else:
        chosen = called(group.first.task.metric(recipe.train.select_by))
        lead += f"; the weights kept are those of update {best:,} (ringed), the best by {chosen}."
    right = ACCURACY if has_classes else column_of("r2")
    how_counted = (
        f"Training {right.label.removesuffix(', %')} is counted while the weights change, with dropout where there is any."
    )
    if recipe.train.average:
        how_counted += " Validation scores are those of a running mean of the weights, and the mean is what was kept."
    curves: list[Block] = [
        lines_figure("Loss", "loss", of_loss, UPDATE, LOG_LOSS if has_classes else SQUARES, per_epoch),
        lines_figure(right.label.removesuffix(", %").capitalize(), "accuracy-curve", of_accuracy, UPDATE, right, per_epoch),
    ]
    blocks = [*(curves if facts.steps else ()), _costs(group)]
    if facts.ladder is not None:
        blocks.append(_rungs(group))
    return Section("training-section", "Training", blocks, lead=lead, note=how_counted if facts.steps else "")


def _losses(run: Run) -> Line:
    """(update, loss) as logged, of the rung that was handed over, and of its last training where folds came before.

    Of a run that was resumed, an update's loss is that of the last time it was made.
    """
    handed = run.facts.ladder.handed_over.rung if run.facts.ladder else None
    rung, losses = None, dict[float, float]()
    for event in read_events(run.folder / EVENTS, RungStarted, TrainingStarted, UpdateLogged):
        if isinstance(event, RungStarted):
            rung = event.rung
        elif handed is not None and rung != handed:
            continue
        elif isinstance(event, UpdateLogged):
            losses[event.step] = event.loss
        elif isinstance(event, TrainingStarted) and event.step == 0:
            losses.clear()
    return sorted(losses.items())


def _rungs(group: Group) -> Table:
    """What each rung of each run's ladder reached on rows held out."""
    columns = (
        *(RUN, Column("rung", "rung"), Column("trained", "trained parameters", "count")),
        Column("accuracy", f"{group.first.task.credit_name} on rows held out, %", "share"),
        Column("gain", "gained, points"),
        *(Column("took", "time", "seconds"), Column("handed_over", "handed over")),
    )
    rows = [
        (
            *(run_name(run.folder), rung.rung, rung.trained_parameters, rung.accuracy),
            *(rung.gained, rung.took, "yes" if rung.handed_over else "no"),
        )
        for run in group.runs
        for rung in (run.facts.ladder.rungs if run.facts.ladder else ())
    ]
    return Table("rungs", "What each rung reached", columns, rows)


def _histories(group: Group, key: str) -> list[Line]:
    """What the evaluations of each run have under a key, by update."""
    values = [[(entry.step, getattr(entry, key)) for entry in run.scores.history] for run in group.runs]
    return [[(step, value) for step, value in line if value is not None] for line in values]


def _updates(group: Group) -> str:
    """`300 to 343 updates of 32 rows, 2 of 3 stopped early`."""
    steps = sorted({run.facts.steps for run in group.runs})
    span = f"{steps[0]:,}" if len(steps) == 1 else f"{steps[0]:,} to {steps[-1]:,}"
    early = sum(run.facts.stopped_early for run in group.runs)
    who = "" if len(group.runs) == 1 else f"{early} of {len(group.runs)} "
    stopped = f", {who}stopped early" if early else ""
    return f"{span} updates of {group.first.recipe.train.batch_size} rows{stopped}"


def _costs(group: Group) -> Table:
    updates, in_all = Column("updates", "updates", "count"), Column("seconds_in_all", "time in all", "seconds")
    of_rows = [Column(f"{split}_rows", f"{name} rows", "count") for split, name in SPLITS.items()]
    rows: list[tuple[Value, ...]] = []
    for run in group.runs:
        facts = run.facts
        costs = (facts.steps, facts.best.step, facts.seconds.training, facts.seconds.all, peak_gb(run))
        rows.append((run_name(run.folder), run.recipe.train.seed, *costs, *(getattr(facts.rows, split) for split in SPLITS)))
    if len(rows) > 1:
        means = (group.seconds().value, group.seconds("all").value, group.peak_gb().value)
        rows.append(("mean", None, None, None, *means, None, None, None))
    columns = (RUN, SEED, updates, BEST_UPDATE, SECONDS, in_all, PEAK_GB, *of_rows)
    return Table("costs", "What training took", columns, rows, folded=True)


def data_section(group: Group) -> Section:
    run = group.first
    bars, quantiles = run.facts.token_lengths.histogram, run.facts.token_lengths.quantiles
    longest, total = run.preprocessing.max_length, sum(count for *_, count in bars)
    tokens, texts = Column("tokens", "tokens, special ones included", "count"), Column("texts", "training texts", "count")
    ends = (Column("from", "tokens from", "count"), Column("to", "to", "count"))
    rows = [(low, high - 1, count, count / total) for low, high, count in bars]
    middle = f"Half of the training texts have {quantiles['50%']:,} tokens or fewer, 95 % have {quantiles['95%']:,} or fewer"
    windows = run.preprocessing.windows
    kept = f"read in up to {windows} windows of {longest} tokens" if windows else f"cut to {longest} tokens"
    longer = "All words are counted, however long a text is." if run.counts_words else f"Longer texts are {kept}."
    summary = f"{middle}; the longest has {quantiles['max']:,}. {longer}"
    picture = charts.histogram(bars, tokens, texts, limit=longest, label=f"max length {longest}")
    columns = (*ends, texts, Column("share", "% of them", "share"))
    table = Table("token-lengths", "Token lengths of the training texts", columns, rows)
    lengths = Figure("How long the texts are", summary, picture, table, note=summary)
    notes = [Notes(run.facts.notes)] if run.facts.notes else []
    what = f"{len(run.scores.classes)} classes" if run.task.has_classes else "a number for each"
    splits = listed([f"{getattr(run.facts.rows, part):,} {name}" for part, name in SPLITS.items()])
    lead = f"{splits} rows; {what}."
    scripts = run.facts.scripts or {}
    if set(scripts) - {"Latin"}:
        shares = [f"{script} ({count / sum(scripts.values()):.1%})" for script, count in scripts.items()]
        lead += f" Training texts are mostly in {listed(shares)}."
    return Section("data-section", "Data", [lengths, *notes], lead=lead)


def origin_section(group: Group) -> Section:
    run, recipe = group.first, group.first.recipe
    facts, base = run.facts, run.facts.base
    threads = f"{facts.threads} {'thread' if facts.threads == 1 else 'threads'}"
    files = [f"{name} {source.path}" for name in SPLITS if (source := getattr(recipe.data, name))]
    items = (
        ("recipe", recipe.name + (f": {recipe.summary}" if recipe.summary else "")),
        *([("report", recipe.published.report)] if recipe.published else []),
        ("base encoder", base.hub or base.name),
        *([("its weights, sha256", base.sha256)] if base.sha256 else []),
        ("data", ", ".join(filter(None, [recipe.data.source, *files])) or "lists given in Python"),
        ("its texts and labels, sha256", facts.data_sha256),
        ("seed" if len(group.runs) == 1 else "seeds", listed(group.seeds)),
        ("computed on", f"{facts.device}, {facts.precision}, {threads}"),
    )
    recipes = [f"{run_name(run.folder)}/recipe.yaml" for run in group.runs]
    if recipe.data.names_files:
        how, again = "where the data's paths hold", [f"rankwise train {as_typed(path)}" for path in recipes]
    else:
        how = "with the lists it was trained on"
        again = [f"rankwise.train(rankwise.Recipe.load({path!r}), texts=texts, labels=labels)" for path in recipes]
    blocks: list[Block] = [Code("\n".join(again), f"To make it again, {how}"), Facts(items)]
    if recipe.published:
        blocks.append(_beside_published(recipe.published, group))
    blocks.append(Code((run.folder / RECIPE).read_text("utf-8"), "recipe.yaml", folded=True))
    versions = list(read_json(run.folder / VERSIONS, dict[str, str]).items())
    blocks.append(Table("versions", "Versions", (WHAT, Column("version", "version")), versions, folded=True))
    return Section("origin-section", "Where it came from", blocks)


def _beside_published(published: Published, group: Group) -> Table:
    printed = published.trainable_parameters
    rows: list[tuple[Value, ...]] = [
        ("trained parameters", "not given" if printed is None else f"{printed:,}", f"{group.trained_parameters:,}"),
        *((name, score, "") for name, score in published.scores.items()),
        ("test accuracy here", "", in_words(group.score("accuracy"), "share")),
    ]
    columns = (WHAT, Column("printed", "the report prints"), Column("here", "here"))
    return Table("published", "Beside the report", columns, rows, folded=True)
