"""`rankwise plan`: what a recipe trains and costs, before anything loads."""

from __future__ import annotations

from dataclasses import dataclass
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
class PlanOptions:
    """What `rankwise plan` is told."""

    recipe: RecipeArg
    data: DataOption = None
    budget: BudgetOption = None
    minutes: MinutesOption = None
    memory_gb: MemoryOption = None
    fast: FastOption = False
    classes: Annotated[
        int | None, typer.Option("--classes", min=2, help="Number of classes; from the data when left out.")
    ] = None
    overrides: SetOption = None
    every: Annotated[bool, typer.Option("--ledger", help="Also print every entry: layer, map, rank, cost.")] = False
    as_json: JsonOption = False


@takes_options
def plan(options: PlanOptions) -> None:
    """What a recipe would train, to the parameter, and what the run is predicted to cost, before anything loads."""
    from rankwise.cli.options import forecast_of, recipe_of, scored, volume_of

    loaded = scored(
        recipe_of(
            options.recipe,
            options.overrides,
            options.budget,
            options.data,
            minutes=options.minutes,
            memory_gb=options.memory_gb,
            fast=options.fast,
        )
    )
    from rankwise.cli import console
    from rankwise.planning.plan import plan as make_plan

    known = volume_of(loaded)
    told = options.classes or len(loaded.data.classes) or (len(known.classes) if known else None)
    many = told or 2  # of data that is not on this machine
    found = make_plan(loaded, classes=many)
    cost = forecast_of(loaded, found, known)
    if options.as_json:
        print_json({"recipe": loaded.name, "classes": many}, found.facts(), {"forecast": cost.as_dict()})
        return
    console.show_layouts(known.layouts if known else [])
    console.show_plan(loaded.name, found, cost)
    if told is None:
        console.note("2 classes assumed, for the data is not on this machine; type --classes N")
    if options.every:
        console.show_ledger(found)
