"""`rankwise pull`: a run that was pushed to the Hugging Face hub, as a run folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from rankwise.cli import console
from rankwise.cli.arguments import takes_options
from rankwise.errors import as_typed, require


@dataclass(frozen=True, kw_only=True)
class PullOptions:
    repo: Annotated[str, Argument(metavar="REPO", help="OWNER/NAME on the hub.")]
    folder: Annotated[Path | None, Argument(metavar="FOLDER", help="A new folder; runs/NAME where none is given.")] = None
    revision: Annotated[str | None, Option(metavar="COMMIT", help="A commit, a tag or a branch; else the newest.")] = None


@takes_options
def pull(options: PullOptions) -> None:
    """Fetch a run from the Hugging Face hub into a new folder, each file checked by its sha256."""
    hub = require("rankwise.integrations.hub", extra="hub")
    folder = options.folder or Path("runs") / options.repo.rpartition("/")[2]
    with console.working(f"pulling {options.repo}"):
        run = hub.pull(options.repo, folder, revision=options.revision)
    base = run.facts.base
    needs = " --base FOLDER" if base.path else ""
    console.dim(f"{options.repo} → {folder}; next: rankwise predict {as_typed(folder)} --text '…'{needs}")
    if base.path:
        console.note(f"its base '{base.name}' is no model of the hub; --base says in which folder that is")
