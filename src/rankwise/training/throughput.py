"""How fast this classifier trains and scores here, by a few updates and batches of its own, which are thrown away.

A machine's speed in matrix products says little about short texts, bf16 or a busy neighbour; what a run is promised to take
comes from this where it takes long enough to be worth the measurement.
"""

import time
from collections.abc import Iterator
from itertools import cycle

import numpy as np
from accelerate import Accelerator

from rankwise.data.batches import Rows
from rankwise.data.prepare import Split
from rankwise.planning.forecast import Forecast
from rankwise.planning.operations import PerText, per_text
from rankwise.system.events import Events
from rankwise.system.speed import Throughput
from rankwise.training.job import Job
from rankwise.training.loop import ready, update_batches
from rankwise.training.optimizers import Optimizers
from rankwise.training.parts import Parts
from rankwise.training.update import Update
from rankwise.training.validation import Validation

WORTH_MEASURING = 20.0  # seconds of training
SECONDS = 1.0  # of each measurement, once it is warm
MOST_BATCHES = 12
MOST_TOKENS = 2_000  # of a batch that is measured: long texts take as long by fewer rows


def is_worth_measuring(forecast: Forecast) -> bool:
    """Whether a run trains, and for so long that measuring it first hardly adds to it."""
    training = forecast.seconds - forecast.start_seconds - forecast.end_seconds
    return forecast.planned_steps > 0 and training > WORTH_MEASURING


def measure(job: Job, accelerator: Accelerator) -> Throughput:
    """The operations a second of training and of scoring, and the seconds that loading takes.

    The job's classifier is let go of afterwards, and torch's generator is left as it was found.
    """
    ready(job)
    per = per_text(job.plan, job.recipe.train, mean_tokens=job.forecast.work.mean_tokens)
    with job.device.own_generators():
        training = _rate(_updates(job, accelerator), job.data.train, per, backward=True)
        inference = _rate(_batches(job, job.precision), job.data.train, per, backward=False)
        testing = inference
        if job.precision != "fp32":
            testing = _rate(_batches(job, "fp32"), job.data.train, per, backward=False)
    job.release_classifier()
    started = time.perf_counter()  # of the second time: the first one imports what loads
    ready(job)
    loading = time.perf_counter() - started
    job.release_classifier()
    return Throughput(training, inference, testing, loading_seconds=loading)


def _updates(job: Job, accelerator: Accelerator) -> Iterator[Rows]:
    """Make updates, one for each of the rows that come out."""
    classifier, train, spec = job.classifier, job.data.train, job.recipe.train
    optimizers = Optimizers(classifier, spec, precision=job.precision)
    optimizers.set_rates(1, total=100)
    update = Update(job, accelerator, None, optimizers.scaler, Parts(), Events())
    classifier.model.train()
    for step, rows in enumerate(cycle(update_batches(train, spec, epoch=0)), start=1):
        within = _within(rows, train.tokens.text_lengths)
        update(within)
        optimizers.step()
        update.clear(step)
        job.device.synchronize()
        yield within


def _batches(job: Job, precision: str) -> Iterator[Rows]:
    """Score batches of texts of like lengths, one for each of the rows that come out."""
    size, tokens = job.forecast.evaluation_batch_size, job.data.train.tokens
    validation = Validation(job.classifier, job.padding, size, precision)
    order = np.argsort(tokens.text_lengths, kind="stable")
    places = np.random.default_rng(0).permutation(max(1, len(order) - size + 1))
    for place in cycle(places):
        within = _within(order[place : place + size], tokens.text_lengths)
        validation.logits(tokens.take(within))
        yield within


def _within(rows: Rows, lengths: Rows) -> Rows:
    """The first of these rows that have MOST_TOKENS together, one at least."""
    return rows[: max(1, int(np.searchsorted(np.cumsum(lengths[rows]), MOST_TOKENS)))]


def _rate(batches: Iterator[Rows], split: Split, per: PerText, *, backward: bool) -> float:
    """Operations a second, of batches that are computed as they are asked for; the first one is not counted."""
    next(batches)
    tokens, rows, started = 0, 0, time.perf_counter()
    for number, batch in enumerate(batches, start=1):
        tokens += int(split.tokens.text_lengths[batch].sum())
        rows += len(batch)
        if number >= MOST_BATCHES or time.perf_counter() - started > SECONDS:
            break
    seconds = time.perf_counter() - started
    computed = (per.cached_token + per.forward_token) * tokens + per.forward_row * rows
    computed += backward * (per.backward_token * tokens + per.backward_row * rows)
    return computed / seconds
