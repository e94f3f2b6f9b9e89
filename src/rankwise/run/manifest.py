"""Whether a folder holds a finished run, and whether its files are still what was saved: manifest.json, written last.

Nothing here loads what trains, so a wrong path is told at once. The names of a run's files are here too.
"""

import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from rankwise.errors import RunError
from rankwise.system.files import Stored, read_json, sha256, write_json
from rankwise.system.storage import DRAFT

FORMAT = 1  # of run.json and manifest.json; raised where an older rankwise could not read what is written
RUN = "run.json"
PLAN = "plan.json"
SCORES = "scores.json"
PREPROCESSING = "preprocessing.json"
VERSIONS = "versions.json"
RECIPE = "recipe.yaml"
CARD = "README.md"
SCORED_ROWS = "test.parquet"
HELD_OUT = "held_out.parquet"  # likewise of validation rows, or of all where folds were held out; older runs have none
HELD_OUT_TOKENS = "held_out_tokens.parquet"  # the token ids of validation rows, unless evaluate.keep_texts is false
EXPORTS = ("onnx", "onnx-int8", "openvino")  # folders in a run's, made later by rankwise export
EVENTS = "events.jsonl"
WORDS = "words.skops"  # of a run without an encoder, which counts words
MANIFEST = "manifest.json"  # written last: a folder that has it is whole
STARTED = "started.json"  # in a folder whose run is not finished
CHECKPOINTS = "checkpoints"  # in it too, and of a run that keeps them
DRAFTS = f".run{DRAFT}"  # likewise, where a run's files lie until all are written
LOCK = "training.lock"  # held by the process that trains into the folder
ALWAYS = (RUN, PLAN, SCORES, PREPROCESSING, RECIPE, VERSIONS, "tokenizer_config.json")  # what every run has,
CLASSIFIERS = (  # and one of these
    ("adapter_config.json", "adapter_model.safetensors"),
    ("config.json", "model.safetensors"),
    (WORDS,),
)


@dataclass(frozen=True)
class Manifest(Stored):
    """manifest.json: the hex digest of every other file of the run, by its path in the folder; written last."""

    format: int
    sha256: Mapping[str, str]


def check_run(folder: str | Path) -> Path:
    """The folder of a finished run. Raises RunError, which says what else it is: no folder, unfinished, a folder of runs."""
    folder = Path(folder)
    if not folder.is_dir():
        raise RunError(f"{folder}: no such folder; expected a run folder, such as rankwise train writes")
    if (folder / MANIFEST).is_file():
        return folder
    for inside in (folder, folder / "finals"):
        if runs := sorted(path.parent for path in inside.glob(f"*/{MANIFEST}")):
            raise RunError(f"{folder} is no run but holds some, such as {runs[0]}; give those: {inside}/*")
    hint = "; its training did not finish: type the same train command with --resume"
    raise RunError(f"{folder}: no {MANIFEST}{hint if (folder / EVENTS).exists() else ', so no run'}")


def write_manifest(folder: Path, *, without: Path | None = None) -> None:
    """Write the digests of every file, but for those in `without`, drafts, and what only an unfinished run has."""
    apart = (folder / MANIFEST, folder / STARTED, folder / LOCK)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path not in apart)
    whole = (path for path in files if not any(_is_draft(part) for part in path.relative_to(folder).parts))
    kept = [path for path in whole if without is None or not path.is_relative_to(without)]
    write_json(folder / MANIFEST, Manifest(FORMAT, {path.relative_to(folder).as_posix(): sha256(path) for path in kept}))


def leave_out(folder: Path, name: str) -> None:
    """Let a file of a finished run change."""
    manifest = read_manifest(folder)
    kept = {path: digest for path, digest in manifest.sha256.items() if path != name}
    write_json(folder / MANIFEST, replace(manifest, sha256=kept))


def take_away(folder: Path, *later: str) -> None:
    """Delete a finished run from its folder, and what was added `later`, but for its events; nothing where there is none."""
    if not (folder / MANIFEST).is_file():
        return
    names = [name for name in read_manifest(folder).sha256 if name != EVENTS]
    (folder / MANIFEST).unlink()  # first, so that what is left of a run is never taken for one
    for name in (*names, *later):
        if (path := folder / name).resolve().is_relative_to(folder.resolve()):
            path.unlink(missing_ok=True)
    for name in EXPORTS:
        if (folder / name).is_dir() and not (folder / name).is_symlink():
            shutil.rmtree(folder / name)


def run_that_has(path: Path) -> Path | None:
    """The folder of the run, finished or not, that a file belongs to; None for a file that is no run's own."""
    path = path.resolve()
    for folder in path.parents:
        name = path.relative_to(folder).as_posix()
        if (folder / MANIFEST).is_file():
            try:
                own: Iterable[str] = read_manifest(folder).sha256
            except RunError:  # other programs have a manifest.json too
                own = ()
            if name in own:
                return folder
        if name == EVENTS and (folder / STARTED).is_file():
            return folder
    return None


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a finished run. Raises RunError for another format than this rankwise reads."""
    manifest = read_json(folder / MANIFEST, Manifest)
    check_format(folder, manifest.format)
    return manifest


def check_format(folder: Path, written: int) -> None:
    """Raises RunError where a folder is written in another format than this rankwise reads."""
    if written > FORMAT:
        raise RunError(f"{folder}: format {written}, this rankwise reads up to {FORMAT}; upgrade rankwise")
    if written < 1:
        raise RunError(f"{folder}: format {written}, which no rankwise writes; copy the folder again")


def check_files(folder: Path, manifest: Manifest) -> None:
    """Raises RunError naming the first file that is missing, is not what was written, or ought to be in the manifest."""
    listed = manifest.sha256
    for name in listed:
        winds = "\0" in name or PurePosixPath(name).as_posix() != name or ".." in PurePosixPath(name).parts
        if winds or not (folder / name).resolve().is_relative_to(folder.resolve()):
            raise RunError(f"{folder}: {MANIFEST} names '{name}', which is outside the folder")
    if lacking := [name for name in ALWAYS if name not in listed]:
        raise RunError(f"{folder}: {MANIFEST} does not list {lacking[0]}, which every run has; copy the folder again")
    if not any(set(classifier) <= set(listed) for classifier in CLASSIFIERS):
        kinds = " nor ".join(classifier[-1] for classifier in CLASSIFIERS)
        raise RunError(f"{folder}: {MANIFEST} lists no classifier, neither {kinds}; copy the folder again")
    known = ("tokenizer.json", *(name for names in CLASSIFIERS for name in names))
    if unlisted := [name for name in known if name not in listed and (folder / name).exists()]:
        raise RunError(f"{folder}: {MANIFEST} does not list {unlisted[0]}, which is there; copy the folder again")
    for name, digest in listed.items():
        path = folder / name
        if not os.path.isfile(path):  # which takes a name that is too long, too
            raise RunError(f"{folder}: {name} is missing; copy the folder again, or train again")
        if sha256(path) != digest:
            raise RunError(f"{folder}: {name} is not what was saved (its sha256 differs); copy the folder again")


def _is_draft(part: str) -> bool:
    """Whether a part of a path is of what was being written when its process was killed."""
    return part.startswith(".") or PurePosixPath(part).suffix == DRAFT
