"""The training loop: prepared data and a planned classifier in, the best weights and a history out.

One update takes `batch_size` rows of similar length, forward and backward in micro-batches. Evaluation and checkpoints come
at the same moments.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from rankwise.data.batches import Padding, Rows, training_batches
from rankwise.data.prepare import Prepared, Split
from rankwise.data.shifts import Shifted
from rankwise.errors import NonFiniteLoss
from rankwise.model.classifier import Classifier, quiet_dropout
from rankwise.model.dropout import cut_dropout_from_words
from rankwise.model.hidden_cache import HiddenStates, HiddenStatesCache
from rankwise.planning.forecast import Forecast
from rankwise.recipe import TrainSpec
from rankwise.recipe.steps import evaluation_interval, planned_steps, steps_per_epoch
from rankwise.system.events import (
    Evaluated,
    Events,
    HeadFitted,
    HiddenStatesCached,
    RanksPruned,
    TrainingEnded,
    TrainingStarted,
    UpdateLogged,
    UpdateMade,
)
from rankwise.system.memory import TRIM_EVERY, Ceiling, return_freed_memory
from rankwise.training.checkpoint import Checkpoints, Part, Progress
from rankwise.training.fitted_head import fit_head
from rankwise.training.hidden_states import cached_hidden_states, cached_layer, frozen_digest, pays
from rankwise.training.job import Job
from rankwise.training.optimizers import build_optimizers, class_weights, schedule_factor, set_rates
from rankwise.training.pace import Pace
from rankwise.training.parts.average import Average
from rankwise.training.parts.pruning import Pruning
from rankwise.training.update import LossScale, Update, shared
from rankwise.training.validation import Validation

PROBE_STEP = 3  # the update after which a few texts are scored, to learn what an evaluation takes
MINIMISED = {"log_loss"}  # metrics of which less is better


@dataclass(frozen=True)
class Fitted:
    """How a classifier got to its best weights, which are in place."""

    best: dict[str, Any]
    """The evaluation that was best, with its step and epoch."""
    history: list[dict[str, Any]]
    """Every evaluation."""
    steps: int
    seconds: float
    """Time spent in training and evaluation, over all resumed parts."""
    stopped_early: bool
    earlier_seconds: float = 0.0
    """Of these, what was spent before this part."""


def fit(  # noqa: PLR0915 - straight down one page
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

    Under several processes each takes its share of every update's rows, and gradients are summed, so the update is the one
    that a single process would make. Raises NonFiniteLoss before the update that would spoil the weights, and RunError for a
    checkpoint that does not belong here. torch's generator is left as it was found.
    """
    classifier, data, spec, device = job.classifier, job.data, job.recipe.train, job.device
    padding, precision, shifted = job.padding, job.precision, job.shifted
    assert shifted or spec.select_by != "worst_shift", "the validation texts under shift choose the checkpoint"
    with device.own_generators():
        torch.manual_seed(spec.seed + 1_000_003 * accelerator.process_index)  # each process draws dropout of its own

        # --- what does not change from step to step
        if spec.encoder_dropout != "keep":
            quiet_dropout(classifier, below=classifier.plan.lowest_layer if spec.encoder_dropout == "adapted" else None)
        if spec.speed.random_words:
            cut_dropout_from_words(classifier.model)
        model = classifier.model.to(device.torch_device)
        trained = list(classifier.trainable().values())
        optimizers = build_optimizers(classifier, spec)
        scaler = torch.amp.GradScaler(device.kind, enabled=precision == "fp16")
        counts = Counter(data.train.labels.tolist())
        weights = class_weights(spec, {name: counts[place] for place, name in enumerate(data.classes)})
        in_epoch = steps_per_epoch(len(data.train), spec)
        started = time.monotonic()
        prefixes = _prefixes(classifier, data, spec, padding, precision, cache, events)
        update = Update(classifier, data.train, spec, padding, precision, weights, scaler, prefixes.get("train"), events)
        update.micro_batch_size = job.sizes.micro_batch

        pruning = None
        if classifier.plan.method.prunes_ranks:
            pruning = Pruning(classifier, total=planned_steps(len(data.train), spec), processes=accelerator.num_processes)
            update.penalty = pruning.penalty
        average = Average(classifier.trainable(), share=spec.average) if spec.average else None
        parts: dict[str, Part] = {} if pruning is None else {"pruning": pruning}
        if average is not None:
            parts["average"] = average
        if scaler.is_enabled():
            parts["scale"] = LossScale(scaler)

        # --- where to start
        progress = checkpoints.resume(classifier, optimizers, parts=parts) if resume else None
        if progress is not None and accelerator.num_processes > 1:  # the checkpoint has the main process's generator
            torch.manual_seed(spec.seed + 1_000_003 * accelerator.process_index + 7_919 * progress.step)
        if progress is None:
            progress = Progress()
            if classifier.plan.head.start == "fitted":
                fitted_on = fit_head(
                    classifier, data.train, padding=padding, precision=precision, seed=spec.seed, hidden=prefixes.get("train")
                )
                events.emit(HeadFitted(rows=fitted_on))
        ceiling = Ceiling(job.sizes.memory_limit_bytes)
        pace = _pace(progress, len(data.train), spec, accelerator, job.forecast, ends_at)
        events.emit(TrainingStarted(step=progress.step, total=pace.total, rows=len(data.train), epochs=spec.epochs))
        meter = _Meter()
        earlier_seconds = progress.training_seconds
        started -= earlier_seconds
        stopped_early = _has_stalled(progress, spec)  # a run resumed after its early stop stays stopped

        # --- the loop
        model.train()
        noted = time.monotonic()
        for epoch, batch, rows in _updates(data.train, spec, progress):
            if stopped_early or pace.done:
                break
            factor = schedule_factor(pace.position, total=pace.planned, spec=spec) * progress.plateau_factor
            set_rates(optimizers, factor)
            loss, right = shared(
                accelerator, trained, *update(rows[accelerator.process_index :: accelerator.num_processes], rows)
            )
            meter.add(loss, right, len(rows))
            _check_finite(loss, progress.step, rows, data.train)
            for optimizer in optimizers:
                scaler.unscale_(optimizer)
            norm = torch.nn.utils.clip_grad_norm_(trained, spec.clip_norm or math.inf)
            for optimizer in optimizers:
                scaler.step(optimizer)
            scaler.update()
            torch.autograd.graph.increment_version(trained)  # fused optimizers don't, and folded adapters go by it
            progress.step, progress.epoch, progress.batch = progress.step + 1, epoch, batch + 1
            passed, noted = time.monotonic() - noted, time.monotonic()
            pace.note_update(float(data.train.tokens.lengths[rows].sum()), passed)
            settling = pruning is not None and not pruning.settled  # the mean begins with the update that settles the ranks
            if pruning is not None and (not scaler.is_enabled() or bool(torch.isfinite(norm))):
                pruning(pace.position)  # which reads the gradients, and would keep fp16's overflow in its averages for good
            if average is not None:
                average(afresh=settling)
            update.zero_gradients()
            update.micro_batch_size = ceiling.micro_batch(update.micro_batch_size)
            if progress.step % TRIM_EVERY == 0:
                device.trim()
            if ends_at is not None and progress.step == PROBE_STEP:
                pace.note_probe(
                    *_probed(classifier, data.validation, shifted, padding, precision, prefixes.get("validation"))
                )
                model.train()
                noted = time.monotonic()

            if progress.step % spec.log_every == 0 or pace.done:
                rate = optimizers[0].param_groups[0]["lr"]
                loss = meter.recent_loss()
                events.emit(UpdateLogged(step=progress.step, total=pace.total, loss=loss, rate=rate, norm=float(norm)))
            else:
                events.emit(UpdateMade(step=progress.step, total=pace.total))

            if pace.evaluates:
                if average is not None:
                    average.swap()  # the mean is what is scored and kept
                validation = Validation(classifier, padding, job.sizes.evaluation_batch, precision, accelerator)
                scores = validation.scores(data.validation, shifted=shifted, hidden=prefixes.get("validation"))
                entry = {"step": progress.step, "epoch": round(progress.step / in_epoch, 3), **meter.evaluation(), **scores}
                progress.history.append(entry)
                progress.training_seconds = time.monotonic() - started
                progress.fraction = pace.fraction
                if pruning is None or pruning.settled:  # before that, the ranks are not the ones that were asked for
                    _note_best(progress, entry, spec)
                if accelerator.is_main_process:
                    checkpoints.save(classifier, optimizers, progress, parts=parts)
                events.emit(Evaluated(**entry, best=progress.best.get("step") == progress.step))
                if pruning is not None:
                    live = sum(classifier.live_ranks().values())
                    events.emit(RanksPruned(step=progress.step, live=live, start=sum(classifier.plan.ranks.values())))
                if average is not None:
                    average.swap()
                model.train()
                stopped_early = _has_stalled(progress, spec)
                passed, noted = time.monotonic() - noted, time.monotonic()
                pace.note_evaluation(passed)
                return_freed_memory()

        # --- the best weights
        accelerator.wait_for_everyone()
        checkpoints.load_weights(classifier, progress.best["step"])
        classifier.model.eval()
        seconds = progress.training_seconds
        events.emit(TrainingEnded(step=progress.step, best_step=progress.best["step"], training_seconds=round(seconds, 3)))
        return Fitted(progress.best, progress.history, progress.step, seconds, stopped_early, earlier_seconds)


def _pace(
    progress: Progress, rows: int, spec: TrainSpec, accelerator: Accelerator, cost: Forecast, ends_at: float | None
) -> Pace:
    """The recipe's number of updates, or what there is time for; several processes agree on the fewest."""
    every = evaluation_interval(rows, spec)
    if ends_at is None:
        return Pace(planned_steps(rows, spec), every=every, step=progress.step, fraction=progress.fraction)

    def agree(count: int) -> int:
        counts = torch.tensor([count], device=accelerator.device)
        return int(accelerator.gather(counts).min())

    return Pace.of(
        cost,
        deadline_seconds=ends_at - time.monotonic(),
        every=every,
        step=progress.step,
        fraction=progress.fraction,
        agree=agree if accelerator.num_processes > 1 else int,
    )


def _probed(
    classifier: Classifier,
    split: Split,
    shifted: Sequence[Shifted],
    padding: Padding,
    precision: str,
    prefix: HiddenStates | None,
) -> tuple[float, float]:
    """(share of an evaluation's tokens, seconds) of scoring a few of a split's texts: how long an evaluation will take."""
    places = np.linspace(0, len(split) - 1, max(1, len(split) // 50)).astype(np.int64)
    started = time.monotonic()
    some = split.tokens.take(places)
    known = None if prefix is None else prefix.of(places)
    Validation(classifier, padding, batch_size=16, precision=precision).logits(some, known)
    whole = split.tokens.lengths.sum() + sum(kind.tokens.lengths.sum() for kind in shifted)
    return float(some.lengths.sum() / whole), time.monotonic() - started


def _updates(train: Split, spec: TrainSpec, progress: Progress) -> Iterator[tuple[int, int, Rows]]:
    """(epoch, place in the epoch, rows) of each update from where training stands; the order depends on seed and epoch."""
    first_epoch, first_batch = progress.epoch, progress.batch
    for epoch in range(first_epoch, math.ceil(spec.epochs) + 1):
        batches = training_batches(
            train.tokens.lengths, spec.batch_size, seed=spec.seed, epoch=epoch, similar_lengths=spec.speed.similar_lengths
        )
        for place in range(first_batch if epoch == first_epoch else 0, len(batches)):
            yield epoch, place, batches[place]


def _prefixes(
    classifier: Classifier,
    data: Prepared,
    spec: TrainSpec,
    padding: Padding,
    precision: str,
    cache: HiddenStatesCache | None,
    events: Events,
) -> dict[str, HiddenStates]:
    """Hidden states of the training and validation texts from the prefix cache, where there is one and it pays."""
    layer = cached_layer(classifier, spec)
    if cache is None or layer is None or not pays(spec):
        return {}
    found: dict[str, HiddenStates] = {}
    weights = frozen_digest(classifier, layer)
    for name in ("train", "validation"):
        started = time.monotonic()
        tokens = getattr(data, name).tokens
        made = cached_hidden_states(
            classifier, tokens, layer=layer, weights=weights, padding=padding, precision=precision, cache=cache
        )
        if made is None:
            events.emit(HiddenStatesCached(split=name, layer=layer, stored=False))
            return {}
        found[name], reused = made
        took = round(time.monotonic() - started, 3)
        size = found[name].bytes
        events.emit(HiddenStatesCached(split=name, layer=layer, stored=True, reused=reused, bytes=size, took=took))
    return found


def _check_finite(loss: float, step: int, rows: Rows, train: Split) -> None:
    if math.isfinite(loss):
        return
    numbers = [int(train.rows[place]) for place in np.sort(rows)]
    raise NonFiniteLoss(
        f"the loss became {loss} at update {step + 1}, before the weights were touched; training rows {numbers}; "
        "lower train.learning_rate, or lengthen train.warmup"
    )


def _note_best(progress: Progress, entry: dict[str, Any], spec: TrainSpec) -> None:
    """Remember the best evaluation, count the stale ones, and halve the rate on a plateau.

    On few validation rows scores are often equal; then the one with the lower log-loss is the better.
    """
    sign = -1 if spec.select_by in MINIMISED else 1
    min_delta = spec.early_stop.min_delta if spec.early_stop else 0.0
    gain = sign * (entry[spec.select_by] - progress.best[spec.select_by]) if progress.best else math.inf
    if gain > min_delta:
        progress.best, progress.stale = dict(entry), 0
        return
    if gain == 0 and entry["log_loss"] < progress.best["log_loss"]:
        progress.best = dict(entry)
    progress.stale += 1
    if spec.schedule == "reduce-on-plateau":
        progress.plateau_factor *= 0.5


def _has_stalled(progress: Progress, spec: TrainSpec) -> bool:
    return spec.early_stop is not None and progress.stale >= spec.early_stop.patience


class _Meter:
    """Running loss and accuracy of the training rows, between logs and between evaluations."""

    def __init__(self) -> None:
        self.recent: list[float] = []
        self.losses: list[float] = []
        self.right = 0
        self.rows = 0

    def add(self, loss: float, right: int, rows: int) -> None:
        self.recent.append(loss)
        self.losses.append(loss)
        self.right += right
        self.rows += rows

    def recent_loss(self) -> float:
        mean = sum(self.recent) / max(1, len(self.recent))
        self.recent.clear()
        return round(mean, 6)

    def evaluation(self) -> dict[str, float]:
        found = {
            "train_loss": round(sum(self.losses) / max(1, len(self.losses)), 6),
            "train_accuracy": round(self.right / max(1, self.rows), 6),
        }
        self.losses.clear()
        self.right = self.rows = 0
        return found
