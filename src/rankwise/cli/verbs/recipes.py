"""`rankwise recipes`: the built-in recipes with what they train, or one of them."""

from __future__ import annotations

from typing import Annotated

import typer

from rankwise.cli.arguments import JsonOption, RecipeArg, SetOption, print_json


def recipes(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the built-in recipes with what they train."""
    if context.invoked_subcommand is not None:
        return
    from rankwise.cli import console
    from rankwise.cli.options import classes_of
    from rankwise.planning.plan import plan as make_plan
    from rankwise.recipe import Recipe, builtin_recipes

    rows = []
    for name in builtin_recipes():
        recipe = Recipe.load(name)
        ledger = make_plan(recipe, classes=classes_of(recipe)).ledger
        published = recipe.published.model_dump() if recipe.published else None
        rows.append(
            {
                "name": name,
                "summary": recipe.summary,
                "base": recipe.base,
                "published": published,
                "trainable_parameters": ledger.trainable_parameters,
                "total_parameters": ledger.total_parameters,
            }
        )
    if as_json:
        print_json(rows)
    else:
        console.show_recipes(rows)


def show_recipe(
    name: RecipeArg,
    overrides: SetOption = None,
    full: Annotated[bool, typer.Option("--full", help="Every key, defaults filled in.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print one recipe as YAML: as written, or with every default filled in."""
    from rankwise.recipe.recipe import Recipe, source_text

    recipe = Recipe.load(name, overrides or [])
    if as_json:
        print_json(recipe.to_dict())
    else:
        typer.echo(recipe.to_yaml() if full or overrides else source_text(name), nl=False)
