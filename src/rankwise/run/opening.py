"""The folder that a run is written into: a new one, an unfinished one to go on with, or the finished run in it."""

import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from filelock import FileLock, Timeout

from rankwise.errors import RecipeError, RunError, as_typed
from rankwise.recipe import Recipe
from rankwise.recipe.differences import differences, flat, is_under
from rankwise.run.folder import Run
from rankwise.run.format import Started
from rankwise.run.manifest import CHECKPOINTS, DRAFTS, EVENTS, LOCK, MANIFEST, STARTED, leave_out, read_manifest
from rankwise.system.files import read_json, write_json
from rankwise.system.storage import DRAFT, make_folder

NOT_COMPARED = {"name", "summary", "published"}  # of a recipe: nothing is computed with them

Existing = Literal["refuse", "resume", "overwrite"]
"""What becomes of a run folder that has something in it: an error, a run that goes on, or a run that starts again."""


@dataclass
class OpenFolder:
    """The folder to train into, in a `with` that lets no other process write there; or one with a run that is complete."""

    folder: Path
    finished: Run | None = None
    lock: FileLock | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave(unused=(self.folder / MANIFEST).is_file())

    def leave(self, *, unused: bool) -> None:
        """Let others write there; the lock's file goes where no training is to go on."""
        if self.lock is not None:
            if unused and os.name != "nt":  # where the lock takes it away itself, and nobody can while it is held
                Path(self.lock.lock_file).unlink(missing_ok=True)
            self.lock.release()


def open_folder(recipe: Recipe, out: str | Path | None, data_sha256: str, existing: Existing = "refuse") -> OpenFolder:
    """The folder to train into, which no other process trains into, or the run in it that is already complete.

    Raises RunError when something is in the way.
    """
    folder = Path(out) if out is not None else _next_free(Path("runs") / recipe.name, resume=existing == "resume")
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file; give a folder: --out runs/NAME")
    if existing == "overwrite" and folder.is_symlink():
        raise RunError(
            f"{folder} is a link, which --overwrite won't replace; give what it leads to: --out {as_typed(folder.resolve())}"
        )
    if existing == "refuse" and _is_used(folder):
        raise _not_empty(folder)
    run = _complete(folder, recipe, data_sha256) if existing == "resume" else None
    if run is not None and not _leftovers(folder):
        return OpenFolder(folder, run)
    make_folder(folder)
    opened = OpenFolder(folder, lock=_locked(folder))
    try:
        if existing == "resume" and (run := _complete(folder, recipe, data_sha256)):  # by another process, meanwhile
            _delete(_leftovers(folder))
            opened.leave(unused=True)
            return OpenFolder(folder, run)
        _make_ready(folder, recipe, data_sha256, existing)
    except BaseException:
        opened.leave(unused=True)
        raise
    return opened


def _make_ready(folder: Path, recipe: Recipe, data_sha256: str, existing: Existing) -> None:
    """Empty a folder that this process has locked, or check that what was begun in it can go on."""
    started = folder / STARTED
    if _is_used(folder):
        if existing == "overwrite":
            begun = started.is_file() and (folder / EVENTS).is_file()  # even where what began is damaged
            if not (begun or _holds(started, "data_sha256") or _holds(folder / MANIFEST, "sha256")):
                raise RunError(f"{folder} holds no run of rankwise, so --overwrite won't empty it; give another --out")
            write_json(started, Started(portable(recipe).to_dict(), data_sha256))  # by which a part of it is known
            _empty(folder)
        elif existing == "refuse":
            raise _not_empty(folder)
        elif (folder / MANIFEST).is_file():
            leave_out(folder, EVENTS)  # the run stays whole until the climb, which goes on writing there, ends in another
        elif started.is_file():
            try:
                before = read_json(started, Started)
                begun_with = Recipe.from_dict(before.recipe)
            except (RunError, RecipeError) as problem:
                raise RunError(f"{folder}: {STARTED} is damaged; type --overwrite to start again") from problem
            _check_same(begun_with, portable(recipe), before.data_sha256, data_sha256, folder)
        else:
            raise RunError(f"{folder} holds no run to resume; type --overwrite to replace what is there, or --out")
    write_json(started, Started(portable(recipe).to_dict(), data_sha256))


def _complete(folder: Path, recipe: Recipe, data_sha256: str) -> Run | None:
    """The finished run of this recipe in a folder; None where there is none, or its climb was interrupted."""
    if not (folder / MANIFEST).is_file():
        return None
    run = Run.load(folder)
    _check_same(run.asked, portable(recipe), run.facts.data_sha256, data_sha256, folder)
    return run if run.facts.ladder is None or not run.facts.ladder.interrupted else None


def _locked(folder: Path) -> FileLock:
    """The folder's lock, which the system takes back when its process ends, however it does. Raises RunError."""
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RunError(
            f"{folder}: another process trains into it; wait until that has ended, or give another --out"
        ) from None
    return lock


def _is_used(folder: Path) -> bool:
    """Whether anything is in a folder but what a process leaves that has only opened it."""
    return folder.is_dir() and any(path.name not in (LOCK, f"{STARTED}{DRAFT}") for path in folder.iterdir())


def _not_empty(folder: Path) -> RunError:
    return RunError(f"{folder} is not empty; type --resume to go on with it, --overwrite to start again, or --out")


def _leftovers(folder: Path) -> list[Path]:
    """What a process leaves that was killed when its run was whole already."""
    listed = read_manifest(folder).sha256
    kept = any(name.startswith(f"{CHECKPOINTS}/") for name in listed)
    left = [folder / STARTED, folder / LOCK, folder / DRAFTS, *([] if kept else [folder / CHECKPOINTS])]
    return [path for path in left if path.exists()]


def _empty(folder: Path) -> None:
    """Delete what is in a folder of a run, its manifest first: what is left of a run is never taken for one."""
    entries = [path for path in folder.iterdir() if path.name not in (LOCK, STARTED)]
    _delete(sorted(entries, key=lambda path: path.name != MANIFEST))


def _delete(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _next_free(folder: Path, *, resume: bool) -> Path:
    """runs/NAME, or runs/NAME-2 and so on; when resuming, the newest that exists."""
    numbered = [folder, *(folder.with_name(f"{folder.name}-{number}") for number in range(2, 10_000))]
    free = next(number for number, path in enumerate(numbered) if not path.exists())
    return numbered[max(0, free - 1)] if resume else numbered[free]


def _holds(path: Path, key: str) -> bool:
    """Whether a JSON object with `key` is there; web pages, too, come with a manifest.json."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and key in content


def _check_same(before: Recipe, now: Recipe, data_before: str, data_now: str, folder: Path) -> None:
    same_data = data_before == data_now  # then it does not matter where they lie
    recipes = (recipe.with_paths(last_part) for recipe in (before, now))
    then, today = differences([flat(recipe.identity() if same_data else recipe.to_dict()) for recipe in recipes])
    changed = [f"{key}: {value} → {today[key]}" for key, value in then.items() if not is_under(key, NOT_COMPARED)]
    if not same_data:
        changed.append("the texts or labels of the data")
    if changed:
        raise RunError(
            f"{folder} was started with other settings, so it can't be resumed:\n  "
            + "\n  ".join(changed)
            + "\nType the same command as before, or --overwrite to start again"
        )


def portable(recipe: Recipe) -> Recipe:
    """The recipe with absolute paths made relative to the working directory."""
    return recipe.with_paths(lambda path: os.path.relpath(path) if os.path.isabs(path) else path)


def last_part(path: str) -> str:
    """Of a path that leads elsewhere, which depends on where one stands; names of encoders and hub data sets as they are."""
    return Path(path).name if path.startswith((os.sep, ".", "~")) else path


def check_free(folder: Path, existing: Existing) -> None:
    """Raises RunError as `open_folder` does for a folder that is in the way, at once and without making one."""
    if os.path.isfile(folder):  # which is False, too, for a name that the system refuses: opening tells
        raise RunError(f"{folder} is a file; give a folder: --out runs/NAME")
    if existing == "refuse" and os.access(folder, os.R_OK) and _is_used(folder):
        raise _not_empty(folder)
