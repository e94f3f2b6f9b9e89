"""Is there a finished run in a folder? Told without loading what trains, so that a slip of the pen is told at once."""

from __future__ import annotations

from pathlib import Path

from rankwise.errors import RunError

MANIFEST = "manifest.json"  # written last: a folder that has it is whole


def check_run(folder: str | Path) -> Path:
    """The folder of a finished run. Raises RunError, which says what else it is: no folder, unfinished, a folder of runs."""
    folder = Path(folder)
    if not folder.is_dir():
        raise RunError(f"{folder}: no such folder; expected a run folder, such as rankwise train writes")
    if (folder / MANIFEST).is_file():
        return folder
    for inside in (folder, folder / "finals"):
        if found := sorted(path.parent for path in inside.glob(f"*/{MANIFEST}")):
            raise RunError(f"{folder} is no run but holds some, such as {found[0]}; give those: {inside}/*")
    hint = "; its training did not finish: type the same train command with --resume"
    raise RunError(f"{folder}: no {MANIFEST}{hint if (folder / 'events.jsonl').exists() else ', so no run'}")
