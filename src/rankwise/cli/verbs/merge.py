"""`rankwise merge`: a run as one transformers model, which loads without peft and can be the base of another run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Option

from rankwise.cli import console
from rankwise.cli.arguments import BaseOption, RunArg, takes_options
from rankwise.errors import as_set
from rankwise.run.manifest import check_run


@dataclass(frozen=True, kw_only=True)
class MergeOptions:
    run: RunArg
    out: Annotated[Path, Option(help="A new folder to write the model into.")]
    base: BaseOption = None


@takes_options
def merge(options: MergeOptions) -> None:
    """Write a run as one transformers model, its adapter merged into the weights, and its logits held against the run's."""
    check_run(options.run)
    from rankwise.run.folder import Run

    folder = Run.load(options.run, base=options.base).merge(options.out)
    console.dim(f"{options.run}, merged → {folder}; to train on from it: {as_set('base', str(folder))}")
