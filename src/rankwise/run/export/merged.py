"""A run → a folder that transformers loads as one model, the adapter in its weights, held against the run's own logits.

Of a pooled head it is a sentence-transformers folder. Either can be the base of another run.
"""

import errno
import shutil
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankwise.data.batches import Batch
from rankwise.errors import ModelError, ReloadMismatch, RunError
from rankwise.model.adapters import load_whole, merged, save_whole
from rankwise.model.classifier import Classifier, in_eval_mode, to_tensors
from rankwise.model.load import tokenizer_in
from rankwise.model.pooled import READING_FILE
from rankwise.run.engines import SavedRun
from rankwise.run.export.onnx import probe_batches
from rankwise.system.storage import make_folder, sync, sync_all, told_refusals

ROUNDING = 1e-4  # of a logit, absolute and relative: W + B·A is one sum in the run's pass, and another in a merged weight
COPIED = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", READING_FILE)


def write_merged(run: SavedRun, folder: Path) -> Path:
    """Write a run's classifier with its adapter merged, and its tokenizer. `Run.merge` says what is raised."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(f"{folder} is not empty; give a folder that is new: --out FOLDER")
    classifier = run.classifier()
    if classifier.plan.adapter.quantize != "none":
        raise ModelError(
            f"{run.folder} keeps its encoder in 4 bits, into which nothing can be merged without loss; train without: "
            "--set adapter.quantize=none"
        )
    with told_refusals(folder, "free room there, or give another folder of yours: --out FOLDER"):
        _write_whole(classifier, run, folder)
    return folder


def _write_whole(classifier: Classifier, run: SavedRun, folder: Path) -> None:
    """Write the folder under another name, beside it, and rename it: it is there whole, or as it was."""
    is_new = not folder.exists()
    make_folder(folder)
    try:
        with TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent, ignore_cleanup_errors=True) as beside:
            draft = Path(beside) / folder.name
            draft.mkdir()
            _write(classifier, run, draft)
            draft.chmod(folder.stat().st_mode)
            sync_all(draft)
            draft.replace(folder)
    except BaseException as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise RunError(f"{folder}: another process has written into it meanwhile; give another: --out FOLDER") from None
        if is_new:
            with suppress(OSError):  # where another process has filled it
                folder.rmdir()
        raise
    sync(folder.parent)


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
