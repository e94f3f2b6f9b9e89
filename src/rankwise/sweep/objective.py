"""What a sweep does with a recipe: `TrialObjective` scores it on validation rows, `whole_run` makes a finalist's run.

A trial is planned first, so that a plan over the cap is refused in milliseconds; it trains as `pipeline.train` does, on the
same rows with the same seed, and leaves no file behind. The test rows are not among what it prepares. One process runs many
trials and reads their tables once; tokens and what frozen layers make of them are made once for all processes of a machine.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from accelerate import Accelerator

from rankwise.data.batches import Padding
from rankwise.data.labelled import Labelled, read_labelled
from rankwise.data.prepare import Prepared, prepare
from rankwise.data.shifts import shifted_tokens
from rankwise.data.tokens import TokenStore
from rankwise.model.adapters import build
from rankwise.model.load import Base, check_match, load_tokenizer, locate, longest_text
from rankwise.planning.forecast import forecast
from rankwise.planning.plan import Plan
from rankwise.planning.plan import plan as make_plan
from rankwise.planning.workload import Work
from rankwise.recipe import DataSpec, Recipe
from rankwise.sweep.results import FinalResult, Report, TrialResult
from rankwise.system.cores import default_threads, usable_cores
from rankwise.system.device import resolve_precision, stays_on_cpu
from rankwise.system.events import Evaluated, Event, Events, TrainingStarted, UpdateLogged, UpdateMade, to_json
from rankwise.system.memory import return_freed_memory
from rankwise.system.speed import fastest_threads
from rankwise.system.torch_speed import gflops
from rankwise.training.checkpoint import Checkpoints
from rankwise.training.loop import fit
from rankwise.workflows import by_importance as importance
from rankwise.workflows.train import digest, shared_cache, train

SCORES = ("accuracy", "macro_f1", "mcc", "log_loss")
KEPT = 4  # data sets, and tokens of one, that a process keeps at hand
T = TypeVar("T")


class TrialObjective:
    """A recipe → its best evaluation on validation rows. Pickles as what it was when it was new."""

    def __init__(self) -> None:
        self._tables: dict[str, tuple[Labelled, str]] = {}
        self._tokens: dict[str, tuple[Any, Prepared]] = {}

    def __reduce__(self) -> tuple[type[TrialObjective], tuple[()]]:
        return TrialObjective, ()

    def __call__(self, recipe: Recipe, report: Report) -> TrialResult:
        """Train `recipe` and tell `report` of each evaluation, which may raise Stop.

        Raises PlanError for a plan that is refused, NonFiniteLoss where training diverges, and what reading the data or
        loading the encoder raises.
        """
        started = time.monotonic()
        accelerator = Accelerator(cpu=stays_on_cpu())
        threads, speed = _fastest(recipe, accelerator.device)

        labelled, data_sha256 = _kept(self._tables, recipe.data.model_dump_json(), lambda: _tables(recipe.data))
        recipe = importance.with_scores(recipe, labelled, data_sha256=data_sha256, device=accelerator.device)
        plan = make_plan(recipe, classes=len(labelled.classes))
        precision = resolve_precision(recipe.train.precision, accelerator.device)
        base = locate(recipe.base, revision=recipe.revision)

        key = json.dumps([recipe.data.model_dump(mode="json"), base.location, base.revision, plan.prefix_length])
        tokenizer, data = _kept(self._tokens, key, lambda: _tokens(recipe.data, plan, base, labelled))
        by_shift = recipe.evaluate.shifts if recipe.train.select_by == "worst_shift" else ()
        shifted = shifted_tokens(labelled.validation.texts, data.validation.tokens, by_shift, tokenizer, data.preprocessing)
        work = Work.of_tokens(data.train.tokens.lengths, data.validation.tokens.lengths, [])
        cost = forecast(
            plan, recipe, work, gflops=speed, threads=threads, bf16=precision != "fp32", gpu=accelerator.device.type != "cpu"
        )
        trained_parameters = plan.ledger.trainable_parameters

        updates = 0

        def hear(event: Event) -> None:
            nonlocal updates
            if isinstance(event, (TrainingStarted, UpdateLogged, UpdateMade)):
                updates = event.total  # which a limit of minutes may lower as it goes
            elif isinstance(event, Evaluated):
                entry = {name: value for name, value in to_json(event).items() if name != "best"}
                cost = {"seconds": time.monotonic() - begun, "trained_parameters": trained_parameters}
                report({**entry, **cost, "is_last": event.step >= updates})

        classifier = build(base, plan, data.classes, seed=recipe.train.seed)
        check_match(tokenizer, classifier.model, recipe.base)
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="rankwise-trial-") as folder:
            fitted = fit(
                classifier,
                data,
                recipe.train,
                padding=Padding.of(tokenizer),
                checkpoints=Checkpoints(Path(folder), keep=1, fingerprint=recipe.fingerprint),
                accelerator=accelerator,
                events=Events(hear),
                scoring=recipe.evaluate,
                shifted=shifted,
                cache=shared_cache(),
                cost=cost,
                ends_at=started + 60 * recipe.budget.minutes if recipe.budget.minutes else None,
            )
        return_freed_memory()
        return TrialResult(
            scores=_scores(fitted.best),
            trained_parameters=trained_parameters,
            seconds=fitted.seconds,
            history=tuple(fitted.history),
            validation_rows=len(data.validation),
            data_sha256=data_sha256,
        )


objective = TrialObjective()  # this process's


def whole_run(recipe: Recipe, folder: str) -> FinalResult:
    """A finalist's run folder, with its test rows scored once; goes on from a checkpoint, and leaves a finished run alone."""
    run = train(recipe, folder, resume=True)
    return FinalResult(
        validation=_scores(run.scores["validation"]),
        test={name: run.scores["test"][name]["value"] for name in SCORES},
        seconds=run.facts["seconds"]["all"],
        data_sha256=run.facts["data_sha256"],
    )


def _scores(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """An evaluation's scores on validation rows; worst_shift is among them where it chose the checkpoint."""
    return {name: evaluation[name] for name in (*SCORES, "worst_shift") if name in evaluation}


def _fastest(recipe: Recipe, device: torch.device) -> tuple[int, float]:
    """Set torch's threads, those of the recipe or else the fastest of this process's share; (threads, GFLOP/s).

    Measured for each trial: beside other trials two threads are often slower than one.
    """
    share = max(1, min(usable_cores(), default_threads()))
    threads = recipe.train.threads or fastest_threads(share, gflops)[0]
    return threads, gflops(threads, device=device)


def _tables(spec: DataSpec) -> tuple[Labelled, str]:
    labelled = read_labelled(spec)
    return labelled, digest(labelled)


def _tokens(spec: DataSpec, plan: Plan, base: Base, labelled: Labelled) -> tuple[Any, Prepared]:
    """The tokenizer, and the training and validation rows in its tokens; one validation row stands for the test rows."""
    tokenizer = load_tokenizer(base)
    without_test = replace(labelled, test=labelled.validation.take(np.zeros(1, dtype=np.int64)))
    longest = longest_text(tokenizer, plan.encoder, prefix=plan.prefix_length)
    return tokenizer, prepare(spec, tokenizer, longest=longest, labelled=without_test, tokenized=TokenStore(shared_cache()))


def _kept(cache: dict[Any, T], key: Any, make: Callable[[], T]) -> T:
    """What is in the cache, or is made and put there; the oldest makes room."""
    if key not in cache:
        if len(cache) >= KEPT:
            cache.pop(next(iter(cache)))
        cache[key] = make()
    return cache[key]
