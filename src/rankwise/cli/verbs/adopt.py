"""`rankwise adopt`: an adapter that somebody else made with peft, as a run folder that every other verb takes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from rankwise.cli import console
from rankwise.cli.arguments import takes_options
from rankwise.errors import as_typed, require


@dataclass(frozen=True, kw_only=True)
class AdoptOptions:
    adapter: Annotated[Path, Argument(metavar="ADAPTER", help="A folder with adapter_config.json, as peft saves it.")]
    folder: Annotated[Path, Argument(metavar="FOLDER", help="A new folder for the run.")]
    base: Annotated[
        str | None, Option(metavar="BASE", help="Its base: a folder or a name of the hub; else what its configuration names.")
    ] = None
    labels: Annotated[
        str | None, Option(metavar="A,B,C", help="Class names in the order of the logits; else those of a config.json.")
    ] = None
    max_length: Annotated[int | None, Option(min=1, help="Tokens that it reads of a text.  [default: 512 at most]")] = None


@takes_options
def adopt(options: AdoptOptions) -> None:
    """Write an adapter of peft's as a run, its logits held against peft's own."""
    adopting = require("rankwise.run.adopting", extra="train")
    labels = None if options.labels is None else [name.strip() for name in options.labels.split(",")]
    how = {"base": options.base, "labels": labels, "max_length": options.max_length}
    with console.working(f"adopting {options.adapter}"):
        run = adopting.adopt_adapter(options.adapter, options.folder, **how)
    console.dim(f"{options.adapter} → {options.folder}: {', '.join(run.preprocessing.classes)}; logits are peft's")
    folder = as_typed(options.folder)
    console.dim(f"next: rankwise evaluate {folder} DATA; rankwise predict {folder} --text '…'")
