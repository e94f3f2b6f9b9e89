"""A trained classifier and its scored test rows → its run folder, which is loaded again and compared before it counts."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rankwise.data.scripts import script_counts
from rankwise.data.tasks import Task
from rankwise.data.tokens import Tokens, tokenize
from rankwise.encoders.base import Base
from rankwise.errors import ReloadMismatch
from rankwise.inference.evaluation import Evaluation
from rankwise.inference.scorer import logits
from rankwise.inference.torch_scorer import TorchScorer
from rankwise.inference.words import Words
from rankwise.model import adapters
from rankwise.model.pooled import save_reading
from rankwise.recipe import EvaluateSpec
from rankwise.run import format as schema
from rankwise.run import manifest
from rankwise.run.card import model_card
from rankwise.run.decision import DECISION
from rankwise.run.engines.onnx import FILE as ONNX_FILE
from rankwise.run.folder import Run
from rankwise.run.opening import portable
from rankwise.stats.scores import BaselineScores
from rankwise.system.device import Device
from rankwise.system.files import read_json, write_json
from rankwise.system.storage import sync, sync_all
from rankwise.training.job import Job
from rankwise.training.loop import Fitted
from rankwise.training.parts.pruning import live_ranks

PROBE_BATCH = 4  # of them at a time: sixteen long ones would be the run's peak of memory
PROBE_TEXTS = 16  # whose logits are compared after reloading
ROUNDING = 1e-5  # relative and absolute, of logits in fp32


@dataclass(frozen=True)
class Kept:
    """What a run keeps of the rows that it did not train on."""

    scored: schema.ScoredRows
    """What it said of the test rows,"""
    held_out: schema.ScoredRows | None = None
    """and of those that decisions are made by,"""
    tokens: Tokens | None = None
    """whose tokens these are."""

    def write(self, folder: Path, classes: Sequence[str]) -> None:
        """Write a file for each."""
        self.scored.write(folder / manifest.SCORED_ROWS, classes)
        if self.held_out is not None:
            self.held_out.write(folder / manifest.HELD_OUT, classes)
        if self.tokens is not None:
            self.tokens.save(folder / manifest.HELD_OUT_TOKENS)


def facts_of(job: Job, fitted: Fitted, folder: Path, *, seconds: float, notes: Sequence[str]) -> schema.RunFacts:
    """What was trained into `folder`, on what, and what it took; `seconds` are those of this process."""
    data = job.data
    return schema.RunFacts(
        format=manifest.FORMAT,
        base=base_facts(job.base, folder),
        data_sha256=job.labelled.sha256,
        trained_parameters=schema.TrainedParameters(job.plan.ledger.trainable_parameters, job.trained_parameters),
        ranks=live_ranks(job.classifier) if job.plan.method.prunes_ranks else None,
        best=fitted.best,
        steps=fitted.steps,
        stopped_early=fitted.stopped_early,
        seconds=schema.Seconds(round(fitted.seconds, 2), round(fitted.earlier_seconds + seconds, 2)),
        promised=schema.Promised(round(job.forecast.seconds, 1), job.forecast.peak_bytes, job.forecast.steps),
        actual=schema.Actual(job.device.peak_bytes()),
        rows=schema.RowCounts(len(data.train), len(data.validation), len(data.test)),
        token_lengths=data.lengths,
        threads=job.speed.threads,
        precision=job.precision,
        processes=job.device.processes,
        device=str(job.device.torch_device),
        notes=tuple(notes),
        scripts=script_counts(data.train.texts),
    )


def scores_of(job: Job, fitted: Fitted, test: Evaluation, baselines: Mapping[str, BaselineScores]) -> schema.RunScores:
    """The test rows' scores beside the baselines', and the evaluations during training."""
    return schema.RunScores(
        classes=job.data.classes,
        test=test.scores,
        validation=fitted.best,
        baselines=baselines,
        history=fitted.history,
        test_not_in_training=_clean_scores(job.data.task, test, job.labelled.leaked, job.recipe.evaluate),
    )


def save(
    folder: Path,
    job: Job,
    facts: schema.RunFacts,
    scores: schema.RunScores,
    kept: Kept,
    *,
    scratch: Path | None = None,
    goes_on: bool = False,
) -> Run:
    """Write the run's files, load them again, compare weights to the bit and some logits, write the manifest.

    Until they are compared and on the disk, they lie in a folder of their own in the run's, so that what a killed process or
    a full disk leaves half-written is no part of a run, and a run that an interrupted climb left stays whole.

    `scratch` is a folder in it that training alone needed: it goes when the run is whole, so that until then a process that
    is killed can go on; and stays where training `goes_on` later.

    Raises BudgetMismatch when the file holds another number of trained parameters than planned, ReloadMismatch when a
    trained weight differs at all or logits differ by more than rounding.
    """
    draft = folder / manifest.DRAFTS
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        _write_files(draft, job, facts, scores)
        kept.write(draft, job.data.classes)
        (_check_reload if job.words is None else _check_words)(draft, job)
        sync_all(draft)
        manifest.take_away(folder, schema.SHIFT, ONNX_FILE, DECISION)
        written = sorted(path.relative_to(draft) for path in draft.rglob("*") if path.is_file())
        for name in written:
            (folder / name).parent.mkdir(exist_ok=True)
            (draft / name).replace(folder / name)
        for parent in {folder / name.parent for name in written}:
            sync(parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    manifest.write_manifest(folder, without=scratch)
    if scratch is not None and not goes_on:
        shutil.rmtree(scratch, ignore_errors=True)
    (folder / manifest.STARTED).unlink(missing_ok=True)
    return Run.load(folder)


def _write_files(folder: Path, job: Job, facts: schema.RunFacts, scores: schema.RunScores) -> None:
    """Write all that a run is but its events and its manifest."""
    if job.words is None:
        job.classifier.to(Device.cpu().torch_device)  # where the folder is loaded again and compared, bit by bit
        adapters.save(job.classifier, folder, base=job.base)
        if job.plan.encoder.pools:
            save_reading(folder, job.data.preprocessing.max_length)
    else:
        job.words.write(folder / manifest.WORDS)
    save_tokenizer(folder, job.tokenizer)
    write_json(folder / manifest.PLAN, job.plan.facts())
    write_json(folder / manifest.PREPROCESSING, job.data.preprocessing)
    write_json(folder / manifest.SCORES, scores)
    write_json(folder / manifest.VERSIONS, schema.versions())
    (folder / manifest.RECIPE).write_text(portable(job.recipe).to_yaml(), "utf-8")
    write_json(folder / manifest.RUN, facts)
    pairs = job.data.preprocessing.reads_pairs
    card = model_card(job.recipe, job.plan, job.base, scores, facts.ladder, job.data.task.name, pairs=pairs)
    (folder / manifest.CARD).write_text(card, "utf-8")


def base_facts(base: Base, folder: Path) -> schema.BaseFacts:
    """The base encoder as a run names it: one of the hub by its id, another by its folder's path from the run's."""
    if base.hub is not None:
        return schema.BaseFacts(base.name, base.hub, base.revision, base.digest(), None)
    path = os.path.relpath(base.location, folder)
    return schema.BaseFacts(Path(base.location).resolve().name, None, base.revision, base.sha256, path)


def _clean_scores(task: Task, test: Evaluation, leaked: NDArray[np.bool_], spec: EvaluateSpec) -> schema.CleanScores | None:
    """Scores of the test rows whose texts are not in training, where some are and some are not."""
    if not leaked.any() or leaked.all():
        return None
    clean = task.scores(test.probabilities[~leaked], test.truth[~leaked], spec)
    return schema.CleanScores(clean.accuracy, clean.macro_f1, None if task.has_classes else clean.more)


def _check_reload(folder: Path, job: Job) -> None:
    """Weights to the bit; logits within rounding, since BLAS may sum equal numbers in another order."""
    classifier = job.classifier
    problem_type = job.data.task.problem_type
    loaded = adapters.load(folder, job.base, classifier.plan, classifier.classes, problem_type=problem_type)
    weights = dict(loaded.model.named_parameters())
    for live, trained in classifier.trainable().items():
        name, weight = classifier.method.as_loaded(classifier.model, live, trained)
        if not torch.equal(weight, weights[name]):
            raise ReloadMismatch(f"{folder}: {name} is not what was trained when loaded again; the run was not completed")
    texts = (job.data.validation if len(job.data.validation) else job.data.train).texts[:PROBE_TEXTS]
    probe = tokenize(job.tokenizer, texts, max_length=job.data.preprocessing.max_length)  # a window of each is enough
    before, after = (
        logits(TorchScorer(model), probe, padding=job.padding, batch_size=PROBE_BATCH) for model in (classifier, loaded)
    )
    if not np.allclose(before, after, rtol=ROUNDING, atol=ROUNDING):
        raise ReloadMismatch(
            f"{folder}: reloaded logits differ by up to {np.abs(before - after).max():.2e}; the run was not completed"
        )


def _check_words(folder: Path, job: Job) -> None:
    """Probabilities to the bit, for nothing but reading lies between them."""
    assert job.words is not None, "of a run that counts words"
    texts = job.data.train.texts[:PROBE_TEXTS]
    loaded = Words.read(folder / manifest.WORDS, job.data.classes)
    if not np.array_equal(loaded.probabilities(texts), job.words.probabilities(texts)):
        raise ReloadMismatch(f"{folder}: {manifest.WORDS} tells other probabilities when read; the run was not completed")


def save_tokenizer(folder: Path, tokenizer: Any) -> None:
    """Write a tokenizer without paths of this machine, with what transformers takes for granted, for who does without it."""
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    defaults = {name: getattr(tokenizer, name) for name in ("padding_side", "truncation_side", "model_input_names")}
    config = {**defaults, **read_json(path, dict[str, Any])}
    for key in ("name_or_path", "tokenizer_file", "vocab_file", "merges_file", "local_files_only", "is_local"):
        config.pop(key, None)
    write_json(path, config)
