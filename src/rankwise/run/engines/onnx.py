"""A run in ONNX Runtime: exported once, then read from the run's folder or the user's cache, without torch."""

from dataclasses import replace
from pathlib import Path

from rankwise.errors import RunError, require
from rankwise.inference.onnx_scorer import OnnxScorer, is_whole, load_onnx
from rankwise.run.deployed import FILES
from rankwise.run.engines import SavedRun
from rankwise.run.manifest import MANIFEST
from rankwise.system.cache import cache_folder
from rankwise.system.files import sha256
from rankwise.system.storage import told_refusals

FILE = "model.onnx"  # in a run's folder, as `Run.exported` may be told to write it: its manifest does not name it


def scorer(run: SavedRun, _: str) -> OnnxScorer:
    """The run's export, made where there is none."""
    return exported(run)


def is_made(run: SavedRun) -> bool:
    """Whether there is an export, so that it need not be made first, which takes some ten seconds.

    Raises MissingExtra, before torch is loaded, where what makes one is not installed.
    """
    if _found(run, _kept(sha256(run.folder / MANIFEST))).exists():
        return True
    require("onnx", extra="export")
    return False


def exported(run: SavedRun, path: Path | None = None, *, threads: int | None = None) -> OnnxScorer:
    """The run's export at `path`, else in its folder, else in the user's cache under the manifest's digest.

    Where there is none it is made, and held against torch's logits; in the cache also where it is damaged. `Run.exported`
    says what is raised.
    """
    digest = sha256(run.folder / MANIFEST)
    kept = _kept(digest)
    path = path or _found(run, kept)
    damaged = path == kept and path.exists() and not is_whole(path)
    if damaged or not path.exists():
        with told_refusals(path, "free room there, or name another folder for exports: RANKWISE_CACHE=FOLDER"):
            require("rankwise.run.export.onnx", extra="export").export_run(run, path, source=digest)
    loaded = load_onnx(path, run.preprocessing.classes, threads=threads)
    if loaded.source != digest:
        raise RunError(f"{path}: exported from another run than {run.folder}; delete it, or give another path")
    return replace(loaded, note="made again, for the one there was damaged" if damaged else "")


def _kept(digest: str) -> Path:
    """Where the user's cache has the export of the run whose manifest has that digest."""
    return cache_folder() / "onnx" / f"{digest}.onnx"


def _found(run: SavedRun, kept: Path) -> Path:
    """The export in the run's folder, that of `rankwise export` too, or where the cache has it."""
    beside = (run.folder / FILE, run.folder / "onnx" / FILES["onnx"])
    return next((path for path in beside if path.exists()), kept)
