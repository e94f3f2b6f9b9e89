"""`rankwise plan`: what a recipe trains and costs, before anything loads."""

from dataclasses import dataclass
from typing import Annotated

from rich.markup import escape
from rich.text import Text
from typer import Argument, Option

from rankwise.cli import arguments, console
from rankwise.cli.options import RungOption, deployed, is_local, recipe_of, scored
from rankwise.data.labelled import read_volume
from rankwise.encoders.base import KNOWN
from rankwise.errors import DataError, RecipeError, as_typed
from rankwise.planning.forecast import Forecast
from rankwise.planning.plan import Plan, settled
from rankwise.planning.plan import plan as make_plan
from rankwise.recipe import Recipe
from rankwise.recipe.adapter import SHORT_KINDS
from rankwise.workflows.forecasting import forecast_of

SHADES = " ░▒▓█"
EPILOG = f"Bases that need no network to plan: {', '.join(KNOWN)}; or a folder, or a Hugging Face id."


@dataclass(frozen=True, kw_only=True)
class PlanOptions(arguments.RecipeOptions):
    recipe: Annotated[str | None, Argument(metavar="RECIPE", help="A built-in recipe (rankwise recipes) or a YAML file.")] = (
        None
    )
    minutes: arguments.MinutesOption = None
    memory_gb: arguments.MemoryOption = None
    rung: RungOption = None
    classes: Annotated[int | None, Option(min=2, help="Number of classes; from the data when left out.")] = None
    every: Annotated[bool, Option("--ledger", help="Also print every entry: module, layer, rank, cost.")] = False
    suggest: Annotated[
        bool, Option("--suggest", help="Instead: what each known base would cost, how it fits the texts, which to take.")
    ] = False
    as_json: arguments.JsonOption = False


@arguments.takes_options
def plan(options: PlanOptions) -> None:
    """What a recipe would train, to the parameter, and what the run is predicted to cost, before anything loads."""
    if options.recipe is None and not options.suggest:
        raise RecipeError("plan takes a RECIPE; type: rankwise plan auto, or rankwise recipes for a list of them")
    limits = {"minutes": options.minutes, "memory_gb": options.memory_gb}
    loaded = recipe_of(options.recipe or "auto", options, **limits, rung=options.rung)
    if options.suggest:
        _suggest(loaded, options)
        return
    loaded = scored(loaded.dearest)
    known = read_volume(loaded.data) if is_local(loaded) else None
    loaded = settled(loaded, pairs=known.pairs if known else 0)
    classes = options.classes or len(loaded.data.classes) or (len(known.classes) if known else None)
    planned = make_plan(loaded, classes=classes or 2)  # for data that is not on this machine
    loaded, planned = deployed(loaded, planned, known)
    cost = forecast_of(loaded, planned, known)
    if options.as_json:
        arguments.print_json({"recipe": loaded.name, "classes": classes or 2}, planned.facts(), {"forecast": cost.rounded()})
        return
    console.show_layouts(known.layouts if known else [])
    for line in known.warnings if known else ():
        console.note(line)
    show_plan(loaded.name, planned, cost)
    show_rungs(cost)
    if classes is None:
        console.note("2 classes assumed, for the data is not on this machine; type --classes N")
    if options.every:
        table = console.plain_table("what", "module", "layer", "rank", "parameters", right=(2, 3, 4))
        for entry in planned.ledger.entries:
            layer = "" if entry.layer is None else str(entry.layer)
            table.add_row(entry.section, entry.item, layer, str(entry.rank or ""), f"{entry.parameters:,}")
        console.out.print(table)


def _suggest(recipe: Recipe, options: PlanOptions) -> None:
    """The known bases for the recipe's texts. Raises DataError for texts that are not on this machine."""
    from rankwise.cli.verbs.suggest import suggest_bases

    if options.every or options.classes:
        raise RecipeError(f"--suggest is of many plans; leave {'--ledger' if options.every else '--classes'} out")
    if not is_local(recipe):
        raise DataError("--suggest looks at the texts, which are not on this machine; type --data FILE")
    given: dict[str, object] = {"--data": options.data, "--budget": options.budget, "--minutes": options.minutes}
    given |= {"--memory-gb": options.memory_gb, "--rung": options.rung}
    given = {name: f"{value:g}" if isinstance(value, float) else value for name, value in given.items()}
    typed = [options.recipe or "auto"]
    typed += [str(word) for name, value in given.items() if value is not None for word in (name, value)]
    typed += ["--fast"] if options.fast else []
    kept = [change for change in options.overrides or [] if not change.startswith("base=")]
    typed += [word for change in kept for word in ("--set", change)]
    own = Recipe.load(options.recipe or "auto").base
    suggest_bases(recipe, [as_typed(word) for word in typed], own=own, as_json=options.as_json)


def show_rungs(forecast: Forecast) -> None:
    """The order in which a recipe's rungs are tried, and how long each is predicted to take, where it has several."""
    if len(forecast.rungs) > 1:
        rungs = ", ".join(f"{rung} {seconds:.0f} s" for rung, seconds in forecast.rungs.items())
        console.hanging("rungs:", f"{rungs}; tried in this order while each is likely to pay")


def show_plan(name: str, plan: Plan, forecast: Forecast) -> None:
    """The ledger by section, a picture of what is adapted, what the run is predicted to cost, the notes."""
    if plan.counts_words:
        most = f"fewer than {plan.ledger.budget:,}" if plan.ledger.budget else "as many as there are"
        console.out.print(f"[bold]{escape(name)}[/]: words and word pairs counted, {most} weights, without an encoder")
        return
    ledger, head = plan.ledger, f"{plan.head.kind} head"
    sections = {
        "adapter": f"adapters on {len(plan.ranks)} linear layers",
        "magnitude": "magnitudes",
        "bias": "biases",
        "vector": f"{plan.method.words} on {len(plan.sites)} linear layers",
        "norm": "norms",
        "prefix": "virtual keys and values",
        "prompt": "virtual tokens",
        "encoder": "the whole encoder",
        "head": head,
    }
    summary = plan.method.summary(plan.adapter, plan.ranks, len(plan.sites)) + (f", {head}" if plan.adapter.is_apart else "")
    console.out.print(f"[bold]{escape(name)}[/] on {escape(plan.encoder.name)}: {summary}")
    table = console.plain_table("trained", "parameters", "share of the cap" if ledger.budget else "share of the model")
    whole = ledger.budget or ledger.total_parameters
    for section, parameters in ledger.sections().items():
        table.add_row(sections[section], f"{parameters:,}", f"{parameters / whole:.1%}")
    table.add_section()
    trained = ledger.trainable_parameters
    table.add_row("[bold]total trained[/]", f"[bold]{trained:,}[/]", f"[bold]{trained / whole:.1%}[/]")
    if ledger.budget:
        table.add_row("cap", f"{ledger.budget:,}", "")
    table.add_row("whole model", f"{ledger.total_parameters:,}", "")
    console.out.print(table)
    if plan.sites:
        console.out.print(plan_map(plan))
    for line in forecast.lines():
        console.out.print(escape(line))
    for line in plan.notes:
        console.note(line)


def plan_map(plan: Plan) -> Text:
    """Layers down (the last on top), kinds of linear layer across; the shade is the size relative to the largest.

    A size is an adapter's rank, a prefix's length or the number of scales.
    """
    kinds, entries = plan.encoder.kinds, plan.ledger.adapters
    sizes = {(entry.layer, entry.kind): entry.rank or plan.prefix_length or entry.parameters for entry in entries}
    largest = max(sizes.values())
    picture = Text("\n      " + "".join(f"{SHORT_KINDS[kind]:^9}" for kind in kinds) + "     cost\n", style="dim")
    for layer in reversed(range(plan.encoder.layers)):
        picture.append(f"{layer:>4}  ", style="dim")
        for kind in kinds:
            size = sizes.get((layer, kind), 0)
            shade = SHADES[0] if size == 0 else SHADES[max(1, round(4 * size / largest))]
            picture.append(shade * 2, style="cyan")
            picture.append(f"{size or '·':^4}", style="bold" if size else "dim")
            picture.append(shade * 2 + " ", style="cyan")
        cost = sum(entry.parameters for entry in entries if entry.layer == layer)
        picture.append(f"{cost:>9,}\n", style="dim")
    return picture
