"""The folder that a run is written into: a new one, an unfinished one to go on with, or the finished run in it."""

import json
import os
import shutil
from pathlib import Path
from typing import Literal

from rankwise.errors import RunError
from rankwise.recipe import Recipe
from rankwise.recipe.differences import differences, flat, is_under
from rankwise.run.folder import Run
from rankwise.run.format import Started
from rankwise.run.manifest import EVENTS, MANIFEST, STARTED, leave_out
from rankwise.system.files import DRAFT, make_folder, read_json, write_json

NOT_COMPARED = {"name", "summary", "published"}  # of a recipe: nothing is computed with them

Existing = Literal["refuse", "resume", "overwrite"]
"""What becomes of a run folder that has something in it: an error, a run that goes on, or a run that starts again."""


def open_folder(
    recipe: Recipe, out: str | Path | None, data_sha256: str, existing: Existing = "refuse"
) -> tuple[Path, Run | None]:
    """The folder to train into, and the run in it if it is already complete. Raises RunError when something is in the way."""
    folder = Path(out) if out is not None else _next_free(Path("runs") / recipe.name, resume=existing == "resume")
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file; give a folder: --out runs/NAME")
    started = folder / STARTED
    if folder.exists() and any(path.name != f"{STARTED}{DRAFT}" for path in folder.iterdir()):
        if existing == "overwrite":
            if not (_holds(folder / STARTED, "data_sha256") or _holds(folder / MANIFEST, "sha256")):
                raise RunError(f"{folder} holds no run of rankwise, so --overwrite won't empty it; give another --out")
            shutil.rmtree(folder)
        elif existing == "refuse":
            raise RunError(f"{folder} is not empty; type --resume to go on with it, --overwrite to start again, or --out")
        elif (folder / MANIFEST).is_file():
            run = Run.load(folder)
            _check_same(run.asked, portable(recipe), run.facts.data_sha256, data_sha256, folder)
            if run.facts.ladder is None or not run.facts.ladder.interrupted:
                return folder, run
            leave_out(folder, EVENTS)  # the run stays whole until the climb, which goes on writing there, ends in another
        elif started.is_file():
            before = read_json(started, Started)
            _check_same(Recipe.from_dict(before.recipe), portable(recipe), before.data_sha256, data_sha256, folder)
        else:
            raise RunError(f"{folder} holds no run to resume; type --overwrite to replace what is there, or --out")
    make_folder(folder)
    write_json(started, Started(portable(recipe).to_dict(), data_sha256))
    return folder, None


def _next_free(folder: Path, *, resume: bool) -> Path:
    """runs/NAME, or runs/NAME-2 and so on; when resuming, the newest that exists."""
    numbered = [folder, *(folder.with_name(f"{folder.name}-{number}") for number in range(2, 10_000))]
    free = next(number for number, path in enumerate(numbered) if not path.exists())
    return numbered[max(0, free - 1)] if resume else numbered[free]


def _holds(path: Path, key: str) -> bool:
    """Whether a JSON object with `key` is there; web pages, too, come with a manifest.json."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
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
    if existing == "refuse" and os.access(folder, os.R_OK) and set(os.listdir(folder)) - {f"{STARTED}{DRAFT}"}:
        raise RunError(f"{folder} is not empty; type --resume to go on with it, --overwrite to start again, or --out")
