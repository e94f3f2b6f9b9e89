"""`rankwise sweep SPACE --plan`: what a space holds, and how much of it fits the cap, before anything trains."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

import optuna
from rich.markup import escape

from rankwise.cli import console
from rankwise.cli.arguments import print_json
from rankwise.cli.options import classes_of
from rankwise.errors import OverBudget, PlanError, RecipeError
from rankwise.planning.plan import plan
from rankwise.recipe import Recipe
from rankwise.sweep.results import configured
from rankwise.sweep.space import Space

MOST_PLANNED = 2_000  # configurations of a space; of a larger one some are drawn


def show_space(space: Space, base: Recipe, *, as_json: bool = False) -> None:
    """Its keys with their values, how many configurations there are, and what those that fit train."""
    counts = planned(space, base, classes=classes_of(base))
    if as_json:
        print_json({"space": space.name, "base": base.name, "keys": space.as_dict(), **counts})
        return
    size = "more configurations than can be listed" if space.size is None else f"{space.size:,} configurations"
    console.out.print(f"[bold]{escape(space.name)}[/] around {escape(base.name)} on {escape(base.base)}: {size}")
    for name, values in space.as_dict().items():
        for line in lines(name, values):
            console.hanging(" ", escape(line))
    drawn = "" if counts["planned"] == space.size else f" of {counts['planned']:,} drawn at random"
    if counts["fit"]:
        least, most = counts["least"], counts["most"]
        span = f"{least:,}" if least == most else f"{least:,} to {most:,}"
        console.out.print(f"{counts['fit']:,}{drawn} fit, and train {span} parameters")
    if probed := counts["probed"]:
        console.hanging("-", f"{probed:,}{drawn} share ranks by importance, and are planned once the data is probed")
    for reason, count in counts["rejected"].items():
        console.hanging("-", f"{count:,}{drawn} rejected: {escape(reason)}")
    seeds = "" if space.search.seeds == 1 else f", {space.search.seeds} seeds each"
    trials = "all of them" if space.wanted == space.size else f"{space.wanted:,} trials"
    console.dim(f"the search: {space.search.sampler}, {trials}{seeds}; rankwise sweep without --plan runs it")


def planned(space: Space, base: Recipe, *, classes: int) -> dict[str, Any]:
    """How many configurations were looked at; how many fit, what those train at the least and most; why others don't.

    Those whose ranks need scores from the data are counted as `probed`: a trial probes and plans them.
    """
    counts: list[int] = []
    rejected: Counter[str] = Counter()
    probed = 0
    for params in configurations(space):
        try:
            recipe = configured(base, params)
            if recipe.adapter.unscored:
                probed += 1
            else:
                counts.append(plan(recipe, classes=classes).ledger.trainable_parameters)
        except OverBudget as problem:
            rejected[f"over the cap of {problem.cap:,}"] += 1
        except (PlanError, RecipeError) as problem:
            rejected[str(problem).splitlines()[0]] += 1
    fit = {"fit": len(counts), **({"least": min(counts), "most": max(counts)} if counts else {})}
    total = len(counts) + probed + rejected.total()
    return {"size": space.size, "planned": total, **fit, "probed": probed, "rejected": dict(rejected)}


def configurations(space: Space) -> Iterator[dict[str, Any]]:
    """Every configuration of a space; of a large or endless one, MOST_PLANNED / 10 drawn ones."""
    if space.size is not None and space.size <= MOST_PLANNED:
        yield from (space.suggest(optuna.trial.FixedTrial(labels)) for labels in space.listed())
        return
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=space.search.seed))
    yield from islice((space.suggest(study.ask()) for _ in iter(int, 1)), MOST_PLANNED // 10)


def lines(name: str, values: Any) -> Iterator[str]:
    """`adapter.rank  4, 8, max`; of groups a line each, with what is not in the group's label already."""
    if not isinstance(values, dict) or "low" in values:
        yield f"{name}  {values_in_words(values)}"
        return
    for label, inner in values.items():
        varied = {key: part for key, part in inner.items() if not (isinstance(part, list) and len(part) == 1)}
        yield f"{name} {label}  {'; '.join(f'{key} {values_in_words(part)}' for key, part in varied.items())}"


def values_in_words(values: Any) -> str:
    """`4, 8, max`; `query, query+value`; `1e-05 to 0.01, by logarithm`."""
    if isinstance(values, list):
        return ", ".join("+".join(map(str, value)) if isinstance(value, list) else str(value) for value in values)
    step = f", in steps of {values['step']:g}" if values["step"] else ", by logarithm" if values["log"] else ""
    return f"{values['low']:g} to {values['high']:g}{step}"
