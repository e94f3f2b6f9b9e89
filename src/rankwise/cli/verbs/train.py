"""`rankwise train`: a recipe as a run folder, with the plan before it and the scores after it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from rankwise.cli.arguments import (
    BudgetOption,
    DataOption,
    FastOption,
    JsonOption,
    MemoryOption,
    MinutesOption,
    RecipeArg,
    SetOption,
    print_json,
    takes_options,
)


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """What `rankwise train` is told."""

    recipe: RecipeArg
    data: DataOption = None
    out: Annotated[Path | None, typer.Option("--out", help="The run folder; the next free runs/NAME when left out.")] = None
    budget: BudgetOption = None
    minutes: MinutesOption = None
    memory_gb: MemoryOption = None
    fast: FastOption = False
    overrides: SetOption = None
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a stopped run left off.")] = False
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run in --out.")] = False
    as_json: JsonOption = False


@takes_options
def train(options: TrainOptions) -> None:
    """Plan, train and evaluate a recipe; write a run folder."""
    from rankwise.cli.options import forecast_of, recipe_of, scored

    started = time.monotonic()
    loaded = recipe_of(
        options.recipe,
        options.overrides,
        options.budget,
        options.data,
        minutes=options.minutes,
        memory_gb=options.memory_gb,
        fast=options.fast,
    )
    from rankwise.cli import console
    from rankwise.data.labelled import read_labelled
    from rankwise.data.volume import Volume
    from rankwise.planning.plan import plan as make_plan
    from rankwise.planning.workload import character_counts
    from rankwise.run.opening import Existing

    labelled = read_labelled(loaded.data)
    quiet = options.as_json or not _is_main_process()
    if not quiet:  # the plan is known in milliseconds; the libraries that train take seconds to import
        loaded = scored(loaded, labelled)
        found = make_plan(loaded, classes=len(labelled.classes))
        console.show_layouts([labelled.train.layout, labelled.validation.layout, labelled.test.layout])
        rows = (len(labelled.train.texts), len(labelled.validation.texts), len(labelled.test.texts))
        known = Volume(labelled.classes, rows, character_counts(labelled.train.texts))
        console.show_plan(loaded.name, found, forecast_of(loaded, found, known))
    from rankwise.workflows.train import train_on

    with console.TrainingProgress() as progress:
        listeners = [] if quiet else [progress]
        existing: Existing = "overwrite" if options.overwrite else "resume" if options.resume else "refuse"
        run = train_on(labelled, loaded, options.out, listeners=listeners, existing=existing, started=started)
    if not _is_main_process():
        return
    if options.as_json:
        print_json({"run": str(run.folder)}, run.facts, {"scores": run.scores, "plan": run.plan_facts})
    else:
        console.show_run(run)


def _is_main_process() -> bool:
    """Whether this is the process that speaks, of those that torchrun or accelerate launch have started."""
    return os.environ.get("RANK", "0") == "0"
