"""The run folder: a trained classifier on disk, in the formats that the Hugging Face ecosystem reads, and its proof.

    adapter_config.json, adapter_model.safetensors   the adapter and the head (config.json, model.safetensors for full,
                                                     head and bias): plain peft and transformers load the folder
    tokenizer.json, …         the tokenizer
    recipe.yaml               the resolved recipe
    plan.json                 ranks, alphas, ledger
    preprocessing.json        classes, cleaning steps, max length, columns
    scores.json               test scores with intervals, baselines, validation history
    run.json                  format, base encoder (name, hub id, sha256), counts, best step, seconds
    versions.json             of everything that computed it
    events.jsonl              what happened, a line each
    README.md                 the model card
    manifest.json             sha256 of every file; written last, so a folder that has it is whole

Nothing is pickled, and paths are relative to where the run was made.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from rankwise.data.batches import Batch, Padding, collate
from rankwise.data.preprocessing import Preprocessing
from rankwise.data.tokens import tokenize
from rankwise.encoders.base import Base, locate
from rankwise.errors import ModelError, RunError, nearest
from rankwise.inference.onnx_scorer import OnnxScorer, load_onnx
from rankwise.inference.predict import Prediction, Predictor
from rankwise.inference.torch_scorer import DropoutScorer, TorchScorer
from rankwise.model import adapters
from rankwise.model.classifier import Classifier
from rankwise.model.load import load_tokenizer
from rankwise.planning.plan import Plan
from rankwise.planning.plan import plan as make_plan
from rankwise.recipe import Recipe
from rankwise.run.export.onnx import export
from rankwise.run.format import (
    MANIFEST,
    PLAN,
    PREPROCESSING,
    RECIPE,
    RUN,
    SCORED_ROWS,
    SCORES,
    PlanFacts,
    RunFacts,
    RunScores,
)
from rankwise.run.manifest import check_files, check_format, check_run, read_manifest
from rankwise.run.scored_rows import ScoredRows
from rankwise.system.cache import cache_folder
from rankwise.system.device import Device
from rankwise.system.files import read_json, sha256

PROBE_TEXTS = 16  # whose logits are compared on two engines
ENGINES = ("torch", "fast", "onnx")  # what computes logits


@dataclass(frozen=True)
class Run:
    """A finished run on disk."""

    folder: Path
    recipe: Recipe
    preprocessing: Preprocessing
    scores: RunScores = field(repr=False)
    facts: RunFacts = field(repr=False)
    plan_facts: PlanFacts = field(repr=False)

    @classmethod
    def load(cls, folder: str | Path, *, verify: bool = True) -> Run:
        """Open a run folder, checking every file against the manifest. Raises RunError."""
        folder = check_run(folder)
        manifest = read_manifest(folder)
        if verify:
            check_files(folder, manifest)
        facts = read_json(folder / RUN, RunFacts)
        check_format(folder, facts.format)
        return cls(
            folder=folder,
            recipe=Recipe.load(folder / RECIPE),
            preprocessing=read_json(folder / PREPROCESSING, Preprocessing),
            scores=read_json(folder / SCORES, RunScores),
            facts=facts,
            plan_facts=read_json(folder / PLAN, PlanFacts),
        )

    def scored_rows(self) -> ScoredRows:
        """What it said of each test row. Raises RunError for a run that did not keep that."""
        path = self.folder / SCORED_ROWS
        if not path.is_file():
            raise RunError(f"{self.folder}: {SCORED_ROWS} is missing, which an older rankwise did not write; train again")
        return ScoredRows.read(path, self.preprocessing.classes)

    def base(self) -> Base:
        """The base encoder, found again and checked; a whole model is its own base. Raises ModelError or RunError."""
        facts = self.facts.base
        if not self.recipe.adapter.is_apart:
            return Base(facts.name, facts.hub, str(self.folder), None, None)
        name = os.path.normpath(self.folder / facts.path) if facts.path else facts.name
        base = locate(name, revision=facts.revision)
        if facts.sha256 and base.sha256 and base.sha256 != facts.sha256:
            raise RunError(
                f"{self.folder}: base '{facts.name}' has other weights now (sha256 {base.sha256[:12]}…) than in training "
                f"({facts.sha256[:12]}…)"
            )
        return base

    def plan(self) -> Plan:
        """The plan, made again from the recipe."""
        path = self.facts.base.path
        base = os.path.normpath(self.folder / path) if path else self.recipe.base
        if not self.recipe.adapter.is_apart:
            base = str(self.folder)  # its config.json describes the encoder, wherever the base is now
        return make_plan(self.recipe.model_copy(update={"base": base}), classes=len(self.preprocessing.classes))

    def classifier(self) -> Classifier:
        """The classifier in eval mode, with the logits it had when it was saved."""
        return adapters.load(self.folder, self.base(), self.plan(), self.preprocessing.classes)

    @property
    def predictor(self) -> Predictor:
        """Loaded once, then kept."""
        return self.predictor_on("torch")

    def predictor_on(self, engine: str) -> Predictor:
        """The predictor on an engine, loaded once, then kept. Raises ModelError for an engine that is none.

        `torch` computes in fp32, `fast` in bf16 where the hardware multiplies it, both on a GPU where there is one; `onnx` in
        ONNX Runtime on the CPU.
        """
        if engine not in ENGINES:
            raise ModelError(f"engine '{engine}'; expected one of {', '.join(ENGINES)}{nearest(engine, ENGINES)}")
        if engine not in self._predictors:
            tokenizer = load_tokenizer(Base(self.recipe.base, None, str(self.folder), None, None))
            if engine == "onnx":
                self._predictors[engine] = Predictor(self.exported(), tokenizer, self.preprocessing)
            else:
                device = Device.for_predictions()
                precision = device.resolve_precision("auto") if engine == "fast" else "fp32"
                self._predictors[engine] = Predictor(
                    TorchScorer(self.classifier().to(device.torch_device), precision),
                    tokenizer,
                    self.preprocessing,
                    with_dropout=lambda: DropoutScorer(self.classifier().to(device.torch_device), precision),
                )
        return self._predictors[engine]

    def exported(self, path: Path | None = None, *, threads: int | None = None) -> OnnxScorer:
        """The classifier in ONNX Runtime, on as many threads as torch uses when none are given.

        Exported once to `path`, or into the user's cache under the manifest's digest, and held against torch's logits; a
        file that is there is used. Raises MissingExtra without the extra `onnx`, ModelError for an encoder that can't be
        exported, ReloadMismatch when the logits differ, RunError for a `path` that has another run's.
        """
        digest = sha256(self.folder / MANIFEST)
        path = path or cache_folder() / "onnx" / f"{digest}.onnx"
        if not path.exists():
            tokenizer = load_tokenizer(Base(self.recipe.base, None, str(self.folder), None, None))
            export(self.classifier(), _probe_batches(tokenizer, self.preprocessing.max_length), path, source=digest)
        loaded = load_onnx(path, self.preprocessing.classes, threads=threads)
        if loaded.source != digest:
            raise RunError(f"{path}: exported from another run than {self.folder}; delete it, or give another path")
        return loaded

    def predict(self, texts: Sequence[str], *, mc_dropout: int = 0, engine: str = "torch") -> list[Prediction]:
        """Label, score and probabilities of each raw text; cleaning and max length as in training.

        `engine` is `torch` (fp32), `fast` (bf16 where the hardware multiplies it) or `onnx` (ONNX Runtime on the CPU).
        """
        return self.predictor_on(engine).predict(texts, mc_dropout=mc_dropout)

    @cached_property
    def _predictors(self) -> dict[str, Predictor]:
        """By engine, as they are asked for."""
        return {}


def _probe_batches(tokenizer: Any, max_length: int) -> list[Batch]:
    """Batches of random words in many shapes: an example of 2 texts, then 1 to 4 texts of 0 words up to the max length."""
    words = sorted(set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens))
    rng = np.random.default_rng(0)
    counts = np.geomspace(1, max_length, PROBE_TEXTS).round().astype(int) - 1
    texts = [" ".join(rng.choice(words, size=count)) for count in counts]
    tokens = tokenize(tokenizer, texts, max_length=max_length)
    padding = Padding.of(tokenizer)
    middle = len(texts) // 2
    shapes = [
        range(middle, middle + 2),
        range(1),
        *(range(start, min(start + 4, len(texts))) for start in range(1, len(texts), 4)),
    ]
    return [collate(tokens, list(rows), padding) for rows in shapes]
