"""A run → a folder that transformers loads as one model, the adapter in its weights, held against the run's own logits.

Of a pooled head it is a sentence-transformers folder. Either can be the base of another run.
"""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankwise.data.batches import Batch
from rankwise.errors import ModelError, ReloadMismatch
from rankwise.model.adapters import load_whole, merged, save_whole
from rankwise.model.classifier import Classifier, in_eval_mode, to_tensors
from rankwise.model.load import tokenizer_in
from rankwise.model.pooled import READING_FILE
from rankwise.run.engines import SavedRun
from rankwise.run.export.onnx import probe_batches
from rankwise.system.storage import check_new_folder, told_refusals, whole_folder

ROUNDING = 1e-4  # of a logit, absolute and relative: W + B·A is one sum in the run's pass, and another in a merged weight
COPIED = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", READING_FILE)


def write_merged(run: SavedRun, folder: Path) -> Path:
    """Write a run's classifier with its adapter merged, and its tokenizer. `Run.merge` says what is raised."""
    check_new_folder(folder, "--out FOLDER")
    classifier = run.classifier()
    if classifier.plan.adapter.quantize != "none":
        raise ModelError(
            f"{run.folder} keeps its encoder in 4 bits, into which nothing can be merged without loss; train without: "
            "--set adapter.quantize=none"
        )
    refused = "free room there, or give another folder of yours: --out FOLDER"
    with told_refusals(folder, refused), whole_folder(folder, "--out FOLDER") as draft:
        _write(classifier, run, draft)
    return folder


def _write(classifier: Classifier, run: SavedRun, folder: Path) -> None:
    save_whole(merged(classifier), folder)
    for name in COPIED:
        if (run.folder / name).is_file():
            shutil.copyfile(run.folder / name, folder / name)
    reloaded = load_whole(folder, classifier.plan, classifier.classes)
    about = run.preprocessing
    for batch in probe_batches(tokenizer_in(folder), about.max_length, pairs=about.reads_pairs):
        before, after = (_logits(each, batch) for each in (classifier.model, reloaded))
        if not np.allclose(before, after, rtol=ROUNDING, atol=ROUNDING):
            raise ReloadMismatch(
                f"{run.folder}: merged, its logits differ by up to {np.abs(before - after).max():.2e}; nothing was written"
            )


def _logits(model: Any, batch: Batch) -> NDArray[np.float32]:
    """The logits (B, C) of transformers' own forward pass."""
    with in_eval_mode(model):
        return np.asarray(model(**to_tensors(batch)).logits.float())
