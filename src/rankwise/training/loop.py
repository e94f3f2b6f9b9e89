"""The training loop: a job in, the best weights and a history out.

One update takes `batch_size` rows of similar length, forward and backward in micro-batches. Evaluations and checkpoints come
at the same moments. What a recipe adds is a part (`parts/`).
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray

from rankwise.data.batches import Rows, label_sets, paired_batches, training_batches
from rankwise.data.prepare import Split
from rankwise.errors import NonFiniteLoss
from rankwise.model.classifier import quiet_dropout
from rankwise.model.dropout import cut_dropout_from_words
from rankwise.model.folding import adapt_in_one_step
from rankwise.model.hidden_cache import HiddenStates, HiddenStatesCache
from rankwise.model.methods import LowRank
from rankwise.model.text_states import TextStates
from rankwise.recipe import TrainSpec
from rankwise.system.events import Event, Events
from rankwise.system.memory import return_freed_memory
from rankwise.training.checkpoint import Checkpoints
from rankwise.training.collapse import collapse
from rankwise.training.events import (
    Collapsed,
    Evaluated,
    HeadFitted,
    HistoryEntry,
    TrainingEnded,
    TrainingStarted,
    UpdateLogged,
    UpdateMade,
)
from rankwise.training.frozen_layers import frozen_layers
from rankwise.training.head_start import REFIT_STRENGTH, HeadStart, Reading, fit_head
from rankwise.training.job import Job
from rankwise.training.loss import weights_of_classes
from rankwise.training.optimizers import Optimizers
from rankwise.training.pace import NO_DEADLINE, Deadline, Pace
from rankwise.training.parts import Part, Parts, Step
from rankwise.training.parts.average import Average
from rankwise.training.parts.pruning import Pruning
from rankwise.training.parts.refit import Refit
from rankwise.training.progress import Meter, Progress
from rankwise.training.update import Update
from rankwise.training.validation import Validation

PROBE_STEP = 3  # the update after which a few texts are scored, to learn what an evaluation takes
PROBE_SHARE = 50  # of so many validation texts one is scored then
PROBE_BATCH = 16
PROBE_LEAST = 64  # of them at least, or all there are: of a handful, what a pass costs by itself would be taken for theirs


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
    earlier_seconds: float
    """The part of it that was spent before this one."""
    held_out: NDArray[np.float64] | None
    """Probabilities (N, C) of the training rows by heads that were fitted to others of them, where one was fitted here."""
    collapsed: Collapsed | None
    """Where the classifier gives one answer to everything."""
    recomputes: bool = False
    """Whether frozen layers ran for every update, for want of room for what they give."""

    @classmethod
    def at_once(cls, only: HistoryEntry, *, seconds: float) -> Self:
        """Of what is fitted without updates, and scored once."""
        return cls(
            best=only,
            history=(only,),
            steps=0,
            seconds=seconds,
            stopped_early=False,
            earlier_seconds=0.0,
            held_out=None,
            collapsed=None,
        )


def fit(
    job: Job,
    *,
    checkpoints: Checkpoints,
    accelerator: Accelerator,
    events: Events,
    cache: HiddenStatesCache | TextStates | None = None,
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
        ready(job)
        started = time.monotonic()
        before = checkpoints.newest() if resume else None
        frozen = frozen_layers(job, cache, events, as_before=before.recomputes if before else None)
        pace = _pace(job, accelerator, ends_at)
        factor = spec.rate_factor(len(data.train), job.plan.encoder.hidden, data.task.column_count)
        optimizers = Optimizers(classifier, spec, precision=job.precision, rate_factor=factor)
        parts = Parts(*_chosen_parts(job, frozen.train, pace, accelerator, events))
        validation = Validation(
            classifier, job.padding, job.forecast.evaluation_batch_size, job.precision, accelerator, job.data.task
        )

        # --- where to start
        resumed = checkpoints.resume(classifier, optimizers, parts, before, events=events) if before else None
        head = HeadStart(0) if resumed else _start_head(job, frozen.train, events)
        progress = resumed or Progress()
        progress.recomputes = frozen.recomputed
        if resumed and accelerator.num_processes > 1:  # the checkpoint holds the main process's generator
            _seed(spec, accelerator, resumed_at=progress.step)
        earlier_seconds = progress.training_seconds
        moment = _Moment(job, validation, frozen.validation, head, parts, checkpoints, events)
        update, meter = Update(job, accelerator, frozen.train, optimizers.scaler, parts, events), Meter()
        pace.resume(progress.step, progress.fraction)
        events.emit(
            TrainingStarted(step=progress.step, total=pace.total, rows=len(data.train), epochs=spec.passes(len(data.train)))
        )

        def evaluate() -> None:
            progress.fraction, progress.training_seconds = pace.fraction, earlier_seconds + time.monotonic() - started
            moment(progress, meter, optimizers)
            pace.note_evaluation()

        if pace.total == 0 and not progress.history:  # the head as it starts is the whole answer
            evaluate()

        # --- the loop
        classifier.model.train()
        for epoch, batch, rows in _updates(data.train, spec, progress):
            if progress.has_stalled(spec) or pace.done:  # a run resumed after its early stop stays stopped
                break
            optimizers.set_rates(pace.position, total=pace.planned, stalls=progress.stalls)
            loss, right = update(rows)
            _check_finite(loss, progress.step, rows, data.train)
            meter.add(loss, right, len(rows))
            norm = optimizers.step()
            progress.note_update(epoch, batch)
            _note_update(pace, job, rows, frozen.validation)
            parts.after_update(Step(applied=optimizers.applied(norm), settled=parts.settled))
            update.clear(progress.step)
            events.emit(_made(spec, pace, meter, optimizers, norm))

            if pace.evaluates:
                evaluate()

        # --- the best weights
        accelerator.wait_for_everyone()
        step, best, seconds = progress.step, progress.chosen, progress.training_seconds
        checkpoints.load_weights(classifier, best.step)
        classifier.model.eval()
        events.emit(TrainingEnded(step=step, best_step=best.step, training_seconds=round(seconds, 3)))
        return Fitted(
            best=best,
            history=tuple(progress.history),
            steps=step,
            seconds=seconds,
            stopped_early=progress.has_stalled(spec),
            earlier_seconds=earlier_seconds,
            held_out=head.held_out,
            collapsed=_collapsed(job, validation, best, events),
            recomputes=frozen.recomputed,
        )


@dataclass(frozen=True)
class _Moment:
    """An evaluation and its checkpoint."""

    job: Job
    validation: Validation
    hidden: HiddenStates | None
    """Of the validation texts."""
    head: HeadStart
    parts: Parts
    checkpoints: Checkpoints
    events: Events

    def __call__(self, progress: Progress, meter: Meter, optimizers: Optimizers) -> None:
        """Score the weights as a run would have them, keep them, and go on in train mode."""
        job, split = self.job, self.job.data.validation
        self.parts.before_scoring()
        held_out = None if len(split) else job.held_out or self.head.scores
        scores = held_out or self.validation.scores(split, shifted=job.shifted, hidden=self.hidden)
        epochs = progress.step / job.recipe.train.steps_per_epoch(len(job.data.train))
        entry = meter.entry(progress.step, epochs, scores)
        metric = job.data.task.metric(job.recipe.train.select_by)
        spec = job.recipe.train.model_copy(update={"select_by": metric})
        progress.note_evaluation(entry, spec, can_be_best=self.parts.settled)
        accelerator = self.validation.accelerator
        if accelerator is None or accelerator.is_main_process:
            self.checkpoints.save(job.classifier, optimizers, self.parts, progress)
        self.events.emit(Evaluated(**vars(entry), best=progress.best is entry))
        self.parts.after_scoring()
        job.classifier.model.train()
        return_freed_memory()


def _made(spec: TrainSpec, pace: Pace, meter: Meter, optimizers: Optimizers, norm: torch.Tensor) -> Event:
    """What is told of an update: its numbers, after every so many and the last."""
    if pace.step % spec.log_every and not pace.done:
        return UpdateMade(step=pace.step, total=pace.total)
    loss, rate = meter.recent_loss(), optimizers.rate
    return UpdateLogged(step=pace.step, total=pace.total, loss=loss, rate=rate, norm=float(norm))


def _seed(spec: TrainSpec, accelerator: Accelerator, *, resumed_at: int = 0) -> None:
    """Give each process dropout of its own."""
    torch.manual_seed(spec.seed + 1_000_003 * accelerator.process_index + 7_919 * resumed_at)


def ready(job: Job) -> None:
    """Put the classifier on its device, with the dropout and the linear layers that the recipe asks for."""
    classifier, spec = job.classifier, job.recipe.train
    if spec.encoder_dropout != "keep":
        quiet_dropout(classifier, below=job.plan.lowest_layer if spec.encoder_dropout == "adapted" else None)
    if spec.speed.random_words:
        cut_dropout_from_words(classifier.model)
    if spec.speed.fold and classifier.forward is None and isinstance(classifier.method, LowRank):
        adapt_in_one_step(classifier.model, classifier.method)
    classifier.to(job.device.torch_device)


def _chosen_parts(
    job: Job, hidden: HiddenStates | None, pace: Pace, accelerator: Accelerator, events: Events
) -> Iterator[Part]:
    """The parts that the recipe asks for: pruning before the mean, which takes in what is left, and the head last."""
    if job.plan.method.prunes_ranks:
        yield Pruning(job.classifier, pace, events, processes=accelerator.num_processes)
    if job.recipe.train.average:
        yield Average(job.classifier.trainable(), share=job.recipe.train.average)
    if job.recipe.train.refit_head:
        yield Refit(lambda: _fit_head(job, hidden, events, strength=REFIT_STRENGTH))


def _start_head(job: Job, hidden: HiddenStates | None, events: Events) -> HeadStart:
    """Where training begins, fit the head to frozen features, if the plan says so and it is not known."""
    if job.head is not None:
        job.classifier.last_projection.load_state_dict(job.head)
    if job.head is not None or job.plan.head.start != "fitted":
        return HeadStart(0)
    start = _fit_head(job, hidden, events)
    events.emit(HeadFitted(rows=start.rows))
    return start


def _fit_head(job: Job, hidden: HiddenStates | None, events: Events, *, strength: float | None = None) -> HeadStart:
    train, spec = job.data.train, job.recipe.train
    weights = weights_of_classes(spec, train.labels, job.data.classes)
    reading = Reading(job.padding, job.precision, hidden, events)
    task, seed = job.data.task, spec.seed
    return fit_head(job.classifier, train, reading, seed=seed, weights=weights, strength=strength, task=task)


def _pace(job: Job, accelerator: Accelerator, ends_at: float | None) -> Pace:
    """The recipe's number of updates, or what there is time for; several processes agree on the fewest."""
    rows, spec = len(job.data.train), job.recipe.train

    def fewest(count: int) -> int:
        counts = torch.tensor([count], device=accelerator.device)
        return int(accelerator.gather(counts).min())

    return Pace(
        spec.planned_steps(rows),
        every=spec.evaluation_interval(rows),
        deadline=NO_DEADLINE if ends_at is None else Deadline.of(job.forecast, ends_at - time.monotonic()),
        agree=fewest if accelerator.num_processes > 1 else int,
    )


def update_batches(train: Split, spec: TrainSpec, epoch: int) -> list[Rows]:
    """The rows of each update of an epoch, in pairs of a class or of like lengths, as the recipe has them."""
    of_epoch: dict[str, int] = {"seed": spec.seed, "epoch": epoch}
    if spec.contrast:
        return paired_batches(label_sets(train.labels), spec.batch_size, **of_epoch)
    alike = spec.speed.similar_lengths
    return training_batches(train.tokens.text_lengths, spec.batch_size, **of_epoch, similar_lengths=alike)


def _updates(train: Split, spec: TrainSpec, progress: Progress) -> Iterator[tuple[int, int, Rows]]:
    """(epoch, position in the epoch, rows) of each update from where training stands; the order depends on seed and epoch."""
    first_epoch, first_batch = progress.epoch, progress.batch
    for epoch in range(first_epoch, math.ceil(spec.passes(len(train))) + 1):
        batches = update_batches(train, spec, epoch)
        for position in range(first_batch if epoch == first_epoch else 0, len(batches)):
            yield epoch, position, batches[position]


def _note_update(pace: Pace, job: Job, rows: Rows, hidden: HiddenStates | None) -> None:
    """Tell the pace of an update, and early before a deadline what scoring takes, by a few validation texts."""
    pace.note_update(float(job.data.train.tokens.text_lengths[rows].sum()))
    split = job.data.validation
    if not pace.has_deadline or pace.step != PROBE_STEP or not len(split):
        return
    count = min(len(split), max(PROBE_LEAST, len(split) // PROBE_SHARE))
    probed = np.linspace(0, len(split) - 1, count).astype(np.int64)
    some = split.tokens.take(probed)
    known = None if hidden is None else hidden.of(split.tokens.windows(probed))
    Validation(job.classifier, job.padding, PROBE_BATCH, job.precision).logits(some, known)
    whole = split.tokens.lengths.sum() + sum(kind.tokens.lengths.sum() for kind in job.shifted)
    pace.note_probe(float(some.lengths.sum() / whole))


def _collapsed(job: Job, validation: Validation, best: HistoryEntry, events: Events) -> Collapsed | None:
    """Tell of a classifier that gives one answer to everything."""
    found = collapse(validation, job.data.train, best, job.recipe.train)
    if found is not None:
        events.emit(found)
    return found


def _check_finite(loss: float, step: int, rows: Rows, train: Split) -> None:
    if not math.isfinite(loss):
        raise NonFiniteLoss(
            f"the loss became {loss} at update {step + 1}, before the weights were touched; training rows "
            f"{train.rows[np.sort(rows)].tolist()}; lower train.learning_rate, or lengthen train.warmup"
        )
