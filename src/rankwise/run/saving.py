"""A trained classifier → its run folder, which is loaded again and compared before it counts as whole."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rankwise.data.tokens import tokenize
from rankwise.errors import ReloadMismatch
from rankwise.inference.logits import logits
from rankwise.inference.torch_scorer import TorchScorer
from rankwise.model import adapters
from rankwise.model.saving import save as save_classifier
from rankwise.run.card import model_card
from rankwise.run.folder import Run
from rankwise.run.format import RunFacts, RunScores, versions
from rankwise.run.manifest import (
    CARD,
    PLAN,
    PREPROCESSING,
    RECIPE,
    RUN,
    SCORED_ROWS,
    SCORES,
    STARTED,
    VERSIONS,
    write_manifest,
)
from rankwise.run.opening import portable
from rankwise.run.scored_rows import ScoredRows
from rankwise.system.files import read_json, write_json
from rankwise.training.job import Job

PROBE_BATCH = 4  # of them at a time: sixteen long ones would be the run's peak of memory
PROBE_TEXTS = 16  # whose logits are compared after reloading
ROUNDING = 1e-5  # relative and absolute, of logits in fp32


def save(
    folder: Path, job: Job, facts: RunFacts, scores: RunScores, *, scored_rows: ScoredRows, scratch: Path | None = None
) -> Run:
    """Write the run folder, load it again, compare its weights to the bit and some logits, write the manifest.

    `scratch` is a folder in it that training alone needed: it goes when the run is whole, so that until then a process that
    is killed can go on.

    Raises BudgetMismatch when the file holds another number of trained parameters than planned, ReloadMismatch when a
    trained weight differs at all or logits differ by more than rounding.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_classifier(job.classifier, folder, base=job.base)
    job.tokenizer.save_pretrained(folder)
    _scrub_tokenizer(folder / "tokenizer_config.json", job.tokenizer)
    write_json(folder / PLAN, job.plan.facts())
    write_json(folder / PREPROCESSING, job.data.preprocessing)
    write_json(folder / SCORES, scores)
    scored_rows.write(folder / SCORED_ROWS, job.data.classes)
    write_json(folder / VERSIONS, versions())
    (folder / RECIPE).write_text(portable(job.recipe).to_yaml(), "utf-8")
    write_json(folder / RUN, facts)
    (folder / CARD).write_text(model_card(job.recipe, job.plan, job.base, scores), "utf-8")
    _check_reload(folder, job)
    write_manifest(folder, without=scratch)
    if scratch is not None:
        shutil.rmtree(scratch, ignore_errors=True)
    (folder / STARTED).unlink(missing_ok=True)
    return Run.load(folder)


def _check_reload(folder: Path, job: Job) -> None:
    """Weights to the bit; logits within rounding, since BLAS may sum equal numbers in another order."""
    classifier = job.classifier
    loaded = adapters.load(folder, job.base, classifier.plan, classifier.classes)
    weights = dict(loaded.model.named_parameters())
    for name, weight in classifier.trainable().items():
        if not torch.equal(weight, weights[name]):
            raise ReloadMismatch(f"{folder}: {name} is not what was trained when loaded again; the run was not completed")
    texts = job.data.validation.texts[:PROBE_TEXTS]
    probe = tokenize(job.tokenizer, texts, max_length=job.data.preprocessing.max_length)
    before, after = (
        logits(TorchScorer(model), probe, padding=job.padding, batch_size=PROBE_BATCH) for model in (classifier, loaded)
    )
    if not np.allclose(before, after, rtol=ROUNDING, atol=ROUNDING):
        raise ReloadMismatch(
            f"{folder}: reloaded logits differ by up to {np.abs(before - after).max():.2e}; the run was not completed"
        )


def _scrub_tokenizer(path: Path, tokenizer: Any) -> None:
    """Leave out paths of this machine, and say what transformers takes for granted, for readers that do without it."""
    defaults = {name: getattr(tokenizer, name) for name in ("padding_side", "truncation_side", "model_input_names")}
    config = {**defaults, **read_json(path, dict[str, Any])}
    for key in ("name_or_path", "tokenizer_file", "vocab_file", "merges_file", "local_files_only", "is_local"):
        config.pop(key, None)
    write_json(path, config)
