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

import json
import os
import platform
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from pyarrow import parquet

from rankwise.data.batches import Batch, Padding, collate
from rankwise.data.preprocessing import Preprocessing
from rankwise.data.tokens import Tokens, tokenize
from rankwise.encoders.base import Base, locate, sha256
from rankwise.errors import ModelError, ReloadMismatch, RunError, nearest
from rankwise.inference.logits import logits
from rankwise.inference.onnx_scorer import OnnxScorer, load_onnx
from rankwise.inference.predict import Prediction, Predictor
from rankwise.inference.torch_scorer import DropoutScorer, TorchScorer
from rankwise.model import adapters
from rankwise.model.adapters import Classifier
from rankwise.model.load import load_tokenizer
from rankwise.planning.plan import Plan
from rankwise.planning.plan import plan as make_plan
from rankwise.recipe import Recipe
from rankwise.run.export.onnx import export
from rankwise.run.finished import MANIFEST, check_run
from rankwise.system.cache import cache_folder
from rankwise.system.device import Device

FORMAT = 1
STARTED = "started.json"  # in a folder whose run is not finished: recipe and data, so that resuming can compare
DRAFT = ".draft"  # ends the name of a file that is being written
SCORED_ROWS = "test.parquet"
PROBE_BATCH = 4  # of them at a time: sixteen long ones would be the run's peak of memory
ROUNDING = 1e-5  # relative and absolute, of logits in fp32
PROBE_ROWS = 16  # texts whose logits are compared after reloading, or on two engines
ENGINES = ("torch", "fast", "onnx")  # what computes logits
PACKAGES = ("rankwise", "torch", "transformers", "peft", "accelerate", "tokenizers", "safetensors", "numpy", "scikit-learn")


@dataclass(frozen=True)
class Run:
    """A finished run on disk."""

    folder: Path
    recipe: Recipe
    preprocessing: Preprocessing
    scores: Mapping[str, Any] = field(repr=False)
    facts: Mapping[str, Any] = field(repr=False)
    """run.json: format, base, counts, best step, seconds."""
    plan_facts: Mapping[str, Any] = field(repr=False)
    """plan.json"""

    @classmethod
    def load(cls, folder: str | Path, *, verify: bool = True) -> Run:
        """Open a run folder, checking every file against the manifest. Raises RunError."""
        folder = check_run(folder)
        if verify:
            check_manifest(folder)
        facts = _read(folder / "run.json")
        if facts["format"] > FORMAT:
            raise RunError(f"{folder}: format {facts['format']}, this rankwise reads up to {FORMAT}; upgrade rankwise")
        return cls(
            folder=folder,
            recipe=Recipe.load(folder / "recipe.yaml"),
            preprocessing=Preprocessing.from_dict(_read(folder / "preprocessing.json")),
            scores=_read(folder / "scores.json"),
            facts=facts,
            plan_facts=_read(folder / "plan.json"),
        )

    def scored_rows(self) -> ScoredRows:
        """What it said of each test row. Raises RunError for a run that did not keep that."""
        path = self.folder / SCORED_ROWS
        if not path.is_file():
            raise RunError(f"{self.folder}: {SCORED_ROWS} is missing, which an older rankwise did not write; train again")
        return ScoredRows.read(path, self.preprocessing.classes)

    def base(self) -> Base:
        """The base encoder, found again and checked; a whole model is its own base. Raises ModelError or RunError."""
        facts = self.facts["base"]
        if not self.recipe.adapter.is_apart:
            return Base(facts["name"], facts["hub"], str(self.folder), None, None)
        name = os.path.normpath(self.folder / facts["path"]) if facts["path"] else facts["name"]
        base = locate(name, revision=facts["revision"])
        if facts["sha256"] and base.sha256 and base.sha256 != facts["sha256"]:
            raise RunError(
                f"{self.folder}: base '{facts['name']}' has other weights now (sha256 {base.sha256[:12]}…) than in training "
                f"({facts['sha256'][:12]}…)"
            )
        return base

    def plan(self) -> Plan:
        """The plan, made again from the recipe."""
        path = self.facts["base"]["path"]
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


@dataclass(frozen=True)
class ScoredRows:
    """What a run said of each test row, so that runs can be compared row by row: N rows, C classes."""

    rows: NDArray[np.int64]
    """(N,) numbers of the rows in the test file, as its source counts them."""
    truth: NDArray[np.int64]
    """(N,) class numbers, -1 for a class the run does not know."""
    probabilities: NDArray[np.float32]
    """(N, C)"""

    def write(self, path: Path, classes: Sequence[str]) -> None:
        width = self.probabilities.shape[1]
        flat = pa.array(np.ascontiguousarray(self.probabilities).reshape(-1))
        named = [classes[label] if label >= 0 else None for label in self.truth]
        columns = {
            "row": pa.array(self.rows),
            "label": pa.array(named, pa.string()),
            "probabilities": pa.FixedSizeListArray.from_arrays(flat, width),
        }
        parquet.write_table(pa.table(columns), path)

    @classmethod
    def read(cls, path: Path, classes: Sequence[str]) -> ScoredRows:
        table = parquet.read_table(path)
        number = {name: place for place, name in enumerate(classes)}
        truth = np.array([number.get(label, -1) for label in table["label"].to_pylist()], dtype=np.int64)
        flat = table["probabilities"].combine_chunks().flatten().to_numpy()
        return cls(table["row"].to_numpy(), truth, flat.reshape(len(table), -1))


def save(
    folder: Path,
    *,
    recipe: Recipe,
    base: Base,
    classifier: Classifier,
    tokenizer: Any,
    preprocessing: Preprocessing,
    scores: Mapping[str, Any],
    facts: Mapping[str, Any],
    card: str,
    probe: Tokens,
    scored_rows: ScoredRows | None = None,
    scratch: Path | None = None,
) -> Run:
    """Write the run folder, load it again, compare its weights to the bit and the logits of `probe`, write the manifest.

    `scratch` is a folder in it that training alone needed: it goes when the run is whole, so that until then a process that
    is killed can go on.

    Raises BudgetMismatch when the file holds another number of trained parameters than planned, ReloadMismatch when a
    trained weight differs at all or logits differ by more than rounding.
    """
    folder.mkdir(parents=True, exist_ok=True)
    adapters.save(classifier, folder, base=base)
    tokenizer.save_pretrained(folder)
    _scrub_tokenizer(folder / "tokenizer_config.json")
    write_json(folder / "plan.json", classifier.plan.as_dict())
    write_json(folder / "preprocessing.json", preprocessing.as_dict())
    write_json(folder / "scores.json", scores)
    if scored_rows is not None:
        scored_rows.write(folder / SCORED_ROWS, classifier.classes)
    write_json(folder / "versions.json", versions())
    (folder / "recipe.yaml").write_text(portable(recipe).to_yaml(), "utf-8")
    path = os.path.relpath(base.location, folder) if base.hub is None else None
    about_base = {
        "name": base.name if path is None else Path(base.location).name,
        "hub": base.hub,
        "revision": base.revision,
        "sha256": base.sha256,
        "path": path,
    }
    write_json(folder / "run.json", {"format": FORMAT, "base": about_base, **facts})
    (folder / "README.md").write_text(card, "utf-8")
    _check_reload(folder, base, classifier, tokenizer, probe)
    write_manifest(folder, without=scratch)
    if scratch is not None:
        shutil.rmtree(scratch, ignore_errors=True)
    (folder / STARTED).unlink(missing_ok=True)
    return Run.load(folder)


def portable(recipe: Recipe) -> Recipe:
    """The recipe with absolute paths made relative to the working directory."""
    return recipe.with_paths(lambda path: os.path.relpath(path) if os.path.isabs(path) else path)


def write_manifest(folder: Path, *, without: Path | None = None) -> None:
    """Digests of every file, but for those in `without` and what only an unfinished run has."""
    apart = (folder / MANIFEST, folder / STARTED)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path not in apart and path.suffix != DRAFT)
    kept = [path for path in files if without is None or not path.is_relative_to(without)]
    digests = {path.relative_to(folder).as_posix(): sha256(path) for path in kept}
    write_json(folder / MANIFEST, {"format": FORMAT, "sha256": digests})


def check_manifest(folder: Path) -> None:
    """Raises RunError naming the first file that is missing or not what was written."""
    for name, digest in _read(folder / MANIFEST)["sha256"].items():
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise RunError(f"{folder}: {MANIFEST} names '{name}', which is outside the folder")
        if not path.is_file():
            raise RunError(f"{folder}: {name} is missing; copy the folder again, or train again")
        if sha256(path) != digest:
            raise RunError(f"{folder}: {name} is not what was saved (its sha256 differs); copy the folder again")


def versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "machine": platform.machine(), "system": platform.system()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found


def write_json(path: Path, value: Any) -> None:
    """Write it beside its place and move it there: what has its name is whole."""
    draft = path.with_name(f"{path.name}{DRAFT}")
    draft.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", "utf-8")
    draft.replace(path)


def _check_reload(folder: Path, base: Base, classifier: Classifier, tokenizer: Any, probe: Tokens) -> None:
    """Weights to the bit; logits within rounding, since BLAS may sum equal numbers in another order."""
    loaded = adapters.load(folder, base, classifier.plan, classifier.classes)
    weights = dict(loaded.model.named_parameters())
    for name, weight in classifier.trainable().items():
        if not torch.equal(weight, weights[name]):
            raise ReloadMismatch(f"{folder}: {name} is not what was trained when loaded again; the run was not completed")
    padding = Padding.of(tokenizer)
    before, after = (
        logits(TorchScorer(model), probe, padding=padding, batch_size=PROBE_BATCH) for model in (classifier, loaded)
    )
    if not np.allclose(before, after, rtol=ROUNDING, atol=ROUNDING):
        raise ReloadMismatch(
            f"{folder}: reloaded logits differ by up to {np.abs(before - after).max():.2e}; the run was not completed"
        )


def _probe_batches(tokenizer: Any, max_length: int) -> list[Batch]:
    """Batches of random words in many shapes: an example of 2 texts, then 1 to 4 texts of 0 words up to the max length."""
    words = sorted(set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens))
    rng = np.random.default_rng(0)
    counts = np.geomspace(1, max_length, PROBE_ROWS).round().astype(int) - 1
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


def _scrub_tokenizer(path: Path) -> None:
    config = _read(path)
    for key in ("name_or_path", "tokenizer_file", "vocab_file", "merges_file", "local_files_only", "is_local"):
        config.pop(key, None)
    write_json(path, config)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise RunError(f"{path.parent}: {path.name} is missing; this is no whole run folder") from error
    except json.JSONDecodeError as error:
        raise RunError(f"{path.parent}: {path.name} is not JSON (line {error.lineno})") from error
