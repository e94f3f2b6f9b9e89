"""The training loop: a job in, the best weights and a history out.

One update takes `batch_size` rows of similar length, forward and backward in micro-batches. Evaluations and checkpoints come
at the same moments. What a recipe, a limit or a precision adds is a part (`parts/`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator

from rankwise.data.batches import Rows, training_batches
from rankwise.data.prepare import Split
from rankwise.errors import NonFiniteLoss
from rankwise.model.classifier import quiet_dropout
from rankwise.model.dropout import cut_dropout_from_words
from rankwise.model.hidden_cache import HiddenStates, HiddenStatesCache
from rankwise.recipe import TrainSpec
from rankwise.recipe.steps import evaluation_interval, planned_steps, steps_per_epoch
from rankwise.system.events import (
    Evaluated,
    Event,
    Events,
    HeadFitted,
    HiddenStatesCached,
    HistoryEntry,
    TrainingEnded,
    TrainingStarted,
    UpdateLogged,
    UpdateMade,
)
from rankwise.training.checkpoint import Checkpoints
from rankwise.training.fitted_head import fit_head
from rankwise.training.hidden_states import cached_hidden_states, cached_layer, frozen_digest, pays
from rankwise.training.job import Job
from rankwise.training.optimizers import Optimizers
from rankwise.training.pace import NO_DEADLINE, Deadline, Pace
from rankwise.training.parts import Part, Parts, Step
from rankwise.training.parts.average import Average
from rankwise.training.parts.loss_scale import LossScale
from rankwise.training.parts.memory import Memory
from rankwise.training.parts.pruning import Pruning
from rankwise.training.parts.timing import Timing
from rankwise.training.progress import Meter, Progress
from rankwise.training.schedule import plateau_factor, schedule_factor
from rankwise.training.update import Update
from rankwise.training.validation import Validation


@dataclass(frozen=True)
class Fitted:
    """How a classifier got to its best weights, which are in place."""

    best: HistoryEntry
    """The evaluation whose weights are in place."""
    history: tuple[HistoryEntry, ...]
    """Every evaluation."""
    steps: int
    seconds: float
    """Time spent in training and evaluation, over all resumed parts."""
    stopped_early: bool
    earlier_seconds: float = 0.0
    """The part of it that was spent before this one."""


def fit(
    job: Job,
    *,
    checkpoints: Checkpoints,
    accelerator: Accelerator,
    events: Events,
    cache: HiddenStatesCache | None = None,
    resume: bool = False,
    ends_at: float | None = None,
) -> Fitted:
    """Train the job's classifier in place and leave it with the weights that scored best on the validation split.

    With `ends_at`, a moment of time.monotonic() at which the whole run is to be over, updates are made as there is time for,
    and the schedule ends with the last of them. `cache` keeps frozen layers' hidden states.

    Under several processes each takes its share of every update's rows, and gradients are all-reduced, so the update is the
    one that a single process would make. Raises NonFiniteLoss before the update that would spoil the weights, and RunError
    for a checkpoint that does not belong here. torch's generator is left as it was found.
    """
    classifier, data, spec = job.classifier, job.data, job.recipe.train
    with job.device.own_generators():
        # --- what does not change from update to update
        _seed(spec, accelerator)
        _ready(job)
        started = time.monotonic()
        hidden = _hidden_states(job, cache, events)
        pace = _pace(job, accelerator, ends_at)
        optimizers, scale = Optimizers(classifier, spec), LossScale(job.device, job.precision)
        remembered = Parts(scale, *_chosen_parts(job, pace, accelerator, events))
        update = Update(job, accelerator, hidden.get("train"), scale.scaler, remembered, events)
        validation = Validation(classifier, job.padding, job.sizes.evaluation_batch, job.precision, accelerator)

        # --- where to start
        resumed = checkpoints.resume(classifier, optimizers, remembered) if resume else None
        progress = resumed or _from_the_start(job, hidden.get("train"), events)
        if resumed and accelerator.num_processes > 1:  # the checkpoint holds the main process's generator
            _seed(spec, accelerator, resumed_at=progress.step)
        pace.resume(progress.step, progress.fraction)
        earlier_seconds = progress.training_seconds
        events.emit(TrainingStarted(step=progress.step, total=pace.total, rows=len(data.train), epochs=spec.epochs))

        # --- the loop
        meter = Meter()
        memory = Memory(update, job.device, job.sizes.memory_limit_bytes)
        parts = Parts(Timing(job, pace, hidden.get("validation")), *remembered.parts, memory)
        classifier.model.train()
        for epoch, batch, rows in _updates(data.train, spec, progress):
            if progress.has_stalled(spec) or pace.done:  # a run resumed after its early stop stays stopped
                break
            factor = schedule_factor(pace.position, total=pace.planned, spec=spec) * plateau_factor(progress.stalls, spec)
            optimizers.set_rates(factor)
            loss, right = update(rows)
            _check_finite(loss, progress.step, rows, data.train)
            meter.add(loss, right, len(rows))
            norm = optimizers.step(scale.scaler)
            progress.note_update(epoch, batch)
            parts.after_update(Step(progress.step, rows, applied=scale.applies(norm), settled=parts.settled))
            events.emit(_made(spec, pace, meter, optimizers, norm))

            if pace.evaluates:
                parts.before_scoring()
                scores = validation.scores(data.validation, shifted=job.shifted, hidden=hidden.get("validation"))
                passed = round(progress.step / steps_per_epoch(len(data.train), spec), 3)
                entry = meter.entry(progress.step, passed, scores)
                progress.note_evaluation(entry, spec, can_be_best=parts.settled)
                progress.fraction, progress.training_seconds = pace.fraction, earlier_seconds + time.monotonic() - started
                if accelerator.is_main_process:
                    checkpoints.save(classifier, optimizers, remembered, progress)
                events.emit(Evaluated(**vars(entry), best=progress.best is entry))
                parts.after_scoring()
                classifier.model.train()

        # --- the best weights
        accelerator.wait_for_everyone()
        checkpoints.load_weights(classifier, progress.chosen.step)
        classifier.model.eval()
        events.emit(_ended(progress))
        return Fitted(
            best=progress.chosen,
            history=tuple(progress.history),
            steps=progress.step,
            seconds=progress.training_seconds,
            stopped_early=progress.has_stalled(spec),
            earlier_seconds=earlier_seconds,
        )


def _made(spec: TrainSpec, pace: Pace, meter: Meter, optimizers: Optimizers, norm: torch.Tensor) -> Event:
    """What is told of an update: its numbers, after every so many and the last."""
    if pace.step % spec.log_every and not pace.done:
        return UpdateMade(step=pace.step, total=pace.total)
    loss, rate = meter.recent_loss(), optimizers.rate
    return UpdateLogged(step=pace.step, total=pace.total, loss=loss, rate=rate, norm=float(norm))


def _ended(progress: Progress) -> TrainingEnded:
    """What is told at the end: updates made, and the one whose weights are kept."""
    seconds = round(progress.training_seconds, 3)
    return TrainingEnded(step=progress.step, best_step=progress.chosen.step, training_seconds=seconds)


def _seed(spec: TrainSpec, accelerator: Accelerator, *, resumed_at: int = 0) -> None:
    """Give each process dropout of its own."""
    torch.manual_seed(spec.seed + 1_000_003 * accelerator.process_index + 7_919 * resumed_at)


def _ready(job: Job) -> None:
    """Put the classifier on its device, with the dropout that the recipe asks for."""
    classifier, spec = job.classifier, job.recipe.train
    if spec.encoder_dropout != "keep":
        quiet_dropout(classifier, below=job.plan.lowest_layer if spec.encoder_dropout == "adapted" else None)
    if spec.speed.random_words:
        cut_dropout_from_words(classifier.model)
    classifier.to(job.device.torch_device)


def _chosen_parts(job: Job, pace: Pace, accelerator: Accelerator, events: Events) -> Iterator[Part]:
    """The parts that the recipe asks for: pruning before the mean, which takes in what is left."""
    if job.plan.method.prunes_ranks:
        yield Pruning(job.classifier, pace, events, processes=accelerator.num_processes)
    if job.recipe.train.average:
        yield Average(job.classifier.trainable(), share=job.recipe.train.average)


def _from_the_start(job: Job, hidden: HiddenStates | None, events: Events) -> Progress:
    """The progress of a training that has not begun, its head fitted to frozen features where the plan says so."""
    if job.plan.head.start == "fitted":
        rows = fit_head(
            job.classifier,
            job.data.train,
            padding=job.padding,
            precision=job.precision,
            seed=job.recipe.train.seed,
            hidden=hidden,
        )
        events.emit(HeadFitted(rows=rows))
    return Progress()


def _pace(job: Job, accelerator: Accelerator, ends_at: float | None) -> Pace:
    """The recipe's number of updates, or what there is time for; several processes agree on the fewest."""
    rows, spec = len(job.data.train), job.recipe.train

    def fewest(count: int) -> int:
        counts = torch.tensor([count], device=accelerator.device)
        return int(accelerator.gather(counts).min())

    return Pace(
        planned_steps(rows, spec),
        every=evaluation_interval(rows, spec),
        deadline=NO_DEADLINE if ends_at is None else Deadline.of(job.forecast, ends_at - time.monotonic()),
        agree=fewest if accelerator.num_processes > 1 else int,
    )


def _updates(train: Split, spec: TrainSpec, progress: Progress) -> Iterator[tuple[int, int, Rows]]:
    """(epoch, position in the epoch, rows) of each update from where training stands; the order depends on seed and epoch."""
    first_epoch, first_batch = progress.epoch, progress.batch
    for epoch in range(first_epoch, math.ceil(spec.epochs) + 1):
        batches = training_batches(
            train.tokens.lengths, spec.batch_size, seed=spec.seed, epoch=epoch, similar_lengths=spec.speed.similar_lengths
        )
        for position in range(first_batch if epoch == first_epoch else 0, len(batches)):
            yield epoch, position, batches[position]


def _hidden_states(job: Job, cache: HiddenStatesCache | None, events: Events) -> dict[str, HiddenStates]:
    """What enters the lowest adapted layer, of training and validation texts, where there is a cache and it pays."""
    classifier, spec = job.classifier, job.recipe.train
    layer = cached_layer(classifier, spec)
    if cache is None or layer is None or not pays(spec):
        return {}
    states: dict[str, HiddenStates] = {}
    weights = frozen_digest(classifier, layer)
    for name, split in (("train", job.data.train), ("validation", job.data.validation)):
        started = time.monotonic()
        stored = cached_hidden_states(
            classifier, split.tokens, layer=layer, weights=weights, padding=job.padding, precision=job.precision, cache=cache
        )
        if stored is None:
            events.emit(HiddenStatesCached(split=name, layer=layer, stored=False))
            return {}
        states[name], reused = stored
        took, size = round(time.monotonic() - started, 3), states[name].bytes
        events.emit(HiddenStatesCached(split=name, layer=layer, stored=True, reused=reused, bytes=size, took=took))
    return states


def _check_finite(loss: float, step: int, rows: Rows, train: Split) -> None:
    """Raise NonFiniteLoss for a loss that is not a number, naming the update and its rows."""
    if math.isfinite(loss):
        return
    numbers = [int(train.rows[row]) for row in np.sort(rows)]
    raise NonFiniteLoss(
        f"the loss became {loss} at update {step + 1}, before the weights were touched; training rows {numbers}; "
        "lower train.learning_rate, or lengthen train.warmup"
    )
