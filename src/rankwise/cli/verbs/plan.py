"""`rankwise plan`: what a recipe trains and costs, before anything loads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from rankwise.cli import console
from rankwise.cli.arguments import (
    JsonOption,
    MemoryOption,
    MinutesOption,
    RecipeArg,
    RecipeOptions,
    print_json,
    takes_options,
)
from rankwise.cli.options import forecast_of, recipe_of, scored, volume_of
from rankwise.planning.plan import Plan
from rankwise.planning.plan import plan as make_plan


@dataclass(frozen=True, kw_only=True)
class PlanOptions(RecipeOptions):
    """The arguments and options of `rankwise plan`."""

    recipe: RecipeArg
    minutes: MinutesOption = None
    memory_gb: MemoryOption = None
    classes: Annotated[
        int | None, typer.Option("--classes", min=2, help="Number of classes; from the data when left out.")
    ] = None
    every: Annotated[bool, typer.Option("--ledger", help="Also print every entry: module, layer, rank, cost.")] = False
    as_json: JsonOption = False


@takes_options
def plan(options: PlanOptions) -> None:
    """What a recipe would train, to the parameter, and what the run is predicted to cost, before anything loads."""
    loaded = scored(recipe_of(options.recipe, options, minutes=options.minutes, memory_gb=options.memory_gb))
    known = volume_of(loaded)
    classes = options.classes or len(loaded.data.classes) or (len(known.classes) if known else None)
    planned = make_plan(loaded, classes=classes or 2)  # for data that is not on this machine
    cost = forecast_of(loaded, planned, known)
    if options.as_json:
        print_json({"recipe": loaded.name, "classes": classes or 2}, planned.facts(), {"forecast": cost.as_dict()})
        return
    console.show_layouts(known.layouts if known else [])
    console.show_plan(loaded.name, planned, cost)
    if classes is None:
        console.note("2 classes assumed, for the data is not on this machine; type --classes N")
    if options.every:
        show_ledger(planned)


def show_ledger(plan: Plan) -> None:
    """A line for every entry: what it is, its module, layer, rank and cost."""
    table = console.plain_table("what", "module", "layer", "rank", "parameters", right=(2, 3, 4))
    for entry in plan.ledger.entries:
        layer = "" if entry.layer is None else str(entry.layer)
        table.add_row(entry.section, entry.item, layer, str(entry.rank or ""), f"{entry.parameters:,}")
    console.out.print(table)
