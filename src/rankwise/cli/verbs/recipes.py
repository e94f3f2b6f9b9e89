"""`rankwise recipes`: the built-in recipes with what they train, or one of them."""

from typing import Annotated, Any

import typer
from rich.markup import escape
from typer import Option

from rankwise.cli import console
from rankwise.cli.arguments import JsonOption, RecipeArg, SetOption, print_json
from rankwise.cli.options import classes_of
from rankwise.planning.plan import plan as make_plan
from rankwise.recipe.keys import page
from rankwise.recipe.recipe import Recipe, builtin_recipes
from rankwise.recipe.yaml import read_text

recipes = typer.Typer(
    help="List the built-in recipes, or show one.", invoke_without_command=True, add_completion=False, rich_markup_mode=None
)


@recipes.callback()
def list_recipes(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the built-in recipes with what they train."""
    if context.invoked_subcommand is not None:
        return
    rows: list[dict[str, Any]] = []
    for name in builtin_recipes():
        recipe = Recipe.load(name)
        ledger = make_plan(recipe, classes=classes_of(recipe)).ledger
        rows.append(
            {
                "name": name,
                "summary": recipe.summary,
                "base": recipe.base,
                "published": recipe.published.model_dump() if recipe.published else None,
                "trainable_parameters": ledger.trainable_parameters,
                "total_parameters": ledger.total_parameters,
            }
        )
    if as_json:
        print_json(rows)
        return
    console.out.print(f"[dim]{'recipe':<20}{'trains':>12}  on[/]")
    for row in rows:  # two lines a recipe, so that 80 columns hold them
        console.out.print(f"[bold]{row['name']:<20}[/]{row['trainable_parameters']:>12,}  {row['base']}")
        report = f" (report {row['published']['report'][:3]})" if row["published"] else ""
        console.hanging(" ", f"[dim]{escape(row['summary'])}{report}[/]")
    console.out.print("\nrankwise recipes show NAME prints one; rankwise train NAME runs it.")
    console.out.print(
        "Spaces to search: rank4-grid (report 003), lora-hyperparameters (004); rankwise sweep NAME --plan tells of one."
    )


@recipes.command("show", short_help="Print one recipe as YAML.")
def show_recipe(
    name: RecipeArg,
    overrides: SetOption = None,
    full: Annotated[bool, Option("--full", help="Every key, defaults filled in.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print one recipe as YAML: as written, or with every default filled in."""
    recipe = Recipe.load(name, overrides or [])
    if as_json:
        print_json(recipe.to_dict())
    else:
        typer.echo(recipe.to_yaml() if full or overrides else read_text(name, "recipe")[1], nl=False)


@recipes.command("keys", short_help="What each key of a recipe means.")
def show_keys() -> None:
    """What each key of a recipe means, what it takes and what it is when left out, as a page in Markdown."""
    typer.echo(page(), nl=False)
