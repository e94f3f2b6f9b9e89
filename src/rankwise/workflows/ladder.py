"""A ladder: a recipe's rungs, each dearer than the one before, climbed while that is likely to pay.

Rungs are held against each other on rows that they did not train on: the validation rows, or, where few rows are labelled and
no file sets any aside, all of them, each told by a classifier that the other folds trained; then all rows train. Test rows
are left alone. Shapes: N rows held out, C classes.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray

from rankwise.data.labelled import Labelled
from rankwise.data.splitting import FOLDS
from rankwise.data.tasks import Labels, Task
from rankwise.errors import OverTime
from rankwise.inference.words import Words, held_out_words
from rankwise.model.text_states import TextStates
from rankwise.planning.plan import reads_in_two_ways, rungs_of
from rankwise.recipe import Recipe, Rung
from rankwise.recipe.recipe import AT_ONCE, COUNTED_WORDS, FITTED_HEAD
from rankwise.run.format import LadderFacts, RungFacts
from rankwise.run.opening import last_part, portable
from rankwise.system.device import Device
from rankwise.system.events import Events, WorkDone
from rankwise.system.files import json_bytes, read_json
from rankwise.system.processes import of_main_process
from rankwise.system.sealed import damage, sealed_folder
from rankwise.system.torch_speed import Speed
from rankwise.training.checkpoint import Checkpoints
from rankwise.training.job import Job
from rankwise.training.loop import Fitted, fit
from rankwise.training.loss import weights_of_classes
from rankwise.training.progress import Meter
from rankwise.training.validation import Validation, validation_scores
from rankwise.workflows.assemble import Memo, assemble, shared_cache
from rankwise.workflows.events import RungFileDamaged, RungReached, RungStarted

GAINS: Mapping[str, tuple[float, float]] = {"tfidf": (8.0, 10.0), "features": (1.0, 2.0), "top": (0.0, 1.0)}
"""Points of accuracy that a rung gains over the best below where nothing is known of the data: mean and deviation."""
WORTH = 0.5  # points that a climb must have gained for the next to be tried, and more than its standard deviation
LEAST_SHARE = 1 / 3  # of a rung's updates that there must be time for
HEAD_START = f"{FITTED_HEAD}-start"  # the folder of a head that rungs start from and that is no rung
HELD_OUT = "held_out"  # a sealed folder beside a rung's checkpoints, once it is known: what it tells of the rows held out
SPENT = "spent"  # likewise: seconds
VALUE = "value.json"  # in these

T = TypeVar("T")
Told = NDArray[np.float64]
"""Probabilities (N, C) of the rows held out."""


@dataclass(frozen=True)
class Reached:
    """A rung that was tried."""

    facts: RungFacts
    told: Told
    job: Job
    fitted: Fitted | None
    """None where it did not pay, so that all rows need not train it."""


@dataclass
class Ladder:
    """A recipe's rungs on labelled rows. What is finished lies in `folder`, from which a climb that was killed goes on."""

    recipe: Recipe
    labelled: Labelled
    device: Device
    folder: Path
    accelerator: Accelerator
    events: Events
    resume: bool
    ends_at: float | None
    """When the whole run is to be over, a time.monotonic(); None where nothing says."""
    memos: dict[int, Memo] = field(default_factory=dict)
    """Rows in tokens: of each fold, and at FOLDS of all that train."""
    speed: Speed | None = None
    """The machine's, once it is known."""
    states: TextStates | None = None
    """Where trainings of several calls share what frozen layers give; else the machine's cache has it."""
    head: Mapping[str, torch.Tensor] | None = None
    """The fitted head, once there is one, which further rungs start from."""

    def climb(self, whole: Job) -> tuple[Job, Fitted, LadderFacts | None]:
        """Try the rungs; the best one's job with its weights in place, how it was fitted, and what each rung reached.

        Once the first rung is reached, Ctrl-C ends the climb and not the run. Without rungs the `whole` job is fitted.
        """
        self.speed = whole.speed  # measured once, lest a busy moment give a rung fewer threads
        if not self.recipe.rungs:
            fitted = self.fit(whole, self.folder)
            return whole.in_units(), fitted, None
        tried: list[RungFacts] = []
        best: Reached | None = None
        rung, ended, interrupted = self.recipe.rungs[0], "", False
        try:
            classes, pairs = len(self.labelled.classes), self.labelled.pairs
            for rung in rungs_of(self.recipe, classes=classes, few=self.folds > 0, pairs=pairs):
                found = self._try(rung, best)
                if found is None:
                    ended = f"there was no time for the rung {rung}"
                    break
                tried.append(found.facts)
                self.events.emit(RungReached(**vars(found.facts)))
                if found.fitted is not None:
                    best = found
                if not _is_worth_more(found.facts):
                    break
        except KeyboardInterrupt:
            if best is None:
                raise
            ended, interrupted = f"the rung {rung} was interrupted", True
        assert best is not None, "the first rung is reached, or raises"
        assert best.fitted is not None, "what is best was fitted"
        job, fitted = best.job, best.fitted
        if job.words is None and not job.holds_classifier:
            fitted = self.fit(job, self.folder / best.facts.rung, resume=True)
        fitted = replace(fitted, held_out=best.told if self.folds else None)
        rungs = tuple(replace(facts, handed_over=facts.rung == best.facts.rung) for facts in tried)
        asked = portable(self.recipe).to_dict()
        return job.in_units(), fitted, LadderFacts(asked, self.folds, len(best.told), rungs, ended, interrupted)

    @property
    def folds(self) -> int:
        """How many folds choose; 0 where validation rows do."""
        return self.labelled.fold_count

    @cached_property
    def reads_in_two_ways(self) -> bool:
        """Whether the rungs that adapt read pairs otherwise than the frozen encoder, and start from a head of their own."""
        return reads_in_two_ways(self.recipe, self.labelled.pairs)

    def _try(self, rung: Rung, best: Reached | None) -> Reached | None:
        """A rung, held against the best one below; None where there is too little time."""
        if rung == COUNTED_WORDS:
            return self._count_words()
        started, folder = time.monotonic(), self.folder / rung
        job = self._job(rung, below=best)
        if job is None:
            return None
        self.events.emit(RungStarted(rung=rung, trained_parameters=job.plan.ledger.trainable_parameters))
        fitted: Fitted | None = None
        if not self.folds:
            fitted = self.fit(job, folder)
            logits = Validation(job.classifier, job.padding, job.forecast.evaluation_batch_size, job.precision).logits(
                job.data.validation.tokens
            )
            told, truth = job.data.task.probabilities(logits), job.data.validation.labels
        else:
            truth = job.data.train.labels
            known = self._kept(folder / HELD_OUT, list[list[float]])
            if known is not None:
                told = np.array(known)
            elif rung == FITTED_HEAD:
                fitted = self.fit(job, folder, resume=False)
                assert fitted.held_out is not None, "few rows are each held out once"
                told = fitted.held_out
            else:
                told = self._by_folds(rung, job)
            if known is None:
                self._keep(folder / HELD_OUT, told.tolist())
        scores = validation_scores(told, truth, job.data.task)
        facts = RungFacts(
            rung=rung,
            trained_parameters=job.plan.ledger.trainable_parameters,
            accuracy=reached(job.data.task, told, truth),
            log_loss=scores.log_loss,
            took=0.0,
            **({} if best is None else gained(best.facts.rung, job.data.task, told, best.told, truth)),
        )
        if fitted is None and facts.pays:
            job = replace(job, held_out=scores)
            fitted = self.fit(job, folder)
        if not facts.pays:
            fitted = None
        if rung == FITTED_HEAD and not self.reads_in_two_ways:
            self._keep_head(job)
        if best is not None:
            (job if fitted is None else best.job).release_classifier()
        return Reached(replace(facts, took=self._spent(folder, started)), told, job, fitted)

    def _spent(self, folder: Path, started: float) -> float:
        """Seconds that trying a rung took, those of a process that finished it before this one too."""
        seconds = (self._kept(folder / SPENT, float) or 0.0) + time.monotonic() - started
        self._keep(folder / SPENT, seconds)
        return round(seconds, 1)

    def _kept(self, folder: Path, schema: type[T]) -> T | None:
        """What an earlier process found out; None where nothing is kept or resumed, or it is damaged, which is told."""
        if not self.resume or not folder.is_dir():
            return None
        if problem := damage(folder):
            self.events.emit(RungFileDamaged(folder.parent.name, problem))
            return None
        return read_json(folder / VALUE, schema)

    def _count_words(self) -> Reached:
        """The rung without an encoder, in which nothing is worth a checkpoint."""
        started, recipe = time.monotonic(), self._recipe(COUNTED_WORDS)
        job = self._assemble(recipe, self.labelled.whole() if self.folds else self.labelled, FOLDS)
        train, validation, classes, cap = (
            job.data.train,
            job.data.validation,
            job.data.classes,
            recipe.budget.weights_of_words,
        )
        weights = weights_of_classes(recipe.train, train.labels, classes)
        how: dict[str, Any] = {"cap": cap, "weights": weights}
        self.events.emit(WorkDone("counting words", 0, 0))
        words = Words.fit(train.texts, train.labels, classes, **how)
        self.events.emit(RungStarted(rung=COUNTED_WORDS, trained_parameters=words.parameters))
        if self.folds:
            told, truth = held_out_words(train.texts, train.labels, classes, seed=recipe.train.seed, **how), train.labels
        else:
            told, truth = words.probabilities(validation.texts), validation.labels
        told = job.data.task.normal(told)
        scores = validation_scores(told, truth, job.data.task)
        took = time.monotonic() - started
        facts = RungFacts(
            rung=COUNTED_WORDS,
            trained_parameters=words.parameters,
            accuracy=reached(job.data.task, told, truth),
            log_loss=scores.log_loss,
            took=round(took, 1),
        )
        fitted = Fitted.at_once(Meter().entry(0, 0.0, scores), seconds=took)
        return Reached(facts, told, replace(job, words=words, plan=job.plan.without_encoder(words.parameters, cap)), fitted)

    def _job(self, rung: Rung, *, below: Reached | None) -> Job | None:
        """The job that trains a rung; None where there is too little time for it."""
        train = self.labelled.whole() if self.folds else self.labelled
        try:
            job = self._assemble(self._recipe(rung), train, FOLDS)
        except OverTime:
            if below is None:
                raise
            return None
        if below is not None and self.ends_at is not None:
            cost = job.forecast
            one = cost.planned_steps * cost.update_seconds + cost.evaluation_seconds
            least = cost.rungs[rung] if rung in AT_ONCE else LEAST_SHARE * one * (self.folds + 1)
            if least > of_main_process(self.ends_at - time.monotonic()) - cost.end_seconds:
                return None
        if rung != FITTED_HEAD:
            if self.head is None:  # a rung alone starts where it would in a climb
                start = self._recipe(FITTED_HEAD)
                if self.reads_in_two_ways:  # the rungs that adapt read both texts together
                    start = start.with_overrides(["head.pooling=mean"])
                first = self._assemble(start, train, FOLDS)
                self.fit(first, self.folder / HEAD_START)
                self._keep_head(first)
            job = replace(job, head=self.head)
        return job

    def _keep_head(self, job: Job) -> None:
        """Keep a fitted head for further rungs to start from."""
        self.head = {name: weight.clone() for name, weight in job.classifier.last_projection.state_dict().items()}

    def _by_folds(self, rung: Rung, whole: Job) -> Told:
        """What classifiers tell of the rows of the fold that they did not train on, in the order of all rows."""
        recipe = self._recipe(rung)
        told = np.zeros((len(whole.data.train), len(whole.data.classes)))
        for number, fold in enumerate(self.labelled.whole().folds(recipe.train.seed)):
            job = self._assemble(recipe, fold, number)
            self.fit(job, self.folder / rung / f"fold-{number + 1}", fits_left=self.folds + 1 - number)
            validation = Validation(job.classifier, job.padding, job.forecast.evaluation_batch_size, job.precision)
            held = job.data.validation.where(np.isin(job.data.validation.rows, whole.data.train.rows))
            rows = np.searchsorted(whole.data.train.rows, held.rows)
            told[rows] = job.data.task.probabilities(validation.logits(held.tokens))
        return told

    def _keep(self, folder: Path, value: Any) -> None:
        """Write what a rung was found to be; of several processes the main one does."""
        if self.accelerator.is_main_process:
            with sealed_folder(folder) as draft:
                (draft / VALUE).write_bytes(json_bytes(value))

    def _recipe(self, rung: Rung) -> Recipe:
        """A rung's recipe, and where folds choose, what few rows ask for and the task has."""
        return self.labelled.task.suited(self.recipe.rung(rung, few=self.folds > 0))

    def _assemble(self, recipe: Recipe, labelled: Labelled, number: int) -> Job:
        return assemble(recipe, labelled, self.device, memo=self.memos.setdefault(number, Memo()), speed=self.speed)

    def fit(self, job: Job, folder: Path, *, resume: bool | None = None, fits_left: int = 1) -> Fitted:
        """Fit a job, with its checkpoints in a folder, in its share of the time that is left."""
        now = time.monotonic()
        fingerprint = f"{job.recipe.with_paths(last_part).fingerprint}:{job.labelled.sha256}:{job.base_sha256}"
        return fit(
            job,
            checkpoints=Checkpoints(folder, keep=job.recipe.train.keep, fingerprint=fingerprint),
            accelerator=self.accelerator,
            events=self.events,
            cache=shared_cache() if self.states is None else self.states,
            resume=self.resume if resume is None else resume,
            ends_at=None if self.ends_at is None else now + (self.ends_at - now) / fits_left,
        )


def _is_worth_more(facts: RungFacts) -> bool:
    """Whether the rung after this one is tried: always the first one that adapts, a further one where that clearly gained."""
    if facts.gain is None or facts.deviation is None or facts.rung == FITTED_HEAD:
        return True
    return facts.gain >= max(WORTH, facts.deviation)


def reached(task: Task, told: Told, truth: Labels) -> float:
    """How right a task's decisions are on rows held out: their accuracy where a text has one label, of numbers R²."""
    return round(float(task.tuned(told, truth).credit(told, truth).mean()), 6)


def gained(over: str, task: Task, told: Told, below: Told, truth: Labels) -> dict[str, Any]:
    """Points of accuracy that a rung gains over another on the same rows (N,), and what is to be expected on others.

    Of several labels a text it is points of its F1, of numbers points of R². What is expected is the mean of two normal
    distributions' product: of the gain measured, with its deviation, and of what is usual.
    """
    right, before = (task.tuned(probabilities, truth).credit(probabilities, truth) for probabilities in (told, below))
    gain = 100 * (right.mean() - before.mean())
    deviation = 100 * math.sqrt(((right - before) ** 2).sum() + 1) / len(truth)
    usual, spread = GAINS[over]
    expected = (usual / spread**2 + gain / deviation**2) / (1 / spread**2 + 1 / deviation**2)
    return {"gain": round(gain, 2), "deviation": round(deviation, 2), "expected_gain": round(expected, 2)}
