"""A training that has ended, and its scored test rows → what run.json and scores.json say of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rankwise.encoders.base import Base
from rankwise.inference.baselines import Baseline
from rankwise.inference.evaluation import Evaluation
from rankwise.recipe import EvaluateSpec
from rankwise.run.format import (
    Actual,
    BaseFacts,
    BaselineScores,
    CleanScores,
    Promised,
    RowCounts,
    RunFacts,
    RunScores,
    Seconds,
    TrainedParameters,
)
from rankwise.run.manifest import FORMAT
from rankwise.stats.scores import score
from rankwise.training.job import Job
from rankwise.training.loop import Fitted


def facts_of(job: Job, fitted: Fitted, folder: Path, *, seconds: float, notes: Sequence[str]) -> RunFacts:
    """What was trained into `folder`, on what, and what it took; `seconds` are those of this process."""
    data = job.data
    counted = sum(weight.numel() for weight in job.classifier.trainable().values())
    return RunFacts(
        format=FORMAT,
        base=_base_facts(job.base, folder),
        data_sha256=job.labelled.sha256,
        trained_parameters=TrainedParameters(job.plan.ledger.trainable_parameters, counted),
        ranks=job.classifier.live_ranks() if job.plan.method.prunes_ranks else None,
        best=fitted.best,
        steps=fitted.steps,
        stopped_early=fitted.stopped_early,
        seconds=Seconds(round(fitted.seconds, 2), round(fitted.earlier_seconds + seconds, 2)),
        promised=Promised(round(job.forecast.seconds, 1), job.forecast.peak_bytes, job.forecast.steps),
        actual=Actual(job.device.peak_bytes()),
        rows=RowCounts(len(data.train), len(data.validation), len(data.test)),
        token_lengths=data.lengths,
        threads=job.speed.threads,
        precision=job.precision,
        processes=job.device.processes,
        device=str(job.device.torch_device),
        notes=tuple(notes),
    )


def scores_of(job: Job, fitted: Fitted, test: Evaluation, beside: Sequence[Baseline]) -> RunScores:
    """The test rows' scores beside the baselines', and the evaluations during training."""
    return RunScores(
        classes=job.data.classes,
        test=test.with_mistakes(),
        validation=fitted.best,
        baselines={one.name: BaselineScores(**vars(one.scores), difference=one.difference) for one in beside},
        history=fitted.history,
        test_not_in_training=_clean_scores(test, job.labelled.leaked, job.recipe.evaluate),
    )


def _base_facts(base: Base, folder: Path) -> BaseFacts:
    """The base encoder as a run names it: one of the hub by its id, another by its folder's path from the run's."""
    if base.hub is not None:
        return BaseFacts(base.name, base.hub, base.revision, base.sha256, None)
    path = os.path.relpath(base.location, folder)
    return BaseFacts(Path(base.location).name, None, base.revision, base.sha256, path)


def _clean_scores(test: Evaluation, leaked: NDArray[np.bool_], spec: EvaluateSpec) -> CleanScores | None:
    """Scores of the test rows whose texts are not in training, where some are and some are not."""
    if not leaked.any() or leaked.all():
        return None
    names = [row.name for row in test.scores.per_class]
    probabilities, truth = test.probabilities[~leaked], test.truth[~leaked]
    clean = score(probabilities, truth, names, resamples=spec.resamples, confidence=spec.confidence)
    return CleanScores(clean.accuracy, clean.macro_f1)
