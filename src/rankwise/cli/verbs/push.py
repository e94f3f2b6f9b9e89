"""`rankwise push`: a run as a model repository of the Hugging Face hub, without any row of its data."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from rich.markup import escape
from typer import Argument, Option

from rankwise.cli import console
from rankwise.cli.arguments import JsonOption, RunArg, print_json, takes_options
from rankwise.errors import as_typed, require
from rankwise.run.manifest import check_run

if TYPE_CHECKING:
    from rankwise.integrations.hub import Pushed

EPILOG = "The hub's endpoint and token are those of huggingface_hub: HF_ENDPOINT, HF_TOKEN, hf auth login."


@dataclass(frozen=True, kw_only=True)
class PushOptions:
    run: RunArg
    repo: Annotated[str, Argument(metavar="REPO", help="OWNER/NAME; made, private, where there is none.")]
    public: Annotated[bool, Option("--public", help="Make a repository that everybody sees.")] = False
    dry_run: Annotated[bool, Option("--dry-run", help="List what would be sent; send nothing.")] = False
    as_json: JsonOption = False


@takes_options
def push(options: PushOptions) -> None:
    """Send a run to the Hugging Face hub, without its rows and texts; a run that the repository holds is replaced."""
    check_run(options.run)
    hub = require("rankwise.integrations.hub", extra="hub")
    from rankwise.run.folder import Run

    run = Run.load(options.run)
    with console.working(f"pushing to {options.repo}"):
        pushed: Pushed = hub.push(run, options.repo, public=options.public, dry_run=options.dry_run)
    if options.as_json:
        print_json(pushed)
        return
    sizes = [*pushed.files.values(), sum(pushed.files.values())]
    rows = zip([*map(escape, pushed.files), "all"], (f"{size:,}" for size in sizes), strict=True)
    console.out.print(console.plain_table("file", "bytes", rows=rows))
    for name, why in pushed.stays.items():
        console.dim(f"stays here: {name}, {why}")
    for note in pushed.notes:
        console.note(note)
    if options.dry_run:
        console.dim(f"nothing was sent; without --dry-run it goes to {pushed.url}, {_seen(options)}")
    else:
        console.dim(f"{options.run} → {pushed.url}; elsewhere: rankwise pull {as_typed(options.repo)}")


def _seen(options: PushOptions) -> str:
    return "which everybody sees" if options.public else "private"
