"""From a recipe to a run folder, straight down the page: read, plan, assemble, fit, evaluate, save.

Whoever reads one file reads this one. Nothing here prints; listeners hear the events, and `train`, which people call from
Python, adds one that tells them.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator, PartialState
from accelerate.utils import ProjectConfiguration
from numpy.typing import NDArray

from rankwise.data.audit import Audit, audit
from rankwise.data.files.table import table_of
from rankwise.data.labelled import Labelled, read_labelled, split_tables
from rankwise.data.prepare import Prepared, Split
from rankwise.encoders.base import KNOWN, short_name
from rankwise.encoders.languages import unread
from rankwise.errors import OverTime, require
from rankwise.inference.baselines import Fitted as FittedBaselines
from rankwise.inference.baselines import baselines, fitted_baselines
from rankwise.inference.decision import energy
from rankwise.inference.evaluation import Evaluation, evaluated
from rankwise.inference.padding import change_by_padding
from rankwise.inference.torch_scorer import TorchScorer
from rankwise.planning.deployment import deployable
from rankwise.planning.forecast import counting_seconds, steps_in
from rankwise.planning.plan import Plan, plan, settled
from rankwise.recipe import EvaluateSpec, Overrides, Recipe
from rankwise.run.folder import Run
from rankwise.run.format import ScoredRows
from rankwise.run.manifest import CHECKPOINTS, EVENTS
from rankwise.run.opening import Existing, OpenFolder, open_folder, portable
from rankwise.run.saving import Kept, facts_of, save, scores_of
from rankwise.system.device import Device
from rankwise.system.events import Event, Events, Listener, WorkDone, event_file
from rankwise.system.processes import of_main_process
from rankwise.system.storage import told_refusals
from rankwise.training.events import Evaluated, UpdateLogged
from rankwise.training.job import Job
from rankwise.training.loop import Fitted
from rankwise.training.throughput import is_worth_measuring, measure
from rankwise.training.validation import Validation
from rankwise.workflows.assemble import assemble, machine_speed, shared_cache, training_device
from rankwise.workflows.by_importance import with_scores
from rankwise.workflows.deploy import deploy
from rankwise.workflows.events import AlreadyComplete, DataPrepared, MachineMeasured, PlanMade, RunScored
from rankwise.workflows.forecasting import work_of
from rankwise.workflows.ladder import Ladder
from rankwise.workflows.suggest import LEAST_SHARE
from rankwise.workflows.telling import told

RECOMPUTED = (
    "frozen layers ran for every update, for neither the cache (RANKWISE_CACHE_GB) nor memory had room for what they give; "
    "--set train.prefix_cache=off trains to the same weights anywhere"
)
NO_ROOM = "free room there and type the same command with --resume, or give another --out"


def train(
    recipe: Recipe | str | Path,
    out: str | Path | None = None,
    *,
    overrides: Overrides = (),
    texts: Any = None,
    labels: Any = None,
    listeners: Iterable[Listener] = (),
    existing: Existing = "refuse",
    progress: bool = True,
) -> Run:
    """Train a recipe (or a built-in name, or a YAML file) and return its finished run.

    `out` is the run folder; the next free `runs/NAME` when left out. A folder with something in it is refused unless
    `existing` says "resume" (go on where it stopped; a finished run is returned as it is) or "overwrite". `texts` and
    `labels` train on Python lists, arrays, columns, or the frame's columns that `data.text` names, instead of the recipe's
    files; of a frame alone (pandas, Polars, Arrow, datasets) text and labels are found as in a file. Texts may be pairs,
    `(first, second)` each, or a frame's `data.text` and `data.text_pair`. `overrides` are `["train.epochs=2"]` or
    `{"train.epochs": 2}`. `listeners` are called with every event. How it goes on is told on standard error unless `progress`
    is False. What `budget.artifact_mb` and `budget.latency_ms` ask for is written into the run folder when it is trained.
    Raises a RankwiseError that says what to change: nothing is downloaded or trained before recipe, data and budget are in
    order.
    """
    started = time.monotonic()
    recipe = recipe.with_overrides(overrides) if isinstance(recipe, Recipe) else Recipe.load(recipe, overrides)
    if texts is None:
        labelled = read_labelled(recipe.data, by_folds=bool(recipe.rungs))
    else:  # the run's recipe names no files, for none were read
        without_files = dict.fromkeys(("source", "train", "validation", "test"))
        recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update=without_files)})
        labelled = split_tables(recipe.data, table_of(texts, labels, recipe.data), by_folds=bool(recipe.rungs))
    telling: AbstractContextManager[list[Listener]] = told() if progress else nullcontext([])
    with telling as teller:
        heard = [*teller, *listeners]
        run = train_on(labelled, recipe, out, listeners=heard, existing=existing, started=started)
        if PartialState().is_main_process:
            deploy(run, heard)
        return run


def train_on(
    labelled: Labelled,
    recipe: Recipe,
    out: str | Path | None = None,
    *,
    listeners: Iterable[Listener] = (),
    existing: Existing = "refuse",
    started: float | None = None,
) -> Run:
    """As `train`, on tables that were read already; a budget of minutes counts from `started`, a time.monotonic()."""
    started = time.monotonic() if started is None else started
    device = training_device()
    device.forget_peak()
    labelled.task.check(recipe)
    recipe = with_scores(recipe.dearest, labelled, device)
    recipe = settled(recipe, pairs=labelled.pairs)  # what is planned and promised is what is trained
    planned = plan(recipe, classes=len(labelled.classes))
    if recipe.budget.deploys:
        recipe = deployable(recipe, planned, work_of(recipe, planned, labelled.volume))
        planned = plan(recipe, classes=len(labelled.classes))
        if not planned.counts_words:
            require("onnxscript", extra="export")
    device.resolve_precision(recipe.train.precision)
    for tracker in recipe.train.trackers:
        require(tracker, extra=tracker)  # the last of what can be refused before a folder is made
    shared_cache()  # whose limit may make no sense
    opened = _opened(recipe, out, labelled.sha256, existing)
    if opened.finished is not None:
        Events(*listeners if PartialState().is_main_process else ()).emit(AlreadyComplete(str(opened.folder)))
        return opened.finished
    with opened, told_refusals(opened.folder, NO_ROOM):
        return _train_into(opened.folder, labelled, recipe, planned, device, listeners, existing == "resume", started)


def _train_into(
    folder: Path,
    labelled: Labelled,
    recipe: Recipe,
    planned: Plan,
    device: Device,
    listeners: Iterable[Listener],
    resume: bool,
    started: float,
) -> Run:
    """Assemble, fit, evaluate and save in a folder that is open for it."""
    trackers = ProjectConfiguration(str(folder), logging_dir=str(folder / "trackers"))
    accelerator = Accelerator(cpu=device.is_cpu, log_with=list(recipe.train.trackers) or None, project_config=trackers)
    with ExitStack() as stack:  # of several processes only the main one has listeners, writes and saves
        heard = [stack.enter_context(event_file(folder / EVENTS)), *listeners] if accelerator.is_main_process else []
        events = Events(*heard, *_tracking(accelerator, recipe))
        trained, total = planned.ledger.trainable_parameters, planned.ledger.total_parameters
        events.emit(PlanMade(recipe.name, labelled.classes, trained, total, planned.ledger.budget, planned.notes))
        events.emit(WorkDone("cleaning texts and making tokens", 0, 0))
        speed = machine_speed(recipe, device)
        first = assemble(recipe, labelled, device, speed=replace(speed, gflops=of_main_process(speed.gflops)))
        every_row = bool(recipe.rungs and labelled.fold_count)  # trains, those too that were set aside
        elapsed = of_main_process(time.monotonic() - started)
        if not (resume or recipe.starts_at_once):  # of which little may be left, or is enough
            _check_time(first, elapsed)
        data, warnings = first.data, _warnings(labelled, first.data, recipe, whole=every_row)
        events.emit(MachineMeasured(first.speed.threads, first.speed.by_threads, first.precision, device.processes))
        rows, max_length = (len(data.train), len(data.validation), len(data.test)), data.preprocessing.max_length
        events.emit(DataPrepared(*rows, max_length, tuple(data.notes), warnings))

        wanted = recipe.evaluate.baselines and accelerator.is_main_process
        began = time.monotonic()
        beside = _beside(data, events, whole=every_row) if wanted else {}  # before training, whose time is what they leave
        if recipe.evaluate.baselines and not (resume or recipe.starts_at_once):
            late = time.monotonic() - began - counting_seconds(first.forecast.work, len(labelled.classes))
            _check_time(first, elapsed + of_main_process(late))
        first = _measured(first, accelerator, events, started, resume=resume)
        events.emit(first.forecast.rounded())

        scratch = folder / CHECKPOINTS
        ends_at = started + 60 * recipe.budget.minutes if recipe.budget.minutes else None
        climbing = Ladder(recipe, labelled, device, scratch, accelerator, events, resume, ends_at)
        job, fitted, ladder = climbing.climb(first)
        held_out = held_out_rows(job, fitted, accelerator, by_folds=ladder is not None and ladder.folds > 0)
        job, told = _deciding(job, held_out)

        # The only time that the test split is scored, in fp32.
        test, scored_rows = _tested(job, recipe.evaluate, accelerator, events)
        device.trim()  # for the saved run is loaded beside what is in memory
        scores = scores_of(job, fitted, test, baselines(beside, job.data.task, test, recipe.evaluate))
        events.emit(RunScored.of(test.scores))

    if accelerator.is_main_process:
        found = (job.forecast.more_epochs, str(fitted.collapsed or ""), RECOMPUTED * fitted.recomputes, _about_padding(job))
        notes = [*job.data.notes, *warnings, *filter(None, (told, *found))]
        facts = facts_of(job, fitted, folder, seconds=time.monotonic() - started, notes=notes)
        if ladder is not None:
            seconds = first.forecast.tried(rung.rung for rung in ladder.rungs)
            peak, digest = first.forecast.peak_bytes, labelled.sha256
            facts = facts.climbed(ladder, seconds=seconds, peak_bytes=peak, data_sha256=digest)
        goes_on = ladder is not None and ladder.interrupted
        gone = scratch if recipe.train.keep == 1 or goes_on else None
        save(folder, job, facts, scores, kept_rows(job, scored_rows, held_out), scratch=gone, goes_on=goes_on)
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return Run.load(folder)


def _about_padding(job: Job) -> str:
    """A line where an encoder that no test here has seen answers for a text by what it is padded with; empty elsewhere."""
    encoder = job.plan.encoder
    if job.words is not None or encoder.traits.padding_side is None:
        return ""
    change = change_by_padding(TorchScorer(job.classifier), job.data.test.tokens, job.padding)
    return (
        f"{encoder.name} ({encoder.family}) sees what texts are padded with: a logit changes by up to {change:.2g} beside a "
        "longer text; one text at a time is answered the same each time: --batch-size 1"
        if change
        else ""
    )


def _beside(data: Prepared, events: Events, *, whole: bool) -> FittedBaselines:
    """What baselines say of the test rows."""
    events.emit(WorkDone("counting words for the baseline", 0, 0))
    return fitted_baselines(data, whole=whole)


def _tested(job: Job, spec: EvaluateSpec, accelerator: Accelerator, events: Events) -> tuple[Evaluation, ScoredRows]:
    """The test rows' scores, and what is kept of each row."""
    events.emit(WorkDone("scoring the test rows", 0, 0))
    values = _logits(job, job.data.test, accelerator)
    test = evaluated(values, job.data.test, job.data.task, spec)
    return test, _scored(job, job.data.test, values)


def _logits(job: Job, split: Split, accelerator: Accelerator) -> NDArray[np.float32]:
    """Logits (N, C) of a split by what was trained, in fp32."""
    if job.words is not None:
        return job.words.logits(split.texts)
    batch_size = job.forecast.evaluation_batch_size
    return Validation(job.classifier, job.padding, batch_size, accelerator=accelerator).logits(split.tokens)


def held_out_rows(job: Job, fitted: Fitted, accelerator: Accelerator, *, by_folds: bool) -> ScoredRows | None:
    """What is said of rows that were not trained on, by which decisions are made: validation rows, or every fold's."""
    if by_folds:
        assert fitted.held_out is not None, "a climb by folds tells all rows"
        return ScoredRows(job.data.train.rows, job.data.train.labels, fitted.held_out.astype(np.float32))
    validation = job.data.validation
    return _scored(job, validation, _logits(job, validation, accelerator)) if len(validation) else None


def kept_rows(job: Job, scored_rows: ScoredRows, held_out: ScoredRows | None) -> Kept:
    """What a run keeps of rows; the tokens of validation rows only where an encoder reads them and texts may be kept."""
    validation = job.data.validation
    has_tokens = job.words is None and job.recipe.evaluate.keep_texts
    are_validation = held_out is not None and np.array_equal(held_out.rows, validation.rows)
    return Kept(scored_rows, held_out, validation.tokens if has_tokens and are_validation else None)


def _deciding(job: Job, held_out: ScoredRows | None) -> tuple[Job, str]:
    """The job, deciding as suits the held-out rows best, where its task has something to choose, and a line about it."""
    task = job.data.task
    if held_out is None or not task.is_tuned:
        return job, task.about_choice
    tuned = task.tuned(held_out.probabilities.astype(np.float64), held_out.truth)
    return job.deciding_as(tuned), tuned.about_choice


def _scored(job: Job, split: Split, values: NDArray[np.float32]) -> ScoredRows:
    """A split's rows with their probabilities, and, from an encoder's logits (N, C), their energy."""
    probabilities = job.data.task.probabilities(values).astype(np.float32)
    has_energy = job.words is None and job.data.task.has_classes
    return ScoredRows(split.rows, split.labels, probabilities, energy(values) if has_energy else None)


def _check_time(job: Job, elapsed: float) -> None:
    """Raise OverTime early where starting has taken so long that what is to come is too much for a budget of minutes.

    A machine that others keep busy starts slowly, which nobody knows before.
    """
    steps_in(job.forecast.minutes, job.recipe, job.forecast.work.train_rows, job.forecast.assembled(elapsed))


def _measured(job: Job, accelerator: Accelerator, events: Events, started: float, *, resume: bool) -> Job:
    """The job with a forecast by what its classifier was measured to do; as it is where that would not pay.

    Raises OverTime, but not on a resume, of which little may be left.
    """
    if accelerator.num_processes > 1 or not is_worth_measuring(job.forecast):
        return job
    events.emit(WorkDone("measuring a few updates", 0, 0))
    as_trained = job
    if job.recipe.rungs and job.labelled.fold_count:  # few rows train in pairs, whose texts are not of like lengths
        as_trained = replace(job, recipe=job.recipe.rung("all", few=True))
    measured = measure(as_trained, accelerator)
    try:
        return job.forecast_by(measured.after(time.monotonic() - started))
    except OverTime:
        if resume:
            return job
        raise


def _opened(recipe: Recipe, out: str | Path | None, data_sha256: str, existing: Existing) -> OpenFolder:
    """`open_folder` by the main process, and its answer for all."""
    state, opened = PartialState(), None
    answer: list[Any] = [None, None]
    if state.is_main_process:
        with told_refusals(out or "runs", "give another --out, a folder of yours with room and a shorter name"):
            opened = open_folder(recipe, out, data_sha256, existing)
        answer = [str(opened.folder), opened.finished is not None]
    answer = of_main_process(answer)
    return opened or OpenFolder(Path(answer[0]), Run.load(answer[0]) if answer[1] else None)


def _tracking(accelerator: Accelerator, recipe: Recipe) -> list[Listener]:
    """A listener that hands numbers to Accelerate's trackers, where the recipe asks for any."""
    if not recipe.train.trackers:
        return []
    flat = {"recipe": recipe.name, "base": portable(recipe).base, "fingerprint": recipe.fingerprint}
    accelerator.init_trackers("rankwise", config=flat)

    def log(event: Event) -> None:
        if isinstance(event, (UpdateLogged, Evaluated)):
            numbers = {f"{event.kind}/{key}": value for key, value in vars(event).items() if isinstance(value, float)}
            accelerator.log(numbers, step=event.step)

    return [log]


def _warnings(labelled: Labelled, data: Prepared, recipe: Recipe, *, whole: bool) -> tuple[str, ...]:
    """What an audit warns about in the texts that the encoder reads; of the `whole` of the labelled rows where all train."""
    rows, batch_size = len(data.train) + len(data.validation) * whole, recipe.train.batch_size
    few = (f"{rows} training rows are fewer than train.batch_size, {batch_size}: each update takes all of them",)
    read = {}
    for name, table in labelled.tables.items():
        split: Split = getattr(data, name)
        read[name] = replace(table.take(np.flatnonzero(np.isin(table.rows, split.rows))), texts=split.texts)
    if whole:
        read["train"] = read["train"].joined(read.pop("validation"))
    audited, is_few = audit(read), recipe.makes_updates and rows < batch_size
    return (*data.warnings, *(few if is_few else ()), *_unread(recipe.base, audited), *audited.warnings)


def _unread(base: str, audited: Audit) -> Iterator[str]:
    """A warning where training texts are in a script that the base, where it is a known one, was not published for."""
    rows, known = audited.rows["train"], short_name(base)
    for script, count in unread(KNOWN[known].languages, audited.scripts).items() if known else ():
        if count > LEAST_SHARE * rows:
            yield (
                f"{count:,} of {rows:,} training texts are mostly {script}, in which none of the languages that {base} was "
                "published for is written; to see what is, type: rankwise plan --suggest --data FILE"
            )
