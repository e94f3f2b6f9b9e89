"""What a sweep does with a recipe: `TrialObjective` scores it on validation rows, `whole_run` makes a finalist's run.

A trial is planned first, so that a plan over the cap is refused in milliseconds; it is assembled and trained as a run is, on
the same rows with the same seed, and leaves no file behind. The test rows are not among what it prepares. One process runs
many trials and reads their tables once; tokens and frozen layers' hidden states are made once for all processes of a machine.
"""

import tempfile
import time
from collections.abc import Hashable
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from accelerate import Accelerator

from rankwise.data.labelled import Labelled, read_labelled
from rankwise.recipe import Recipe
from rankwise.sweep.results import SCORES, Report, Result
from rankwise.system.events import Event, Events
from rankwise.system.files import to_json
from rankwise.system.memory import return_freed_memory
from rankwise.training.checkpoint import Checkpoints
from rankwise.training.events import Evaluated, HistoryEntry, TrainingStarted, UpdateMade
from rankwise.training.loop import fit
from rankwise.workflows.assemble import Memo, assemble, keep, shared_cache, training_device
from rankwise.workflows.by_importance import with_scores
from rankwise.workflows.train import train


class TrialObjective:
    """A recipe → its best evaluation on validation rows."""

    def __init__(self) -> None:
        self._tables: dict[Hashable, Labelled] = {}

    @cached_property
    def memo(self) -> Memo:
        """Prepared data, kept from trial to trial; its tokens are shared with the machine's other processes."""
        return Memo(cache=shared_cache())

    def __call__(self, recipe: Recipe, report: Report) -> Result:
        """Train `recipe` and tell `report` of each evaluation, which may raise Stop.

        Raises PlanError for a plan that is refused, NonFiniteLoss where training diverges, and what reading the data or
        loading the encoder raises.
        """
        started = time.monotonic()
        device = training_device()
        labelled = keep(self._tables, recipe.data.model_dump_json(), partial(read_labelled, recipe.data))
        recipe = with_scores(recipe, labelled, device)
        one_row = labelled.validation.take(np.zeros(1, dtype=np.int64))
        job = assemble(recipe, replace(labelled, test=one_row), device, memo=self.memo)  # without the test rows
        trained_parameters = job.plan.ledger.trainable_parameters
        updates = 0

        def hear(event: Event) -> None:
            nonlocal updates
            if isinstance(event, (TrainingStarted, UpdateMade)):
                updates = event.total  # which a limit of minutes may lower as it goes
            elif isinstance(event, Evaluated):
                entry = {name: value for name, value in to_json(event).items() if name != "best"}
                cost = {"seconds": time.monotonic() - begun, "trained_parameters": trained_parameters}
                report({**entry, **cost, "is_last": event.step >= updates})

        job.classifier.model  # noqa: B018 - loaded before the trial's time counts
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="rankwise-trial-") as folder:
            fitted = fit(
                job,
                checkpoints=Checkpoints(Path(folder), keep=1, fingerprint=recipe.fingerprint),
                accelerator=Accelerator(cpu=device.is_cpu),
                events=Events(hear),
                cache=shared_cache(),
                ends_at=started + 60 * recipe.budget.minutes if recipe.budget.minutes else None,
            )
        return_freed_memory()
        return Result(
            scores=_scores(fitted.best),
            trained_parameters=trained_parameters,
            seconds=fitted.seconds,
            history=tuple(map(to_json, fitted.history)),
            validation_rows=len(job.data.validation),
            data_sha256=labelled.sha256,
        )


objective = TrialObjective()  # this process's


def whole_run(recipe: Recipe, folder: str) -> Result:
    """A finalist's run folder, with its test rows scored once; goes on from a checkpoint, and leaves a finished run alone."""
    run = train(recipe, folder, existing="resume", progress=False)
    test = run.scores.test
    return Result(
        scores=_scores(run.scores.validation),
        trained_parameters=run.facts.trained_parameters.counted,
        seconds=run.facts.seconds.all,
        data_sha256=run.facts.data_sha256,
        test={name: value for name in test.names if name in SCORES and (value := test.named(name).value) is not None},
    )


def _scores(entry: HistoryEntry) -> dict[str, float]:
    return {name: value for name in (*SCORES, "worst_shift") if (value := getattr(entry, name)) is not None}
