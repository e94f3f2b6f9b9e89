"""A recipe fitted to labelled rows and kept in memory: for whoever fits many, and wants the run folder of a few.

It is planned, assembled and climbed as `workflows.train` does, without test rows; what is written when a folder is asked for
is a run whose scores are those of the rows that were held out from training. Fits of one process share what they have in
common: tokens of the same rows, and what frozen layers give for a text.
"""

import tempfile
import time
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock

import numpy as np
from accelerate import Accelerator
from numpy.typing import NDArray

from rankwise.data.labelled import Labelled
from rankwise.data.prepare import Split
from rankwise.inference.evaluation import evaluated
from rankwise.inference.predict import Predictor, TokenPredictor
from rankwise.inference.torch_scorer import TorchScorer
from rankwise.inference.words import WordsPredictor
from rankwise.model.text_states import TextStates
from rankwise.planning.forecast import Forecast
from rankwise.planning.plan import plan, settled
from rankwise.recipe import Recipe
from rankwise.run.folder import Run
from rankwise.run.format import LadderFacts
from rankwise.run.manifest import CHECKPOINTS, EVENTS
from rankwise.run.opening import open_folder
from rankwise.run.saving import facts_of, save, scores_of
from rankwise.system.events import Events, Listener, event_file
from rankwise.system.storage import told_refusals
from rankwise.system.torch_speed import Speed
from rankwise.training.frozen_layers import shared_key, shared_states
from rankwise.training.job import Job
from rankwise.training.loop import Fitted
from rankwise.training.validation import Validation
from rankwise.workflows.assemble import Memo, assemble, keep, machine_speed, shared_cache, training_device
from rankwise.workflows.by_importance import with_scores
from rankwise.workflows.ladder import Ladder
from rankwise.workflows.train import NO_ROOM, held_out_rows, kept_rows

KEPT = 8  # sets of rows whose tokens are kept at hand, each in a few open files: more than there are folds as a rule
HELD_OUT = (
    "no rows were set aside for a test: all scores are of the rows held out from training, by which choices were made, too"
)


@dataclass
class Common:
    """What the fits of a process share."""

    memos: dict[Hashable, dict[int, Memo]] = field(default_factory=dict)
    """Rows in tokens, by the rows' digest."""
    speeds: dict[Hashable, Speed] = field(default_factory=dict)
    """The machine's, by the number of threads that was asked for."""
    lock: Lock = field(default_factory=Lock)
    """Held by the one that trains, for torch's threads and generators are the process's."""

    @cached_property
    def states(self) -> TextStates:
        """What frozen layers give, by text."""
        return TextStates(shared_cache())


@dataclass
class FittedClassifier:
    """What was fitted: a job with its weights in place."""

    job: Job
    fitted: Fitted
    ladder: LadderFacts | None
    labelled: Labelled
    """The rows as they were given, of which the job has those of a rung."""
    recipe: Recipe
    """What was fitted, with every rung that was asked for."""
    forecast: Forecast
    """Of the dearest rung."""
    common: Common
    events: bytes
    """events.jsonl."""
    seconds: float

    @cached_property
    def predictor(self) -> Predictor:
        """What classifies raw text, as that of the run does."""
        about = self.job.data.preprocessing
        if self.job.words is not None:
            return WordsPredictor(self.job.words, self.job.tokenizer, about)
        return TokenPredictor(TorchScorer(self.job.classifier), self.job.tokenizer, about)

    @cached_property
    def shared_key(self) -> tuple[str, int] | None:
        """Under what the fits share hidden states that this one can read; None where it has no frozen layers to share."""
        return None if self.job.words is not None else shared_key(self.job)

    def probabilities(self, texts: Iterable[object]) -> NDArray[np.float64]:
        """(N, C) of raw texts. What is known already of all of them, as of other folds' rows, is not computed again."""
        predictor, job = self.predictor, self.job
        read = predictor.read(list(texts))
        hidden = None if self.shared_key is None else shared_states(self.common.states, self.shared_key, read)
        if hidden is None:
            return job.data.task.probabilities(predictor.logits(read))
        return job.data.task.probabilities(Validation(job.classifier, job.padding, 32).logits(read, hidden))

    def save(self, folder: str | Path) -> Run:
        """Write the run folder, which is loaded again and compared. Raises RunError for a folder with something in it."""
        job, task = self.job, self.job.data.task
        by_folds = self.ladder is not None and self.ladder.folds > 0
        held_out = held_out_rows(job, self.fitted, Accelerator(cpu=job.device.is_cpu), by_folds=by_folds)
        assert held_out is not None, "there are validation rows, or folds"
        split: Split = job.data.train if by_folds else job.data.validation
        logits = task.logits(held_out.probabilities.astype(np.float64))
        scores = scores_of(job, self.fitted, evaluated(logits, split, task, job.recipe.evaluate), {})
        notes = [*job.data.notes, HELD_OUT, job.forecast.more_epochs, str(self.fitted.collapsed or "")]
        with open_folder(self.recipe, folder, self.labelled.sha256) as opened, told_refusals(opened.folder, NO_ROOM):
            facts = facts_of(job, self.fitted, opened.folder, seconds=self.seconds, notes=list(filter(None, notes)))
            if self.ladder is not None:
                seconds, peak = self.forecast.tried(rung.rung for rung in self.ladder.rungs), self.forecast.peak_bytes
                facts = facts.climbed(self.ladder, seconds=seconds, peak_bytes=peak, data_sha256=self.labelled.sha256)
            (opened.folder / EVENTS).write_bytes(self.events)
            save(opened.folder, job, facts, scores, kept_rows(job, held_out, held_out))
        if job.words is None:
            job.classifier.to(job.device.torch_device)
        return Run.load(folder)


def fit_in_memory(
    labelled: Labelled, recipe: Recipe, *, listeners: Iterable[Listener] = (), common: Common | None = None
) -> FittedClassifier:
    """Fit a recipe to labelled rows, of which none are for a test. Raises what `train` does but for a folder.

    Ctrl-C ends the fit, whatever rungs are finished.
    """
    common, started = common or Common(), time.monotonic()
    with common.lock:
        device = training_device()
        device.forget_peak()
        labelled.task.check(recipe)
        recipe = settled(with_scores(recipe.dearest, labelled, device), pairs=labelled.pairs)
        plan(recipe, classes=len(labelled.classes))
        speed = keep(common.speeds, recipe.train.threads, lambda: machine_speed(recipe, device))
        memos: dict[int, Memo] = keep(common.memos, labelled.sha256, dict, most=KEPT)
        first = assemble(recipe, labelled, device, memo=memos.setdefault(-1, Memo()), speed=speed)
        ends_at = started + 60 * recipe.budget.minutes if recipe.budget.minutes else None
        with tempfile.TemporaryDirectory(prefix="rankwise-fit-") as name, event_file(Path(name) / EVENTS) as write:
            events, accelerator, scratch = Events(write, *listeners), Accelerator(cpu=device.is_cpu), Path(name) / CHECKPOINTS
            climbing = Ladder(recipe, labelled, device, scratch, accelerator, events, False, ends_at, memos)
            climbing.states = common.states
            job, fitted, ladder = climbing.climb(first)
            written = (Path(name) / EVENTS).read_bytes()
        if ladder is not None and ladder.interrupted:  # whoever fits many would go on with the next
            raise KeyboardInterrupt
    return FittedClassifier(
        job=job,
        fitted=fitted,
        ladder=ladder,
        labelled=labelled,
        recipe=recipe,
        forecast=first.forecast,
        common=common,
        events=written,
        seconds=time.monotonic() - started,
    )
