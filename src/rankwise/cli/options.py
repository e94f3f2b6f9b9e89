"""What the command line's options mean: a recipe with its changes, its data's size, a source's columns.

What probes an encoder is imported late, for `plan` and `recipes` answer at once.
"""

import json
from collections.abc import Set
from pathlib import Path
from typing import Annotated, TypeVar

from typer import Option

from rankwise.cli import console
from rankwise.cli.arguments import RecipeOptions
from rankwise.data.clean import has_surrogate
from rankwise.data.files.reading import checked_path, is_readable
from rankwise.data.labelled import Labelled, Volume, read_labelled, read_training
from rankwise.data.tasks import Task, task_called
from rankwise.errors import DataError, RecipeError, as_typed
from rankwise.planning.deployment import deployable
from rankwise.planning.plan import Plan
from rankwise.planning.plan import plan as make_plan
from rankwise.recipe import AFTER_READING, DataSpec, Recipe, Rung, SourceSpec
from rankwise.recipe.differences import is_under
from rankwise.workflows.forecasting import work_of

UNREAD = frozenset(f"data.{key}" for key in {"rows", "test_rows", "split", *AFTER_READING})  # what reads no file

HasColumns = TypeVar("HasColumns", SourceSpec, DataSpec)

FAST = ("train.precision=auto", "train.encoder_dropout=off")  # what --fast means; --set goes before it

RungOption = Annotated[Rung | None, Option(help="One rung of the recipe alone.")]


def recipe_of(
    recipe: str | Recipe,
    options: RecipeOptions,
    *,
    minutes: float | None = None,
    memory_gb: float | None = None,
    rung: Rung | None = None,
) -> Recipe:
    """A recipe, or one by name or path, with what the options change; --data replaces every file of the recipe's."""
    data, overrides = options.data, options.overrides or []
    if isinstance(recipe, str) and Path(recipe).is_file() and is_readable(Path(recipe)):
        raise RecipeError(
            f"{recipe} is data, which comes after a recipe; type: rankwise train auto --data {as_typed(recipe)}"
        )
    changes = list(FAST) if options.fast else []
    if data is not None:
        check_data(data)
        changes.append(path_change("data.source", data))
        changes += ["data.train=null", "data.validation=null", "data.test=null", "data.classes=[]"]
        if Path(data).is_file() and any(change.startswith("data.train.") for change in overrides):
            changes.append(path_change("data.train.path", data))  # how it is read, such as data.train.encoding
    if options.budget is not None:
        changes.append(f"budget.parameters={_parameters(options.budget)}")
    changes += [f"budget.minutes={minutes}"] if minutes is not None else []
    changes += [f"budget.memory_gb={memory_gb}"] if memory_gb is not None else []
    changes += overrides
    loaded = recipe.with_overrides(changes) if isinstance(recipe, Recipe) else Recipe.load(recipe, changes)
    return loaded if rung is None else loaded.rung(rung)


def reading(overrides: list[str] | None, *, also: Set[str] = frozenset()) -> list[str]:
    """Changes to how files are read. Raises RecipeError for keys that read nothing, but for those that are `also` used."""
    changes = overrides or []
    if others := [change for change in changes if not change.startswith("data.")]:
        raise RecipeError(f"--set {others[0]}: nothing trains here, so only keys of data count, such as data.label=queue")
    if idle := [change for change in changes if is_under(change.partition("=")[0], UNREAD - also)]:
        raise RecipeError(f"--set {idle[0]}: files are looked at as they are; only keys of reading count, such as data.label")
    return changes


def spec_for(recipe: Recipe, source: str, overrides: list[str] | None) -> DataSpec:
    """How a run reads a file of later: as its recipe read the training text, with changes; its dialect is found out."""
    other = [f"data.{role}=null" for role in ("train", "validation", "test")]
    found_out = ["data.quoting=auto", "data.delimiter=null"]
    changes = reading(overrides, also={"data.unseen_labels"})
    settings = [
        path_change("data.source", source),
        *other,
        "data.classes=[]",
        "data.header=null",
        "data.sheet=null",
        *found_out,
    ]
    return recipe.with_overrides([*settings, *changes]).data


def check_data(source: str) -> None:
    """Raises DataError where a file or folder of data is not there: before anything that takes seconds is loaded."""
    if source != "sample" and not source.startswith("hub:"):
        checked_path(source)


def check_apart(out: Path, source: str) -> None:
    """Raises DataError where what is written would replace what is read."""
    if out.exists() and Path(source).exists() and out.samefile(source):
        raise DataError(f"--out {out} is the file that is read, and would be gone; give another")


def _parameters(text: str) -> str:
    """1000000, 1_000_000, 1,000,000, 50k, 1.5M or none → a whole number or null."""
    if text.lower() in ("none", "null"):
        return "null"
    digits = text.replace(",", "").replace("_", "").lower()
    scale = {"k": 1_000, "m": 1_000_000}.get(digits[-1:], 1)
    try:
        count = round(float(digits if scale == 1 else digits[:-1]) * scale)
    except (ValueError, OverflowError):
        count = 0
    if count < 1:
        raise RecipeError(f"--budget {text}: expected a number above 0, such as 1000000, 50k or 1M, or none")
    return str(count)


def classes_of(recipe: Recipe) -> int:
    """How many classes: as the recipe says, else as its local data has, else 2."""
    if recipe.data.classes:
        return len(recipe.data.classes)
    return len(read_training(recipe.data)[2]) if is_local(recipe) else 2


def path_change(key: str, path: str) -> str:
    """`data.source="rows.csv"`. Raises DataError for a name that a recipe can't hold."""
    if has_surrogate(path):
        raise DataError(f"{path!a}: its name is no UTF-8, which a recipe is written in; rename it")
    return f"{key}={json.dumps(path)}"


def task_of(recipe: Recipe) -> Task:
    """The task that a recipe's local training rows are of."""
    _, table, classes = read_training(recipe.data)
    return task_called(table.task, classes)


def is_local(recipe: Recipe) -> bool:
    """Whether the recipe's data is on this machine."""
    source = recipe.data.source or (recipe.data.train.path if recipe.data.train else "")
    return source == "sample" or (source != "" and Path(source).expanduser().exists())


def deployed(recipe: Recipe, plan: Plan, known: Volume | None) -> tuple[Recipe, Plan]:
    """The recipe and its plan, of what keeps the budgets of answering, which is said where that is counted words alone."""
    kept = deployable(recipe, plan, work_of(recipe, plan, known))
    if kept is recipe:
        return recipe, plan
    console.note(f"{plan.encoder.name} is too large or too slow to keep the budget of answering, so words alone are counted")
    return kept, make_plan(kept, classes=plan.encoder.classes)


def scored(recipe: Recipe, labelled: Labelled | None = None) -> Recipe:
    """The recipe with the scores that `by-importance` plans with; every other recipe as it is, without loading torch."""
    policy = recipe.adapter.unscored
    if policy is None:
        return recipe
    from rankwise.workflows.by_importance import with_scores

    if console.err.is_terminal:
        console.err.print(f"[dim]probing {policy.rows:,} texts for where rank matters[/]")
    return with_scores(recipe, labelled or read_labelled(recipe.data))


def with_columns(
    spec: HasColumns, text: list[str] | None, label: list[str] | None, text_pair: list[str] | None = None
) -> HasColumns:
    """The spec with the columns that the options name."""
    sides = {key: tuple(columns) for key, columns in (("text", text), ("text_pair", text_pair)) if columns}
    columns = {**sides, "label": tuple(label) if label and len(label) > 1 else label[0] if label else None}
    return spec.model_copy(update={key: column for key, column in columns.items() if column is not None})
